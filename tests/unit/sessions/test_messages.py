"""Every message survives the wire, and nothing else is taken for one."""

from __future__ import annotations

import json
import typing

import msgspec
import pytest

from sessions import messages
from sessions.incoming import Incoming
from sessions.messages import Group, Identity, Member, OrderEnvelope, ReportEnvelope

IDENTITY = Identity(
    jid="491701234567@s.whatsapp.net",
    device_number=12,
    lid="123456789012345@lid",
    push_name="Älice \U0001f5fc",
    business_name=None,
    platform="android",
)
MESSAGE = Incoming(
    id="3EB0",
    chat="491701234567@s.whatsapp.net",
    sender="491701234567@s.whatsapp.net",
    sender_lid=None,
    push_name="Älice",
    from_me=False,
    is_group=False,
    kind="text",
    text="hello \U0001f5fc\n",
    quoted_id=None,
    target_id=None,
    time=1_790_000_000,
)
GROUP = Group(
    jid="120363000000000001@g.us",
    name="Türme",
    members=[Member(jid=None, lid="123456789012345@lid", is_admin=True)],
)
ORDERS = [
    messages.Begin(
        sessions_dir="/run/tower-stores", locks_dir="/var/lib/tower/sessions", device_name="TOWER"
    ),
    messages.Logout(id=1),
    messages.PairPhone(id=3, phone="491701234567"),
    messages.Probe(id=2),
    messages.Send(id=4, to="491701234567", text="hello\n"),
    messages.ListGroups(id=5),
    messages.Hold(on=True),
    messages.Committed(number=7),
    messages.Quit(),
]
REPORTS = [
    messages.Begun(neonize_version="0.5.2"),
    messages.StoreLocked(holder_pid=None),
    messages.StoreLocked(holder_pid=77),
    messages.QrShown(payload='2@a"b,c\n', number=1, issued_at=1790000000.25),
    messages.PairingOver(status="timeout"),
    messages.Scanned(identity=IDENTITY),
    messages.PairFailed(error="no"),
    messages.Connected(identity=None),
    messages.Connected(identity=IDENTITY),
    messages.IdentityLearned(identity=IDENTITY),
    messages.Disconnected(),
    messages.LoggedOut(code=401, on_connect=True),
    messages.Banned(code=101, expires_in_seconds=3600),
    messages.Outdated(),
    messages.Replaced(),
    messages.ConnectFailed(code=409),
    messages.StreamFailed(code="599"),
    messages.MessageCame(number=7, message=MESSAGE),
    messages.GroupTold(order=5, group=GROUP),
    messages.GroupsChanged(),
    messages.KeepaliveMissed(error_count=3),
    messages.KeepaliveRestored(),
    messages.ClientEnded(cause="dns", detail="no such host"),
    messages.Answer(id=3, error=None),
    messages.Answer(id=3, error="timeout: no"),
    messages.Answer(id=3, error=None, value="ABCD-1234"),
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda one: type(one).__name__)
def test_order_survives_the_wire(order: messages.Orders) -> None:
    envelope = OrderEnvelope(account="a-abcdefghij", generation=3, body=order)
    line = messages.encode(envelope)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert messages.decode_order(line) == envelope


@pytest.mark.parametrize("report", REPORTS, ids=lambda one: type(one).__name__)
def test_report_survives_the_wire(report: messages.Reports) -> None:
    envelope = ReportEnvelope(account="a-abcdefghij", generation=3, body=report)
    line = messages.encode(envelope)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert messages.decode_report(line) == envelope


def test_the_samples_hold_every_type() -> None:
    assert {type(one) for one in ORDERS} == set(typing.get_args(messages.Orders))
    assert {type(one) for one in REPORTS} == set(typing.get_args(messages.Reports))


def test_every_message_names_account_and_generation() -> None:
    wire = json.loads(
        messages.encode(ReportEnvelope(account="a-x", generation=9, body=messages.Disconnected()))
    )
    assert wire == {"account": "a-x", "generation": 9, "body": {"type": "disconnected"}}


BROKEN = [
    b"",
    b"\n",
    b"hello\n",
    b"{}\n",
    b"[]\n",
    b"\xff\xfe\n",
    b'{"account":"a-x","generation":1}\n',
    b'{"account":"a-x","generation":1,"body":{"type":"unheard-of"}}\n',
    b'{"account":"a-x","generation":1,"body":{}}\n',
    b'{"account":"a-x","generation":"1","body":{"type":"quit"}}\n',
    b'{"account":7,"generation":1,"body":{"type":"quit"}}\n',
    b'{"generation":1,"body":{"type":"quit"}}\n',
    b'{"account":"a-x","generation":1,"body":{"type":"quit"}} more\n',
    b'{"account":"\xff","generation":1,"body":{"type":"quit"}}\n',
    b'{"account":"a-x","generation":1,"body":{"type":"\xed\xa0\x80"}}\n',
    b'{"account":"a-x","generation":1,"new":' + b"[" * 100_000 + b"\n",
]


@pytest.mark.parametrize("line", BROKEN)
def test_what_is_no_message_is_a_decode_error(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        messages.decode_order(line)
    with pytest.raises(msgspec.DecodeError):
        messages.decode_report(line)


def test_orders_and_reports_are_not_taken_for_each_other() -> None:
    order = messages.encode(OrderEnvelope(account="a-x", generation=1, body=messages.Quit()))
    report = messages.encode(ReportEnvelope(account="a-x", generation=1, body=messages.Outdated()))
    with pytest.raises(msgspec.DecodeError):
        messages.decode_report(order)
    with pytest.raises(msgspec.DecodeError):
        messages.decode_order(report)


def test_a_field_of_a_newer_version_is_ignored() -> None:
    line = b'{"account":"a-x","generation":1,"new":1,"body":{"type":"disconnected","why":"x"}}\n'
    assert messages.decode_report(line).body == messages.Disconnected()
