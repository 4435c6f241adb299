"""A second, independent client pairs too: what satisfies two libraries is not the quirk of one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tests.whatsapp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.whatsapp.simulator import Simulator

PHONE = "15551230000"
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
    assert client.stdin is not None
    client.stdin.write("logout\n")
    client.stdin.flush()
    simulator.wait_for(lambda each: not each.devices(PHONE))


@pytest.mark.timeout(60)
def test_baileys_is_logged_out_by_the_phone(simulator: Simulator, client: subprocess.Popen[str]) -> None:
    simulator.scan(next_event(client, "qr")["qr"], PHONE)
    next_event(client, "open")
    simulator.logout(PHONE)
    assert next_event(client, "close")["code"] == 401
