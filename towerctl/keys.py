"""Keys of sealed stores: made, read, and told of by the daemon.

The one rule: a key is written to a file of its owner alone, is sent to the daemon and nowhere else, and is
never shown.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from towerctl.exits import Failure, cannot_write
from towerctl.output import Block, Line, Note

if TYPE_CHECKING:
    from towerctl.client import Client

KEY_BYTES = 32


class KeptStore(TypedDict):
    """A store that still needs another key, and why."""

    account: str
    why: str


class RotateResult(TypedDict):
    """How a rotation went."""

    key: str
    sealed: int
    kept: list[KeptStore]
    found_at_start: bool


def generate(file: str) -> None:
    """Write a new key to a file that is not there yet.

    Raises:
        Failure: it is there, or cannot be written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Failure(
            "usage", f"{file} is there already; a key is never written over", hint="choose another file"
        ) from None
    except OSError as error:
        raise cannot_write(file, error.strerror or str(error)) from error
    with os.fdopen(descriptor, "wb") as key:
        key.write(os.urandom(KEY_BYTES))
        key.flush()
        os.fsync(key.fileno())


def read(file: str) -> bytes:
    """Return the key in a file.

    Raises:
        Failure: it cannot be read, or is no key.
    """
    try:
        with Path(file).open("rb") as source:
            secret = source.read(KEY_BYTES + 1)
    except OSError as error:
        raise Failure("usage", f"{file} cannot be read: {error.strerror}") from error
    if len(secret) != KEY_BYTES:
        raise Failure(
            "usage",
            f"{file} is no key: it must be exactly {KEY_BYTES} bytes",
            hint=f"make one: towerctl key generate -o {file}",
        )
    return secret


def rotate(client: Client, secret: bytes | None) -> RotateResult:
    """Have all stores sealed with another key."""
    params: dict[str, Any] = {"key": base64.b64encode(secret).decode()} if secret is not None else {}
    answer: RotateResult = client.call("key.rotate", params)
    return answer


def rotated(answer: RotateResult) -> list[Block]:
    """Return how a rotation went, in words."""
    stores = f"{answer['sealed']} store{'' if answer['sealed'] == 1 else 's'}"
    blocks: list[Block] = [Line(f"{stores} sealed with the key {answer['key']}")]
    if not answer["found_at_start"]:
        blocks.append(
            Note(
                "towerd does not find this key at its next start yet: put it where stores.key_file or the "
                "credential says, then restart towerd, or run: towerctl key rotate"
            )
        )
    return blocks


def unfinished(answer: RotateResult) -> list[Failure]:
    """Return a failure for each store that still needs another key."""
    return [
        Failure("store-damaged", f"{kept['account']}: its store keeps its key: {kept['why']}")
        for kept in answer["kept"]
    ]
