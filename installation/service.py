"""The service that an installation on this very machine brings.

The one rule: what was running runs on, with the new version; nothing is enabled that a human did not enable.
"""

from __future__ import annotations

import sys
from pathlib import Path

from installation.layout import CONFIG, STATE, Layout
from installation.problem import run

UNITS = ("towerd.socket", "towerd.service")
_RUNNING_SYSTEMD = Path("/run/systemd/system")
"""sd_booted(3)."""


class Service:
    """The service of an installation.

    Args:
        layout: where its files lie.
        is_here: it was installed on this machine, not into a tree that goes elsewhere.
    """

    def __init__(self, layout: Layout, *, is_here: bool) -> None:
        self._can_be_set_up = is_here and _RUNNING_SYSTEMD.is_dir()
        self._preparing = (
            ("systemd-sysusers", str(layout.sysusers)),
            ("systemd-tmpfiles", "--create", str(layout.tmpfiles)),
            ("systemctl", "daemon-reload"),
        )

    def begin(self) -> None:
        """Make user and directories, have a service that runs run the new version, and say what is next.

        Raises:
            Problem: systemd refused.
        """
        remaining = [*self._preparing]
        if self._can_be_set_up:
            for command in (*self._preparing, ("systemctl", "try-restart", "towerd.service")):
                run(command, "see what it said")
            remaining.clear()
        remaining += [
            ("systemctl", "enable", "--now", *UNITS),
            ("usermod", "-aG", "tower", "NAME   # whoever is to use towerctl; then log in again"),
        ]
        sys.stdout.write("installed; next, as root:\n")
        sys.stdout.writelines(f"    {' '.join(command)}\n" for command in remaining)

    def end(self) -> None:
        """Stop and disable the service, while its files are still there.

        Raises:
            Problem: systemd refused.
        """
        if self._can_be_set_up:
            run(("systemctl", "disable", "--now", *UNITS), "see what it said")

    def after_end(self) -> None:
        """Have systemd forget the service, and say what is still there.

        Raises:
            Problem: systemd refused.
        """
        if self._can_be_set_up:
            run(("systemctl", "daemon-reload"), "see what it said")
        kept = f"{CONFIG.parent} {STATE}"
        sys.stdout.write(
            f"uninstalled; kept are {kept} and the user tower: the configuration, the accounts,\n"
            f"the keys of their linked devices. To forget it all, as root: rm -r {kept}; userdel tower\n"
        )
