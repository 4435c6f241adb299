"""A session carries orders to the client and reports out, and never decides or blocks."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

import pytest

from sessions import messages
from sessions import session as session_module
from sessions.messages import Identity, Reports
from sessions.session import Session
from sessions.spool import Spool
from sessions.whatsapp import ClientError
from tests.unit.sessions.scripted_whatsapp import ScriptedWhatsApp, refusing

DEADLINE_SECONDS = 10
ALICE = Identity(jid="491701234567@s.whatsapp.net", device_number=12)


class Stage:
    """A session with its scripted client and the daemon's side of it."""

    def __init__(self, directory: Path) -> None:
        self.reports: queue.SimpleQueue[Reports] = queue.SimpleQueue()
        self.ended = threading.Event()
        self.client: ScriptedWhatsApp
        self.session = Session(
            Path("/nowhere/store.db"),
            "TOWER",
            factory=self._build,
            outbox=self.reports.put,
            spool=Spool(directory),
            end=self.ended.set,
        )

    def _build(self, *arguments: object) -> ScriptedWhatsApp:
        self.client = ScriptedWhatsApp(*arguments)  # type: ignore[arg-type]
        return self.client

    def begin(self) -> None:
        self.session.begin()
        assert self.next_report() == messages.Begun(neonize_version="0.0.scripted")
        assert self.next_call() == "connect"

    def next_report(self) -> Reports:
        return self.reports.get(timeout=DEADLINE_SECONDS)

    def next_call(self) -> str:
        return self.client.calls.get(timeout=DEADLINE_SECONDS)

    def wait_ended(self) -> None:
        assert self.ended.wait(DEADLINE_SECONDS)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_client_is_built_on_the_store_with_the_name_for_the_phone(stage: Stage) -> None:
    assert (stage.client.database, stage.client.device_name) == (Path("/nowhere/store.db"), "TOWER")


def test_begin_says_so_and_connects_without_blocking(stage: Stage) -> None:
    stage.begin()
    assert not stage.ended.is_set()
    stage.client.end_connect()


REPORTS = [
    messages.QrShown(payload="x", number=1, issued_at=1.0),
    messages.Scanned(identity=ALICE),
    messages.Disconnected(),
    messages.LoggedOut(code=401, on_connect=True),
    messages.PairingOver(status="timeout"),
]


@pytest.mark.parametrize("report", REPORTS, ids=lambda one: type(one).__name__)
def test_report_of_the_client_goes_out_as_it_is(stage: Stage, report: Reports) -> None:
    stage.begin()
    stage.client.report(report)
    assert stage.next_report() == report
    stage.client.end_connect()


def test_lost_line_is_left_to_the_library(stage: Stage) -> None:
    stage.begin()
    stage.client.report(messages.Connected(identity=ALICE))
    stage.session.obey(messages.Hold(on=True))
    stage.session.obey(messages.Hold(on=False))
    stage.client.report(messages.Disconnected())
    assert not stage.ended.is_set()
    stage.client.end_connect()


def test_lost_line_ends_a_session_that_is_held(stage: Stage) -> None:
    stage.begin()
    stage.session.obey(messages.Hold(on=True))
    # The restart after a scan is no loss.
    stage.client.report(messages.Disconnected())
    assert not stage.ended.is_set()
    stage.client.report(messages.Connected(identity=ALICE))
    stage.client.report(messages.Disconnected())
    assert stage.ended.is_set()
    ended = [stage.next_report() for _ in range(4)][-1]
    assert isinstance(ended, messages.ClientEnded)
    assert ended.cause == "connection-lost"
    stage.client.end_connect()


def test_reports_go_out_in_their_order(stage: Stage) -> None:
    stage.begin()
    sent = [messages.KeepaliveMissed(error_count=number) for number in range(100)]
    for report in sent:
        stage.client.report(report)
    assert [stage.next_report() for _ in sent] == sent
    stage.client.end_connect()


@pytest.mark.parametrize(
    ("order", "call"), [(messages.Logout(id=7), "logout"), (messages.Probe(id=7), "probe")]
)
def test_order_is_carried_out_and_answered_with_its_id(
    stage: Stage, order: messages.Orders, call: str
) -> None:
    stage.begin()
    stage.session.obey(order)
    assert stage.next_call() == call
    assert stage.next_report() == messages.Answer(id=7, error=None)
    stage.client.end_connect()


def test_text_is_sent_and_answered_with_what_became_of_it(stage: Stage) -> None:
    stage.begin()
    stage.session.obey(messages.Send(id=7, to="491701234567@s.whatsapp.net", text="hello"))
    assert stage.next_call() == "send 491701234567@s.whatsapp.net hello"
    assert stage.next_report() == messages.Answer(id=7, error=None, value="491701234567@s.whatsapp.net 3EB0")
    stage.client.end_connect()


def test_groups_are_told_one_by_one_and_then_counted(stage: Stage) -> None:
    stage.client.known_groups = [
        messages.Group(jid=f"12036300000000000{number}@g.us", name=f"g{number}", members=[])
        for number in (1, 2)
    ]
    stage.begin()
    stage.session.obey(messages.ListGroups(id=7))
    assert stage.next_call() == "groups"
    told = [stage.next_report() for _ in range(3)]
    assert told[:2] == [messages.GroupTold(order=7, group=one) for one in stage.client.known_groups]
    assert told[2] == messages.Answer(id=7, error=None, value="2")
    stage.client.end_connect()


def test_pairing_code_is_answered_with_its_id(stage: Stage) -> None:
    stage.begin()
    stage.session.obey(messages.PairPhone(id=8, phone="491701234567"))
    assert stage.next_call() == "pair-phone 491701234567"
    assert stage.next_report() == messages.Answer(id=8, error=None, value="ABCD-1234")
    stage.client.end_connect()


@pytest.mark.parametrize("order", [messages.Logout(id=7), messages.Probe(id=7)])
def test_order_that_the_library_refuses_is_answered_with_its_words(
    stage: Stage, order: messages.Orders
) -> None:
    stage.begin()
    stage.client.on_logout = stage.client.on_probe = refusing("timeout", "websocket timed out")
    stage.session.obey(order)
    assert stage.next_report() == messages.Answer(id=7, error="timeout: websocket timed out")
    stage.client.end_connect()


def test_order_that_hangs_keeps_no_other_from_being_answered(stage: Stage) -> None:
    stage.begin()
    hang = threading.Event()
    stage.client.on_logout = lambda: hang.wait(DEADLINE_SECONDS) and None
    stage.session.obey(messages.Logout(id=1))
    stage.session.obey(messages.Probe(id=2))
    assert stage.next_report() == messages.Answer(id=2, error=None)
    hang.set()
    assert stage.next_report() == messages.Answer(id=1, error=None)
    stage.client.end_connect()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, messages.ClientEnded(cause="client-ended", detail="the client ended by itself")),
        (ClientError("dns", "no such host"), messages.ClientEnded(cause="dns", detail="no such host")),
    ],
)
def test_end_of_the_client_is_reported_and_ends_the_worker(
    stage: Stage, error: ClientError | None, expected: Reports
) -> None:
    stage.begin()
    stage.client.end_connect(error)
    assert stage.next_report() == expected
    stage.wait_ended()


def test_fault_of_the_client_that_nobody_foresaw_ends_the_worker_too(stage: Stage) -> None:
    stage.begin()
    stage.client.end_connect(RuntimeError("a bug for +491701234567"))
    ended = stage.next_report()
    assert isinstance(ended, messages.ClientEnded)
    assert ended.cause == "client-error"
    assert "491701234567" not in ended.detail
    stage.wait_ended()


def test_fault_while_carrying_out_an_order_is_answered(stage: Stage) -> None:
    stage.begin()

    def fail() -> None:
        raise RuntimeError("a bug for +491701234567")

    stage.client.on_probe = fail
    stage.session.obey(messages.Probe(id=4))
    answer = stage.next_report()
    assert isinstance(answer, messages.Answer)
    assert answer.id == 4
    assert answer.error is not None
    assert "491701234567" not in answer.error
    stage.client.end_connect()


def test_quit_disconnects_and_ends(stage: Stage) -> None:
    stage.begin()
    stage.session.obey(messages.Quit())
    assert stage.next_call() == "disconnect"
    stage.wait_ended()
    stage.client.end_connect()


def test_quit_does_not_wait_for_a_disconnect_that_hangs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "_GOODBYE_SECONDS", 0.05)
    stage.begin()
    hang = threading.Event()
    stage.client.on_disconnect = lambda: hang.wait(DEADLINE_SECONDS) and None
    stage.session.obey(messages.Quit())
    stage.wait_ended()
    hang.set()
    stage.client.end_connect()


def test_second_begin_ends_the_worker(stage: Stage) -> None:
    stage.begin()
    stage.session.obey(messages.Begin(sessions_dir="/", locks_dir="/", device_name="x"))
    stage.wait_ended()
    stage.client.end_connect()


def test_push_name_that_comes_late_is_learned(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_PUSH_NAME_LOOKS_SECONDS", (0.01,) * 500)
    stage.client.known = ALICE
    stage.begin()
    stage.client.report(messages.Connected(identity=ALICE))
    assert stage.next_report() == messages.Connected(identity=ALICE)
    assert stage.client.identity_asked.wait(DEADLINE_SECONDS)
    named = Identity(jid=ALICE.jid, device_number=12, push_name="Alice")
    stage.client.known = named
    assert stage.next_report() == messages.IdentityLearned(identity=named)
    stage.client.end_connect()


def test_nobody_asks_for_the_push_name_before_the_login(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unpaired client has no identity, and asking may end the process."""
    monkeypatch.setattr(session_module, "_PUSH_NAME_LOOKS_SECONDS", (0.0,) * 5)
    stage.begin()
    stage.client.report(messages.QrShown(payload="x", number=1, issued_at=1.0))
    stage.next_report()
    stage.client.end_connect()
    stage.wait_ended()
    assert not stage.client.identity_asked.is_set()
