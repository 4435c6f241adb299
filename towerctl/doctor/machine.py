"""Checks of the machine around the daemon: units, group, configuration files.

The one rule: they ask programs that are there anyway, with a deadline, and say so when nobody can be asked.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from towerctl.doctor.findings import finding
from towerctl.sockets import SYSTEM_GROUP

if TYPE_CHECKING:
    from towerctl.results import Finding

UNITS = ("towerd.socket", "towerd.service")
SYSTEMD_RUNS = Path("/run/systemd/system")
"""There while systemd is the service manager (sd_booted(3))."""
CONFIGURATION_INVALID = "78"

_PROGRAM_SECONDS = 10.0
_BOTH = " ".join(UNITS)
_REVIVE = f"systemctl reset-failed {_BOTH} && systemctl start {_BOTH}"
_PROPERTIES = "Id,LoadState,ActiveState,Result,UnitFileState,ExecMainStatus,NRestarts,Environment"


def shown_units() -> dict[str, dict[str, str]] | str:
    """Return the properties of both units by their name, or why systemd does not tell them."""
    systemctl = shutil.which("systemctl")
    if systemctl is None or not SYSTEMD_RUNS.is_dir():
        return "no systemd runs here"
    done = _run([systemctl, "show", f"--property={_PROPERTIES}", *UNITS])
    if isinstance(done, str):
        return done
    if done.returncode != 0:
        return f"systemctl says nothing: {_last_line(done.stderr)}"
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in done.stdout.split("\n\n")
    ]
    return {block["Id"]: block for block in blocks if "Id" in block}


def units(shown: Mapping[str, Mapping[str, str]] | str, *, is_by_hand: bool) -> list[Finding]:
    """Look how systemd sees the service.

    Args:
        shown: what `shown_units` returned.
        is_by_hand: the daemon asked for is none of systemd's.
    """
    if isinstance(shown, str):
        return [finding("units", "skipped", shown)]
    there = {name: unit for name, unit in shown.items() if unit.get("LoadState") == "loaded"}
    failed = [name for name, unit in there.items() if unit.get("ActiveState") == "failed"]
    if failed:
        return [finding("units", "failure", _failed_words(name, there[name]), _REVIVE) for name in failed]
    if is_by_hand:
        return [finding("units", "skipped", "this daemon is not the service of the system")]
    if set(there) != set(UNITS):
        missing = ", ".join(name for name in UNITS if name not in there)
        return [finding("units", "skipped", f"not installed as a service: {missing}")]
    socket, service = (there[name] for name in UNITS)
    if "active" not in (socket.get("ActiveState"), service.get("ActiveState")):
        return [finding("units", "failure", "the service is not started", f"systemctl start {_BOTH}")]
    if socket.get("UnitFileState") != "enabled" and service.get("UnitFileState") != "enabled":
        words = "the service does not start with the machine"
        return [finding("units", "warning", words, f"systemctl enable {_BOTH}")]
    restarts = service.get("NRestarts", "0")
    words = ", ".join(f"{name} {there[name].get('ActiveState')}" for name in UNITS)
    return [finding("units", "ok", words + (f", restarted {restarts} times" if restarts != "0" else ""))]


def _failed_words(name: str, unit: Mapping[str, str]) -> str:
    status = unit.get("ExecMainStatus", "0")
    if status == CONFIGURATION_INVALID:
        return f"{name} has failed: the configuration is not valid"
    why = unit.get("Result", "") + (f", status {status}" if status not in ("", "0") else "")
    said = _last_words() if name == "towerd.service" else ""
    return f"{name} has failed: {why}" + (f"; it said: {said}" if said else "")


def _last_words() -> str:
    """Return the last line that the service itself has logged, as far as the caller may read it."""
    match = "_SYSTEMD_UNIT=towerd.service"
    done = _run(["journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=1", match])
    return "" if isinstance(done, str) or not done.stdout.strip() else _last_line(done.stdout)


def group(*, is_by_hand: bool, is_forbidden: bool) -> list[Finding]:
    """Look whether the caller is in the group that may use the system's socket.

    Args:
        is_by_hand: the daemon asked for is none of the system's.
        is_forbidden: the socket may not be used.
    """
    import grp
    import pwd

    if is_by_hand:
        return [finding("group", "skipped", f"only the socket of the system is for group {SYSTEM_GROUP}")]
    if os.geteuid() == 0:
        return [finding("group", "ok", "root needs no group")]
    try:
        wanted = grp.getgrnam(SYSTEM_GROUP)
    except KeyError:
        return [finding("group", "skipped", f"there is no group {SYSTEM_GROUP}")]
    if wanted.gr_gid in {os.getegid(), *os.getgroups()}:
        return [finding("group", "ok", f"you are in group {SYSTEM_GROUP}")]
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    if user in wanted.gr_mem:
        words = f"you were put into group {SYSTEM_GROUP} after you had logged in"
        return [finding("group", "failure" if is_forbidden else "warning", words, f"newgrp {SYSTEM_GROUP}")]
    words = f"you are not in group {SYSTEM_GROUP}"
    command = f"sudo usermod -aG {SYSTEM_GROUP} {shlex.quote(user)}    # then log in again"
    return [finding("group", "failure" if is_forbidden else "ok", words, command if is_forbidden else None)]


def configuration(
    environment: Mapping[str, str], shown: Mapping[str, Mapping[str, str]] | str, *, is_by_hand: bool
) -> list[Finding]:
    """Have the files checked by towerd itself, as the daemon would read them that does not answer.

    Args:
        environment: the caller's.
        shown: what `shown_units` returned.
        is_by_hand: the daemon is the caller's own.
    """
    changes: dict[str, str] = {} if is_by_hand else _service_environment(shown)
    kept = dict(environment)
    if not is_by_hand:
        kept.pop("TOWER_CONFIG", None)
    done = _run([*_towerd(), "--check-config"], kept | changes)
    if isinstance(done, str):
        return [finding("configuration", "skipped", done)]
    if done.returncode == 0:
        return [finding("configuration", "ok", _last_line(done.stdout))]
    given = " ".join(f"{name}={shlex.quote(value)}" for name, value in changes.items())
    command = f"{given} towerd --check-config".strip()
    lines = [line.removeprefix("towerd: ") for line in done.stderr.splitlines() if line.strip()]
    if any("Permission denied" in line for line in lines):
        return [finding("configuration", "skipped", lines[0], "sudo towerctl doctor")]
    return [finding("configuration", "failure", line, command) for line in lines or ["towerd does not say"]]


def _service_environment(shown: Mapping[str, Mapping[str, str]] | str) -> dict[str, str]:
    """Return the variables by which the service finds its configuration."""
    variables = {"STATE_DIRECTORY": "/var/lib/tower"}
    if not isinstance(shown, str):
        given = shown.get("towerd.service", {}).get("Environment", "")
        for word in shlex.split(given):
            name, _, value = word.partition("=")
            if name == "TOWER_CONFIG":
                variables[name] = value
    return variables


def _towerd() -> list[str]:
    """Return how to run the towerd of this installation."""
    beside = Path(sys.executable).with_name("towerd")
    return [str(beside)] if beside.exists() else [sys.executable, "-P", "-m", "towerd"]


def _run(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str] | str:
    """Run a program to its end; return why not in words when that did not work."""
    try:
        return subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROGRAM_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} does not end within {_PROGRAM_SECONDS:g} s"
    except OSError as error:
        return f"{command[0]} cannot be run: {error.strerror}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing"
