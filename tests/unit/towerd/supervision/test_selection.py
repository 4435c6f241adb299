"""Which account a caller means, and that what a caller may not see does not exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from tests.unit.towerd.builders import JID, NOW, a_linked_account, account_id, an_account, settings_of
from towerd.access import Access, Caller
from towerd.accounts.records import AccountRecord
from towerd.config import AccessConfig, Grant
from towerd.protocol.errors import TowerError
from towerd.supervision.selection import address, is_id_of_none, select, visible

# Nobody has these numbers, so that owners are named by them on every machine.
ALICE, BOB, CAROL = 1_900_000_001, 1_900_000_002, 1_900_000_003


@dataclass
class Held:
    record: AccountRecord

    @property
    def name(self) -> str:
        return self.record.name


class FakeKeeper:
    """What the selection looks at of a keeper."""

    def __init__(self, record: AccountRecord) -> None:
        self.account = Held(record)

    def has_address(self, given: str) -> bool:
        return given in (self.account.record.jid, self.account.record.lid)


def kept(*records: AccountRecord) -> Any:
    return [FakeKeeper(record) for record in records]


KEPT = kept(
    an_account(id=account_id(1), name="shop", owner_uid=ALICE),
    a_linked_account(id=account_id(2), name="sales", owner_uid=ALICE),
    an_account(id=account_id(3), name="shop", owner_uid=BOB),
    an_account(id=account_id(4), name="office", owner_uid=BOB, created_at=NOW + 1),
)
PHONE = "+" + JID.partition("@")[0]
LID = cast("str", KEPT[1].account.record.lid)


def a_caller(uid: int, *grants: Grant, may_add: tuple[str, ...] = ("*",)) -> Caller:
    settings = settings_of(access=AccessConfig(grants=grants, may_add=may_add))
    return Access(settings, own_uid=1).caller(uid, frozenset())


ROOT = a_caller(0)
CAROL_WHO_SEES_ALICE = a_caller(CAROL, Grant(role="viewer", to=(str(CAROL),), owners=(str(ALICE),)))


def chosen(selector: str | None, caller: Caller, *, in_full: bool = False, keepers: Any = KEPT) -> str:
    return select(keepers, selector, caller, in_full=in_full).account.record.id


def refusal(
    selector: str | None, caller: Caller, *, in_full: bool = False, keepers: Any = KEPT
) -> TowerError:
    with pytest.raises(TowerError) as caught:
        select(keepers, selector, caller, in_full=in_full)
    return caught.value


@pytest.mark.parametrize("in_full", [False, True])
@pytest.mark.parametrize(
    "selector", ["sales", account_id(2), f"{ALICE}/sales", PHONE, JID, LID, f"{ALICE}/{JID}"]
)
def test_owner_names_an_account_in_every_way_with_every_verb(selector: str, in_full: bool) -> None:
    assert chosen(selector, a_caller(ALICE), in_full=in_full) == account_id(2)


@pytest.mark.parametrize("in_full", [False, True])
@pytest.mark.parametrize("selector", [account_id(2), f"{ALICE}/sales", f"{ALICE}/{PHONE}", f"{ALICE}/{LID}"])
@pytest.mark.parametrize("caller", [ROOT, CAROL_WHO_SEES_ALICE])
def test_another_account_is_named_by_id_or_owner(caller: Caller, selector: str, in_full: bool) -> None:
    assert chosen(selector, caller, in_full=in_full) == account_id(2)


@pytest.mark.parametrize("selector", ["sales", PHONE, JID])
def test_bare_name_means_anothers_account_only_where_nothing_is_destroyed(selector: str) -> None:
    assert chosen(selector, ROOT) == account_id(2)
    error = refusal(selector, ROOT, in_full=True)
    assert error.slug == "account-not-found"
    assert f"{ALICE}/sales" in (error.hint or "")


def test_own_account_comes_first_and_else_a_name_of_two_is_ambiguous() -> None:
    sees_all = Grant(role="viewer", to=("*",))
    assert chosen("shop", a_caller(BOB, sees_all)) == account_id(3)
    error = refusal("shop", a_caller(CAROL, sees_all))
    assert error.slug == "account-ambiguous"
    assert f"{ALICE}/shop ({account_id(1)}), {BOB}/shop ({account_id(3)})" in (error.hint or "")


def test_name_is_not_ambiguous_because_of_what_one_does_not_see() -> None:
    assert chosen("shop", CAROL_WHO_SEES_ALICE) == account_id(1)


def test_left_out_it_is_the_only_one_that_the_caller_sees() -> None:
    one = a_caller(CAROL, Grant(role="viewer", to=("*",), owners=(str(BOB),)))
    assert chosen(None, one, keepers=KEPT[:3]) == account_id(3)
    assert refusal(None, one).slug == "account-ambiguous"
    assert refusal(None, a_caller(CAROL)).slug == "account-not-found"


@pytest.mark.parametrize("in_full", [False, True])
@pytest.mark.parametrize(
    ("existing", "other"),
    [
        ("sales", "ghost"),
        (account_id(2), account_id(9)),
        (f"{ALICE}/sales", f"{ALICE}/ghost"),
        (f"{ALICE}/sales", "nobody-of-this-name/sales"),
        (PHONE, "+491709999999"),
        (JID, "491709999999@s.whatsapp.net"),
        (LID, "999@lid"),
    ],
)
@pytest.mark.parametrize("caller", [a_caller(CAROL), a_caller(BOB), a_caller(CAROL, may_add=())])
def test_anothers_account_and_none_are_answered_alike(
    caller: Caller, existing: str, other: str, in_full: bool
) -> None:
    hidden = refusal(existing, caller, in_full=in_full).to_wire()
    absent = refusal(other, caller, in_full=in_full).to_wire()
    assert str(hidden).replace(existing, "X") == str(absent).replace(other, "X")


def test_hint_lists_what_the_caller_sees_as_the_caller_names_it() -> None:
    assert refusal("ghost", a_caller(BOB)).hint == "accounts: shop, office"
    assert refusal("ghost", CAROL_WHO_SEES_ALICE).hint == f"accounts: {ALICE}/shop, {ALICE}/sales"
    assert refusal("ghost", a_caller(CAROL)).hint == "there are none; add one: towerctl add NAME"
    assert refusal("ghost", a_caller(CAROL, may_add=())).hint == "there are none"


def test_hint_does_not_list_a_whole_fleet() -> None:
    fleet = kept(*(an_account(id=account_id(n), name=f"n{n}", owner_uid=BOB) for n in range(100)))
    hint = refusal("ghost", a_caller(BOB), keepers=fleet).hint or ""
    assert hint.startswith("accounts: n0, n1, ")
    assert hint.endswith("n19, …")


def test_visible_are_those_that_may_be_read_in_order() -> None:
    assert [one.account.record.id for one in visible(KEPT, CAROL_WHO_SEES_ALICE)] == [
        account_id(1),
        account_id(2),
    ]
    assert visible(KEPT, ROOT) == KEPT
    assert visible(KEPT, a_caller(CAROL)) == []


def test_own_accounts_have_bare_addresses_and_others_their_owner() -> None:
    record = KEPT[0].account.record
    assert address(record, ALICE) == "shop"
    assert address(record, 0) == f"{ALICE}/shop"
    assert chosen(address(record, 0), ROOT, in_full=True) == record.id


def test_id_of_what_is_not_seen_is_an_id_of_none() -> None:
    assert is_id_of_none(KEPT, account_id(2), a_caller(BOB))
    assert is_id_of_none(KEPT, account_id(9), ROOT)
    assert not is_id_of_none(KEPT, account_id(2), ROOT)
    assert not is_id_of_none(KEPT, "sales", a_caller(BOB))


@pytest.mark.parametrize(
    "selector", ["", "/", "//", "/shop", "\0/shop", "a/b/c", "٣/shop", "9" * 200 + "/shop"]
)
def test_odd_selectors_are_no_accounts(selector: str) -> None:
    assert refusal(selector, ROOT).slug == "account-not-found"
