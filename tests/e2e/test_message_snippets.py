"""What docs/automation.md shows of messages and webhooks is run; the rest of it in `test_automation`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.desk import BLOCKS, Desk
from tests.e2e.tower import Tower
from tests.rules.source import ROOT
from tests.whatsapp.simulator import Simulator, wait_for

PHONE = "491701234567"
GRACE = "491511111111"

needs_jq = pytest.mark.skipif(
    shutil.which("jq") is None, reason="jq, which the document asks for, is not installed"
)


@pytest.fixture
def tower(simulator: Simulator) -> Iterator[Tower]:
    with Tower(simulator) as started:
        started.link(simulator, "sales", PHONE)
        simulator.contact(GRACE, "Grace")
        yield started


@pytest.fixture
def desk(tower: Tower, tmp_path: Path) -> Desk:
    (tmp_path / "desk").mkdir()
    return Desk(tmp_path / "desk", tower)


def received(tower: Tower) -> list[dict[str, Any]]:
    return list(tower.rpc("message.list", account="sales")["messages"])


def read_by(simulator: Simulator) -> list[str]:
    return [one["text"] for one in simulator.outbox(PHONE)]


def test_a_report_is_sent_once(desk: Desk, simulator: Simulator) -> None:
    (desk.directory / "report.txt").write_text("All is well.\nReally.\n")
    for _ in range(2):
        done = desk.run("report")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert read_by(simulator) == ["All is well.\nReally."]


@needs_jq
def test_what_people_have_written_is_listed(desk: Desk, tower: Tower, simulator: Simulator) -> None:
    simulator.deliver(PHONE, GRACE, "Good morning")
    simulator.echo(PHONE, GRACE, "from my phone")
    wait_for(lambda: len(received(tower)) == 2, what="the messages")
    done = desk.run("answers")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Grace: Good morning\n", "")


@needs_jq
def test_a_message_is_answered_once(desk: Desk, tower: Tower, simulator: Simulator) -> None:
    simulator.deliver(PHONE, GRACE, "status")
    simulator.deliver(PHONE, GRACE, "thanks")
    wait_for(lambda: len(received(tower)) == 2, what="the messages")
    done = desk.run("answer")
    assert (done.returncode, done.stderr) == (0, "")
    wait_for(lambda: read_by(simulator), what="the answer")
    assert (desk.directory / "last-message").read_text() == f"{received(tower)[-1]['id']}\n"
    # As after a crash that lost the place.
    (desk.directory / "last-message").unlink()
    desk.run("answer")
    assert tower.account("sales")["waiting"] == 0
    assert read_by(simulator) == ["All is well."]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_receiver_takes_what_is_proven_and_nothing_else(desk: Desk, tower: Tower) -> None:
    assert desk.run("secret").returncode == 0
    secret = desk.directory / "crm.secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    program = desk.directory / "receiver.py"
    program.write_text(BLOCKS["receiver.py"].text)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = BLOCKS["webhook.toml"].text.replace("/etc/tower/crm.secret", str(secret))
    tower.config.write_text(re.sub(r"localhost:\d+", f"localhost:{port}", config))
    tower.ctl("reload")
    with receiver(program, secret, port) as running:
        wait_for(lambda: tower.run("webhook", "test", "crm").returncode == 0, what="the receiver answers")
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["type"] == "webhook.test"
    other = desk.directory / "other.secret"
    other.write_text("x" * 64)
    with receiver(program, other, port):
        wait_for(lambda: "status 400" in tower.run("webhook", "test", "crm").stderr, what="it is refused")


@contextlib.contextmanager
def receiver(program: Path, secret: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """Run the document's receiver."""
    with subprocess.Popen(
        [sys.executable, program, secret, str(port)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()
