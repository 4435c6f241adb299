"""Small file systems, and how they are filled."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MEGABYTE = 1024 * 1024


def is_root_with_mounts() -> bool:
    """Whether file systems can be mounted here."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    return probe.returncode == 0


needs_mounts = pytest.mark.skipif(
    not is_root_with_mounts(), reason="a full disk takes a small file system, and mounting it takes root"
)


@contextlib.contextmanager
def small_disk(at: Path, megabytes: float) -> Iterator[Path]:
    """Mount a file system of this size."""
    at.mkdir(exist_ok=True)
    size = f"size={int(megabytes * MEGABYTE)}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


def fill(disk: Path) -> Path:
    """Use up all that is left; return the file to delete for space."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    return filler
