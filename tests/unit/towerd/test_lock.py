"""One daemon per state directory."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from towerd.lock import StateHeldError, hold

_HOLDER = """
import sys
from pathlib import Path
from towerd.lock import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "towerd.lock"


def test_holder_writes_its_number_into_a_private_file(path: Path) -> None:
    descriptor = hold(path)
    assert path.read_text() == f"{os.getpid()}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.close(descriptor)


def test_second_daemon_is_refused_with_the_number_of_the_first(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StateHeldError) as caught:
            hold(path)
        assert caught.value.holder_pid == holder.pid
        assert f"pid {holder.pid}" in str(caught.value)
        assert str(path.parent) in str(caught.value)


def test_kill_of_the_holder_leaves_nothing_to_clean_up(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        os.close(hold(path))
    assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("content", ["", "what\n", "-5\n"])
def test_holder_that_did_not_say_who_it_is_is_another_daemon(path: Path, content: str) -> None:
    descriptor = hold(path)
    path.write_text(content)
    with pytest.raises(StateHeldError) as caught:
        hold(path)
    assert caught.value.holder_pid is None
    assert "another towerd" in str(caught.value)
    os.close(descriptor)


def test_refusal_leaves_the_number_of_the_holder_alone(path: Path) -> None:
    descriptor = hold(path)
    with pytest.raises(StateHeldError):
        hold(path)
    assert path.read_text() == f"{os.getpid()}\n"
    os.close(descriptor)


def test_lock_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        hold(tmp_path / "missing" / "towerd.lock")
