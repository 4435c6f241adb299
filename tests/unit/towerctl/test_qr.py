"""`qr`: where the picture goes, how it is followed, and that it leaves no trace."""

from __future__ import annotations

import base64
import json
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.towerctl.conftest import Terminal, Tower
from tests.unit.towerctl.fake_daemon import (
    DEADLINE_SECONDS,
    Connection,
    FakeDaemon,
    account,
    error,
    pairing_account,
    qr,
)
from towerctl import scan
from towerctl.commands.qr import FORMATS
from towerd.protocol import types

OnTerminal = Callable[..., Terminal]
PNG = b"\x89PNG\r\n\x1a\n\x00\xff"


def png(number: int = 1, **changes: Any) -> dict[str, Any]:
    data = base64.b64encode(PNG + str(number).encode()).decode()
    return qr(data, number, **({"format": "png", "media_type": "image/png", "encoding": "base64"} | changes))


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def wait_until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


class Attempt:
    """A pairing attempt that the test drives: answers account.qr and account.wait as the daemon does."""

    def __init__(self, daemon: FakeDaemon) -> None:
        self._changed = threading.Condition()
        self._account = pairing_account()
        self._qr: dict[str, Any] | None = None
        daemon.prepare("account.qr", self._answer_qr)
        daemon.prepare("account.wait", self._answer_wait)

    def show(self, offered: dict[str, Any] | None) -> None:
        with self._changed:
            self._qr = offered
            self._changed.notify_all()

    def become(self, state: str, **changes: Any) -> None:
        with self._changed:
            self._qr = None
            self._account = account(state=state, **changes)
            self._changed.notify_all()

    def _answer_qr(self, _: Connection, params: dict[str, Any]) -> dict[str, Any]:
        seen = params.get("newer_than")
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    (self._qr is not None and self._qr["id"] != seen)
                    or self._account["state"] not in {"pairing", "authenticated"}
                    or (seen is None and self._account["state"] == "authenticated")
                ),
                params["wait_seconds"],
            )
            is_new = self._qr is not None and self._qr["id"] != seen
            return {"account": self._account, "qr": self._qr if is_new else None}

    def _answer_wait(self, _: Connection, params: dict[str, Any]) -> dict[str, Any]:
        with self._changed:
            reached = self._changed.wait_for(
                lambda: self._account["state"] in params["states"], DEADLINE_SECONDS
            )
            return {"account": self._account, "outcome": "reached" if reached else "timeout"}


@pytest.fixture
def attempt(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> Attempt:
    return Attempt(daemon)


Follow = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def following(command: Callable[..., list[str]]) -> Iterator[Follow]:
    """Run a command line and leave it running."""
    running = []

    def run(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        running.append(
            subprocess.Popen(
                command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
            )
        )
        return running[-1]

    yield run
    for one in running:
        one.kill()
        one.communicate()


def test_formats_are_those_of_the_wire() -> None:
    assert types.QrFormat.__args__ == FORMATS


# -- once --------------------------------------------------------------------------------------------------


def test_without_a_file_it_is_drawn_with_the_steps_on_stderr(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.qr", {"account": pairing_account(), "qr": qr("█▀█\n▄▄▄", format="terminal")})
    ran = tower("qr", "shop")
    assert (ran.status, ran.out) == (0, "█▀█\n▄▄▄\n")
    assert ran.err == (
        "on the phone: WhatsApp > Linked devices > Link a device > scan\nQR 1 of 6, valid for 60 s\n"
    )
    assert daemon.asked("account.qr") == [
        {"account": "shop", "format": "terminal", "wait_seconds": 30.0, "start": True}
    ]
    assert tower("qr", "-q").err == ""


@pytest.mark.parametrize(
    ("ending", "picture_format"),
    [("png", "png"), ("SVG", "svg"), ("html", "html"), ("htm", "html"), ("txt", "raw")],
)
def test_the_ending_decides_the_format(
    tower: Tower, daemon: FakeDaemon, tmp_path: Path, ending: str, picture_format: str
) -> None:
    daemon.prepare("account.qr", {"account": pairing_account(), "qr": png()})
    path = tmp_path / f"qr.{ending}"
    ran = tower("qr", "-o", str(path))
    assert (ran.status, ran.out) == (0, "")
    assert f"valid for 60 s → {path}" in ran.err
    assert daemon.asked("account.qr")[0]["format"] == picture_format
    assert path.read_bytes() == PNG + b"1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == [path.name]


def test_the_format_that_is_named_beats_the_ending(tower: Tower, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.prepare("account.qr", {"account": pairing_account(), "qr": qr("data:…")})
    options = ["--format", "datauri", "--scale", "3", "--border", "0", "--invert", "--timeout", "7"]
    assert tower("qr", "-o", str(tmp_path / "qr.png"), *options).status == 0
    expected = {
        "format": "datauri",
        "scale": 3,
        "border": 0,
        "invert": True,
        "wait_seconds": 7.0,
        "start": True,
    }
    assert daemon.asked("account.qr") == [expected]
    assert (tmp_path / "qr.png").read_text() == "data:…"


def test_the_mode_is_as_asked(tower: Tower, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.prepare("account.qr", {"account": pairing_account(), "qr": png()})
    path = tmp_path / "qr.png"
    for mode in ("0644", "640", "0400"):
        assert tower("qr", "-o", str(path), "--mode", mode).status == 0
        assert int(mode, 8) == stat.S_IMODE(path.stat().st_mode)


def test_a_directory_is_said_to_be_one(tower: Tower, daemon: FakeDaemon, tmp_path: Path) -> None:
    ran = tower("qr", "-o", str(tmp_path))
    assert (ran.status, ran.err) == (1, f"towerctl: cannot write {tmp_path}: it is a directory\n")
    assert daemon.requests == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("-o", "qr.gif"),
        ("-o", "qr"),
        ("-o", ".png"),
        ("-o", ""),
        ("-o", "directory/"),
        ("-o", "-", "--follow"),
        ("-o", "-", "--json"),
        ("-o", "qr.png", "--mode", "abc"),
        ("-o", "qr.png", "--mode", "0999"),
        ("-o", "qr.png", "--mode", "4755"),
        ("-o", "qr.png", "--mode", "6"),
        ("-o", "qr.png", "--scale", "65"),
        ("-o", "qr.png", "--border", "33"),
        ("--mode", "0600"),
        ("--keep", "--follow"),
        ("-o", "qr.png", "--keep"),
    ],
)
def test_what_makes_no_sense_is_exit_2_and_nothing_is_begun(
    tower: Tower,
    daemon: FakeDaemon,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tower("qr", *arguments).status == 2
    assert (daemon.requests, names(tmp_path)) == ([], [])


def test_an_unknown_ending_names_the_choices(tower: Tower, daemon: FakeDaemon) -> None:
    err = tower("qr", "-o", "qr.gif").err
    assert ".png, .svg, .html" in err
    assert "terminal, png, svg, html, raw, datauri" in err


@pytest.mark.parametrize("target", ["{}", "{}/missing/qr.png", "/dev/null"])
def test_a_target_that_cannot_be_is_exit_1_and_nothing_is_begun(
    tower: Tower, daemon: FakeDaemon, tmp_path: Path, target: str
) -> None:
    ran = tower("qr", "--format", "png", "-o", target.format(tmp_path))
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("towerctl: cannot write ")
    assert len(ran.err.splitlines()) == 1
    assert (daemon.requests, names(tmp_path)) == ([], [])


def test_a_disk_that_is_full_keeps_the_old_file(process: Tower, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.prepare("account.qr", {"account": pairing_account(), "qr": qr("x" * 5000)})
    path = tmp_path / "qr.txt"
    path.write_text("old")
    ran = process(
        "qr",
        "-o",
        str(path),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert (1, "", "towerctl: cannot write " + str(path) + ": File too large\n") == (
        ran.status,
        ran.out,
        ran.err,
    )
    assert path.read_text() == "old"
    assert names(tmp_path) == ["qr.txt"]


def test_standard_output_gets_the_bytes(
    daemon: FakeDaemon, command: Callable[..., list[str]], tmp_path: Path
) -> None:
    daemon.prepare("account.qr", {"account": pairing_account(), "qr": png()})
    for arguments in (["-o", "-"], ["--format", "png"], ["-o", "-", "--format", "png"]):
        done = subprocess.run(
            command("qr", *arguments), capture_output=True, timeout=DEADLINE_SECONDS, check=True
        )
        assert done.stdout == PNG + b"1"
        assert b"Linked devices" in done.stderr
        assert daemon.asked("account.qr")[-1]["format"] == "png"
    daemon.prepare("account.qr", {"account": pairing_account(), "qr": qr("2@raw")})
    done = subprocess.run(
        command("qr", "-o", "-", "--format", "raw"), capture_output=True, timeout=DEADLINE_SECONDS, check=True
    )
    assert done.stdout == b"2@raw"


def test_a_picture_is_not_for_a_terminal(terminal: OnTerminal, daemon: FakeDaemon) -> None:
    for arguments in (["-o", "-"], ["--format", "png"]):
        running = terminal("qr", *arguments)
        assert "save it: -o qr.png" in running.read_all()
        assert running.process.returncode == 2
    assert daemon.requests == []


def test_json_is_the_answer_with_or_without_a_file(tower: Tower, daemon: FakeDaemon, tmp_path: Path) -> None:
    answer = {"account": pairing_account(), "qr": qr()}
    daemon.prepare("account.qr", answer)
    assert tower("qr", "--json").json == answer
    ran = tower("qr", "--json", "-o", str(tmp_path / "qr.txt"))
    assert (ran.json, ran.err) == (answer, "")
    assert (tmp_path / "qr.txt").read_text() == "2@SECRET-1"


def test_a_scanned_account_is_done(tower: Tower, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.prepare("account.qr", {"account": account(state="authenticated"), "qr": None})
    ran = tower("qr", "-o", str(tmp_path / "qr.png"))
    assert (ran.status, ran.out) == (0, "")
    assert "already scanned" in ran.err
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("state", "status", "slug"),
    [("pairing", 7, "timed-out"), ("unpaired", 7, "timed-out"), ("failed", 8, "needs-human")],
)
def test_no_qr_in_time(tower: Tower, daemon: FakeDaemon, state: str, status: int, slug: str) -> None:
    daemon.prepare("account.qr", {"account": account(state=state), "qr": None})
    assert tower("qr").status == status
    assert tower("qr", "--json", "--timeout", "3").error["slug"] == slug


@pytest.mark.parametrize(
    ("slug", "status"), [("wrong-state", 6), ("needs-human", 8), ("account-not-found", 5)]
)
def test_the_daemon_refuses(tower: Tower, daemon: FakeDaemon, slug: str, status: int, tmp_path: Path) -> None:
    daemon.prepare("account.qr", error(slug, "no QR for this one"))
    for follow in ([], ["--follow"]):
        ran = tower("qr", "-o", str(tmp_path / "qr.png"), *follow)
        assert (status, "", "towerctl: no QR for this one\n") == (ran.status, ran.out, ran.err)
    assert names(tmp_path) == []


def test_waiting_for_the_first_qr_says_so_on_a_terminal(
    terminal: OnTerminal, daemon: FakeDaemon, attempt: Attempt
) -> None:
    running = terminal("qr", "shop")
    running.read_until("waiting for the first QR … 1 s")
    attempt.show(qr("##", format="terminal"))
    screen = running.read_all()
    assert running.process.returncode == 0
    assert "\r\x1b[K##" in screen or "\r\x1b[K" in screen.split("##")[0][-10:]


# -- following ---------------------------------------------------------------------------------------------


def test_the_file_follows_every_rotation_and_goes_when_connected(
    following: Follow, attempt: Attempt, tmp_path: Path
) -> None:
    path = tmp_path / "qr.png"
    attempt.show(png(4))
    running = following("qr", "shop", "--follow", "-o", str(path))
    wait_until(path.exists)
    for number in (5, 6):
        attempt.show(png(number, expires_in_seconds=20.0))
        wait_until(lambda number=number: path.read_bytes() == PNG + str(number).encode())  # type: ignore[misc]
    attempt.become("authenticated")
    wait_until(lambda: not path.exists())
    attempt.become("connecting")
    attempt.become("connected", phone="+491")
    out, err = running.communicate(timeout=DEADLINE_SECONDS)
    assert (running.returncode, out, names(tmp_path)) == (0, "", [])
    assert err.splitlines() == [
        "on the phone: WhatsApp > Linked devices > Link a device > scan",
        f"QR 4 of 6, valid for 60 s → {path}",
        f"QR 5 of 6, valid for 20 s → {path}",
        f"QR 6 of 6, valid for 20 s → {path}",
        "scanned, finishing …",
        "connected as +491",
    ]


def test_connected_without_anything_in_between(following: Follow, attempt: Attempt, tmp_path: Path) -> None:
    attempt.show(png(1))
    running = following("qr", "--follow", "-o", str(tmp_path / "qr.png"))
    wait_until(lambda: names(tmp_path) == ["qr.png"])
    attempt.become("connected")
    running.communicate(timeout=DEADLINE_SECONDS)
    assert (running.returncode, names(tmp_path)) == (0, [])


@pytest.mark.parametrize(
    ("state", "reason", "status"),
    [
        ("unpaired", "pairing-timeout", 7),
        ("unpaired", "wrong-phone", 7),
        ("stopped", None, 7),
        ("failed", "passkey-required", 8),
    ],
)
def test_the_end_of_the_attempt_removes_the_file(
    following: Follow, attempt: Attempt, tmp_path: Path, state: str, reason: str | None, status: int
) -> None:
    attempt.show(png(1))
    running = following("qr", "--follow", "-o", str(tmp_path / "qr.png"))
    wait_until(lambda: names(tmp_path) == ["qr.png"])
    attempt.become(state, reason=reason, action="do something")
    _, err = running.communicate(timeout=DEADLINE_SECONDS)
    assert (running.returncode, names(tmp_path)) == (status, [])
    assert (reason or state) in err
    assert "hint: do something" in err


def test_an_expired_qr_is_taken_away_until_the_next_comes(
    following: Follow, attempt: Attempt, tmp_path: Path
) -> None:
    path = tmp_path / "qr.png"
    attempt.show(png(1, expires_in_seconds=0.1))
    running = following("qr", "--follow", "-o", str(path))
    wait_until(path.exists)
    wait_until(lambda: not path.exists())
    attempt.show(png(2))
    wait_until(path.exists)
    attempt.become("connected")
    _, err = running.communicate(timeout=DEADLINE_SECONDS)
    assert running.returncode == 0
    assert "the QR has expired; waiting for the next" in err


def test_a_page_stays_a_page_until_the_next_qr_comes(
    following: Follow, attempt: Attempt, tmp_path: Path
) -> None:
    path = tmp_path / "qr.html"
    page = {"format": "html", "media_type": "text/html"}
    attempt.show(qr("<p>SECRET-1</p>", 1, expires_in_seconds=0.1, **page))
    running = following("qr", "shop", "--follow", "-o", str(path))
    wait_until(path.exists)
    assert path.read_text() == "<p>SECRET-1</p>"
    wait_until(lambda: "SECRET" not in path.read_text())
    assert '<meta http-equiv="refresh"' in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    attempt.show(qr("<p>SECRET-2</p>", 2, **page))
    wait_until(lambda: path.read_text() == "<p>SECRET-2</p>")
    attempt.become("connected")
    running.communicate(timeout=DEADLINE_SECONDS)
    assert (running.returncode, names(tmp_path)) == (0, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("keep", [False, True])
def test_signals_remove_the_file_unless_it_is_to_be_kept(
    following: Follow, attempt: Attempt, tmp_path: Path, number: signal.Signals, *, keep: bool
) -> None:
    attempt.show(png(1))
    running = following("qr", "--follow", "-o", str(tmp_path / "qr.png"), *(["--keep"] if keep else []))
    wait_until(lambda: names(tmp_path) == ["qr.png"])
    running.send_signal(number)
    _, err = running.communicate(timeout=DEADLINE_SECONDS)
    assert running.returncode == 128 + number
    assert names(tmp_path) == (["qr.png"] if keep else [])
    assert "Traceback" not in err


def test_a_signal_that_was_ignored_stays_so(following: Follow, attempt: Attempt, tmp_path: Path) -> None:
    attempt.show(png(1))
    running = following(
        "qr",
        "--follow",
        "-o",
        str(tmp_path / "qr.png"),
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    wait_until(lambda: names(tmp_path) == ["qr.png"])
    running.send_signal(signal.SIGHUP)
    attempt.become("connected")
    running.communicate(timeout=DEADLINE_SECONDS)
    assert running.returncode == 0


def test_keep_leaves_the_last_file(following: Follow, attempt: Attempt, tmp_path: Path) -> None:
    attempt.show(png(1, expires_in_seconds=0.0))
    running = following("qr", "--follow", "--keep", "-o", str(tmp_path / "qr.png"))
    wait_until(lambda: names(tmp_path) == ["qr.png"])
    attempt.become("connected")
    running.communicate(timeout=DEADLINE_SECONDS)
    assert (running.returncode, names(tmp_path)) == (0, ["qr.png"])


def test_a_daemon_that_goes_away_removes_the_file(
    following: Follow, attempt: Attempt, daemon: FakeDaemon, tmp_path: Path
) -> None:
    attempt.show(png(1))
    running = following("qr", "--follow", "--timeout", "2", "-o", str(tmp_path / "qr.png"))
    wait_until(lambda: names(tmp_path) == ["qr.png"])
    daemon.close()
    running.communicate(timeout=DEADLINE_SECONDS)
    assert (running.returncode, names(tmp_path)) == (3, [])


def test_a_daemon_that_was_restarted_is_asked_for_the_next_code(
    following: Follow, attempt: Attempt, daemon: FakeDaemon, tmp_path: Path
) -> None:
    attempt.show(png(1))
    running = following("qr", "--follow", "-o", str(tmp_path / "qr.png"))
    wait_until(lambda: names(tmp_path) == ["qr.png"])
    daemon.close()
    # Nobody can scan what the former daemon offered.
    wait_until(lambda: names(tmp_path) == [])
    # Counted from one again, as a daemon that goes on with an attempt does.
    daemon.listen()
    wait_until(lambda: names(tmp_path) == ["qr.png"])
    attempt.become("connected")
    running.communicate(timeout=DEADLINE_SECONDS)
    assert (running.returncode, names(tmp_path)) == (0, [])


def test_an_account_that_is_removed_meanwhile_is_exit_5(
    tower: Tower, daemon: FakeDaemon, tmp_path: Path
) -> None:
    daemon.prepare(
        "account.qr",
        {"account": pairing_account(), "qr": png()},
        error("account-not-found", "no such account"),
    )
    ran = tower("qr", "--follow", "-o", str(tmp_path / "qr.png"))
    assert (5, names(tmp_path)) == (ran.status, [])


def test_the_account_is_followed_by_its_id_and_the_last_qr(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare(
        "account.qr", {"account": pairing_account(), "qr": qr()}, {"account": account(), "qr": None}
    )
    assert tower("qr", "+4915", "--follow").status == 0
    first, second = daemon.asked("account.qr")
    assert (first["account"], first["start"]) == ("+4915", True)
    assert (second["account"], second["newer_than"]) == ("id-shop", "qr-1")
    assert "start" not in second
    assert second["wait_seconds"] <= scan._LOOK_SECONDS


def test_following_in_json_is_one_document_per_line(tower: Tower, daemon: FakeDaemon, tmp_path: Path) -> None:
    answers = [
        {"account": pairing_account(), "qr": qr()},
        {"account": pairing_account(), "qr": qr("2@SECRET-2", 2)},
        {"account": account(state="authenticated"), "qr": None},
        {"account": account(), "qr": None},
    ]
    for target in ([], ["-o", str(tmp_path / "qr.txt")]):
        daemon.prepare("account.qr", *answers)
        ran = tower("qr", "--follow", "--json", *target)
        assert [json.loads(line) for line in ran.out.splitlines()] == answers
        assert (ran.status, ran.err) == (0, "")
    daemon.prepare("account.qr", answers[0], {"account": account(state="unpaired"), "qr": None})
    ran = tower("qr", "--follow", "--json")
    assert ran.status == 7
    assert json.loads(ran.err)["error"]["slug"] == "pairing-timeout"


def test_on_a_terminal_it_is_drawn_anew(terminal: OnTerminal, attempt: Attempt) -> None:
    attempt.show(qr("##1##", 1))
    running = terminal("qr", "--follow")
    running.read_until("##1##")
    attempt.show(qr("##2##", 2))
    screen = running.read_until("QR 2 of 6")
    assert "\x1b[H\x1b[2J##2##\r\non the phone: " in screen
    attempt.become("connected")
    assert "connected as +4915112345678" in running.read_all()
    assert running.process.returncode == 0


def test_a_daemon_that_answers_at_once_is_not_asked_in_a_circle(
    daemon: FakeDaemon, following: Follow, tmp_path: Path
) -> None:
    daemon.prepare(
        "account.qr", {"account": pairing_account(), "qr": png()}, {"account": pairing_account(), "qr": None}
    )
    following("qr", "--follow", "-o", str(tmp_path / "qr.png"))
    daemon.wait_for_request("account.qr", 2)
    began = time.monotonic()
    daemon.wait_for_request("account.qr", 6)
    assert time.monotonic() - began >= 3 * scan._LEAST_LOOK_SECONDS


# -- secrecy -----------------------------------------------------------------------------------------------


def test_the_payload_is_on_standard_output_and_nowhere_else(
    following: Follow, attempt: Attempt, daemon: FakeDaemon, tmp_path: Path
) -> None:
    attempt.show(qr("2@SECRET-1"))
    running = following("qr", "--follow", "-vv", "-o", str(tmp_path / "qr.txt"))
    wait_until(lambda: names(tmp_path) == ["qr.txt"])
    if sys.platform == "linux":
        assert b"SECRET" not in Path(f"/proc/{running.pid}/cmdline").read_bytes()
        assert b"SECRET" not in Path(f"/proc/{running.pid}/environ").read_bytes()
    attempt.become("connected")
    out, err = running.communicate(timeout=DEADLINE_SECONDS)
    assert "SECRET" not in out + err
