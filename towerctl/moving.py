"""Files in which accounts travel, between the daemon and a disk.

The one rule: the file is read and written by whoever calls, never by the daemon; it is there whole, for its
owner alone, or not at all.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypedDict

from towerctl import views
from towerctl.exits import Failure, cannot_write
from towerctl.output import Block, Line, Note

if TYPE_CHECKING:
    from towerctl.client import Client
    from towerctl.results import Account

_PIECE_BYTES = 384 * 1024


class ExportResult(TypedDict):
    """An account that was exported, and what hands its file out."""

    account: Account
    transfer: str
    size_bytes: int
    key: str


class Exported(TypedDict):
    """An account that was exported, and its file."""

    account: Account
    file: str
    size_bytes: int
    key: str


class Origin(TypedDict):
    """Where an account comes from."""

    id: str
    name: str
    owner: str
    exported_at: str


class AdoptResult(TypedDict):
    """An account that has arrived."""

    account: Account
    outcome: str
    origin: Origin


def export(client: Client, account: str, file: NewFile, secret: bytes | None) -> Exported:
    """Have an account exported, and write it to a file.

    Raises:
        Failure: it was not exported, or the file could not be written; then it may be exported once more.
    """
    answer: ExportResult = client.ask("account.export", {"account": account, "key": _encoded(secret)})
    name = views.address(answer["account"])
    try:
        with file.writing() as target:
            for piece in _pieces(client, answer["transfer"]):
                target.write(piece)
            _require_size(target.tell(), answer["size_bytes"])
    except Failure as failure:
        failure.hint = f"{name} is stopped and fenced already; run the same command again for the file"
        raise
    return {
        "account": answer["account"],
        "file": file.path,
        "size_bytes": answer["size_bytes"],
        "key": answer["key"],
    }


def _require_size(come: int, announced: int) -> None:
    if come != announced:
        raise Failure("bad-answer", f"{come} bytes of the file have come instead of {announced}")


def _pieces(client: Client, transfer: str) -> Iterator[bytes]:
    offset: int | None = 0
    while offset is not None:
        piece = client.call("transfer.read", {"transfer": transfer, "offset": offset})
        yield base64.b64decode(piece["data"])
        offset = piece["next_offset"]


def adopt(client: Client, file: str, secret: bytes | None, **wishes: Any) -> AdoptResult:
    """Hand a file in, and have the daemon take over the account in it.

    Raises:
        Failure: the file cannot be read, or the account cannot be taken over.
    """
    transfer, offset = None, 0
    for piece in _read(file):
        transfer = transfer or client.call("transfer.begin")["transfer"]
        data = base64.b64encode(piece).decode()
        client.call("transfer.write", {"transfer": transfer, "offset": offset, "data": data})
        offset += len(piece)
    if transfer is None:
        raise Failure("usage", f"{file} is empty")
    answer: AdoptResult = client.ask(
        "account.adopt", {"transfer": transfer, "key": _encoded(secret), **wishes}
    )
    return answer


def _read(file: str) -> Iterator[bytes]:
    try:
        with Path(file).open("rb") as source:
            while piece := source.read(_PIECE_BYTES):
                yield piece
    except OSError as error:
        raise Failure("usage", f"{file} cannot be read: {error.strerror}") from error


def _encoded(secret: bytes | None) -> str | None:
    return base64.b64encode(secret).decode() if secret is not None else None


class NewFile:
    """A file that is not there yet, and is there when it is complete.

    Args:
        path: where.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._target = Path(path)

    def check(self) -> None:
        """See early whether it can be written.

        Raises:
            Failure: it is there already, or its directory is missing or not writable.
        """
        directory = self._target.parent
        if self._target.exists() or self._target.is_symlink():
            raise Failure(
                "usage",
                f"{self.path} is there already; an export is never written over",
                hint="choose another file",
            )
        if not directory.is_dir():
            raise cannot_write(self.path, f"{directory} does not exist")
        if not os.access(directory, os.W_OK | os.X_OK):
            raise cannot_write(self.path, f"directory {directory} is not writable")

    @contextmanager
    def writing(self) -> Iterator[BinaryIO]:
        """Yield a file to write to; it is in its place, and on the disk, when the block has ended well.

        Raises:
            Failure: it could not be written; nothing is left.
        """
        beside = self._target.with_name(f".towerctl-{os.urandom(8).hex()}.tmp")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.rename(self._target)
            _sync(self._target.parent)
        except OSError as error:
            raise cannot_write(self.path, error.strerror or str(error)) from error
        finally:
            beside.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    # Some file systems cannot; the file is complete all the same.
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def exported(answer: Exported) -> list[Block]:
    """`export`: where the account is now."""
    name = views.address(answer["account"])
    return [
        Line(f"{name}: exported to {answer['file']}, sealed with the key {answer['key']}"),
        Note(
            f"{name} does not run here any more. Where it should run: towerctl adopt {answer['file']}. "
            "Texts that wait, messages and history stay here."
        ),
    ]


def adopted(answer: AdoptResult) -> list[Block]:
    """`adopt`: what has come from where."""
    account, origin = answer["account"], answer["origin"]
    name, phone = views.address(account), account["phone"] or account["jid"]
    if answer["outcome"] == "returned":
        return [Line(f"{name}: has returned with {phone}, {account['state']}")]
    came = f"was {origin['name']} of {origin['owner']}, exported {origin['exported_at']}"
    return [Line(f"{name}: taken over with {phone}, {account['state']} ({came})")]
