"""Accounts that files declare: created, changed and stopped as the files come and go."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.towerd import Towerd, environment
from tests.whatsapp.simulator import wait_for


@pytest.fixture
def directory(towerd: Towerd) -> Path:
    towerd.config.write_text("")
    (towerd.directory / "accounts.d").mkdir()
    return towerd.directory / "accounts.d"


def put(file: Path, content: str) -> Path:
    """Write a file in one step, as whoever declares accounts should."""
    draft = file.with_name(f"{file.name}.draft")
    draft.write_text(content)
    return draft.replace(file)


def account(towerd: Towerd, name: str) -> dict[str, Any]:
    return dict(towerd.ask("account.get", account=name)["account"])


def accounts(towerd: Towerd) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in towerd.ask("account.list")["accounts"]}


def problems(towerd: Towerd) -> list[str]:
    return list(towerd.ask("daemon.status")["problems"])


def wait_until(
    towerd: Towerd, name: str, probe: Callable[[dict[str, Any]], object], what: str
) -> dict[str, Any]:
    wait_for(lambda: name in accounts(towerd) and probe(accounts(towerd)[name]), what=what)
    return accounts(towerd)[name]


def towerctl(towerd: Towerd, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "towerctl", "--socket", str(towerd.socket), *arguments],
        env=environment(towerd.directory),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


WHOLE = """
name = "sales-berlin"
display_name = "Sales Berlin"
owner = 4711
desired = "stopped"
expected_phone = "+49 170 1234567"
proxy_file = "/etc/tower/proxies/berlin"

[limits]
daily = 500
per_minute = 10
"""


def test_what_the_files_say_is_there_before_the_socket_answers(towerd: Towerd, directory: Path) -> None:
    put(directory / "sales.toml", WHOLE)
    put(directory / "shop.toml", 'display_name = "Shop"\n')
    towerd.start()
    assert list(accounts(towerd)) == ["sales-berlin", "shop"]
    sales = account(towerd, "sales-berlin")
    assert (sales["display_name"], sales["owner_uid"], sales["desired"]) == ("Sales Berlin", 4711, "stopped")
    assert (sales["state"], sales["reason"]) == ("stopped", "stopped-by-declaration")
    assert "accounts.d/sales.toml" in sales["action"]
    assert sales["expected_phone"] == "+491701234567"
    assert sales["limits"] == {"daily": 500, "per_minute": 10}
    assert sales["proxy_file"] == "/etc/tower/proxies/berlin"
    assert sales["declaration"] == {"file": "accounts.d/sales.toml", "desired": "stopped", "is_gone": False}
    shop = account(towerd, "shop")
    assert (shop["owner_uid"], shop["state"], shop["reason"]) == (os.getuid(), "unpaired", "never-paired")
    rows = towerd.ask("audit.list", actions=["account.add"])["audits"]
    assert [(row["source"], row["account"]["name"]) for row in rows] == [
        ("drop-in", "sales-berlin"),
        ("drop-in", "shop"),
    ]


def test_a_file_that_comes_changes_goes_and_comes_back(towerd: Towerd, directory: Path) -> None:
    towerd.start()
    file = directory / "shop.toml"
    put(file, 'display_name = "Shop"\n')
    shop = wait_until(towerd, "shop", lambda one: one["display_name"] == "Shop", "the account")
    put(file, 'name = "store"\ndisplay_name = "Store"\n[limits]\ndaily = 7\n')
    store = wait_until(towerd, "store", lambda one: one["limits"]["daily"] == 7, "the change")
    assert (store["id"], store["display_name"]) == (shop["id"], "Store")
    file.rename(towerd.directory / "away")
    gone = wait_until(towerd, "store", lambda one: one["state"] == "stopped", "the stop")
    assert (gone["reason"], gone["desired"]) == ("declaration-gone", "stopped")
    assert gone["declaration"]["is_gone"]
    assert "accounts.d/shop.toml is gone" in gone["action"]
    towerd.restart()
    assert accounts(towerd)["store"]["reason"] == "declaration-gone"
    (towerd.directory / "away").rename(file)
    back = wait_until(towerd, "store", lambda one: one["state"] == "unpaired", "the start")
    assert (back["id"], back["desired"], back["reason"]) == (shop["id"], "running", "never-paired")
    wait_for(
        lambda: (
            [one["data"]["change"] for one in towerd.ask("event.list", types=["account.declared"])["events"]]
            == ["created", "changed", "gone", "returned"]
        ),
        what="the events",
    )
    rows = towerd.ask("audit.list", account="store")["audits"]
    assert [row["action"] for row in rows if row["source"] == "drop-in"] == [
        "account.add",
        "account.set",
        "account.stop",
        "account.start",
    ]


def test_files_that_came_and_went_while_the_daemon_was_away_are_settled_by_its_start(
    towerd: Towerd, directory: Path
) -> None:
    put(directory / "a.toml", 'name = "alpha"\n')
    put(directory / "b.toml", 'name = "beta"\n')
    towerd.start()
    towerd.end()
    (directory / "a.toml").unlink()
    put(directory / "b.toml", 'name = "beta"\ndisplay_name = "B"\n')
    put(directory / "c.toml", 'name = "gamma"\n')
    towerd.start()
    found = accounts(towerd)
    assert list(found) == ["alpha", "beta", "gamma"]
    assert (found["alpha"]["desired"], found["beta"]["display_name"]) == ("stopped", "B")
    stopped = wait_until(towerd, "alpha", lambda one: one["state"] == "stopped", "the stop")
    assert stopped["reason"] == "declaration-gone"


def test_a_broken_file_is_told_and_touches_nothing(towerd: Towerd, directory: Path) -> None:
    towerd.start()
    file, other = directory / "shop.toml", directory / "other.toml"
    put(file, 'display_name = "Shop"\n')
    wait_until(towerd, "shop", lambda one: one["display_name"] == "Shop", "the account")
    put(file, 'desired = "stopped"\nlimts = 3\nowner = "nobody-has-this-name"\n')
    wait_for(lambda: problems(towerd), what="the problem")
    assert [str(file) in problem for problem in problems(towerd)] == [True]
    assert "limts: unknown key" in problems(towerd)[0]
    put(other, 'display_name = "Other"\n')
    wait_until(towerd, "other", lambda one: True, "the other account")
    assert accounts(towerd)["shop"]["state"] == "unpaired"
    assert "limts: unknown key" in towerd.said()
    put(file, 'display_name = "Shop again"\n')
    wait_until(towerd, "shop", lambda one: one["display_name"] == "Shop again", "the mended file")
    wait_for(lambda: not problems(towerd), what="no problem")
    told = ["declaration.broken", "declaration.mended"]
    # Told a moment after it is so: an event is on the disk first.
    wait_for(
        lambda: [one["type"] for one in towerd.ask("event.list", types=told)["events"]] == told,
        what="both events",
    )


def test_broken_files_do_not_keep_the_daemon_from_starting(towerd: Towerd, directory: Path) -> None:
    put(directory / "bad.toml", "name = \n")
    put(directory / "good.toml", 'display_name = "Good"\n')
    checked = towerd.refuse("--check-config")
    assert checked.returncode == 0
    assert f"warning: {directory / 'bad.toml'}: not TOML" in checked.stderr
    towerd.start()
    assert list(accounts(towerd)) == ["good"]
    assert len(problems(towerd)) == 1


def test_an_account_that_is_there_is_taken_over_by_a_file_of_its_name(
    towerd: Towerd, directory: Path
) -> None:
    towerd.start()
    shop = towerd.add("shop")
    put(directory / "shop.toml", 'display_name = "Shop"\n')
    taken = wait_until(towerd, "shop", lambda one: one["declaration"], "the file's account")
    assert taken["id"] == shop["id"]
    put(directory / "a-second.toml", 'name = "shop"\n')
    wait_for(lambda: problems(towerd), what="the problem")
    assert problems(towerd) == [f"{directory / 'a-second.toml'}: name: shop.toml declares shop already"]
    assert accounts(towerd)["shop"]["declaration"]["file"] == "accounts.d/shop.toml"


def test_a_file_that_is_renamed_keeps_its_account(towerd: Towerd, directory: Path) -> None:
    put(directory / "old.toml", 'name = "shop"\n')
    towerd.start()
    shop = account(towerd, "shop")
    (directory / "old.toml").rename(directory / "new.toml")
    moved = wait_until(
        towerd, "shop", lambda one: one["declaration"]["file"] == "accounts.d/new.toml", "the new file"
    )
    assert (moved["id"], moved["desired"], moved["state"]) == (shop["id"], "running", "unpaired")


def test_the_owner_of_an_account_cannot_be_changed(towerd: Towerd, directory: Path) -> None:
    file = directory / "shop.toml"
    put(file, "owner = 4711\n")
    towerd.start()
    put(file, "owner = 4712\n")
    wait_for(lambda: problems(towerd), what="the problem")
    assert "owner: the owner of shop cannot be changed" in problems(towerd)[0]
    assert account(towerd, "shop")["owner_uid"] == 4711


def test_commands_that_contradict_the_file_are_refused_and_name_it(towerd: Towerd, directory: Path) -> None:
    file = directory / "shop.toml"
    put(file, 'expected_phone = "+491701234567"\n')
    towerd.start()
    for method, params in (
        ("account.set", {"name": "store"}),
        ("account.set", {"display_name": "Store"}),
        ("account.remove", {}),
        ("account.pair", {"new_phone": True}),
    ):
        error = towerd.exchange(method, account="shop", **params)["error"]
        assert error["data"]["slug"] == "wrong-state"
        assert str(file) in error["message"]
    refused = towerctl(towerd, "remove", "shop", "--yes")
    assert refused.returncode == 6
    assert "delete the file" in refused.stderr
    file.unlink()
    wait_until(towerd, "shop", lambda one: one["state"] == "stopped", "the stop")
    towerd.ask("account.remove", account="shop")
    assert accounts(towerd) == {}


def test_an_operators_stop_stands_until_the_file_says_something_else(towerd: Towerd, directory: Path) -> None:
    file = directory / "shop.toml"
    put(file, 'desired = "running"\n')
    towerd.start()
    towerd.ask("account.stop", account="shop")
    put(file, 'desired = "running"\ndisplay_name = "Shop"\n')
    stopped = wait_until(towerd, "shop", lambda one: one["display_name"] == "Shop", "the new name")
    assert (stopped["state"], stopped["reason"]) == ("stopped", "stopped-by-operator")
    towerd.restart()
    assert accounts(towerd)["shop"]["state"] == "stopped"
    put(file, 'desired = "stopped"\ndisplay_name = "Shop"\n')
    wait_until(towerd, "shop", lambda one: one["reason"] == "stopped-by-declaration", "the file's stop")
    put(file, 'display_name = "Shop"\n')
    wait_until(towerd, "shop", lambda one: one["state"] == "unpaired", "the file's start")


def test_an_account_whose_file_is_gone_is_kept_by_hand_once_it_is_started(
    towerd: Towerd, directory: Path
) -> None:
    file = directory / "shop.toml"
    put(file, 'display_name = "Shop"\n')
    towerd.start()
    file.unlink()
    wait_until(towerd, "shop", lambda one: one["state"] == "stopped", "the stop")
    started = towerd.ask("account.start", account="shop")["account"]
    assert (started["state"], started["declaration"]) == ("unpaired", None)
    towerd.restart()
    assert accounts(towerd)["shop"]["desired"] == "running"


def test_a_configuration_directory_that_is_not_there_lets_no_account_go(
    towerd: Towerd, directory: Path
) -> None:
    """A directory that is not mounted is not an empty one."""
    etc = towerd.directory / "etc"
    etc.mkdir()
    towerd.config = etc / "tower.toml"
    towerd.config.write_text("")
    (etc / "accounts.d").mkdir()
    (etc / "accounts.d" / "shop.toml").write_text('display_name = "Shop"\n')
    towerd.start()
    etc.rename(towerd.directory / "unmounted")
    wait_for(lambda: problems(towerd), what="the problem")
    assert f"{etc} is not there" in problems(towerd)[0]
    assert accounts(towerd)["shop"]["desired"] == "running"
    (towerd.directory / "unmounted").rename(etc)
    wait_for(lambda: not problems(towerd), what="no problem")
    assert accounts(towerd)["shop"]["desired"] == "running"


def test_a_reload_looks_at_the_files_and_tells_what_came_of_them(towerd: Towerd, directory: Path) -> None:
    towerd.start()
    put(directory / "shop.toml", 'display_name = "Shop"\n')
    put(directory / "bad.toml", "nme = 1\n")
    reloaded = towerctl(towerd, "reload")
    assert reloaded.returncode == 2
    assert f"{directory / 'bad.toml'}: nme: unknown key" in reloaded.stderr
    assert list(accounts(towerd)) == ["shop"]
    (directory / "bad.toml").unlink()
    assert towerctl(towerd, "reload").returncode == 0
