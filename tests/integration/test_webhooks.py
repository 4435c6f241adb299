"""Webhooks of a real daemon at a real receiver: signed, at least once, in order, whatever is killed."""

from __future__ import annotations

import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.e2e.tower import BIN
from tests.integration.receiver import Receiver, Request, a_receiver, status
from tests.integration.towerd import DEADLINE_SECONDS, Towerd
from tests.integration.webhooks import SECRET, configure, deliveries, secret_in, until, webhook
from tests.rules.source import ROOT


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with a_receiver() as one:
        yield one


def events(towerd: Towerd) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = towerd.ask("event.list", limit=10000)["events"]
    return found


def accounts_in(requests: list[Request]) -> list[str]:
    return [one.event["account"]["name"] for one in requests if one.event["type"] == "account.added"]


def test_an_event_arrives_signed_in_both_ways(towerd: Towerd, receiver: Receiver) -> None:
    secret = "whsec_" + "c2VjcmV0" * 5
    secret_in(towerd.directory, secret)
    configure(towerd, {"name": "crm", "url": receiver.url, "events": ["account.*"]})
    towerd.start()
    towerd.add("sales")
    until(lambda: receiver.taken, "the event")
    request = receiver.taken[0]
    (event,) = [one for one in events(towerd) if one["type"] == "account.added"]
    assert request.head == "POST /hook?x=1 HTTP/1.1"
    assert request.event == {
        "type": "account.added",
        "timestamp": event["time"],
        "id": event["id"],
        "account": event["account"],
        "data": event["data"],
    }
    assert (request.headers["Host"], request.headers["Connection"]) == (f"localhost:{receiver.port}", "close")
    Webhook(secret).verify(request.body, request.headers)
    assert request.headers["X-HMAC-Signature"] == openssl_hmac(secret, request)
    for options in ([], ["--standard"]):
        assert verifier(towerd, request.raw, *options).stdout == b"proven\n"
        assert verifier(towerd, request.raw.replace(b"sales", b"scale"), *options).returncode == 1


def openssl_hmac(secret: str, request: Request) -> str:
    """Return what openssl says, the second opinion."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, the second opinion, is not installed")
    done = subprocess.run(
        [openssl, "dgst", "-sha256", "-hmac", secret],
        input=request.headers["X-Timestamp"].encode() + request.body,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().split()[-1]


def verifier(towerd: Towerd, raw: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Run the verifier as a receiver would: the file alone, by an interpreter that sees no more of ours."""
    file = ROOT / "towerctl" / "webhook_verifier.py"
    return subprocess.run(
        [sys.executable, "-I", file, "--secret-file", towerd.directory / "webhook.secret", *options],
        input=raw,
        capture_output=True,
        check=False,
        cwd="/",
    )


def test_a_new_endpoint_begins_with_events_from_then_on_and_a_filter_is_kept(
    towerd: Towerd, receiver: Receiver
) -> None:
    configure(towerd)
    towerd.start()
    towerd.add("before")
    configure(
        towerd,
        {"name": "all", "url": receiver.url},
        {"name": "one", "url": f"{receiver.url}&one", "accounts": ["third"], "owners": ["0"]},
        {"name": "nobody", "url": f"{receiver.url}&nobody", "owners": ["4000000000"]},
    )
    towerd.ask("daemon.reload")
    towerd.add("second")
    towerd.add("third")
    until(lambda: len(accounts_in(receiver.taken)) == 3, "the events")
    until(lambda: not deliveries(towerd, state="queued"), "the end")
    by_target: dict[str, list[str]] = {}
    for request in receiver.taken:
        account = (request.event["account"] or {"name": ""})["name"]
        by_target.setdefault(request.head.split()[1], []).append(account)
    assert set(by_target["/hook?x=1"]) >= {"second", "third"}
    assert "before" not in by_target["/hook?x=1"]
    assert set(by_target["/hook?x=1&one"]) == {"third"}
    assert "/hook?x=1&nobody" not in by_target


def test_kills_in_the_middle_lose_nothing_and_keep_the_order_of_each_account(
    towerd: Towerd, receiver: Receiver
) -> None:
    configure(towerd, {"name": "crm", "url": receiver.url, "events": ["account.*"]})
    towerd.start()
    names = ["a", "b", "c"]
    for name in names:
        towerd.add(name)
    for step in range(5):
        for name in names:
            ids = {one["name"][0]: one["id"] for one in towerd.ask("account.list")["accounts"]}
            towerd.ask("account.set", account=ids[name], name=f"{name}{step}")
        if step % 2 == 0:
            receiver.behaviour = status(500)
        towerd.end(signal.SIGKILL)
        if step % 2 == 1:
            receiver.behaviour = receiver.usual
        towerd.start()
    receiver.behaviour = receiver.usual
    until(lambda: not deliveries(towerd, state="queued"), "the last delivery")
    wanted = [one for one in events(towerd) if one["type"].startswith("account.")]
    assert len(wanted) == len(names) * 6
    first: dict[int, Request] = {}
    for request in receiver.taken:
        first.setdefault(request.event["id"], request)
    assert set(first) == {one["id"] for one in wanted}
    for name in {one["account"]["id"] for one in wanted}:
        came = [one.event["id"] for one in first.values() if one.event["account"]["id"] == name]
        assert came == sorted(came)
    # A repetition is the same event under the same name, byte for byte, signed anew.
    for request in receiver.requests:
        same = first[request.event["id"]]
        assert (request.body, request.headers["webhook-id"]) == (same.body, same.headers["webhook-id"])


def test_what_is_given_up_is_listed_and_sent_again(towerd: Towerd, receiver: Receiver) -> None:
    receiver.behaviour = status(500)
    configure(towerd, {"name": "crm", "url": receiver.url, "events": ["account.added"]}, attempts=3)
    towerd.start()
    towerd.add("sales")
    until(lambda: webhook(towerd, "crm")["dead"] == 1, "the end of the tries")
    (dead,) = deliveries(towerd, state="dead")
    assert (dead["attempts"], dead["status"], dead["error"]) == (3, 500, "answered with status 500")
    assert len(receiver.requests) == 3
    assert "the webhook crm takes no events: answered with status 500" in str(
        towerd.ask("daemon.status")["problems"]
    )
    text = towerd.ask("daemon.metrics")["text"]
    assert 'tower_webhook_deliveries_total{endpoint="crm",outcome="failed"} 2.0' in text
    assert 'tower_webhook_deliveries_total{endpoint="crm",outcome="dead"} 1.0' in text
    receiver.behaviour = receiver.usual
    assert ctl(towerd, "retry", "crm").stdout == "crm: 1 deliveries are tried again\n"
    until(lambda: webhook(towerd, "crm")["dead"] == 0 and receiver.taken, "the delivery")
    until(lambda: deliveries(towerd)[0]["state"] == "delivered", "its end")
    assert webhook(towerd, "crm")["trouble"] is None


def test_commands_show_and_try_webhooks(towerd: Towerd, receiver: Receiver) -> None:
    configure(towerd, {"name": "crm", "url": receiver.url, "events": ["account.added"]})
    towerd.start()
    done = ctl(towerd, "test", "crm")
    assert (done.returncode, done.stdout) == (0, "crm took the event with status 204\n")
    assert receiver.taken[0].event["type"] == "webhook.test"
    receiver.behaviour = status(418)
    done = ctl(towerd, "test", "crm")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("towerctl: crm did not take the event: answered with status 418\n")
    done = ctl(towerd, "test", "crn")
    assert done.returncode == 2
    assert "there is no webhook crn; configured are: crm" in done.stderr
    assert "crm" in ctl(towerd, "list").stdout
    assert ctl(towerd, "deliveries").stderr == "nothing was to be delivered\n"


def ctl(towerd: Towerd, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "towerctl"), "--socket", str(towerd.socket), "webhook", *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def test_the_secret_is_nowhere_but_in_its_file(towerd: Towerd, receiver: Receiver) -> None:
    receiver.behaviour = status(500)
    configure(towerd, {"name": "crm", "url": receiver.url})
    towerd.start("--log-level", "debug")
    towerd.add("sales")
    until(lambda: receiver.requests, "a request")
    shown = [towerd.exchange(one) for one in ("daemon.config", "webhook.list", "webhook.deliveries")]
    assert SECRET not in f"{shown} {events(towerd)} {towerd.said()}"
    towerd.end()
    assert SECRET.encode() not in b"".join(one.read_bytes() for one in towerd.state.glob("tower.db*"))


@pytest.mark.parametrize(
    ("mode", "secret", "why"),
    [
        (0o600, "x" * 31, "must hold a secret of at least 32 characters"),
        (0o604, SECRET, "can be read by others"),
        (0o620, SECRET, "written by its group"),
        (0o600, f"{SECRET} and more", "one line of printable ASCII"),
        (0o600, "whsec_" + "?" * 40, "must be base64"),
    ],
)
def test_a_secret_that_cannot_be_used_is_refused_at_the_start_and_at_a_reload(
    towerd: Towerd, receiver: Receiver, mode: int, secret: str, why: str
) -> None:
    configure(towerd)
    towerd.start()
    file = secret_in(towerd.directory, secret)
    file.chmod(mode)
    configure(towerd, {"name": "crm", "url": receiver.url})
    assert stat.S_IMODE(file.stat().st_mode) == mode
    answer = towerd.exchange("daemon.reload")
    (bad,) = answer["error"]["data"]["fields"]
    assert bad["field"].endswith("webhook.endpoints[0].secret_file")
    assert why in bad["why"]
    towerd.end()
    done = towerd.refuse()
    assert done.returncode == 78
    assert why in done.stderr
    assert secret not in f"{done.stderr} {answer}"
