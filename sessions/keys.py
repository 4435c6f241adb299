"""Keys of sealed stores: 32 random bytes, a name that tells nothing of them, and the file they come from.

The one rule: a key is never shown. What may be said of one is its id, and every file that it sealed says it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

KEY_BYTES = 32
KEY_ID_BYTES = 8

_ID_LABEL = b"tower: id of a store key"


class KeyFileError(Exception):
    """A key file cannot be used; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class StoreKey:
    """A key that seals stores."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> bytes:
        """What names this key to whoever has it, and tells others nothing."""
        return hmac.digest(self.secret, _ID_LABEL, hashlib.sha256)[:KEY_ID_BYTES]

    @property
    def name(self) -> str:
        """The id as people see it."""
        return self.id.hex()


KeyRing = Mapping[bytes, StoreKey]
"""Keys by their ids."""


@dataclass(slots=True, kw_only=True)
class Keys:
    """The keys of a daemon.

    Attributes:
        current: seals.
        former: open what was sealed before.
    """

    current: StoreKey
    former: tuple[StoreKey, ...] = ()

    @property
    def ring(self) -> KeyRing:
        """All of them."""
        return ring(self.current, *self.former)


def ring(*keys: StoreKey) -> dict[bytes, StoreKey]:
    """Return keys by their ids."""
    return {key.id: key for key in keys}


def read_key(path: Path, *, is_guarded: bool = False) -> StoreKey:
    """Read a key from a file that nobody else can read.

    Args:
        path: the file; exactly 32 bytes.
        is_guarded: systemd keeps the file from others, whatever its owner and mode are.

    Raises:
        KeyFileError: it cannot be read, others can read it, or it is no key.
    """
    try:
        # Not blocking: a pipe in the place of the file must not hold up the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        absent = isinstance(error, FileNotFoundError)
        remedy = f"; make one with: towerctl key generate -o {path}" if absent else ""
        msg = f"the key of the stores cannot be read: {path}: {error.strerror}{remedy}"
        raise KeyFileError(msg) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            msg = f"the key of the stores is not a file: {path}"
            raise KeyFileError(msg)
        if not is_guarded:
            _require_private(path, found)
        secret = os.read(descriptor, KEY_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(secret) != KEY_BYTES:
        msg = (
            f"the key of the stores must be exactly {KEY_BYTES} bytes: {path}; "
            f"make one with: towerctl key generate -o {path}"
        )
        raise KeyFileError(msg)
    return StoreKey(secret)


def _require_private(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        msg = f"the key of the stores belongs to user {found.st_uid}: {path}; it must be yours or root's"
        raise KeyFileError(msg)
    if found.st_mode & 0o077:
        msg = f"others can read the key of the stores: {path}; run: chmod 0600 {path}"
        raise KeyFileError(msg)
