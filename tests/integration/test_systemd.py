"""towerd under systemd's protocols: a socket passed in, readiness, status, watchdog, and the units."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.tower import BIN
from tests.whatsapp.simulator import wait_for

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "systemd"


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tower-") as directory:
        yield Path(directory)


class Manager:
    """A service manager of the test's own: it listens for notifications."""

    def __init__(self, place: Path) -> None:
        self.path = place / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(20)
        self.told: list[str] = []

    def wait_for(self, word: str) -> str:
        """Return the first line told that begins with a word."""
        while True:
            for line in self.told:
                if line.startswith(word):
                    return line
            self.told += self.socket.recv(4096).decode().splitlines()

    def hear_for_ever(self) -> None:
        while True:
            self.socket.recv(4096)


@pytest.fixture
def manager(place: Path) -> Iterator[Manager]:
    found = Manager(place)
    yield found
    found.socket.close()


def needs(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def environment(place: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"TOWER_STATE_DIR": str(place / "state"), "TOWER_SOCKET": str(place / "own.sock")} | more


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "daemon.version"}\n')
        return b'"result"' in client.recv(65536)


def test_it_serves_the_socket_that_systemd_passes_in_at_the_first_request(place: Path) -> None:
    activate = needs("systemd-socket-activate")
    path = place / "passed.sock"
    process = subprocess.Popen(
        [activate, "-l", str(path), "-E", "TOWER_STATE_DIR", "-E", "TOWER_SOCKET", BIN / "towerd"],
        env=environment(place),
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(path.exists, what="the socket is there")
        assert answers(path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        # The socket is systemd's: it stays, and so does nothing of ours.
        assert path.exists()
        assert not (place / "own.sock").exists()
    finally:
        process.kill()
        process.wait()


def test_it_tells_that_it_is_ready_how_it_is_that_it_lives_and_that_it_stops(
    place: Path, manager: Manager
) -> None:
    process = subprocess.Popen(
        [BIN / "towerd"],
        env=environment(place, NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC="600000"),
        stderr=subprocess.DEVNULL,
    )
    try:
        manager.wait_for("READY=1")
        assert answers(place / "own.sock")
        assert manager.wait_for("STATUS=") == "STATUS=checking the account database"
        assert manager.wait_for("STATUS=0") == "STATUS=0/0 connected"
        manager.wait_for("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()


def test_it_tells_that_it_reloads_and_that_it_is_ready_again(place: Path, manager: Manager) -> None:
    config = place / "tower.toml"
    config.write_text("")
    process = subprocess.Popen(
        [BIN / "towerd", "--config", config],
        env=environment(place, NOTIFY_SOCKET=str(manager.path)),
        stderr=subprocess.DEVNULL,
    )
    try:
        manager.wait_for("READY=1")
        began = time.monotonic_ns() // 1000
        for content, status in (("[events]\nkept = 5000\n", 0), ("[events]\nkept = 1\n", 2)):
            manager.told.clear()
            config.write_text(content)
            reload = [BIN / "towerctl", "--socket", place / "own.sock", "reload"]
            assert subprocess.run(reload, capture_output=True, timeout=60, check=False).returncode == status
            manager.wait_for("RELOADING=1")
            moment = int(manager.wait_for("MONOTONIC_USEC=").partition("=")[2])
            assert began <= moment <= time.monotonic_ns() // 1000
            manager.wait_for("READY=1")
    finally:
        process.kill()
        process.wait()


def test_a_frozen_daemon_gives_no_sign_of_life(place: Path, manager: Manager) -> None:
    process = subprocess.Popen(
        [BIN / "towerd"],
        env=environment(place, NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC="300000"),
        stderr=subprocess.DEVNULL,
    )
    try:
        manager.wait_for("WATCHDOG=1")
        process.send_signal(signal.SIGSTOP)
        manager.socket.settimeout(1.5)
        with pytest.raises(TimeoutError):
            manager.hear_for_ever()
    finally:
        process.kill()
        process.wait()


# A supervision pass that never comes back, beside an event loop that runs.
STUCK = """
import asyncio, sys
from towerd import __main__, daemon
from towerd.supervision.supervisor import Supervisor
async def stuck(self):
    await asyncio.Event().wait()
Supervisor._patrol = stuck
daemon.PATROL_SECONDS = 0.1
sys.exit(__main__.main([]))
"""


def test_a_supervision_pass_that_is_stuck_gives_no_sign_of_life(place: Path, manager: Manager) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK],
        env=environment(place, NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC="300000"),
        stderr=subprocess.DEVNULL,
    )
    try:
        manager.wait_for("READY=1")
        manager.socket.settimeout(1.5)
        with pytest.raises(TimeoutError):
            manager.hear_for_ever()
        assert answers(place / "own.sock")
    finally:
        process.kill()
        process.wait()


def test_a_mute_worker_is_no_reason_to_give_no_sign_of_life(place: Path, manager: Manager) -> None:
    # Its worker waits for a proxy that takes the line and says nothing.
    silent = socket.create_server(("127.0.0.1", 0))
    nowhere = {"HTTPS_PROXY": f"http://127.0.0.1:{silent.getsockname()[1]}", "NO_PROXY": ""}
    process = subprocess.Popen(
        [BIN / "towerd"],
        env=environment(place, NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC="300000", **nowhere),
        stderr=subprocess.DEVNULL,
    )
    try:
        manager.wait_for("READY=1")
        add = [BIN / "towerctl", "--socket", place / "own.sock", "add", "sales"]
        subprocess.run(add, capture_output=True, timeout=60, check=True)
        manager.wait_for("STATUS=0/1 connected; 1 pairing")
        shown = [BIN / "towerctl", "--socket", place / "own.sock", "show", "sales", "--json"]

        def worker_pid() -> int | None:
            done = subprocess.run(shown, capture_output=True, timeout=60, check=True)
            worker = json.loads(done.stdout)["account"]["worker"]
            return worker["pid"] if worker else None

        worker = wait_for(worker_pid, what="its worker runs")
        assert worker is not None
        os.kill(worker, signal.SIGSTOP)
        try:
            for _ in range(10):
                manager.told.clear()
                manager.wait_for("WATCHDOG=1")
            assert answers(place / "own.sock")
            assert worker_pid() == worker
        finally:
            # Stopped, it would not notice that its daemon is gone.
            os.kill(worker, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
        silent.close()


def test_it_tells_how_far_its_start_is(place: Path, manager: Manager) -> None:
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
    for told in ("STATUS=0/0 connected", "STATUS=starting, 0/2 done: 0/2 connected; 2 pairing"):
        manager.told.clear()
        process = subprocess.Popen(
            [BIN / "towerd"],
            env=environment(place, NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC="300000", **nowhere),
            stderr=subprocess.DEVNULL,
        )
        try:
            manager.wait_for("READY=1")
            assert manager.wait_for(told.split(",")[0]) == told
            for name in ("sales", "support"):
                add = [BIN / "towerctl", "--socket", place / "own.sock", "add", name, "--if-absent"]
                subprocess.run(add, capture_output=True, timeout=60, check=True)
            # When the start is over, or there was none.
            manager.wait_for("STATUS=0/2 connected; 2 pairing")
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()


def test_an_invalid_configuration_leaves_nobody_waiting_in_the_socket(place: Path) -> None:
    config = place / "tower.toml"
    config.write_text("nonsense")
    code = (
        "import os, sys\n"
        "os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True)\n"
        "os.environ |= {'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid())}\n"
        f"os.execv({str(BIN / 'towerd')!r}, ['towerd', '--config', {str(config)!r}])\n"
    )
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(str(place / "passed.sock"))
        listening.listen()
        client.settimeout(20)
        client.connect(str(place / "passed.sock"))
        done = subprocess.run(
            [sys.executable, "-c", code, str(listening.fileno())],
            pass_fds=[listening.fileno()],
            env=environment(place),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        # This end of the socket is open, as systemd's is: only towerd can have hung up.
        assert client.recv(1) == b""
    assert done.returncode == 78, done.stderr


def test_a_socket_of_another_kind_is_refused_in_one_line(place: Path) -> None:
    code = (
        "import os, socket, sys\n"
        "given = socket.socket(socket.AF_INET)\n"
        "given.bind(('127.0.0.1', 0)); given.listen()\n"
        "os.dup2(given.fileno(), 3); os.set_inheritable(3, True)\n"
        "os.environ |= {'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid())}\n"
        f"os.execv({str(BIN / 'towerd')!r}, ['towerd'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("towerd: systemd passed another kind of socket")
    assert "Traceback" not in done.stderr


def test_the_units_and_the_examples_are_well_formed(place: Path) -> None:
    analyze = needs("systemd-analyze")
    units = [unit for unit in UNITS.rglob("*") if unit.suffix in (".service", ".socket", ".timer")]
    assert len(units) >= 4
    for unit in units:
        text = re.sub(r"/usr/bin/(towerd|towerctl)\b", "/bin/true", unit.read_text())
        # The manuals are not installed here, and a missing one is told as a fault.
        lines = [line for line in text.splitlines() if not line.startswith("Documentation=")]
        (place / unit.name).write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [analyze, "verify", *(place / unit.name for unit in units)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # It exits with 0 on unknown keys; what it has to say is on stderr.
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_is_hardened(place: Path) -> None:
    analyze = needs("systemd-analyze")
    done = subprocess.run(
        [analyze, "security", "--offline=yes", "--threshold=13", UNITS / "towerd.service"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:]
