"""Checks of what lies on the disk: who may read and write it, and whether there is room.

The one rule: they look, and change nothing; a file is said to be wrong by its path, never by its content.
"""

from __future__ import annotations

import grp
import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from towerd.doctor.findings import Finding, counted, failure, ok, skipped, warning
from towerd.doctor.patient import Patient
from towerd.users import user_name

_OTHERS = 0o077
_OTHERS_WRITE = 0o022
_WORLD = 0o007
_LITTLE_BYTES = 512 * 1024 * 1024
_TOO_LITTLE_BYTES = 32 * 1024 * 1024
_LITTLE_FILES = 1000
_PROBE_BYTES = 64 * 1024


def permissions(patient: Patient) -> Iterator[Finding]:
    """Look who may do what with every file of ours."""
    yield from _state(patient)
    yield from _configuration(patient)
    yield from _socket(patient)


def _state(patient: Patient) -> Iterator[Finding]:
    """What lies in the state directory is for the daemon's user alone: whoever has a store has the device."""
    state_dir, uid = patient.paths.state_dir, patient.own_uid
    open_to_others, of_others, count = [], [], 0
    for path in _tree(state_dir):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        count += 1
        if status.st_uid != uid:
            of_others.append(path)
        if status.st_mode & _OTHERS and not stat.S_ISLNK(status.st_mode):
            open_to_others.append(path)
    where = shlex.quote(str(state_dir))
    if of_others:
        yield failure(
            f"{_first(of_others)} does not belong to {user_name(uid)}",
            f"chown -R {shlex.quote(user_name(uid))}: {where}",
        )
    if open_to_others:
        yield failure(f"{_first(open_to_others)} may be opened by others", f"chmod -R go= {where}")
    if not of_others and not open_to_others:
        yield ok(f"{counted(count, 'file')} in {state_dir}: for {user_name(uid)} alone")


def _configuration(patient: Patient) -> Iterator[Finding]:
    """Whoever may write the configuration may have programs run by the daemon."""
    checked = [path for path in _writable_by_root_only(patient) if path.exists()]
    wrong = [path for path in checked if path.stat().st_mode & _OTHERS_WRITE]
    strange = [path for path in checked if path.stat().st_uid not in (0, patient.own_uid)]
    for path in wrong:
        yield failure(f"{path} may be changed by others", f"chmod go-w {shlex.quote(str(path))}")
    for path in strange:
        owner = user_name(path.stat().st_uid)
        yield warning(f"{path} belongs to {owner}, who may change it", f"chown root {shlex.quote(str(path))}")
    secrets = [Path(one.record.proxy_file) for one in patient.accounts if one.record.proxy_file]
    exposed = [path for path in sorted(set(secrets)) if path.exists() and path.stat().st_mode & _WORLD]
    for path in exposed:
        yield failure(
            f"{path} may hold a password and may be read by everybody", f"chmod o= {shlex.quote(str(path))}"
        )
    if not wrong and not strange and not exposed:
        yield ok(f"configuration: {counted(len(checked), 'file')}, which nobody else may change")


def _writable_by_root_only(patient: Patient) -> Iterator[Path]:
    yield from patient.config_files
    yield from sorted({file.parent for file in patient.config_files})
    for channel in patient.channels:
        program = shutil.which(channel.program, path=patient.environment.get("PATH"))
        if program is not None:
            yield Path(program)


def _socket(patient: Patient) -> Iterator[Finding]:
    path = patient.paths.socket
    try:
        status = path.stat()
    except OSError as error:
        yield skipped(f"{path}: {error.strerror}")
        return
    mode = stat.S_IMODE(status.st_mode)
    if mode & _WORLD:
        yield warning(
            f"everybody on this machine reaches {path} (mode {mode:04o})",
            f"chmod o= {shlex.quote(str(path))}",
        )
    else:
        yield ok(f"{path}: {user_name(status.st_uid)}:{_group(status.st_gid)}, mode {mode:04o}")


def disk(patient: Patient) -> Iterator[Finding]:
    """Look for room, and try to write."""
    state_dir = patient.paths.state_dir
    look = f"df -h {shlex.quote(str(state_dir))}"
    try:
        _write_probe(state_dir)
        room = os.statvfs(state_dir)
    except OSError as error:
        yield failure(f"{state_dir} cannot be written: {error.strerror}", look)
        return
    free = room.f_bavail * room.f_frsize
    words = f"{_size(free)} free in {state_dir}"
    # A file system without a fixed number of files says 0 of 0.
    if room.f_files and room.f_favail < _LITTLE_FILES:
        yield warning(
            f"room for {room.f_favail} more files in {state_dir}", f"df -i {shlex.quote(str(state_dir))}"
        )
    elif free < _TOO_LITTLE_BYTES:
        yield failure(words, look)
    elif free < _LITTLE_BYTES:
        yield warning(words, look)
    else:
        yield ok(words)


def _write_probe(directory: Path) -> None:
    """Write a file that has no name, and see that it gets to the disk."""
    with tempfile.TemporaryFile(dir=directory) as probe:
        probe.write(bytes(_PROBE_BYTES))
        probe.flush()
        os.fsync(probe.fileno())


def _tree(directory: Path) -> Iterator[Path]:
    yield directory
    for root, directories, files in os.walk(directory):
        for name in (*directories, *files):
            yield Path(root, name)


def _first(paths: Iterable[Path]) -> str:
    first, *rest = paths
    return f"{first} (and {len(rest)} more)" if rest else str(first)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _size(count: int) -> str:
    if count < 1_000_000_000:
        return f"{count / 1e6:.0f} MB"
    return f"{count / 1e9:.1f} GB"
