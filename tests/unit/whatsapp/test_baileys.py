"""A second, independent client pairs and talks too: what satisfies two libraries is not the quirk of one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tests.whatsapp
from tests.unit.whatsapp.telling import send, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.whatsapp.bare import BareClient
    from tests.whatsapp.simulator import Simulator

PHONE = "15551230000"
GRACE = "491511111111"
CLIENT = Path(tests.whatsapp.__file__).parent / "baileys"

pytestmark = [
    pytest.mark.baileys,
    pytest.mark.skipif(
        os.environ.get("TOWER_TEST_BAILEYS") != "1", reason="runs npm's baileys: set TOWER_TEST_BAILEYS=1"
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    if not (CLIENT / "node_modules" / "baileys").exists():
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=CLIENT, check=True)


@pytest.fixture
def client(simulator: Simulator, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | simulator.environment()
    environment["NODE_EXTRA_CA_CERTS"] = environment["SSL_CERT_FILE"]
    process = subprocess.Popen(
        ["node", str(CLIENT / "pair.mjs"), str(tmp_path / "store")],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()


def next_event(client: subprocess.Popen[str], name: str) -> dict[str, Any]:
    assert client.stdout is not None
    for line in client.stdout:
        said = dict(json.loads(line))
        if said["event"] == name:
            return said
    raise AssertionError(f"the client ended before {name}")


@pytest.mark.timeout(60)
def test_baileys_pairs_opens_and_logs_out(simulator: Simulator, client: subprocess.Popen[str]) -> None:
    scanned = simulator.scan(next_event(client, "qr")["qr"], PHONE)
    assert next_event(client, "close")["code"] == 515
    assert next_event(client, "open")["jid"] == scanned["jid"]
    assert [session["phone"] for session in simulator.sessions()] == [PHONE]
    tell(client, "logout")
    simulator.wait_for(lambda each: not each.devices(PHONE))


@pytest.mark.timeout(60)
def test_baileys_is_logged_out_by_the_phone(simulator: Simulator, client: subprocess.Popen[str]) -> None:
    simulator.scan(next_event(client, "qr")["qr"], PHONE)
    next_event(client, "open")
    simulator.logout(PHONE)
    assert next_event(client, "close")["code"] == 401


def outbox_text(simulator: Simulator, sent: str) -> str:
    """Return the text that others read of a message that was sent."""

    def texts(each: Simulator) -> list[str]:
        return [entry["text"] for entry in each.outbox(PHONE) if entry["id"] == sent]

    return simulator.wait_for(texts)[0]


def tell(client: subprocess.Popen[str], command: str) -> None:
    assert client.stdin is not None
    client.stdin.write(f"{command}\n")
    client.stdin.flush()


@pytest.fixture
def linked_baileys(simulator: Simulator, client: subprocess.Popen[str]) -> subprocess.Popen[str]:
    simulator.scan(next_event(client, "qr")["qr"], PHONE)
    next_event(client, "open")
    simulator.wait_for(lambda each: each.devices(PHONE)[0]["prekeys"])
    return client


@pytest.mark.timeout(60)
def test_baileys_reads_and_is_read(simulator: Simulator, linked_baileys: subprocess.Popen[str]) -> None:
    grace = simulator.contact(GRACE, "Grace")
    for text in ("the first", "the second"):
        sent = simulator.deliver(PHONE, GRACE, text)["id"]
        told = next_event(linked_baileys, "message")
        assert (sent, "Grace", text) == (told["id"], told["pushName"], told["text"])
    simulator.wait_for(lambda each: not each.backlog(PHONE))
    for text in ("back", "and back again"):
        tell(linked_baileys, f"send {grace['lid']} {text}")
        sent = next_event(linked_baileys, "sent")["id"]
        assert text == outbox_text(simulator, sent)


@pytest.mark.timeout(60)
def test_baileys_talks_in_a_group(simulator: Simulator, linked_baileys: subprocess.Popen[str]) -> None:
    group = simulator.group_create("Workshop", [GRACE, PHONE])["group"]
    for text in ("the first", "the second"):
        simulator.group_send(group, GRACE, text)
        told = next_event(linked_baileys, "message")
        assert (group, text) == (told["chat"], told["text"])
    tell(linked_baileys, f"send {group} hello all")
    assert outbox_text(simulator, next_event(linked_baileys, "sent")["id"]) == "hello all"


@pytest.mark.timeout(60)
def test_baileys_and_neonize_talk_to_each_other(
    simulator: Simulator, linked_baileys: subprocess.Popen[str], start_client: Callable[..., BareClient]
) -> None:
    neonize = start_client()
    simulator.scan(neonize.wait("QR")["qr"], GRACE)
    neonize.wait("Connected")
    simulator.wait_for(lambda each: each.devices(GRACE)[0]["prekeys"])
    assert send(neonize, PHONE, "from neonize")["event"] == "sent"
    told = next_event(linked_baileys, "message")
    assert told["text"] == "from neonize"
    tell(linked_baileys, f"send {told['chat']} from baileys")
    assert text_of(neonize.wait("Message")["data"]) == "from baileys"
