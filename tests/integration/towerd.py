"""A real towerd process in a directory of its own, and what one says to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEADLINE_SECONDS = 30.0
# What a worker may try ends here: nobody listens on the discard port.
_NOWHERE = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}


def environment(home: Path, **changes: str) -> dict[str, str]:
    """Return an environment that leads nowhere outside a directory."""
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "LANG") if key in os.environ}
    return kept | {"HOME": str(home)} | _NOWHERE | changes


class Towerd:
    """One daemon's directory: its socket, its state, its configuration, and the process when it runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "s.sock"
        self.state = directory / "state"
        self.database = self.state / "tower.db"
        self.config = directory / "tower.toml"
        self.log = directory / "log"
        self.prefix: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *options: str) -> list[str]:
        """Return the command line with this directory's paths."""
        return [
            *self.prefix,
            *(sys.executable, "-m", "towerd"),
            *("--socket", str(self.socket), "--state-dir", str(self.state)),
            *(("--config", str(self.config)) if self.config.exists() else ()),
            *options,
        ]

    def start(self, *options: str) -> None:
        """Start the daemon and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(*options), env=environment(self.directory), stdin=subprocess.DEVNULL, stderr=log
            )
        self.wait()

    def wait(self) -> None:
        """Wait until the daemon answers."""
        assert self.process is not None
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            with contextlib.suppress(OSError):
                self.ask("daemon.version")
                return
            assert self.process.poll() is None, f"towerd ended: {self.said()}"
            assert time.monotonic() < deadline, f"towerd does not answer: {self.said()}"
            time.sleep(0.01)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)

    def restart(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon and start it again."""
        self.end(number)
        self.start()

    def refuse(self, *options: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run a daemon that is not going to serve, and return how it ended."""
        return subprocess.run(
            self.command(*options),
            env=environment(self.directory, **changes),
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def ask(self, method: str, **params: Any) -> Any:
        """Make a call and return its result."""
        answer = self.exchange(method, **params)
        assert "result" in answer, answer
        return answer["result"]

    def exchange(self, method: str, **params: Any) -> Any:
        """Make a call and return the whole answer."""
        with self.connect() as connection, connection.makefile("rb") as lines:
            request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            connection.sendall(json.dumps(request).encode() + b"\n")
            return json.loads(lines.readline())

    @contextlib.contextmanager
    def connect(self) -> Iterator[socket.socket]:
        """Open a connection."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE_SECONDS)
            connection.connect(str(self.socket))
            yield connection

    def add(self, name: str) -> Any:
        """Add an account that does not pair."""
        return self.ask("account.add", name=name, pair=False)["account"]

    def names(self) -> list[str]:
        """Return the names of all accounts."""
        return [account["name"] for account in self.ask("account.list")["accounts"]]

    def said(self) -> str:
        """Return the log."""
        return self.log.read_text(errors="replace")

    def close(self) -> None:
        """End the process if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE_SECONDS)


@contextlib.contextmanager
def a_towerd() -> Iterator[Towerd]:
    """Return a daemon's directory; the process is started by the test and ended here."""
    with tempfile.TemporaryDirectory(prefix="tower-", dir="/tmp") as name:
        one = Towerd(Path(name))
        try:
            yield one
        finally:
            one.close()
