"""Accounts that files declare, over real sessions: their coming and going, and proxies of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.whatsapp.relay import Kind, Relay
from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.tower import Tower
    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"
PASSWORD = "s3cret-of-the-proxy"
LOGIN = f"tower:{PASSWORD}"


@pytest.fixture
def directory(tower: Tower) -> Path:
    made = tower.directory / "accounts.d"
    made.mkdir()
    return made


def declare(directory: Path, name: str, *lines: str) -> Path:
    file = directory / f"{name}.toml"
    draft = directory / "draft"
    draft.write_text("\n".join((f'name = "{name}"', *lines, "")))
    draft.replace(file)
    return file


def wait_for_account(tower: Tower, name: str) -> None:
    wait_for(lambda: name in tower.ctl("list"), what=f"the account {name}")


def link(tower: Tower, simulator: Simulator, name: str) -> None:
    """Link an account that is there, as a person would: by its QR."""
    answer = tower.rpc("account.qr", account=name, wait_seconds=30, start=True)
    simulator.scan(answer["qr"]["data"], PHONE)
    tower.wait_for_state(name, "connected")


def test_a_declared_account_pairs_stops_with_its_file_and_comes_back_linked(
    tower: Tower, simulator: Simulator, directory: Path
) -> None:
    file = declare(directory, "sales", f'expected_phone = "+{PHONE}"')
    wait_for_account(tower, "sales")
    link(tower, simulator, "sales")
    file.unlink()
    gone = tower.wait_for_state("sales", "stopped")
    assert gone["reason"] == "declaration-gone"
    simulator.wait_offline(PHONE)
    assert len(simulator.devices(PHONE)) == 1
    declare(directory, "sales", f'expected_phone = "+{PHONE}"')
    wait_for(lambda: tower.account("sales")["state"] == "connected", seconds=60, what="the login")
    assert tower.account("sales")["id"] == gone["id"]
    assert len(simulator.devices(PHONE)) == 1
    # No QR was asked for since the file went.
    went = next(one["id"] for one in tower.events("account.declared") if one["data"]["change"] == "gone")
    assert [one for one in tower.events("session.qr") if one["id"] > went] == []


def test_a_file_that_goes_while_the_daemon_is_away_keeps_the_account_from_logging_in(
    tower: Tower, simulator: Simulator, directory: Path
) -> None:
    file = declare(directory, "sales")
    wait_for_account(tower, "sales")
    link(tower, simulator, "sales")
    tower.terminate()
    simulator.wait_offline(PHONE)
    logins = len(simulator.log()["connections"])
    file.unlink()
    tower.start()
    assert tower.wait_for_state("sales", "stopped")["reason"] == "declaration-gone"
    assert len(simulator.log()["connections"]) == logins


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_an_account_with_a_proxy_of_its_own_goes_through_it_and_never_past_it(
    tower: Tower, simulator: Simulator, directory: Path, tmp_path: Path, untouched: None, kind: Kind
) -> None:
    proxy_file = tmp_path / "proxy"
    others = connections(simulator)
    with Relay(simulator, kind, login=LOGIN) as relay:
        proxy_file.write_text(relay.url + "\n")
        declare(directory, "sales", f'proxy_file = "{proxy_file}"')
        wait_for_account(tower, "sales")
        link(tower, simulator, "sales")
        # Every connection that the server saw came through the proxy, the login after the scan included.
        assert len(relay.targets) == connections(simulator) - others >= 2
        if kind == "http":
            assert set(relay.targets) == {"web.whatsapp.com:443"}

        # It refuses: the account says so, and nothing gets to the server another way.
        seen = connections(simulator)
        relay.refuses = True
        relay.drop()
        wait_for(lambda: relay.refused > 0, seconds=60, what="a refusal")
        refused = tower.wait_for_state("sales", "reconnecting")
        wait_for(lambda: tower.account("sales")["reason"] == "proxy", seconds=60, what="the reason")
        assert refused["phone"] == f"+{PHONE}"
        tower.ctl("restart", "sales")
        wait_for(lambda: tower.account("sales")["reason"] == "proxy", seconds=60, what="the reason")
        assert connections(simulator) == seen
        relay.refuses = False
        tower.wait_for_state("sales", "connected", seconds=60)
        assert len(relay.targets) == connections(simulator) - others

    # It is gone altogether.
    seen = connections(simulator)
    tower.ctl("restart", "sales")
    wait_for(lambda: tower.account("sales")["reason"] == "proxy", seconds=60, what="the reason")
    assert connections(simulator) == seen
    assert_secret(tower, PASSWORD)


def test_a_restart_of_the_daemon_does_not_get_past_a_proxy_that_is_gone(
    tower: Tower, simulator: Simulator, directory: Path, tmp_path: Path
) -> None:
    proxy_file = tmp_path / "proxy"
    with Relay(simulator, "http", login=LOGIN) as relay:
        proxy_file.write_text(relay.url + "\n")
        declare(directory, "sales", f'proxy_file = "{proxy_file}"')
        wait_for_account(tower, "sales")
        link(tower, simulator, "sales")
    tower.terminate()
    seen = connections(simulator)
    tower.start()
    wait_for(lambda: tower.account("sales")["reason"] == "proxy", seconds=60, what="the reason")
    assert connections(simulator) == seen
    assert_secret(tower, PASSWORD)


def connections(simulator: Simulator) -> int:
    """Return how many connections the server has seen."""
    return len(simulator.log()["connections"])


def assert_secret(tower: Tower, secret: str) -> None:
    """Assert that something stands in no log (at debug), no answer, and no file of the daemon's."""
    assert secret not in tower.log()
    for words in (("show", "sales"), ("events",), ("audit",), ("status",), ("list",)):
        assert secret not in tower.ctl(*words, "--json")
    for file in (path for path in tower.state.rglob("*") if path.is_file()):
        assert secret.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("content", [None, "", "proxy.example:3128", "direct://"])
def test_an_account_whose_proxy_cannot_be_read_does_not_start(
    tower: Tower, simulator: Simulator, directory: Path, tmp_path: Path, untouched: None, content: str | None
) -> None:
    others = connections(simulator)
    proxy_file = tmp_path / "proxy"
    if content is not None:
        proxy_file.write_text(content)
    declare(directory, "sales", f'proxy_file = "{proxy_file}"')
    wait_for_account(tower, "sales")
    tower.ctl("pair", "sales")
    failed = tower.wait_for_state("sales", "failed")
    assert failed["reason"] == "proxy-unreadable"
    assert "towerctl start sales" in failed["action"]
    refused = tower.run("qr", "sales")
    assert refused.returncode == 8
    assert connections(simulator) == others
    with Relay(simulator) as relay:
        proxy_file.write_text(relay.url)
        tower.ctl("start", "sales")
        link(tower, simulator, "sales")
        assert len(relay.targets) == connections(simulator) - others
