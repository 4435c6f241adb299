"""Every method, called by every kind of caller, on a real socket by real users."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.callers import (
    ADMIN,
    CONFIG,
    GROUP,
    MEMBER,
    OPERATOR,
    OWNER,
    STRANGER,
    VIEWER,
    Caller,
    let_everybody_in,
    needs_root,
    towerctl,
)
from tests.integration.calls import params_of, takes_account
from tests.integration.towerd import Towerd, a_towerd
from towerd.protocol.methods import METHODS

pytestmark = needs_root

ROLES = {
    "viewer": VIEWER,
    "operator": OPERATOR,
    "owner": OWNER,
    "admin": ADMIN,
    "root": 0,
    "stranger": STRANGER,
}
# Written from the contract: which roles have a right.
RIGHTS = {
    "everybody": "viewer operator owner admin root stranger",
    "read": "viewer operator owner admin root",
    "connect": "operator owner admin root",
    "disconnect": "operator owner admin root",
    "update": "operator owner admin root",
    "delete": "owner admin root",
    "admin": "admin root",
}
# Methods that are about no account in particular although their right is one over accounts.
SCOPED = {"account.health", "account.list", "daemon.doctor", "daemon.status"}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def shared() -> Iterator[Towerd]:
    """A daemon with the grants of `CONFIG`, to which everybody may connect."""
    with a_towerd() as one:
        one.config.write_text(CONFIG)
        one.start()
        let_everybody_in(one)
        yield one


def expected(method: str, role: str) -> str | None:
    """Return the refusal that the contract wants, None when the call is permitted."""
    is_permitted = role in RIGHTS[METHODS[method].right].split()
    if method == "account.add" or method in SCOPED or is_permitted:
        return None
    return "account-not-found" if looks_for_account(method) and role == "stranger" else "not-permitted"


def looks_for_account(method: str) -> bool:
    """Tell whether it matters which account is meant: what is the admins' is refused to others first."""
    return takes_account(method) and METHODS[method].right != "admin"


@pytest.mark.parametrize("role", list(ROLES))
@pytest.mark.parametrize("method", list(METHODS))
def test_method_is_permitted_to_whom_the_contract_says(shared: Towerd, method: str, role: str) -> None:
    name = f"n-{next(_numbers)}"
    account = Caller(shared, OWNER).add(name)
    answer = Caller(shared, ROLES[role]).exchange(method, **params_of(method, f"{OWNER}/{name}"))
    slug = answer["error"]["data"]["slug"] if "error" in answer else None
    wanted = expected(method, role)
    if wanted is None:
        assert slug not in ("not-permitted", "account-not-found", "account-ambiguous"), answer
    else:
        assert slug == wanted, answer
    if wanted == "not-permitted":
        assert answer["error"]["data"]["exit"] == 4
        assert METHODS[method].right in answer["error"]["message"]
        rows = shared.ask("audit.list", actions=[method])["audits"]
        about = {"id": account["id"], "name": name} if looks_for_account(method) else None
        last = rows[-1]
        assert (last["uid"], last["account"], last["result"]) == (ROLES[role], about, "not-permitted")
    for left in shared.ask("account.list")["accounts"]:
        shared.ask("account.remove", account=left["id"])


def test_methods_with_a_right_over_accounts_take_one() -> None:
    """One that does not is scoped to what the caller sees, which has to be said here, and tested below."""
    rights = {"read", "connect", "disconnect", "update", "delete"}
    without = {name for name, row in METHODS.items() if row.right in rights and not takes_account(name)}
    assert without == SCOPED | {"account.add"}


@pytest.fixture
def shop(shared: Towerd) -> Iterator[str]:
    """Return the id of an account of the owner's, called shop."""
    owner = Caller(shared, OWNER)
    account = owner.add("shop")
    yield account["id"]
    owner.ask("account.remove", account=account["id"], if_present=True)


def test_role_by_group_is_that_of_the_calling_process(shared: Towerd, shop: str) -> None:
    assert Caller(shared, MEMBER, groups=[7, GROUP]).ask("account.get", account=shop)
    error = Caller(shared, MEMBER, groups=[7]).refusal("account.get", account=shop)
    assert error["slug"] == "account-not-found"


def test_refusal_names_the_right_and_who_has_it(shared: Towerd, shop: str) -> None:
    error = Caller(shared, VIEWER).refusal("account.qr", account=shop)
    assert (error["slug"], error["exit"]) == ("not-permitted", 4)
    assert error["message"] == f"the right to connect {OWNER}/shop is missing: you are its viewer"
    assert error["hint"] == (
        f"its owner {OWNER} has it; root can make you operator: [access] in tower.toml(5)"
    )


def test_account_may_be_left_out_where_the_caller_sees_exactly_one(shared: Towerd, shop: str) -> None:
    stranger = Caller(shared, STRANGER + 1)
    own = stranger.add("own")
    assert stranger.ask("account.get")["account"]["id"] == own["id"]
    assert Caller(shared, VIEWER).ask("account.get")["account"]["id"] == shop
    assert Caller(shared, VIEWER).refusal("account.start")["slug"] == "not-permitted"
    assert shared.exchange("account.get")["error"]["data"]["slug"] == "account-ambiguous"
    stranger.ask("account.remove", account="own")
    assert stranger.refusal("account.get")["slug"] == "account-not-found"


def test_destroying_another_account_takes_its_full_name(shared: Towerd, shop: str) -> None:
    admin = Caller(shared, ADMIN)
    assert admin.ask("account.get", account="shop")["account"]["id"] == shop
    for method in ("account.unpair", "account.logout", "account.remove"):
        error = admin.refusal(method, account="shop")
        assert error["slug"] == "account-not-found"
        assert f"{OWNER}/shop" in error["hint"]
    assert not admin.ask("account.remove", account="shop", if_present=True)["removed"]
    assert admin.ask("account.remove", account=f"{OWNER}/shop")["removed"]


def test_commands_in_answers_name_the_account_as_the_caller_has_to(shared: Towerd, shop: str) -> None:
    owner, operator = Caller(shared, OWNER), Caller(shared, OPERATOR)
    assert owner.ask("account.get", account=shop)["account"]["action"] == "run: towerctl qr shop"
    action = operator.ask("account.get", account=shop)["account"]["action"]
    assert action == f"run: towerctl qr {OWNER}/shop"
    assert owner.refusal("account.qr", account=shop)["hint"] == "run: towerctl pair shop"
    assert operator.refusal("account.qr", account=shop)["hint"] == f"run: towerctl pair {OWNER}/shop"


def test_names_are_unique_for_each_owner(shared: Towerd, shop: str) -> None:
    stranger = Caller(shared, STRANGER)
    added = stranger.ask("account.add", name="shop", pair=False, if_absent=True)
    assert added["created"]
    assert added["account"]["owner_uid"] == STRANGER
    assert stranger.refusal("account.add", name="shop")["slug"] == "account-exists"
    error = shared.exchange("account.add", name="shop", pair=False)
    assert "result" in error
    for caller in (stranger, Caller(shared, 0)):
        caller.ask("account.remove", account="shop")


def test_command_line_of_another_user_ends_as_the_daemon_decides(shared: Towerd, shop: str) -> None:
    ran = towerctl(shared, VIEWER, "show", f"{OWNER}/shop")
    assert (ran.returncode, ran.stderr) == (0, "")
    ran = towerctl(shared, VIEWER, "qr", "shop")
    assert (ran.returncode, ran.stdout) == (4, "")
    assert f"the right to connect {OWNER}/shop is missing" in ran.stderr
    assert f"its owner {OWNER} has it" in ran.stderr
    ran = towerctl(shared, STRANGER, "show", "shop")
    assert (ran.returncode, ran.stdout) == (5, "")
    assert shared.ask("audit.list", actions=["account.qr"])["audits"][-1]["uid"] == VIEWER


def test_list_says_whose_accounts_they_are_to_others_than_their_owner(shared: Towerd, shop: str) -> None:
    assert "OWNER" not in towerctl(shared, OWNER, "list").stdout
    header, row = towerctl(shared, ADMIN, "list").stdout.splitlines()
    assert header.split()[-2:] == ["OWNER", "TITLE"]
    assert row.split()[-2:] == [str(OWNER), "shop"]
    assert towerctl(shared, STRANGER, "list").stdout == ""


def test_adding_can_be_kept_to_some(towerd: Towerd) -> None:
    towerd.config.write_text(f'[access]\nmay_add = ["{OWNER}", "@{GROUP}"]\n')
    towerd.start()
    let_everybody_in(towerd)
    for one in (Caller(towerd, OWNER), Caller(towerd, MEMBER, groups=[GROUP]), Caller(towerd, 0)):
        one.add("mine")
    stranger = Caller(towerd, STRANGER)
    error = stranger.refusal("account.add", name="mine")
    assert (error["slug"], error["exit"]) == ("not-permitted", 4)
    assert "access.may_add" in error["message"]
    assert stranger.refusal("account.get", account="mine")["hint"] == "there are none"
    assert [row["result"] for row in towerd.ask("audit.list", actions=["account.add"])["audits"]] == [
        *("done", "done", "done"),
        "not-permitted",
    ]


def test_owner_may_have_so_many_accounts_and_an_admin_any_number(towerd: Towerd) -> None:
    towerd.config.write_text("[limits]\naccounts_per_owner = 2\n")
    towerd.start()
    let_everybody_in(towerd)
    owner, other, root = Caller(towerd, OWNER), Caller(towerd, STRANGER), Caller(towerd, 0)
    for name in ("one", "two"):
        owner.add(name)
    error = owner.refusal("account.add", name="three")
    assert (error["slug"], error["exit"]) == ("limit-reached", 9)
    assert error["message"] == "you have 2 accounts, and may have 2"
    assert "limits.accounts_per_owner" in error["hint"]
    assert owner.ask("account.add", name="two", if_absent=True)["created"] is False
    other.add("one")
    for name in ("one", "two", "three"):
        root.add(name)
    owner.ask("account.remove", account="one")
    owner.add("three")
    assert owner.names() == ["two", "three"]


def test_reload_takes_a_role_away_at_once_also_from_a_subscription(towerd: Towerd) -> None:
    towerd.config.write_text(CONFIG)
    towerd.start()
    let_everybody_in(towerd)
    owner, viewer = Caller(towerd, OWNER), Caller(towerd, VIEWER)
    with viewer.connect() as connection, connection.makefile("rwb") as lines:
        lines.write(b'{"jsonrpc": "2.0", "id": 1, "method": "event.subscribe"}\n')
        lines.flush()
        assert b'"result"' in lines.readline()
        owner.add("before")
        assert b"before" in lines.readline()
        towerd.config.write_text("")
        towerd.ask("daemon.reload")
        owner.add("after")
        viewer.add("own")
        assert b'"own"' in lines.readline()
    assert viewer.names() == ["own"]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("account.wait", {"states": ["stopped"], "timeout_seconds": 60}),
        ("account.qr", {"newer_than": "none", "wait_seconds": 60}),
    ],
)
def test_role_that_is_taken_away_during_a_wait_tells_nothing_any_more(
    towerd: Towerd, method: str, params: dict[str, Any]
) -> None:
    towerd.config.write_text(CONFIG)
    towerd.start()
    let_everybody_in(towerd)
    owner = Caller(towerd, OWNER)
    owner.ask("account.add", name="shop")
    with Caller(towerd, OPERATOR).connect() as connection, connection.makefile("rwb") as lines:
        request = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": method,
            "params": {"account": f"{OWNER}/shop"} | params,
        }
        # Requests are begun in their order: when the second is answered the first waits.
        lines.write(
            json.dumps(request).encode() + b"\n" + b'{"jsonrpc":"2.0","id":2,"method":"daemon.version"}\n'
        )
        lines.flush()
        assert json.loads(lines.readline())["id"] == 2
        towerd.config.write_text("")
        towerd.ask("daemon.reload")
        owner.ask("account.stop", account="shop")
        answer = json.loads(lines.readline())
    assert answer["error"]["data"]["slug"] == "account-not-found"


def test_name_that_nobody_has_gives_nothing_and_is_a_problem_that_those_who_see_all_are_told(
    towerd: Towerd,
) -> None:
    towerd.config.write_text('[[access.grants]]\nrole = "viewer"\nto = ["no-such-user", "@no-such-group"]\n')
    towerd.start()
    let_everybody_in(towerd)
    words = [
        "access.grants[0].to: there is no user no-such-user",
        "access.grants[0].to: there is no group no-such-group",
    ]
    assert towerd.ask("daemon.status")["problems"] == words
    assert Caller(towerd, OWNER).ask("daemon.status")["problems"] == []
    assert all(one in towerd.said() for one in words)
    checked = towerd.refuse("--check-config")
    assert (checked.returncode, checked.stdout) == (0, f"{towerd.config}: ok\n")
    assert checked.stderr.splitlines() == [f"towerd: warning: {one}" for one in words]
