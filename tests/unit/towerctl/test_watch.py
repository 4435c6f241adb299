"""`watch`: live on a terminal, lines in a pipe, and the terminal as it was at the end."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.towerctl.conftest import Terminal, Tower
from tests.unit.towerctl.fake_daemon import (
    DEADLINE_SECONDS,
    Connection,
    FakeDaemon,
    Silence,
    account,
    accounts,
    error,
    event,
    pairing_account,
)
from tests.unit.towerctl.test_commands import status_answer

OnTerminal = Callable[..., Terminal]
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


@pytest.fixture
def fleet(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon with two accounts."""
    daemon.prepare("event.subscribe", {"subscription": "s1"})
    daemon.prepare("account.list", accounts([account("shop"), pairing_account("office")]))
    daemon.prepare("daemon.status", status_answer())
    return daemon


class Shell:
    """A terminal with a process on it, and a look at its modes that outlives the process."""

    def __init__(self, arguments: list[str], *, stdin: int | None = None) -> None:
        self.handle, self.slave = os.openpty()
        self.resize(40, 120)
        self.modes = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            arguments,
            stdin=self.slave if stdin is None else stdin,
            stdout=self.slave,
            stderr=self.slave,
            env={**os.environ, "TERM": "xterm-256color"} | {"COLUMNS": "7", "LINES": "3"},
            start_new_session=True,
        )
        self.seen = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.handle, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, found: Callable[[str], Any]) -> str:
        """Read until what was seen since the last call is as wanted; return it."""
        os.set_blocking(self.handle, False)
        seen = ""
        give_up_at = time.monotonic() + DEADLINE_SECONDS
        while not found(seen):
            assert time.monotonic() < give_up_at, seen
            try:
                seen += os.read(self.handle, 65536).decode()
            except BlockingIOError:
                time.sleep(0.01)
        self.seen += seen
        return seen

    def wait(self) -> int:
        status = self.process.wait(DEADLINE_SECONDS)
        self.read_until(lambda seen: LEAVE in (self.seen + seen).rpartition(ENTER)[2])
        return status

    def is_as_found(self) -> bool:
        return termios.tcgetattr(self.slave) == self.modes and self.seen.endswith("\x1b[?25h" + LEAVE)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.handle)
        os.close(self.slave)


@pytest.fixture
def shell(command: Callable[..., list[str]]) -> Iterator[Callable[..., Shell]]:
    opened = []

    def run(*arguments: str, **options: Any) -> Shell:
        opened.append(Shell(command(*arguments), **options))
        return opened[-1]

    yield run
    for one in opened:
        one.close()


# -- on a terminal -----------------------------------------------------------------------------------------


def test_it_draws_all_accounts_and_q_ends_it(fleet: FakeDaemon, shell: Callable[..., Shell]) -> None:
    running = shell("watch")
    seen = running.read_until(lambda seen: "q ends" in seen)
    assert seen.startswith(ENTER + "\x1b[?25l")
    assert "towerd 9.9.9" in seen
    assert "2: 1 connected, 1 pairing" in seen
    assert "\x1b[32mconnected" in seen
    assert "QR 1/6" in seen
    assert not termios.tcgetattr(running.slave)[3] & termios.ECHO
    os.write(running.handle, b"q")
    assert running.wait() == 0
    assert running.is_as_found()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_leave_the_terminal_as_it_was(
    fleet: FakeDaemon, shell: Callable[..., Shell], number: signal.Signals, status: int
) -> None:
    running = shell("watch")
    running.read_until(lambda seen: "q ends" in seen)
    running.process.send_signal(number)
    assert running.wait() == status
    assert running.is_as_found()


def test_a_time_limit_ends_it(fleet: FakeDaemon, shell: Callable[..., Shell]) -> None:
    running = shell("watch", "--timeout", "1")
    running.read_until(lambda seen: "q ends" in seen)
    assert running.wait() == 0
    assert running.is_as_found()


def test_ctrl_c_as_typed_ends_it(fleet: FakeDaemon, command: Callable[..., list[str]]) -> None:
    # Its own session with this terminal as the controlling one, as under a shell.
    script = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    running = Shell([sys.executable, "-c", script, *command("watch")])
    try:
        running.read_until(lambda seen: "q ends" in seen)
        os.write(running.handle, b"\x03")
        assert running.wait() == 0
        assert running.is_as_found()
    finally:
        running.close()


def test_a_failure_of_the_daemon_leaves_the_terminal_as_it_was(
    fleet: FakeDaemon, shell: Callable[..., Shell]
) -> None:
    fleet.prepare("account.list", accounts([]), error("not-permitted", "you may not", hint="ask"))
    running = shell("watch", "--interval", "2")
    running.read_until(lambda seen: "you may not" in seen)
    assert running.process.wait(DEADLINE_SECONDS) == 4
    assert termios.tcgetattr(running.slave) == running.modes
    assert running.seen.index(LEAVE) < running.seen.index("you may not")


def test_a_failure_before_it_begins_takes_over_nothing(
    fleet: FakeDaemon, terminal: OnTerminal, daemon: FakeDaemon
) -> None:
    fleet.prepare("event.subscribe", error("not-permitted", "you may not"))
    running = terminal("watch")
    assert running.read_all() == "towerctl: you may not\r\n"
    assert running.process.returncode == 4
    daemon.close()
    running = terminal("watch")
    assert ENTER not in running.read_all()
    assert running.process.returncode == 3


def test_events_are_shown_at_once_and_in_one_question(fleet: FakeDaemon, shell: Callable[..., Shell]) -> None:
    running = shell("watch", "--interval", "3600")
    running.read_until(lambda seen: "q ends" in seen)
    assert len(fleet.asked("account.list")) == 1
    fleet.prepare("account.list", accounts([account("shop", state="failed", reason="banned")]))
    for number in range(50):
        fleet.connections[0].notify(event(number))
    assert "banned" in running.read_until(lambda seen: "banned" in seen)
    running.read_until(lambda seen: seen.count("q ends") >= 2)  # as long as two ticks
    assert 2 <= len(fleet.asked("account.list")) <= 3
    assert len(fleet.asked("daemon.status")) == len(fleet.asked("account.list"))


def test_it_ticks_without_asking(fleet: FakeDaemon, shell: Callable[..., Shell]) -> None:
    running = shell("watch", "--interval", "3600")
    seen = running.read_until(lambda seen: seen.count("QR 1/6") >= 3)
    shown = re.findall(r"QR 1/6 (0:\d\d)", seen)
    assert shown == sorted(shown, reverse=True)
    assert shown[0] != shown[-1]
    assert len(fleet.asked("account.list")) == 1
    assert "\x1b[2J" not in seen


def test_the_interval_asks_for_what_no_event_tells(fleet: FakeDaemon, shell: Callable[..., Shell]) -> None:
    shell("watch", "--interval", "2", "--state", "connected")
    began = time.monotonic()
    fleet.wait_for_request("account.list", 2)
    assert time.monotonic() - began >= 1.5
    assert fleet.asked("account.list")[:2] == [{"state": ["connected"]}] * 2


def test_a_restart_of_the_daemon_is_waited_out(fleet: FakeDaemon, shell: Callable[..., Shell]) -> None:
    running = shell("watch", "--interval", "3600")
    running.read_until(lambda seen: "q ends" in seen)
    fleet.close()
    assert "shop" in running.read_until(lambda seen: "waiting for towerd …" in seen and "q ends" in seen)
    fleet.prepare("account.list", accounts([account("reborn")]))
    fleet.listen()
    seen = running.read_until(lambda seen: "reborn" in seen)
    assert "waiting" not in seen.rpartition("\x1b[H")[2]
    assert len(fleet.asked("event.subscribe")) == 2
    fleet.prepare("account.list", accounts([account("afterwards")]))
    fleet.connections[-1].notify(event(1))
    running.read_until(lambda seen: "afterwards" in seen)
    os.write(running.handle, b"Q")
    assert running.wait() == 0


def test_it_can_be_ended_while_the_daemon_is_away_or_mute(
    fleet: FakeDaemon, shell: Callable[..., Shell]
) -> None:
    running = shell("watch")
    running.read_until(lambda seen: "q ends" in seen)
    fleet.close()
    running.read_until(lambda seen: "waiting for towerd …" in seen)
    os.write(running.handle, b"q")
    assert running.wait() == 0
    fleet.listen()

    def hang(*_: object) -> None:
        raise Silence

    fleet.prepare("daemon.status", status_answer(), hang)
    running = shell("watch", "--interval", "2")
    assert "shop" in running.read_until(lambda seen: "towerd has not answered for 3s" in seen)
    os.write(running.handle, b"q")
    assert running.wait() == 0


def test_a_subscription_that_was_cut_off_is_made_anew(fleet: FakeDaemon, shell: Callable[..., Shell]) -> None:
    running = shell("watch", "--interval", "3600")
    running.read_until(lambda seen: "q ends" in seen)
    fleet.connections[0].send({"jsonrpc": "2.0", "method": "event.ended", "params": {"subscription": "s1"}})
    fleet.wait_for_request("event.subscribe", 2)
    fleet.wait_for_request("account.list", 2)


def test_resizing_is_seen_at_once_and_kept(fleet: FakeDaemon, shell: Callable[..., Shell]) -> None:
    fleet.prepare("account.list", accounts(account(f"a{n:02}", display_name="long " * 40) for n in range(30)))
    running = shell("watch", "--interval", "3600", "--no-color")
    assert "a29" in running.read_until(lambda seen: "q ends" in seen)
    running.resize(10, 50)
    running.process.send_signal(signal.SIGWINCH)
    seen = running.read_until(lambda seen: "more: " in seen and "q ends" in seen)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.rpartition("\x1b[H")[2]).split("\r\n")
    assert len(lines) <= 10
    assert max(map(len, lines)) < 50
    assert lines[-1].startswith("24 more: 24 connected")


def test_names_of_strangers_drive_nothing(fleet: FakeDaemon, shell: Callable[..., Shell]) -> None:
    hostile = account("shop", push_name="[red]x\x1b]0;owned\x07\x9b2J\u202e")
    fleet.prepare("account.list", accounts([hostile]))
    seen = shell("watch", "--no-color").read_until(lambda seen: "q ends" in seen)
    assert "[red]x\\x1b]0;owned\\x07\\x9b2J\\u202e" in seen
    assert not {"\x07", "\x9b", "\u202e"} & set(seen)
    assert "\x1b]" not in seen


def test_without_a_keyboard_it_is_ended_by_a_signal(fleet: FakeDaemon, shell: Callable[..., Shell]) -> None:
    running = shell("watch", stdin=subprocess.DEVNULL)
    running.read_until(lambda seen: "q ends" in seen)
    running.process.send_signal(signal.SIGINT)
    assert running.wait() == 0
    assert running.is_as_found()


def test_suspending_gives_the_terminal_back_for_the_while(
    fleet: FakeDaemon, command: Callable[..., list[str]]
) -> None:
    # A child of a process of the same session: only such a one can be suspended.
    script = """
import os, signal, subprocess, sys
child = subprocess.Popen(sys.argv[1:], process_group=0)
print("child", child.pid, flush=True)
_, status = os.waitpid(child.pid, os.WUNTRACED)
print("stopped", os.WIFSTOPPED(status), flush=True)
os.kill(child.pid, signal.SIGCONT)
sys.exit(child.wait())
"""
    running = Shell([sys.executable, "-c", script, *command("watch")])
    try:
        seen = running.read_until(lambda seen: "q ends" in seen)
        child = int(re.search(r"child (\d+)", seen)[1])  # type: ignore[index]
        os.kill(child, signal.SIGTSTP)
        seen = running.read_until(
            lambda seen: "stopped True" in seen and "q ends" in seen.split("stopped")[1]
        )
        assert seen.index(LEAVE) < seen.index("stopped True") < seen.index(ENTER)
        os.write(running.handle, b"q")
        assert running.wait() == 0
        assert running.is_as_found()
    finally:
        running.close()


# -- in a pipe ---------------------------------------------------------------------------------------------


@pytest.fixture
def piped(command: Callable[..., list[str]]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    opened = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        opened.append(
            subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return opened[-1]

    yield run
    for one in opened:
        one.kill()
        one.communicate()


Piped = Callable[..., "subprocess.Popen[str]"]


def read_lines(running: subprocess.Popen[str], count: int) -> list[str]:
    assert running.stdout is not None
    return [running.stdout.readline().rstrip("\n") for _ in range(count)]


def later(number: int, kind: str = "session.state", name: str | None = "shop", **data: Any) -> dict[str, Any]:
    return event(number, kind, name, **data) | {"time": f"2026-01-02T00:00:00.{number:03}Z"}


def test_a_line_per_account_then_a_line_per_change(fleet: FakeDaemon, piped: Piped) -> None:
    running = piped("watch")
    assert read_lines(running, 2) == [
        "2026-01-01T00:00:00.000Z shop connected",
        "2026-01-01T00:00:00.000Z office pairing",
    ]
    fleet.connections[0].notify(later(1, old="connected", new="reconnecting", reason="connection-lost"))
    fleet.connections[0].notify(later(2, "health.changed", old="healthy", new="warning", reasons=["x"]))
    assert read_lines(running, 2) == [
        "2026-01-02T00:00:00.001Z shop connected → reconnecting (connection-lost)",
        "2026-01-02T00:00:00.002Z shop health healthy → warning (x)",
    ]
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=DEADLINE_SECONDS) == ("", "")
    assert running.returncode == 0


def test_what_happened_while_the_accounts_were_listed_is_not_told_twice(
    fleet: FakeDaemon, piped: Piped
) -> None:
    def listed(connection: Connection, _: object) -> dict[str, Any]:
        connection.notify(event(1, old="connecting", new="connected", reason=None))
        return accounts([account("shop")])

    fleet.prepare("account.list", listed)
    running = piped("watch")
    assert read_lines(running, 1) == ["2026-01-01T00:00:00.000Z shop connected"]
    fleet.connections[0].notify(later(2, old="connected", new="stopped", reason=None))
    assert read_lines(running, 1) == ["2026-01-02T00:00:00.002Z shop connected → stopped"]


def test_only_some_states(fleet: FakeDaemon, piped: Piped) -> None:
    running = piped("watch", "--state", "pairing")
    assert read_lines(running, 1) == ["2026-01-01T00:00:00.000Z office pairing"]
    fleet.connections[0].notify(later(1, old="connected", new="stopped", reason=None))
    fleet.connections[0].notify(later(2, old="pairing", new="unpaired", reason=None))
    assert read_lines(running, 1) == ["2026-01-02T00:00:00.002Z shop pairing → unpaired"]


def test_json_is_one_event_per_line(fleet: FakeDaemon, piped: Piped) -> None:
    running = piped("watch", "--json")
    fleet.wait_for_answer("event.subscribe")
    events = [later(1, old="connected", new="stopped", reason=None), later(2, "account.added", "new")]
    for one in events:
        fleet.connections[0].notify(one)
    assert [json.loads(line) for line in read_lines(running, 2)] == events
    running.send_signal(signal.SIGTERM)
    assert running.communicate(timeout=DEADLINE_SECONDS) == ("", "")
    assert running.returncode == 143


def test_it_goes_on_after_a_restart_where_it_was(fleet: FakeDaemon, piped: Piped) -> None:
    running = piped("watch")
    read_lines(running, 2)
    fleet.connections[0].notify(later(41, "account.added", "new"))
    assert read_lines(running, 1) == ["2026-01-02T00:00:00.041Z new added"]
    fleet.close()
    assert running.stderr is not None
    assert running.stderr.readline() == "towerd closed the connection; waiting for towerd …\n"
    fleet.listen()
    assert fleet.wait_for_request("event.subscribe", 2)["since"] == 41
    fleet.connections[-1].notify(later(42, "daemon.started", None))
    assert read_lines(running, 1) == ["2026-01-02T00:00:00.042Z - daemon started"]


def test_a_dumb_terminal_gets_lines(fleet: FakeDaemon, command: Callable[..., list[str]]) -> None:
    running = Shell(["env", "TERM=dumb", *command("watch")])
    try:
        seen = running.read_until(lambda seen: "office pairing" in seen)
        assert "\x1b" not in seen
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(DEADLINE_SECONDS) == 0
    finally:
        running.close()


@pytest.mark.parametrize("arguments", [["--interval", "1"], ["--state", "up"]])
def test_wrong_usage_asks_nothing(tower: Tower, daemon: FakeDaemon, arguments: list[str]) -> None:
    assert tower("watch", *arguments).status == 2
    assert daemon.requests == []


def test_it_needs_a_daemon_to_begin_with(tower: Tower, environment: dict[str, str]) -> None:
    assert tower("watch").status == 3
