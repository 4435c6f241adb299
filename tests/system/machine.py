"""A machine for a test: a real systemd in a container, on a throw-away overlay of this machine's `/`.

The one rule: nothing is written to this machine, and nothing of the other outlives the test.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BOOT_SECONDS = 60.0
_STOP_SECONDS = 30.0
_COMMAND_SECONDS = 120.0
_REBOOT = 133
"""What systemd-nspawn ends with when the machine wants to be started again (--keep-unit)."""


def why_not() -> str | None:
    """Return what is missing for such a machine, None when nothing is."""
    if os.geteuid() != 0:
        return "a machine of its own is for root only"
    for program, package in (("systemd-nspawn", "systemd-container"), ("nsenter", "util-linux")):
        if shutil.which(program) is None:
            return f"{program} is not installed (on Debian: apt install {package})"
    try:
        with Machine({}) as machine:
            machine.boot()
    except (subprocess.CalledProcessError, AssertionError) as error:
        return f"no machine boots here: {getattr(error, 'stderr', None) or error}"
    return None


class Machine:
    """A machine that boots, reboots and goes.

    Args:
        binds: what of this machine is seen in the other, read-only: there → here.
    """

    def __init__(self, binds: Mapping[Path, Path]) -> None:
        self._binds = dict(binds)
        self._undo = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        """Make its file system; it is not booted yet."""
        try:
            directory = self._undo.enter_context(tempfile.TemporaryDirectory(prefix="tower-machine-"))
            self._directory = Path(directory)
            self.root = _mount_overlay(self._directory, self._undo)
            # What this machine's administrator has enabled, or forbidden, is none of the other's business.
            shutil.rmtree(self.root / "etc/systemd/system")
            (self.root / "etc/systemd/system").mkdir()
            (self.root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
            self.write("/etc/hostname", "server\n")
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever state it is in, and take everything away."""
        with self._undo:
            self.cut_power()

    def boot(self) -> None:
        """Start it and return when its systemd is ready.

        Raises:
            AssertionError: it did not get ready; with what its console said.
        """
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
            self._console().open("wb") as console,
        ):
            address = self._directory / "notify"
            address.unlink(missing_ok=True)
            notified.bind(str(address))
            notified.settimeout(_BOOT_SECONDS)
            self._leader = 0
            self._process = subprocess.Popen(
                self._command(),
                env=os.environ | {"NOTIFY_SOCKET": str(address), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
            self._await_ready(notified)

    def reboot(self) -> None:
        """Have it reboot, as its administrator would, and return when it is up again."""
        assert self._process is not None
        self.run("systemctl", "reboot")
        status = self._process.wait(_STOP_SECONDS)
        assert status == _REBOOT, self.console()
        self.boot()

    def cut_power(self) -> None:
        """End all its processes at once; its disk stays as it is."""
        if self._process is None:
            return
        if self._process.poll() is None:
            # Not systemd-nspawn, unless it has started nothing yet: what it has started would outlive it.
            os.kill(self._leader or self._process.pid, signal.SIGKILL)
            self._process.wait(_STOP_SECONDS)
        self._process = None

    def run(self, *command: str | Path, status: int = 0, stdin: str = "") -> str:
        """Run a command in it to its end and return what it wrote to standard output.

        Raises:
            AssertionError: its status is another one.
        """
        done = self.outcome(*command, stdin=stdin)
        assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def outcome(self, *command: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end."""
        return subprocess.run(
            [*self._entering(), *map(str, command)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )

    def shell(self, script: str, *, status: int = 0) -> str:
        """Run a line of shell in it, as root at a terminal would, and return its standard output."""
        return self.run("sh", "-c", f"cd; {script}", status=status)

    def property(self, unit: str, name: str) -> str:
        """Return what systemd knows of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def journal(self, unit: str = "towerd.service") -> str:
        """Return what a unit has logged since the last boot."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")

    def main_pid(self, unit: str = "towerd.service") -> int:
        """Return the process id of a service, as the machine numbers it.

        Raises:
            AssertionError: it does not run.
        """
        pid = int(self.property(unit, "MainPID"))
        assert pid > 1, f"{unit} does not run:\n{self.journal(unit)}"
        return pid

    def signal(self, pid: int, name: str) -> None:
        """Send a process in it a signal."""
        assert pid > 1
        self.run("kill", "-s", name, str(pid))

    def wait_until(self, script: str, *, seconds: float = 30.0) -> None:
        """Return when a line of shell succeeds."""
        wait_for(lambda: self.outcome("sh", "-c", script).returncode == 0, seconds=seconds, what=script)

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file of it, before or after it has booted."""
        file = self.root / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def console(self) -> str:
        """Return what it said at its last start."""
        return self._console().read_text(errors="replace")

    def _console(self) -> Path:
        return self._directory / "console"

    def _entering(self) -> list[str]:
        assert self._leader > 1
        namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
        environment = [
            "env",
            "--ignore-environment",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            "HOME=/root",
        ]
        return ["nsenter", f"--target={self._leader}", *namespaces, "--", *environment]

    def _command(self) -> list[str]:
        return [
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--machine=tower-{os.getpid()}"),
            *(f"--directory={self.root}", "--notify-ready=yes", "--console=pipe", "--link-journal=no"),
            *("--private-network", "--resolv-conf=off", "--timezone=off"),
            *(f"--bind-ro={here}:{there}" for there, here in self._binds.items()),
            *("--boot", "--", "--show-status=no", "systemd.unit=multi-user.target"),
        ]

    def _await_ready(self, notified: socket.socket) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _BOOT_SECONDS
        while time.monotonic() < deadline:
            try:
                told = notified.recv(4096).decode().splitlines()
            except TimeoutError:
                break
            for line in told:
                name, _, value = line.partition("=")
                if name == "X_NSPAWN_LEADER_PID":
                    self._leader = int(value)
            if "READY=1" in told:
                return
        raise AssertionError(f"the machine does not get ready:\n{self.console()}")


def _mount_overlay(directory: Path, undo: contextlib.ExitStack) -> Path:
    """Mount an overlay of `/` in a directory; return its root."""
    disk, root = directory / "disk", directory / "root"
    for path in (disk, root):
        path.mkdir()
    _mount(["-t", "tmpfs", "tmpfs", disk], disk, undo)
    for name in ("upper", "work"):
        (disk / name).mkdir()
    options = f"lowerdir=/,upperdir={disk / 'upper'},workdir={disk / 'work'}"
    _mount(["-t", "overlay", "-o", options, "overlay", root], root, undo)
    return root


def _mount(arguments: Sequence[str | Path], place: Path, undo: contextlib.ExitStack) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)
    undo.callback(subprocess.run, ["umount", "--lazy", place], check=True)
