"""A fence beside a store: a file that says that its device must not log in from here.

The one rule: it is on the disk before what it guards against can begin, and one that cannot be read stands.
It lies with the store, so it goes with the device when that is wiped, and stays when the registry is lost.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

from sessions.store import sync_directory

FENCE_NAME = "fence"


class Fence(StrEnum):
    """Why a device must not log in: somebody else has it, or it is not wholly here yet."""

    EXPORTED = "exported"
    ARRIVING = "arriving"


def read_fence(directory: Path) -> Fence | None:
    """Return the fence of the store in a directory, None when there is none."""
    try:
        words = (directory / FENCE_NAME).read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        return Fence.EXPORTED
    return Fence.ARRIVING if words.strip() == Fence.ARRIVING.value.encode() else Fence.EXPORTED


def raise_fence(directory: Path, fence: Fence) -> None:
    """Put up a fence; it is on the disk when this returns.

    Raises:
        OSError: it could not be written; what stood there stands there still.
    """
    beside = directory / f".{FENCE_NAME}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{fence.value}\n")
        file.flush()
        os.fsync(file.fileno())
    beside.rename(directory / FENCE_NAME)
    sync_directory(directory)


def lift_fence(directory: Path) -> None:
    """Take a fence away; that is on the disk when this returns.

    Raises:
        OSError: it could not be taken away.
    """
    (directory / FENCE_NAME).unlink(missing_ok=True)
    sync_directory(directory)
