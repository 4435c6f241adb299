"""Where the key of the stores comes from: a credential of systemd, or a file.

The one rule: never the environment, which every process of the same user can read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sessions.keys import KeyFileError, StoreKey, read_key
from towerd.config import Config

CREDENTIAL = "tower-store-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """Where one looks for the key.

    Attributes:
        file: the file that the configuration names; it wins.
        credentials: where systemd puts the credentials of this service.
        named_in: the configuration file that names it.
    """

    file: Path | None
    credentials: Path | None
    named_in: Path | None = None

    @classmethod
    def of(cls, config: Config, credentials: Path | None, *, named_in: Path | None = None) -> Self:
        """Return where the key of a configuration comes from."""
        file = config.stores.key_file
        return cls(file=Path(file) if file else None, credentials=credentials, named_in=named_in)

    def read(self) -> StoreKey | None:
        """Return the key; None when there is none.

        Raises:
            KeyFileError: there is one that cannot be used.
        """
        if self.file is not None:
            return self._read_file(self.file)
        if self.credentials is not None and (self.credentials / CREDENTIAL).exists():
            return read_key(self.credentials / CREDENTIAL, is_guarded=True)
        return None

    def _read_file(self, file: Path) -> StoreKey:
        try:
            return read_key(file)
        except KeyFileError as error:
            where = f"{self.named_in}: stores.key_file: " if self.named_in is not None else ""
            msg = f"{where}{error}"
            raise KeyFileError(msg) from error

    def __str__(self) -> str:
        """Where it is, for a human."""
        return str(self.file) if self.file is not None else f"the credential {CREDENTIAL}"
