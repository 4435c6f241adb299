"""Two keys while stores go from the one to the other: in a file, each under the other.

The one rule: whoever has one of the two keys has both, and whoever has neither has nothing. The file is there
before the first store is sealed anew, and goes when the old key is of no more use.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sessions.keys import KEY_BYTES, KeyRing, StoreKey
from sessions.store import sync_directory

_NONCE_BYTES = 12
_PURPOSE = b"tower: key on its way to another"


class KeyRingError(Exception):
    """The file is there and cannot be used; the message says why."""


class KeyRingFile:
    """The file.

    Args:
        path: where it lies.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, old: StoreKey, new: StoreKey) -> None:
        """Write down that stores go from one key to another; it is on the disk when this returns.

        Raises:
            OSError: it could not be written; what stood there stands there still.
        """
        document = {
            "from": old.name,
            "to": new.name,
            "from_under_to": _wrap(old, new).hex(),
            "to_under_from": _wrap(new, old).hex(),
        }
        beside = self._path.with_name(f"{self._path.name}.new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(self._path)
        sync_directory(self._path.parent)

    def read(self, keys: KeyRing) -> tuple[StoreKey, StoreKey] | None:
        """Return the old key and the new one; None when no rotation is under way.

        Args:
            keys: one of the two is among them.

        Raises:
            KeyRingError: neither is, or the file is damaged.
            OSError: it cannot be read.
        """
        try:
            document = json.loads(self._path.read_bytes())
            names = bytes.fromhex(document["from"]), bytes.fromhex(document["to"])
            wrapped = [bytes.fromhex(document[name]) for name in ("from_under_to", "to_under_from")]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{self._path} is damaged"
            raise KeyRingError(msg) from error
        for (mine, other), box in zip((names[::-1], names), wrapped, strict=True):
            if mine in keys:
                key, found = keys[mine], _unwrap(box, keys[mine], other, self._path)
                return (found, key) if mine == names[1] else (key, found)
        msg = f"stores are on their way from the key {document['from']} to {document['to']}; this is neither"
        raise KeyRingError(msg)

    def remove(self) -> None:
        """Say that all stores have arrived."""
        self._path.unlink(missing_ok=True)
        sync_directory(self._path.parent)


def _wrap(key: StoreKey, under: StoreKey) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(under.secret).encrypt(nonce, key.secret, _PURPOSE + key.id + under.id)


def _unwrap(box: bytes, under: StoreKey, key_id: bytes, path: Path) -> StoreKey:
    nonce, sealed = box[:_NONCE_BYTES], box[_NONCE_BYTES:]
    try:
        key = StoreKey(AESGCM(under.secret).decrypt(nonce, sealed, _PURPOSE + key_id + under.id))
    except (InvalidTag, ValueError) as error:
        msg = f"{path} is damaged"
        raise KeyRingError(msg) from error
    if len(key.secret) != KEY_BYTES or key.id != key_id:
        msg = f"{path} is damaged"
        raise KeyRingError(msg)
    return key
