"""Checks of the machine around the daemon: units, group, configuration files.

The one rule: they ask programs that are there anyway, with a deadline, and say so when nobody can be asked.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from towerctl import sockets
from towerctl.doctor.findings import finding
from towerctl.sockets import SYSTEM_GROUP, group_name, user_name

if TYPE_CHECKING:
    import grp

    from towerctl.results import Finding

SOCKET, SERVICE = UNITS = ("towerd.socket", "towerd.service")
SYSTEMD_RUNS = Path("/run/systemd/system")
"""There while systemd is the service manager (sd_booted(3))."""
CONFIGURATION_INVALID = "78"
CREDENTIAL_MISSING = "243"
"""EXIT_CREDENTIALS of systemd.exec(5)."""

_PROGRAM_SECONDS = 10.0
_BOTH = " ".join(UNITS)
_REVIVE = ("reset-failed", "start")
_JOURNAL = "journalctl --unit=towerd --lines=20"
_PROPERTIES = "Id,LoadState,ActiveState,SubState,Result,UnitFileState,ExecMainStatus,NRestarts,Environment"

Units = Mapping[str, Mapping[str, str]]
"""Properties of both units, by their name."""


def start_command(shown: Units | str) -> str:
    """Return what brings a socket of the system back on which nobody listens.

    Args:
        shown: what `shown_units` returned.
    """
    states = {} if isinstance(shown, str) else shown
    if any(unit.get("LoadState") == "masked" for unit in states.values()):
        return _systemctl("unmask", *_REVIVE)
    if any(unit.get("ActiveState") == "failed" for unit in states.values()):
        return _systemctl(*_REVIVE)
    if states.get(SOCKET, {}).get("ActiveState") == "active":
        # Somebody took the file away: systemd listens on, and a start would change nothing.
        return as_root(f"systemctl restart {SOCKET}")
    return _systemctl("start")


def as_root(command: str) -> str:
    """Return a command for root as this caller has to type it."""
    return command if os.geteuid() == 0 else f"sudo {command}"


def _systemctl(*verbs: str) -> str:
    """Return commands for both units, one after the other."""
    return " && ".join(as_root(f"systemctl {verb} {_BOTH}") for verb in verbs)


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


def units(shown: Units | str, *, is_by_hand: bool) -> list[Finding]:
    """Look how systemd sees the service.

    Args:
        shown: what `shown_units` returned.
        is_by_hand: the daemon asked for is none of systemd's.
    """
    if isinstance(shown, str):
        return [finding("units", "skipped", shown)]
    masked = [name for name, unit in shown.items() if unit.get("LoadState") == "masked"]
    if masked and not is_by_hand:
        words = f"masked, so that nothing can start it: {', '.join(masked)}"
        return [finding("units", "failure", words, start_command(shown))]
    there = {name: unit for name, unit in shown.items() if unit.get("LoadState") == "loaded"}
    failed = [name for name, unit in there.items() if unit.get("ActiveState") == "failed"]
    if failed:
        revive = _systemctl(*_REVIVE)
        return [finding("units", "failure", _failed_words(name, there[name]), revive) for name in failed]
    if is_by_hand:
        return [finding("units", "skipped", "this daemon is not the service of the system")]
    if set(there) != set(UNITS):
        missing = ", ".join(name for name in UNITS if name not in there)
        return [finding("units", "skipped", f"not installed as a service: {missing}")]
    socket, service = (there[name] for name in UNITS)
    if service.get("SubState") == "auto-restart":
        words = f"{SERVICE} ends and is started again: {_why(SERVICE, service)}"
        return [finding("units", "failure", words, as_root(_JOURNAL))]
    if "active" not in (socket.get("ActiveState"), service.get("ActiveState")):
        return [finding("units", "failure", "the service is not started", _systemctl("start"))]
    if socket.get("UnitFileState") != "enabled" and service.get("UnitFileState") != "enabled":
        words = "the service does not start with the machine"
        return [finding("units", "warning", words, _systemctl("enable"))]
    restarts = service.get("NRestarts", "0")
    words = ", ".join(f"{name} {there[name].get('ActiveState')}" for name in UNITS)
    return [finding("units", "ok", words + (f", restarted {restarts} times" if restarts != "0" else ""))]


def _failed_words(name: str, unit: Mapping[str, str]) -> str:
    return f"{name} has failed: {_why(name, unit)}"


def _why(name: str, unit: Mapping[str, str]) -> str:
    """Return how a unit ended, and what it said then."""
    status = unit.get("ExecMainStatus", "0")
    if status == CONFIGURATION_INVALID:
        return "the configuration is not valid"
    if status == CREDENTIAL_MISSING:
        return f"a credential cannot be loaded that its unit names (systemctl cat {name})"
    why = unit.get("Result", "") + (f", status {status}" if status not in ("", "0") else "")
    said = _last_words() if name == SERVICE else ""
    return why + (f"; it said: {said}" if said else "")


def _last_words() -> str:
    """Return the last line that the service itself has logged, as far as the caller may read it."""
    match = "_SYSTEMD_UNIT=towerd.service"
    done = _run(["journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=1", match])
    return "" if isinstance(done, str) or not done.stdout.strip() else _last_line(done.stdout)


def group(*, is_by_hand: bool, is_forbidden: bool) -> list[Finding]:
    """Look whether the group may use the system's socket, and whether the caller is in it.

    Args:
        is_by_hand: the daemon asked for is none of the system's.
        is_forbidden: the socket may not be used.
    """
    import grp

    if is_by_hand:
        return [finding("group", "skipped", f"only the socket of the system is for group {SYSTEM_GROUP}")]
    try:
        wanted = grp.getgrnam(SYSTEM_GROUP)
    except KeyError:
        return [finding("group", "skipped", f"there is no group {SYSTEM_GROUP}")]
    return [*_admission(wanted.gr_gid), _membership(wanted, is_forbidden=is_forbidden)]


def _admission(gid: int) -> Iterator[Finding]:
    """Look whether the socket, and the way to it, are open to the group."""
    path = Path(sockets.SYSTEM_SOCKET)
    way = path.parent
    try:
        directory = way.stat()
        if not _lets_in(directory, gid, need=0o1):
            words = f"{way} keeps group {SYSTEM_GROUP} out ({_owned(directory)})"
            yield finding("group", "failure", words, as_root(f"chmod 0755 {way}"))
            return
        status = path.stat()
    except OSError:
        return  # what is the matter with the socket says another check
    if not _lets_in(status, gid, need=0o6):
        words = f"{path} is not for group {SYSTEM_GROUP} ({_owned(status)})"
        open_up = [f"chown root:{SYSTEM_GROUP} {path}", f"chmod 0660 {path}"]
        yield finding("group", "failure", words, " && ".join(map(as_root, open_up)))


def _lets_in(status: os.stat_result, gid: int, *, need: int) -> bool:
    """Tell whether members of a group have rights, as the kernel sees it."""
    granted = status.st_mode >> 3 if status.st_gid == gid else status.st_mode
    return granted & need == need


def _owned(status: os.stat_result) -> str:
    return f"{user_name(status.st_uid)}:{group_name(status.st_gid)}, mode {stat.S_IMODE(status.st_mode):04o}"


def _membership(wanted: grp.struct_group, *, is_forbidden: bool) -> Finding:
    """Look whether the caller is in the group."""
    import pwd

    if os.geteuid() == 0:
        return finding("group", "ok", "root needs no group")
    if wanted.gr_gid in {os.getegid(), *os.getgroups()}:
        return finding("group", "ok", f"you are in group {SYSTEM_GROUP}")
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    if user in wanted.gr_mem:
        words = f"you were put into group {SYSTEM_GROUP} after you had logged in"
        return finding("group", "failure" if is_forbidden else "warning", words, f"newgrp {SYSTEM_GROUP}")
    words = f"you are not in group {SYSTEM_GROUP}"
    command = f"sudo usermod -aG {SYSTEM_GROUP} {shlex.quote(user)}    # then log in again"
    return finding("group", "failure" if is_forbidden else "ok", words, command if is_forbidden else None)


def configuration(environment: Mapping[str, str], shown: Units | str, *, is_by_hand: bool) -> list[Finding]:
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


def _service_environment(shown: Units | str) -> dict[str, str]:
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
