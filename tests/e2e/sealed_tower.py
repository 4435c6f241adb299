"""A towerd whose stores are sealed, and a loss of power as it would find it.

The one rule: power takes the memory and the processes, and leaves the disk as it was synced.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.tower import Tower

if TYPE_CHECKING:
    from tests.whatsapp.simulator import Simulator


class SealedTower(Tower):
    """A towerd with a key, and a memory of its own."""

    def __init__(self, simulator: Simulator | None = None, *, config: str = "", **parts: Any) -> None:
        super().__init__(simulator, config=config, **parts)
        self.memory = Path(tempfile.mkdtemp(prefix="tower-memory-", dir="/dev/shm"))
        self.key = self.directory / "key"
        self.environment |= {"XDG_RUNTIME_DIR": str(self.memory)}
        self.settings = config
        self.give_key(os.urandom(32))

    def give_key(self, secret: bytes | None) -> None:
        """Put a key where the daemon looks for it; None takes it away."""
        if secret is None:
            self.config.write_text(self.settings)
            return
        self.key.write_bytes(secret)
        self.key.chmod(0o600)
        self.config.write_text(f'{self.settings}\n[stores]\nkey_file = "{self.key}"\n')

    def close(self) -> None:
        """Kill it and remove everything."""
        super().close()
        shutil.rmtree(self.memory, ignore_errors=True)

    def lose_power(self) -> None:
        """Kill everything and empty the memory."""
        self.kill()
        shutil.rmtree(self.memory)
        self.memory.mkdir(mode=0o700)

    def plain(self) -> list[Path]:
        """Return the plain stores in memory."""
        return sorted(self.memory.rglob("store.db"))

    def sealed(self, account: dict[str, Any]) -> Path:
        """Return an account's sealed store."""
        return self.state / "sessions" / account["id"] / "store.sealed"
