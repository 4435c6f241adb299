"""The daemon's log: fit for the journal, and without personal data above debug."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from towerd import logs

SECRET = "491701234567@s.whatsapp.net"


@pytest.fixture
def stream(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Return what reads the log so far; the logging of the tests is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for handler in handlers:
        root.removeHandler(handler)
    yield lambda: capsys.readouterr().err
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize("level", ["info", "warning", "error", "critical"])
def test_personal_data_does_not_get_through_above_debug(stream: Callable[[], str], level: str) -> None:
    logs.configure("debug")
    getattr(logging.getLogger("towerd.x"), level)("for %s at +491701234567", SECRET)
    text = stream()
    assert "491701234567" not in text
    assert "[jid]" in text


def test_at_debug_an_address_may_be_seen(stream: Callable[[], str]) -> None:
    logs.configure("debug")
    logging.getLogger("towerd.x").debug("for %s", SECRET)
    assert SECRET in stream()


def test_traceback_is_redacted_too(stream: Callable[[], str]) -> None:
    logs.configure("info")
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("towerd.x").exception("failed")
    text = stream()
    assert "Traceback" in text
    assert SECRET not in text


@pytest.mark.parametrize(
    ("level", "seen"),
    [("debug", "diwe"), ("info", "iwe"), ("warning", "we"), ("error", "e")],
)
def test_level_decides_what_is_logged(stream: Callable[[], str], level: str, seen: str) -> None:
    logs.configure(level)
    log = logging.getLogger("towerd.x")
    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e")
    assert "".join(line[-1] for line in stream().splitlines()) == seen


def test_a_change_to_the_log_itself_is_not_logged(stream: Callable[[], str]) -> None:
    logs.configure("debug")
    logging.getLogger("watchdog.observers.inotify_buffer").debug("in-event for the log")
    assert stream() == ""


def test_at_a_terminal_a_line_has_time_and_level(stream: Callable[[], str]) -> None:
    logs.configure("info")
    logging.getLogger("towerd.x").warning("said")
    line = stream()
    assert line.startswith("2")
    assert line.endswith(" WARNING said\n")


def test_in_the_journal_every_line_has_its_priority_and_no_time() -> None:
    formatter = logs._Formatter(is_journal=True)
    expected = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
    for name, priority in expected.items():
        record = logging.LogRecord("x", getattr(logging, name), __file__, 1, "one\ntwo", None, None)
        assert formatter.format(record) == f"<{priority}>one\n<{priority}>two"


@pytest.mark.parametrize("value", ["", "x", "1", "1:2:3", "a:b", "0:0"])
def test_stderr_is_not_the_journal_when_the_environment_does_not_say_so(value: str) -> None:
    assert not logs.is_journal({"JOURNAL_STREAM": value})
    assert not logs.is_journal({})


def test_stderr_is_the_journal_when_it_is_the_stream_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        status = os.fstat(stream.fileno())
        assert logs.is_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        assert not logs.is_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"})
