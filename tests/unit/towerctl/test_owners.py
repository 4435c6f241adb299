"""Accounts of others: how they are shown, and how commands that are printed name them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.towerctl.conftest import Tower
from tests.unit.towerctl.fake_daemon import FakeDaemon, account, error

ANNS = {"owner": "ann", "owner_uid": 1_900_000_001}


def accounts(*found: dict[str, Any]) -> dict[str, Any]:
    return {"accounts": list(found)}


def columns(text: str) -> list[str]:
    return text.splitlines()[0].split()


def test_list_of_own_accounts_has_no_column_of_owners(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.list", accounts(account("shop"), account("office")))
    assert "OWNER" not in columns(tower("list").out)


@pytest.mark.parametrize("others", [[account("shop")], []])
def test_list_of_accounts_of_others_says_whose_they_are_before_the_title(
    tower: Tower, daemon: FakeDaemon, others: list[dict[str, Any]]
) -> None:
    daemon.prepare("account.list", accounts(*others, account("sales", **ANNS, push_name="Anna")))
    out = tower("list").out
    assert columns(out)[-2:] == ["OWNER", "TITLE"]
    assert out.splitlines()[-1].split()[-2:] == ["ann", "Anna"]
    assert out.splitlines()[-1].startswith("sales ")


@pytest.mark.parametrize(("fields", "name"), [({}, "sales"), (ANNS, "ann/sales")])
def test_commands_that_are_printed_name_the_account_as_the_caller_has_to(
    tower: Tower, daemon: FakeDaemon, fields: dict[str, Any], name: str
) -> None:
    daemon.prepare("account.pair", {"account": account("sales", state="pairing", **fields)})
    assert f"next: towerctl qr {name} -o qr.png" in tower("pair", "x").err
    answer = {"account": account("sales", state="stopped", action=None, **fields), "outcome": "needs-human"}
    daemon.prepare("account.wait", answer)
    assert f"towerctl show {name}" in tower("wait", "x", "--for", "connected").err
    daemon.prepare("account.logout", {"account": account("sales", **fields), "logout": "unknown"})
    assert f"towerctl unpair {name}" in tower("logout", "x", "--yes").err


def test_all_are_told_apart_by_owner(tower: Tower, daemon: FakeDaemon) -> None:
    own, anns = account("shop"), account("shop", **ANNS, id="a-annsannsann")
    daemon.prepare("account.list", accounts(own, anns))
    daemon.prepare(
        "account.start",
        lambda _connection, params: {"account": own if params["account"] == own["id"] else anns},
    )
    assert [line.partition(":")[0] for line in tower("start", "--all").out.splitlines()] == [
        "shop",
        "ann/shop",
    ]


def test_what_is_not_permitted_ends_with_4_and_says_who_may(tower: Tower, daemon: FakeDaemon) -> None:
    refusal = error("not-permitted", "the right to connect ann/sales is missing", hint="its owner ann has it")
    daemon.prepare("account.qr", refusal)
    ran = tower("qr", "ann/sales")
    assert ran.status == 4
    assert "right to connect" in ran.err
    assert "its owner ann has it" in ran.err
