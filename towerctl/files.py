"""A file that is replaced whole, for somebody else to read while it changes.

The one rule: whoever opens the path sees the old content or the new, never half of one; and what this
process did not write is never removed.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from towerctl.exits import cannot_write

_ENDING_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


class ReplacedFile:
    """A path whose content is replaced atomically.

    A symbolic link at the path is itself replaced; what it points to stays as it is.

    Args:
        path: where.
        mode: permissions of the file, whatever the umask says.
    """

    def __init__(self, path: str, *, mode: int) -> None:
        self.path = path
        self._target = Path(path)
        self._mode = mode
        self._written: tuple[int, int] | None = None

    def check(self) -> None:
        """See early whether the path can be written, before anything is begun for it.

        Raises:
            Failure: it is a directory, a device or the like, or its directory is missing or not writable.
        """
        directory = self._target.parent
        if not directory.is_dir():
            missing = "is not a directory" if directory.exists() else "does not exist"
            raise cannot_write(self.path, f"{directory} {missing}")
        try:
            # Through a link: replacing /dev/stdout would be as wrong as replacing /dev/null.
            kind = self._target.stat().st_mode
        except OSError:
            kind = stat.S_IFREG
        if stat.S_ISDIR(kind):
            raise cannot_write(self.path, "it is a directory")
        if not stat.S_ISREG(kind):
            raise cannot_write(self.path, "it is not a regular file; -o - writes to standard output")
        if not os.access(directory, os.W_OK | os.X_OK):
            raise cannot_write(self.path, f"directory {directory} is not writable")

    def write(self, data: bytes) -> None:
        """Replace the content.

        Raises:
            Failure: it could not be written; what was there before is untouched.
        """
        temporary = self._target.with_name(f".towerctl-{os.urandom(8).hex()}.tmp")
        try:
            with _signals_held_back():
                self._replace(temporary, data)
        except OSError as error:
            raise cannot_write(self.path, error.strerror or str(error)) from None

    def remove(self) -> None:
        """Remove the file, if it is still the one that was written."""
        with _signals_held_back():
            written, self._written = self._written, None
            if written is None:
                return
            with suppress(OSError):
                status = self._target.lstat()
                if (status.st_dev, status.st_ino) == written:
                    self._target.unlink()

    def _replace(self, temporary: Path, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(temporary, flags, 0o600)
        try:
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(handle, rest) :]
                os.fchmod(handle, self._mode)
                os.fsync(handle)
                status = os.fstat(handle)
            finally:
                os.close(handle)
            temporary.rename(self._target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        self._written = (status.st_dev, status.st_ino)
        self._sync_directory()

    def _sync_directory(self) -> None:
        # Some file systems cannot; the file is complete all the same.
        with suppress(OSError):
            handle = os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let a signal that ends us wait, so that it never falls between a rename and our knowing of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
