"""The test-side handle on a real towerd, its socket and the real towerctl.

The one rule: a test speaks with the daemon as a user would, by the command line or the documented socket.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sessions.fork_server import COMM
from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from tests.whatsapp.simulator import Simulator

BIN = Path(sys.executable).parent
_START_SECONDS = 20.0
_CALL_SECONDS = 60.0


class RpcError(Exception):
    """An error answer.

    Args:
        error: the JSON-RPC error object.
    """

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.error = error
        self.slug = error.get("data", {}).get("slug")


class Tower:
    """A towerd in a directory of its own."""

    def __init__(
        self,
        simulator: Simulator | None = None,
        *,
        config: str = "",
        options: tuple[str, ...] = (),
        command: tuple[str | Path, ...] = (BIN / "towerd",),
    ) -> None:
        self.command = command
        self.directory = Path(tempfile.mkdtemp(prefix="tower-"))
        self.socket = self.directory / "tower.sock"
        self.state = self.directory / "state"
        self.log_path = self.directory / "log"
        self.config = self.directory / "tower.toml"
        self.config.write_text(config)
        self.options = options
        self.environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.client_environment = self.environment | {"TOWER_SOCKET": str(self.socket)}
        if simulator is not None:
            self.environment |= simulator.environment()
        # By this the kernel tells what was started from here, also when its parent is gone.
        self.environment["TOWER_TEST_DIRECTORY"] = str(self.directory)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever state it is in."""
        self.close()

    def start(self) -> None:
        """Start towerd and return when it answers."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.command,
                    *("--socket", self.socket),
                    *("--state-dir", self.state),
                    *("--config", self.config),
                    *("--log-level", "debug"),
                    *self.options,
                ],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        wait_for(self._answers, seconds=_START_SECONDS, what="towerd answers")

    def close(self) -> None:
        """Kill it and remove everything."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL, as a power cut would, and wait; its workers end by themselves."""
        if self.process is not None:
            workers = self.workers() if self.process.poll() is None else []
            self.process.kill()
            self.process.wait()
            self.process = None
            for pid in workers:
                wait_for(lambda pid=pid: not alive(pid), what=f"worker {pid} ends with its daemon")

    def terminate(self) -> float:
        """SIGTERM and wait; return how many seconds it took.

        Raises:
            AssertionError: it did not exit with status 0.
        """
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self.process = None
        assert status == 0, self.log()
        return time.monotonic() - began

    def log(self) -> str:
        """Return what towerd logged so far."""
        return self.log_path.read_text()

    def workers(self) -> list[int]:
        """Return the pids of the workers, as the kernel knows them."""
        assert self.process is not None
        return [pid for pid in self.processes() if comm(pid) == COMM]

    def processes(self) -> set[int]:
        """Return the pids of towerd and of all that it started, as the kernel knows them."""
        mark, found = f"TOWER_TEST_DIRECTORY={self.directory}".encode(), set()
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in environment.read_bytes().split(b"\0"):
                    found.add(int(environment.parent.name))
        return found

    def rpc(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method.

        Raises:
            RpcError: the answer is an error.
        """
        with contextlib.closing(self.connect()) as connection, connection.makefile("rwb") as stream:
            request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
            answer = json.loads(stream.readline())
        if "error" in answer:
            raise RpcError(answer["error"])
        return dict(answer["result"])

    def connect(self) -> socket.socket:
        """Return a connection to the socket."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_CALL_SECONDS)
        try:
            connection.connect(str(self.socket))
        except OSError:
            connection.close()
            raise
        return connection

    def ctl(self, *arguments: str | Path, status: int = 0, stdin: str | None = None) -> str:
        """Run towerctl and return what it wrote to stdout.

        Raises:
            AssertionError: the exit status is not the expected one.
        """
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run(self, *arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run towerctl to its end."""
        return subprocess.run(
            [BIN / "towerctl", *map(str, arguments)],
            env=self.client_environment,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=_CALL_SECONDS * 2,
            check=False,
        )

    def spawn_ctl(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a towerctl that goes on; the caller ends it."""
        return subprocess.Popen(
            [BIN / "towerctl", *map(str, arguments)],
            env=self.client_environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def account(self, name: str) -> dict[str, Any]:
        """Return an account as `account.get` shows it."""
        return dict(self.rpc("account.get", account=name)["account"])

    def wait_for_state(self, name: str, *states: str, seconds: float = 30.0) -> dict[str, Any]:
        """Wait until an account is in a state and return it.

        Raises:
            AssertionError: it did not get there.
        """
        answer = self.rpc("account.wait", account=name, states=list(states), timeout_seconds=seconds)
        assert answer["outcome"] == "reached", (answer, self.log())
        return dict(answer["account"])

    def link(self, simulator: Simulator, name: str, phone: str) -> dict[str, Any]:
        """Add an account, have its QR scanned, and return it connected."""
        self.rpc("account.add", name=name)
        answer = self.rpc("account.qr", account=name, format="raw", wait_seconds=30)
        simulator.scan(answer["qr"]["data"], phone)
        return self.wait_for_state(name, "connected")

    def events(self, *types: str) -> list[dict[str, Any]]:
        """Return past events, of some types or of all."""
        return list(self.rpc("event.list", types=list(types) or None, limit=10000)["events"])

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"towerd ended with status {self.process.returncode}:\n{self.log()}")
        # A connection alone says nothing: a worker that was just forked still has the socket of a daemon that
        # was killed meanwhile.
        try:
            self.rpc("daemon.version")
        except (OSError, ValueError):
            return False
        return True


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry.name))
    return found


def comm(pid: int) -> str:
    """Return what the kernel calls a process; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip()
    except OSError:
        return ""


def fork_servers(pid: int) -> list[int]:
    """Return the fork servers of a daemon; it should have one."""
    found = []
    for child in children(pid):
        with contextlib.suppress(OSError):
            if b"sessions.fork_server" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
