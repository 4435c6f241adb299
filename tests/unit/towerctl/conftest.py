"""The command line, run inside the test or as a process of its own, against a fake daemon."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.unit.towerctl.fake_daemon import DEADLINE_SECONDS, FakeDaemon
from towerctl import sockets
from towerctl.cli import cli


class Ran:
    """How a command line ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        return json.loads(lines[0])

    @property
    def error(self) -> dict[str, Any]:
        """The envelope of a failure, after checking that it stands alone."""
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        envelope = json.loads(lines[0])
        assert list(envelope) == ["error"]
        return dict(envelope["error"])


Tower = Callable[..., Ran]


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for a socket's name."""
    path = Path(tempfile.mkdtemp(prefix="tc"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def environment(short_directory: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment that knows no daemon of this machine."""
    for name in ("TOWER_SOCKET", "XDG_RUNTIME_DIR", "NO_COLOR", "TOWER_DEBUG", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sockets, "SYSTEM_SOCKET", str(short_directory / "system.sock"))
    return dict(os.environ)


@pytest.fixture
def daemon(
    short_directory: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeDaemon]:
    """A fake daemon, at TOWER_SOCKET."""
    with FakeDaemon(short_directory / "tower.sock") as fake:
        monkeypatch.setenv("TOWER_SOCKET", str(fake.path))
        yield fake


@pytest.fixture
def tower(environment: dict[str, str]) -> Tower:
    """Run a command line inside the test."""

    def run(*arguments: str, stdin: str | None = None) -> Ran:
        result = CliRunner().invoke(cli, arguments, input=stdin)
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


class Terminal:
    """A process on a terminal of its own; standard output may go elsewhere."""

    def __init__(self, arguments: list[str], *, columns: int = 120, stdout_to: int | None = None) -> None:
        self._handle, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color"}
        for name in ("COLUMNS", "LINES", "COLORTERM"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            arguments,
            stdin=slave,
            stdout=slave if stdout_to is None else stdout_to,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self._seen = b""

    def read_until(self, text: str) -> str:
        """Read until the text is on the screen."""
        give_up_at = time.monotonic() + DEADLINE_SECONDS
        while text.encode() not in self._seen:
            assert self._read(give_up_at), self._seen.decode()
        return self._seen.decode()

    def read_all(self) -> str:
        """Read until the process has ended."""
        give_up_at = time.monotonic() + DEADLINE_SECONDS
        while self._read(give_up_at):
            pass
        self.process.wait(DEADLINE_SECONDS)
        return self._seen.decode()

    def type(self, text: str) -> None:
        os.write(self._handle, text.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._handle)

    def _read(self, give_up_at: float) -> bool:
        ready, _, _ = select.select([self._handle], [], [], max(0.0, give_up_at - time.monotonic()))
        assert ready, f"nothing more came: {self._seen.decode()}"
        try:
            chunk = os.read(self._handle, 65536)
        except OSError:  # EIO: the other end is closed
            return False
        self._seen += chunk
        return bool(chunk)


@pytest.fixture
def terminal(command: Callable[..., list[str]]) -> Iterator[Callable[..., Terminal]]:
    """Run a command line on a terminal."""
    opened = []

    def run(*arguments: str, **options: Any) -> Terminal:
        opened.append(Terminal(command(*arguments), **options))
        return opened[-1]

    yield run
    for one in opened:
        one.close()


@pytest.fixture
def command(daemon: FakeDaemon) -> Callable[..., list[str]]:
    """Build the command line of a process of its own."""

    def build(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "towerctl", "--socket", str(daemon.path), *arguments]

    return build


@pytest.fixture
def process(command: Callable[..., list[str]]) -> Tower:
    """Run a command line as a process of its own, in pipes."""

    def run(*arguments: str, stdin: str | None = None, **options: Any) -> Ran:
        done = subprocess.run(
            command(*arguments),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
            **options,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
