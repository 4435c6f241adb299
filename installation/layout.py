"""Where the files of an installation lie.

The one rule: every path here is the final one; where a tree is built first is the tree's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CONFIG = Path("/etc/tower/tower.toml")
STATE = Path("/var/lib/tower")

SEARCHED_BY_SYSTEMD = (Path("/usr"), Path("/usr/local"))
"""Prefixes below which it looks into lib (systemd.unit(5), sysusers.d(5), tmpfiles.d(5))."""


@dataclass(frozen=True)
class Layout:
    """The paths that follow from a prefix."""

    prefix: Path

    @property
    def home(self) -> Path:
        """The virtual environment, and the list of what was installed."""
        return self.prefix / "lib/tower"

    @property
    def manifest(self) -> Path:
        """Names every file outside of `home`, one per line."""
        return self.home / "manifest"

    @property
    def bin(self) -> Path:
        """The commands."""
        return self.prefix / "bin"

    @property
    def manuals(self) -> Path:
        """The manual pages, by section."""
        return self.prefix / "share/man"

    @property
    def documents(self) -> Path:
        """What belongs nowhere else."""
        return self.prefix / "share/doc/tower"

    @property
    def units(self) -> Path:
        """The units of systemd."""
        return self._systemd / "systemd/system"

    @property
    def sysusers(self) -> Path:
        """What systemd-sysusers makes."""
        return self._systemd / "sysusers.d/tower.conf"

    @property
    def tmpfiles(self) -> Path:
        """What systemd-tmpfiles makes."""
        return self._systemd / "tmpfiles.d/tower.conf"

    @property
    def completions(self) -> dict[str, Path]:
        """The file of each shell."""
        share = self.prefix / "share"
        return {
            "bash": share / "bash-completion/completions/towerctl",
            "zsh": share / "zsh/site-functions/_towerctl",
            "fish": share / "fish/vendor_completions.d/towerctl.fish",
        }

    @property
    def _systemd(self) -> Path:
        return self.prefix / "lib" if self.prefix in SEARCHED_BY_SYSTEMD else Path("/etc")
