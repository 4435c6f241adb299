"""`towerctl doctor` under a real systemd: the service is broken, seen, and mended by the command it names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.system.machine import Machine

# The package is built first, from the package index.
pytestmark = pytest.mark.timeout(900)

SERVICE, SOCKET = "towerd.service", "/run/tower/tower.sock"
LIMITS = f"/etc/systemd/system/{SERVICE}.d/limits.conf"
DROP_IN = f"/etc/systemd/system/{SERVICE}.d/test.conf"
# There is no network, and so no WhatsApp; nor is there a key.
NOT_HERE = {"dns", "reach", "key"}


def examine(server: Machine, user: str = "root") -> tuple[int, list[dict[str, Any]]]:
    """Return the exit status, and what is wrong as somebody is told."""
    done = server.outcome("runuser", "-u", user, "--", "towerctl", "doctor", "--json")
    assert done.stderr == ""
    findings = json.loads(done.stdout)["findings"]
    wrong = [one for one in findings if one["level"] in ("warning", "failure")]
    return done.returncode, [one for one in wrong if one["check"] not in NOT_HERE]


def wrong(server: Machine, check: str, user: str = "root") -> dict[str, Any]:
    """Return the one thing that a check finds wrong."""
    status, findings = examine(server, user)
    (found,) = [one for one in findings if one["check"] == check]
    assert status == 2 or found["level"] == "warning"
    return found


def mend(server: Machine, finding: dict[str, Any]) -> None:
    """Do what a finding says, and see that it was all there was to do."""
    server.shell(finding["command"])
    assert examine(server)[1] == []
    server.run("towerctl", "list")


def test_a_service_that_nothing_is_wrong_with(server: Machine) -> None:
    assert examine(server)[1] == []


def test_a_failed_unit_is_named_and_reset_failed_brings_it_back(server: Machine) -> None:
    server.write(LIMITS, "[Unit]\nStartLimitBurst=2\n[Service]\nRestartSec=100ms\n")
    server.write(DROP_IN, "[Service]\nLoadCredential=tower-store-key:/nowhere\n")
    server.run("systemctl", "daemon-reload")
    server.run("systemctl", "restart", SERVICE, status=1)
    server.wait_until(f"systemctl is-failed --quiet {SERVICE} && systemctl is-failed --quiet towerd.socket")
    found = {one["check"]: one for one in examine(server)[1]}
    assert "reset-failed" in found["units"]["command"]
    assert found["socket"]["command"] == found["units"]["command"]
    assert f"{SERVICE} has failed: a credential cannot be loaded" in found["units"]["line"]
    # The cause first, as the finding says.
    server.run("rm", DROP_IN)
    server.run("systemctl", "daemon-reload")
    mend(server, found["units"])


def test_a_service_that_is_stopped_or_masked_or_does_not_start_with_the_machine(server: Machine) -> None:
    server.run("systemctl", "stop", "towerd.socket", SERVICE)
    assert {one["check"] for one in examine(server)[1]} == {"socket", "units"}
    mend(server, wrong(server, "units"))
    server.run("systemctl", "disable", "towerd.socket", SERVICE)
    found = wrong(server, "units")
    assert found["level"] == "warning"
    mend(server, found)
    server.run("systemctl", "mask", SERVICE)
    server.run("systemctl", "stop", "towerd.socket", SERVICE)
    found = wrong(server, "units")
    assert found["line"].endswith(f": {SERVICE}")
    mend(server, found)


def test_an_invalid_configuration_is_named_by_file_and_key(server: Machine) -> None:
    server.write("/etc/tower/tower.d/10-site.toml", "[truth]\nquiet_seconds = 0\n")
    server.run("systemctl", "restart", SERVICE, status=1)
    found = wrong(server, "configuration")
    assert found["line"].startswith("/etc/tower/tower.d/10-site.toml: truth.quiet_seconds: ")
    checked = server.outcome("sh", "-c", found["command"])
    assert (checked.returncode, found["line"] in checked.stderr) == (78, True)
    server.run("rm", "/etc/tower/tower.d/10-site.toml")
    # The socket is there still, so that a request starts the service.
    assert examine(server)[1] == []


def test_a_socket_that_is_kept_from_the_group_is_seen_by_root_and_by_members(server: Machine) -> None:
    server.run("useradd", "--groups", "tower", "ada")
    for harm in (f"chgrp root {SOCKET}", f"chmod 0600 {SOCKET}", "chmod 0700 /run/tower"):
        server.shell(harm)
        refused = server.outcome("runuser", "-u", "ada", "--", "towerctl", "list")
        assert (refused.returncode, "sudo towerctl doctor" in refused.stderr) == (3, True)
        assert "group" in {one["check"] for one in examine(server, "ada")[1]}
        mend(server, wrong(server, "group"))
        assert examine(server, "ada") == (0, [])


def test_a_socket_that_was_taken_away_and_one_that_is_open_to_all(server: Machine) -> None:
    server.run("rm", SOCKET)
    mend(server, wrong(server, "socket"))
    server.run("chmod", "0666", SOCKET)
    mend(server, wrong(server, "permissions"))


def test_a_user_outside_the_group_is_told_how_to_get_in(server: Machine) -> None:
    server.run("useradd", "eve")
    _, findings = examine(server, "eve")
    (group,) = [one for one in findings if one["check"] == "group"]
    assert group["command"].startswith("sudo usermod -aG tower eve ")
    server.shell(group["command"].removeprefix("sudo "))
    assert examine(server, "eve") == (0, [])


def test_an_owner_who_is_gone_is_named_with_the_accounts_and_can_be_made_again(server: Machine) -> None:
    server.run("useradd", "--groups", "tower", "ada")
    server.run("runuser", "-u", "ada", "--", "towerctl", "add", "sales", "--no-pair")
    server.run("userdel", "ada")
    found = wrong(server, "owners")
    assert found["level"] == "warning"
    assert found["line"].endswith("/sales")
    server.shell(found["command"])
    assert [one for one in examine(server)[1] if one["check"] == "owners"] == []
