"""The life of an installation: installed, an account linked, rebooted, upgraded, removed, purged.

The one rule: every step is one that a sysadmin would type; `python -m tests.system` prints what is seen.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.system.terminal import Terminal
from tests.system.whatsapp import WhatsApp

if TYPE_CHECKING:
    from tests.system.machine import Machine

PHONE = "491701234567"
PLACE = Path("/srv/packages")


def live(machine: Machine, first: Path, second: Path) -> Terminal:
    """Let an installation live and return what was seen.

    Args:
        machine: it has booted and sees the packages in `PLACE`.
        first: the package that is installed.
        second: a package of a later version.

    Raises:
        AssertionError: something is not as it should be.
    """
    terminal = Terminal(machine)
    whatsapp = WhatsApp(machine)
    machine.run("cp", PLACE / first.name, PLACE / second.name, "/root")
    files_before = named_tower(machine)
    install(terminal, machine, first)
    link(terminal, whatsapp)
    reboot(terminal, machine)
    assert [device["device"] for device in whatsapp.devices(PHONE)] == [1]
    upgrade(terminal, machine, second)
    assert [device["device"] for device in whatsapp.devices(PHONE)] == [1]
    remove(terminal, machine)
    reinstall(terminal, machine, second)
    purge(terminal, machine)
    assert named_tower(machine) == files_before
    return terminal


def install(terminal: Terminal, machine: Machine, package: Path) -> None:
    """From nothing to a service that runs and comes back after a reboot."""
    terminal.say("A package, and a machine that never heard of TOWER:")
    terminal.type(f"dpkg -i {package.name}")
    terminal.say("The package enables and starts the socket and the service.")
    assert terminal.type("systemctl is-enabled towerd.socket towerd.service") == "enabled\nenabled\n"
    shown = terminal.type("systemctl status --no-pager --lines=0 towerd.service")
    assert "Active: active (running)" in shown
    terminal.type("systemd-analyze security --no-pager towerd.service | tail -1")
    assert "active" in machine.property("towerd.socket", "ActiveState")


def link(terminal: Terminal, whatsapp: WhatsApp) -> None:
    """An account from its name to its connection."""
    terminal.say("An account, and its QR as a picture:")
    terminal.type('towerctl add sales --display-name "Sales desk"')
    terminal.type("towerctl qr sales -o qr.png")
    whatsapp.scan("/root/qr.png", PHONE)
    terminal.say("The colleague with the phone scans `qr.png`.")
    terminal.type("towerctl wait sales --for connected --timeout 60")
    assert f"{PHONE}@s.whatsapp.net" in terminal.type("towerctl list")


def reboot(terminal: Terminal, machine: Machine) -> None:
    """The machine goes and comes back, and so does the account, by itself."""
    shown = qrs_shown(machine)
    terminal.say("The machine reboots.")
    machine.reboot()
    terminal.show("systemctl reboot")
    terminal.say("After it, without a new QR:")
    terminal.type("towerctl wait sales --for connected --timeout 60")
    terminal.type("towerctl list")
    terminal.type("towerctl status")
    assert qrs_shown(machine) == shown == 1


def upgrade(terminal: Terminal, machine: Machine, package: Path) -> None:
    """Another version over the one that runs: the service is restarted, and the state kept."""
    pid = machine.main_pid()
    terminal.say("A new version. The package restarts the service; who asks meanwhile waits in the socket.")
    terminal.type(f"dpkg -i {package.name}")
    version = package.name.split("_")[1].partition("-")[0]
    assert terminal.type("towerctl version").count(version) == 2
    terminal.type("towerctl wait sales --for connected --timeout 60")
    terminal.type("towerctl list")
    assert machine.main_pid() != pid


def remove(terminal: Terminal, machine: Machine) -> None:
    """The program goes; accounts and configuration stay."""
    terminal.say(
        "Removed, the program is gone; accounts and configuration are still there for the next installation."
    )
    terminal.type("dpkg --remove tower")
    assert terminal.type("ls -d /usr/bin/towerctl /var/lib/tower /etc/tower", status=2).count("\n") == 3
    assert machine.outcome("pgrep", "--uid", "tower").stdout == ""


def reinstall(terminal: Terminal, machine: Machine, package: Path) -> None:
    """What a removal left is taken up again."""
    terminal.say("Installed again, it goes on where it was:")
    machine.run("dpkg", "-i", f"/root/{package.name}")
    terminal.show(f"dpkg -i {package.name} >/dev/null")
    terminal.type("towerctl wait sales --for connected --timeout 60")


def purge(terminal: Terminal, machine: Machine) -> None:
    """All of it goes."""
    terminal.say(
        "Purged, they are gone as well. The phone still lists the device; `towerctl remove` ends it."
    )
    terminal.type("dpkg --purge tower")
    assert terminal.type("ls -d /var/lib/tower /etc/tower /run/tower", status=2).count("No such file") == 3
    assert "could not be found" in terminal.type("systemctl status towerd.service", status=4)
    assert machine.outcome("pgrep", "--uid", "tower").stdout == ""


def qrs_shown(machine: Machine) -> int:
    """Return how many QR codes there have been."""
    answer = json.loads(machine.run("towerctl", "rpc", "event.list", '{"types": ["session.qr"]}'))
    return len(answer["events"])


def named_tower(machine: Machine) -> list[str]:
    """Return all files that are TOWER's by their name, but for what leads towerd to the simulator."""
    own = "-path /srv -o -path /root -o -path /etc/systemd/system/towerd.service.d"
    return sorted(machine.shell(f"find / -xdev \\( {own} \\) -prune -o -name '*tower*' -print").splitlines())
