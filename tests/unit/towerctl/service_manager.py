"""A service manager for tests of `towerctl doctor`: it says of the units what the test wants.

The one rule: it is asked as the real one is, through the programs systemctl and journalctl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

START = "systemctl start towerd.socket towerd.service"
REVIVE = f"systemctl reset-failed towerd.socket towerd.service && {START}"


class Systemd:
    """A systemctl and a journalctl that say what the test wants."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.states = {
            "towerd.socket": {"ActiveState": "active", "UnitFileState": "enabled"},
            "towerd.service": {"ActiveState": "active", "UnitFileState": "enabled"},
        }
        self.journal = ""
        self.say()

    def change(self, unit: str, **properties: str) -> None:
        self.states[unit] |= properties
        self.say()

    def say(self) -> None:
        blocks = [
            "\n".join(f"{key}={value}" for key, value in ({"Id": name, "LoadState": "loaded"} | unit).items())
            for name, unit in self.states.items()
        ]
        (self.directory / "units").write_text("\n\n".join(blocks) + "\n")
        (self.directory / "journal").write_text(self.journal)
        for program, file in (("systemctl", "units"), ("journalctl", "journal")):
            path = self.directory / program
            path.write_text(f"#!/bin/sh\ncat {self.directory / file}\n")
            path.chmod(0o755)
