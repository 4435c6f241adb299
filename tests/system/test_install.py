"""`make install` and `make uninstall` on a machine, as its administrator types them."""

from __future__ import annotations

import pytest

from tests.system import packages
from tests.system.machine import Machine
from tests.system.whatsapp import BINDS

# The wheels are gathered first, from the package index.
pytestmark = pytest.mark.timeout(900)

MAKE = "make --silent --directory /srv/checkout"
PLACES = (
    "/usr/local/bin/towerctl",
    "/usr/local/bin/towerd",
    "/usr/local/lib/tower",
    "/usr/local/lib/systemd/system/towerd.service",
    "/usr/local/lib/systemd/system/towerd.socket",
    "/usr/local/lib/sysusers.d/tower.conf",
    "/usr/local/lib/tmpfiles.d/tower.conf",
    "/usr/local/share/man/man1/towerctl.1",
    "/usr/local/share/bash-completion/completions/towerctl",
    "/usr/local/share/zsh/site-functions/_towerctl",
    "/usr/local/share/fish/vendor_completions.d/towerctl.fish",
    "/usr/local/share/doc/tower",
)


@pytest.mark.usefixtures("possible")
def test_installed_upgraded_and_uninstalled_by_make() -> None:
    packages.gather_wheels()
    with Machine(BINDS) as machine:
        machine.boot()
        said = machine.shell(f"umask 077; {MAKE} install")
        assert "systemctl enable --now towerd.socket towerd.service" in said
        assert "systemd-sysusers" not in said
        machine.run("systemctl", "enable", "--now", "towerd.socket", "towerd.service")
        machine.run("test", "-e", *" -a -e ".join(PLACES).split())
        assert machine.shell("man -w towerctl tower-rpc").count("/usr/local/") == 2

        machine.run("useradd", "--groups", "tower", "ada")
        machine.run(
            "runuser", "-u", "ada", "--", "towerctl", "rpc", "account.add", '{"name": "a", "pair": false}'
        )
        pid = machine.main_pid()
        machine.shell(f"{MAKE} install")
        assert machine.main_pid() != pid

        said = machine.shell(f"{MAKE} uninstall")
        assert "kept are /etc/tower /var/lib/tower" in said
        for place in PLACES:
            machine.run("test", "!", "-e", place)
        machine.run("test", "-e", "/var/lib/tower/tower.db", "-a", "-e", "/etc/tower/tower.toml")
        assert machine.property("towerd.service", "LoadState") == "not-found"
        assert machine.outcome("pgrep", "--uid", "tower").stdout == ""

        said = machine.outcome("sh", "-c", f"{MAKE} uninstall").stderr
        assert said.startswith("nothing is installed in /usr/local/lib/tower; ")
