"""The table of rights, and the grants of the configuration."""

from __future__ import annotations

import asyncio
import logging
from typing import get_args

import pytest

from tests.unit.towerd.builders import settings_of
from tests.unit.towerd.waiting import run, until
from towerd import access
from towerd.access import RIGHTS, Access, Caller, Role
from towerd.config import AccessConfig, Config, Grant
from towerd.config_files import Reading
from towerd.protocol.errors import TowerError
from towerd.protocol.methods import METHODS, Right

DAEMON, ALICE, BOB, MONITOR = 900, 1001, 1002, 1003
SUPPORT = 5000

# Written from the contract: rights of viewer, operator, owner, admin.
CONTRACT = {
    "read": "viewer operator owner admin",
    "connect": "operator owner admin",
    "disconnect": "operator owner admin",
    "update": "operator owner admin",
    "delete": "owner admin",
    "admin": "admin",
}


class Directory:
    """A user database that can be away."""

    def __init__(self) -> None:
        self.is_away = False
        self.users = {"alice": ALICE, "bob": BOB, "monitor": MONITOR}
        self.groups = {"support": SUPPORT}

    def uid_of(self, name: str) -> int | None:
        return int(name) if name.isdigit() else None if self.is_away else self.users.get(name)

    def gid_of(self, name: str) -> int | None:
        return int(name) if name.isdigit() else None if self.is_away else self.groups.get(name)


def an_access(*grants: Grant, directory: Directory | None = None, **keys: tuple[str, ...]) -> Access:
    settings = settings_of(access=AccessConfig(grants=grants, **keys))
    return Access(settings, own_uid=DAEMON, users=directory or Directory())  # type: ignore[arg-type]


def a_caller(uid: int, *grants: Grant, groups: tuple[int, ...] = (), **keys: tuple[str, ...]) -> Caller:
    return an_access(*grants, **keys).caller(uid, frozenset(groups))


def rights(caller: Caller, owner_uid: int | None) -> set[str]:
    return {right for right in CONTRACT if caller.may(right, owner_uid)}  # type: ignore[arg-type]


@pytest.mark.parametrize("right", list(CONTRACT))
def test_right_belongs_to_the_roles_of_the_contract(right: Right) -> None:
    assert {role for role in RIGHTS if right in RIGHTS[role]} == set(CONTRACT[right].split())


def test_table_has_every_role_and_every_right_that_a_method_needs() -> None:
    assert set(RIGHTS) == set(get_args(Role))
    assert set().union(*RIGHTS.values()) == set(get_args(Right)) - {"everybody"}
    assert {method.right for method in METHODS.values()} <= set(get_args(Right))


def test_without_grants_everybody_owns_the_own_accounts_and_sees_no_others() -> None:
    caller = a_caller(ALICE)
    assert rights(caller, ALICE) == set(CONTRACT) - {"admin"}
    assert rights(caller, BOB) == set()
    assert rights(caller, None) == set()
    assert not caller.sees_all


@pytest.mark.parametrize("uid", [0, DAEMON])
def test_root_and_the_user_of_the_daemon_may_do_everything(uid: int) -> None:
    caller = a_caller(uid)
    assert rights(caller, ALICE) == rights(caller, None) == set(CONTRACT)
    assert caller.sees_all


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_role_over_all_accounts_reaches_all_and_the_daemon(role: Role) -> None:
    caller = a_caller(MONITOR, Grant(role=role, to=("monitor",)))  # type: ignore[arg-type]
    assert rights(caller, ALICE) == rights(caller, BOB) == rights(caller, None) == set(RIGHTS[role])
    assert caller.sees_all


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_role_over_some_owners_reaches_their_accounts_and_nothing_of_the_daemon(role: Role) -> None:
    caller = a_caller(MONITOR, Grant(role=role, to=("monitor",), owners=("alice",)))  # type: ignore[arg-type]
    assert rights(caller, ALICE) == set(RIGHTS[role])
    assert rights(caller, BOB) == rights(caller, None) == set()
    assert not caller.sees_all


def test_role_takes_nothing_away_from_an_owner_and_several_add_up() -> None:
    grants = (
        Grant(role="viewer", to=("*",)),
        Grant(role="operator", to=("@support",), owners=("bob",)),
    )
    caller = a_caller(ALICE, *grants, groups=(SUPPORT,))
    assert rights(caller, ALICE) == set(CONTRACT) - {"admin"}
    assert rights(caller, BOB) == {"read", "connect", "disconnect", "update"}
    assert rights(caller, MONITOR) == {"read"}


def test_group_gives_its_role_to_its_members_only() -> None:
    grant = Grant(role="viewer", to=("@support",))
    assert a_caller(ALICE, grant, groups=(7, SUPPORT)).may("read", BOB)
    assert not a_caller(ALICE, grant, groups=(7,)).may("read", BOB)
    # A user of the group's number is no member.
    assert not a_caller(SUPPORT, grant).may("read", BOB)


def test_numbers_stand_for_themselves() -> None:
    grant = Grant(role="viewer", to=("4711", "@4712"), owners=("1001",))
    assert a_caller(4711, grant).may("read", ALICE)
    assert a_caller(1, grant, groups=(4712,)).may("read", ALICE)
    assert not a_caller(4712, grant).may("read", ALICE)


def test_everybody_may_add_unless_the_configuration_names_who() -> None:
    assert a_caller(ALICE).may_add
    assert a_caller(ALICE, may_add=("alice",)).may_add
    assert a_caller(BOB, may_add=("@support",), groups=(SUPPORT,)).may_add
    assert not a_caller(BOB, may_add=("alice", "@support")).may_add
    assert not a_caller(BOB, may_add=()).may_add


def test_admins_may_always_add_but_not_those_of_some_owners() -> None:
    assert a_caller(0, may_add=()).may_add
    assert a_caller(BOB, Grant(role="admin", to=("bob",)), may_add=()).may_add
    assert not a_caller(BOB, Grant(role="admin", to=("bob",), owners=("alice",)), may_add=()).may_add


def test_unknown_names_give_nothing_and_are_told() -> None:
    grants = (
        Grant(role="admin", to=("ghost", "@ghosts", "alice")),
        Grant(role="viewer", to=("bob",), owners=("ghost",)),
        # Groups own nothing.
        Grant(role="viewer", to=("bob",), owners=("@ghosts",)),
    )
    made = an_access(*grants, may_add=("spirit",))
    assert made.unknown == [
        "access.grants[0].to: there is no user ghost",
        "access.grants[0].to: there is no group ghosts",
        "access.grants[1].owners: there is no user ghost",
        "access.grants[2].owners: there is no group ghosts",
        "access.may_add: there is no user spirit",
    ]
    assert made.caller(ALICE, frozenset()).may("admin", None)
    bob = made.caller(BOB, frozenset())
    assert rights(bob, ALICE) == rights(bob, None) == set()


def test_names_are_looked_up_again_while_the_directory_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access, "LOOK_AGAIN_SECONDS", 0.001)
    directory = Directory()
    directory.is_away = True
    with caplog.at_level(logging.WARNING):
        made = an_access(Grant(role="viewer", to=("monitor", "@support")), directory=directory)
    assert "there is no user monitor" in caplog.text
    assert "there is no group support" in caplog.text
    assert not made.caller(MONITOR, frozenset()).may("read", ALICE)

    async def scene() -> None:
        watch = asyncio.create_task(made.watch())
        directory.is_away = False
        await until(lambda: made.caller(MONITOR, frozenset()).may("read", ALICE), "the name")
        watch.cancel()

    run(scene())
    assert made.unknown == []


def test_reloaded_configuration_holds_for_the_next_question() -> None:
    settings = settings_of(access=AccessConfig(grants=(Grant(role="viewer", to=("1002",)),)))
    made = Access(settings, own_uid=DAEMON)
    assert made.caller(BOB, frozenset()).may("read", ALICE)
    settings.take(Reading(config=Config(access=AccessConfig(may_add=())), sources={}))
    bob = made.caller(BOB, frozenset())
    assert not bob.may("read", ALICE)
    assert not bob.may_add


@pytest.mark.parametrize(
    ("right", "role", "granted"),
    [
        ("connect", "viewer", "operator"),
        ("disconnect", "viewer", "operator"),
        ("update", "viewer", "operator"),
        ("delete", "viewer", "admin"),
        ("delete", "operator", "admin"),
    ],
)
def test_refusal_names_the_right_who_has_it_and_who_can_grant_it(
    right: Right, role: Role, granted: str
) -> None:
    caller = a_caller(MONITOR, Grant(role=role, to=("monitor",)))  # type: ignore[arg-type]
    with pytest.raises(TowerError) as caught:
        caller.require(right, ALICE, "1001/sales")
    assert caught.value.slug == "not-permitted"
    assert caught.value.kind.exit == 4
    assert f"right to {right} 1001/sales" in caught.value.message
    assert role in caught.value.message
    assert "owner 1001 has it" in (caught.value.hint or "")
    assert f"root can make you {granted}" in (caught.value.hint or "")
    assert "tower.toml(5)" in (caught.value.hint or "")


def test_refusals_about_the_daemon_and_about_adding_say_who_decides() -> None:
    caller = a_caller(ALICE, may_add=())
    for insist in (lambda: caller.require_daemon("admin"), caller.require_adding):
        with pytest.raises(TowerError) as caught:
            insist()
        assert caught.value.slug == "not-permitted"
        assert "root" in (caught.value.hint or "")


def test_what_is_permitted_is_not_refused() -> None:
    caller = a_caller(ALICE)
    for right in get_args(Right)[1:-1]:
        caller.require(right, ALICE, "sales")
    caller.require_adding()
    a_caller(0).require_daemon("admin")
