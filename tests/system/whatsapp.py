"""WhatsApp inside a machine: the simulator as a service of it, and a towerd that knows no other server.

The one rule: it comes back with the machine, by itself, with the same phones.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.whatsapp.serving import INJECT

if TYPE_CHECKING:
    from tests.system.machine import Machine

CHECKOUT = Path(__file__).parents[2]
BINDS = {Path("/srv/checkout"): CHECKOUT, Path("/srv/python"): Path(sys.prefix)}
"""What a machine has to see of this one, so that a simulator can run in it."""

_PLACE = "/srv/whatsapp"
_PYTHON = ("env", "--chdir=/srv/checkout", "PYTHONDONTWRITEBYTECODE=1", "/srv/python/bin/python")
_COMMAND = (*_PYTHON, "-m", "tests.whatsapp")
_UNIT = f"""
[Unit]
Description=A WhatsApp server for tests
Before=towerd.service

[Service]
ExecStart={" ".join(_COMMAND)} serve {_PLACE}
ExecStartPost=/bin/sh -c 'until {" ".join(_COMMAND)} {_PLACE} phones; do sleep 0.1; done'

[Install]
WantedBy=multi-user.target
"""


class WhatsApp:
    """The simulator in a machine that has booted.

    Args:
        machine: made with `BINDS`.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        machine.write("/etc/systemd/system/whatsapp.service", _UNIT)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "enable", "--now", "whatsapp.service")
        self._lead_towerd_here()

    def link(self, name: str, phone: str) -> None:
        """Add an account, have its QR scanned, and return when it is connected."""
        picture = f"/root/{name}.png"
        self._machine.run("towerctl", "add", name)
        self._machine.run("towerctl", "qr", name, "-o", picture)
        self.scan(picture, phone)
        self._machine.run("towerctl", "wait", name, "--for", "connected", "--timeout", "60")

    def scan(self, image: str, phone: str) -> dict[str, Any]:
        """Scan the QR in a picture that lies in the machine."""
        return dict(self._do("scan", "--image", image, "--phone", phone))

    def devices(self, phone: str) -> list[dict[str, Any]]:
        """Return the linked devices of a phone."""
        return list(self._do("devices", phone))

    def _do(self, *arguments: str) -> Any:
        return json.loads(self._machine.run(*_COMMAND, _PLACE, *arguments))

    def _lead_towerd_here(self) -> None:
        """Have towerd, which sees neither the checkout nor the simulator's own files, find nothing but it."""
        machine = self._machine
        environment = json.loads(machine.run(*_COMMAND, _PLACE, "environment"))
        machine.run("cp", environment["SSL_CERT_FILE"], "/srv/ca.pem")
        machine.run("chmod", "0644", "/srv/ca.pem")
        machine.write("/srv/inject/sitecustomize.py", (INJECT / "sitecustomize.py").read_text())
        environment |= {"SSL_CERT_FILE": "/srv/ca.pem", "PYTHONPATH": "/srv/inject"}
        lines = "".join(f'Environment="{name}={value}"\n' for name, value in environment.items())
        machine.write("/etc/systemd/system/towerd.service.d/whatsapp.conf", f"[Service]\n{lines}")
        machine.run("systemctl", "daemon-reload")
