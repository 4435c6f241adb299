"""The directory in memory where plain stores lie while their accounts run.

The one rule: what lies there does not reach a disk. Its file system is one of memory, or towerd does not
start; that the kernel may swap it out is told as a problem.
"""

from __future__ import annotations

import os
from pathlib import Path

_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


class NotInMemoryError(Exception):
    """What is written to a directory goes to a disk; the message names it."""


def prepare(directory: Path, *, proc: Path = _PROC) -> None:
    """Make the directory, for its owner alone.

    Raises:
        NotInMemoryError: its file system lies on a disk.
        OSError: it cannot be made, or belongs to somebody else.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    kind, _ = _mounted(directory, proc)
    if kind not in _IN_MEMORY:
        msg = f"{directory} lies on {kind or 'an unknown file system'}, not in memory"
        raise NotInMemoryError(msg)


def swap_problem(directory: Path, *, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> str | None:
    """Say how the plain stores might reach a disk all the same; None when they cannot."""
    kind, options = _mounted(directory, proc)
    if kind == "ramfs" or "noswap" in options or _is_swap_forbidden(proc, cgroups) or not _has_swap(proc):
        return None
    return (
        f"the kernel may swap out the plain stores in {directory}: "
        "set MemorySwapMax=0 in the unit of towerd, or encrypt the swap device"
    )


def _mounted(directory: Path, proc: Path) -> tuple[str | None, tuple[str, ...]]:
    """Return the file system that a directory lies on, and its options (proc(5), mountinfo)."""
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in (proc / "self/mountinfo").read_text().splitlines():
        mount, _, system = line.partition(" - ")
        if mount.split()[2] == wanted:
            kind, _source, options = system.split()[:3]
            return kind, tuple(options.split(","))
    return None, ()


def _is_swap_forbidden(proc: Path, cgroups: Path) -> bool:
    """Tell whether the control group of this process, or one above it, may not swap (cgroup v2)."""
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
        path = next(line.removeprefix("0::/") for line in lines if line.startswith("0::/"))
    except (OSError, StopIteration):
        return False
    group = cgroups / path
    return any(_limit(above) == "0" for above in (group, *group.parents) if above.is_relative_to(cgroups))


def _limit(group: Path) -> str | None:
    try:
        return (group / "memory.swap.max").read_text().strip()
    except OSError:
        return None


def _has_swap(proc: Path) -> bool:
    """Tell whether there is a swap device; True when one may not know."""
    try:
        return len((proc / "swaps").read_text().splitlines()) > 1
    except OSError:
        return True
