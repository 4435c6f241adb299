"""Where stores lie, and what is done so that they last. Without a key they lie in the state directory, plain.

The one rule: a carrier takes a store out before each worker and hands it back after it; what lies between is
not its business.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from sessions.keys import KeyRing, StoreKey
from sessions.store import Store, StoreReport
from towerd.protocol.errors import TowerError
from towerd.supervision.account_state import AccountState


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """How a rotation of keys went.

    Attributes:
        key: id of the key that seals now.
        sealed: how many stores are sealed with it.
        failed: by account, why its store still needs another key.
        is_given: the next start of towerd finds the key.
    """

    key: str
    sealed: int
    failed: dict[str, str]
    is_given: bool


class Shelf:
    """One account's store.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    async def take_out(self) -> None:
        """Make the store ready for a worker.

        Raises:
            OSError: that is not possible now.
        """

    def take_back(self) -> None:
        """Take note that no worker runs on it any more."""

    async def settle(self, *, strictly: bool = False) -> None:
        """Wait until what a worker has written would outlive a loss of power.

        Args:
            strictly: however long the disk takes; else only a new device waits for a disk that fails.
        """


class Stores:
    """All stores of the daemon.

    Args:
        sessions_dir: where they lie, in the state directory.

    Attributes:
        sessions_dir: the same.
        plain_dir: where plain copies lie while accounts run; None where stores are plain on the disk.
        problems: what a human should know.
    """

    plain_dir: Path | None = None

    def __init__(self, sessions_dir: Path) -> None:
        self.sessions_dir = sessions_dir
        self.problems: list[str] = []

    @property
    def key(self) -> StoreKey | None:
        """The key that seals them; None without one."""
        return None

    @property
    def ring(self) -> KeyRing:
        """All keys that there are."""
        return {}

    @property
    def key_name(self) -> str | None:
        """Id of the key that seals them; None without one."""
        return self.key.name if self.key is not None else None

    @property
    def trouble(self) -> str | None:
        """Why something is not sealed that should be."""
        return None

    def shelf(self, account: AccountState) -> Shelf:
        """Return the place of an account's store."""
        return Shelf(Store(self.sessions_dir, account.record.id))

    def place(self, account_id: str) -> Store:
        """Return the store of an account that nobody keeps."""
        return Store(self.sessions_dir, account_id)

    async def rotate(self, key: StoreKey | None) -> Rotated:  # noqa: ARG002 - there is nothing to seal
        """Seal all stores with another key.

        Args:
            key: the key; None reads it from where a start of towerd would.

        Raises:
            TowerError: `wrong-state`, stores are not sealed, or not to be sealed with this key now.
            OSError: the disk failed; nothing has changed.
        """
        raise TowerError(
            "wrong-state",
            "stores are not sealed: towerd was given no key",
            hint="give it one and restart it, see SEALED STORES in towerd(8)",
        )

    async def look(self, account_id: str) -> StoreReport:
        """Say what the store of an account holds that nobody keeps.

        Raises:
            StoreLockedError: a process that could not be ended runs on it.
            OSError: it cannot be read.
        """
        return await asyncio.to_thread(self.place(account_id).classify)

    async def run(self) -> None:
        """Do what has to be done all the time."""

    async def close(self) -> None:
        """Leave all stores as they should lie while no daemon runs."""
