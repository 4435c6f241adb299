"""People are told by a real program: once, again after a failure, over restarts and kills, and on request."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.tower import BIN
from tests.integration.towerd import DEADLINE_SECONDS, Towerd


class Alert:
    """A program that keeps what it is told, or does what the test says instead."""

    def __init__(self, directory: Path) -> None:
        self.told = directory / "told"
        self.body = directory / "body"
        self.body.write_text("")
        self.program = directory / "alert"
        self.program.write_text(f"#!/bin/sh\n. {self.body}\ncat >> {self.told}\n")
        self.program.chmod(0o755)

    @property
    def messages(self) -> list[dict[str, Any]]:
        lines = self.told.read_text().splitlines() if self.told.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def events(self) -> list[str]:
        return [message["event"] for message in self.messages]


@pytest.fixture
def alert(towerd: Towerd) -> Alert:
    alert = Alert(towerd.directory)
    configure(towerd, command=[str(alert.program)])
    return alert


def configure(towerd: Towerd, **keys: Any) -> None:
    keys = {"well_seconds": 0, "retry_seconds": 0.2, "deadline_seconds": 20} | keys
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    towerd.config.write_text("\n".join(["[notify]", *lines]) + "\n")


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)


def damage(towerd: Towerd) -> None:
    """Leave a database that the next start has to set aside: a problem that a human should know of."""
    towerd.start()
    towerd.end()
    towerd.database.write_bytes(b"no database" * 1000)


def test_a_problem_of_the_start_is_told_once_and_that_it_is_over_by_the_next(
    towerd: Towerd, alert: Alert
) -> None:
    damage(towerd)
    towerd.start()
    until(lambda: alert.events == ["opened"], "the message")
    message = alert.messages[0]
    assert "tower.db was damaged" in message["subject"]
    assert message["incidents"][0]["kind"] == "problem"
    towerd.restart()
    until(lambda: alert.events == ["opened", "closed"], "the end")
    assert {one["incidents"][0]["incident"] for one in alert.messages} == {
        message["incidents"][0]["incident"]
    }
    types = [event["type"] for event in towerd.ask("event.list")["events"]]
    assert types.count("incident.opened") == types.count("incident.closed") == 1


def test_a_kill_in_between_neither_repeats_nor_loses_a_message(towerd: Towerd, alert: Alert) -> None:
    damage(towerd)
    alert.body.write_text("exit 9")
    towerd.start()
    until(lambda: towerd.ask("daemon.status")["problems"][1:], "the failure among the problems")
    assert towerd.ask("daemon.status")["problems"][1].endswith(f"{alert.program} ended with status 9")
    towerd.end(signal.SIGKILL)
    alert.body.write_text("")
    towerd.start()
    # It has ended before it could be told: one message says both.
    until(lambda: alert.events == ["closed"], "the message")
    until(
        lambda: "incident.closed" in [one["type"] for one in towerd.ask("event.list")["events"]], "the event"
    )
    towerd.restart()
    assert towerd.ask("daemon.status")["problems"] == []
    assert alert.events == ["closed"]


def test_a_program_that_hangs_is_killed_and_holds_nobody_up(towerd: Towerd, alert: Alert) -> None:
    configure(towerd, command=[str(alert.program)], deadline_seconds=1)
    damage(towerd)
    alert.body.write_text("[ -e $0.go ] || sleep 1000")
    towerd.start()
    until(lambda: "did not end within 1 s" in str(towerd.ask("daemon.status")["problems"]), "the deadline")
    towerd.add("sales")
    (towerd.directory / "alert.go").touch()
    until(lambda: alert.events == ["opened"], "the message")
    until(lambda: len(towerd.ask("daemon.status")["problems"]) == 1, "the end of the failure")


def test_a_program_that_runs_when_the_daemon_stops_does_not_delay_it(towerd: Towerd, alert: Alert) -> None:
    damage(towerd)
    alert.body.write_text(f"echo $$ > {towerd.directory}/pid; sleep 1000")
    towerd.start()
    until((towerd.directory / "pid").exists, "the program")
    assert towerd.end() == 0
    pid = int((towerd.directory / "pid").read_text())
    until(lambda: not Path(f"/proc/{pid}").exists(), "its end")


def test_a_mail_goes_through_sendmail(towerd: Towerd, alert: Alert) -> None:
    sendmail = towerd.directory / "sendmail"
    sendmail.write_text(f'#!/bin/sh\necho "$*" > {towerd.directory}/to\ncat > {towerd.directory}/mail\n')
    sendmail.chmod(0o755)
    configure(towerd, mail_to=["root", "ops@example.org"], sendmail=str(sendmail))
    damage(towerd)
    towerd.start()
    mail = towerd.directory / "mail"
    until(lambda: mail.exists() and "tower.db was damaged" in mail.read_text(), "the mail")
    assert (towerd.directory / "to").read_text() == "-i root ops@example.org\n"
    assert mail.read_text().startswith("Subject: [tower ")


def test_a_test_message_says_how_it_went(towerd: Towerd, alert: Alert) -> None:
    towerd.start()
    ctl = [str(BIN / "towerctl"), "--socket", str(towerd.socket), "notify", "--test"]
    done = run(ctl)
    assert (done.returncode, done.stdout) == (0, f"command: {alert.program} took the message\n")
    assert alert.events == ["test"]
    alert.body.write_text("echo no route >&2; exit 1")
    done = run(ctl)
    assert done.returncode == 1
    assert done.stderr.startswith("towerctl: command: ended with status 1: no route\n")
    configure(towerd)
    towerd.ask("daemon.reload")
    done = run(ctl)
    assert done.returncode == 6
    assert "nobody is told of incidents" in done.stderr


def test_a_way_to_tell_that_a_reload_brings_tells_what_is_open(towerd: Towerd, alert: Alert) -> None:
    configure(towerd)
    damage(towerd)
    towerd.start()
    until(
        lambda: "incident.opened" in [one["type"] for one in towerd.ask("event.list")["events"]], "the event"
    )
    assert alert.events == []
    configure(towerd, command=[str(alert.program)])
    towerd.ask("daemon.reload")
    until(lambda: alert.events == ["opened"], "the message")


def test_a_configuration_that_breaks_while_it_runs_is_told(towerd: Towerd, alert: Alert) -> None:
    towerd.start()
    good = towerd.config.read_text()
    towerd.config.write_text(good + "nonsense = 1\n")
    assert "error" in towerd.exchange("daemon.reload")
    until(lambda: alert.events == ["opened"], "the message")
    assert alert.messages[0]["incidents"][0]["kind"] == "config-broken"
    towerd.config.write_text(good)
    towerd.ask("daemon.reload")
    until(lambda: alert.events == ["opened", "closed"], "the end")
