"""Which account a caller means by a name, an id, a phone number or a JID.

The one rule: only accounts that the caller may read are looked at, so that another's account and none at all
are answered alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from towerd.access import Caller
from towerd.accounts.records import AccountRecord
from towerd.protocol.errors import TowerError
from towerd.supervision.keeper import Keeper
from towerd.supervision.names import ID_PATTERN, check_phone, digits_of
from towerd.users import Users, user_name

_LISTED_ACCOUNTS = 20


def visible(keepers: Iterable[Keeper], caller: Caller) -> list[Keeper]:
    """Return the accounts that a caller may read, in the same order."""
    owners = caller.reach("read")
    return [one for one in keepers if owners is None or one.account.record.owner_uid in owners]


def address(record: AccountRecord, uid: int) -> str:
    """Return how a user names an account with every verb: bare when it is the own, else with the owner."""
    if record.owner_uid == uid:
        return record.name
    return f"{user_name(record.owner_uid)}/{record.name}"


def select(keepers: Sequence[Keeper], selector: str | None, caller: Caller, *, in_full: bool) -> Keeper:
    """Return the account that a caller means.

    Args:
        keepers: all accounts.
        selector: id, owner/name, name, phone number or JID, these also after an owner; None: the only one.
        caller: whose own accounts come first, and whose rights say which there are.
        in_full: another's account is to be named by its id or with its owner.

    Raises:
        TowerError: `account-not-found`, which lists those there are; `account-ambiguous`.
    """
    there = visible(keepers, caller)
    found = there if selector is None else _matching(there, selector, caller, in_full=in_full)
    if len(found) == 1:
        return found[0]
    if not found:
        raise _not_found(selector, there, caller)
    names = ", ".join(
        sorted(f"{address(one.account.record, caller.uid)} ({one.account.record.id})" for one in found)
    )
    what = f"{selector} names" if selector else "you see"
    raise TowerError("account-ambiguous", f"{what} more than one account", hint=f"name one of: {names}")


def is_id_of_none(keepers: Iterable[Keeper], selector: str, caller: Caller) -> bool:
    """Tell whether a selector is an id that no account has, or has no longer, as far as a caller may know."""
    if ID_PATTERN.fullmatch(selector) is None:
        return False
    return all(one.account.record.id != selector for one in visible(keepers, caller))


def _matching(there: list[Keeper], selector: str, caller: Caller, *, in_full: bool) -> list[Keeper]:
    if ID_PATTERN.fullmatch(selector):
        return [one for one in there if one.account.record.id == selector]
    owner, slash, bare = selector.partition("/")
    if slash:
        uid = Users().uid_of(owner)
        return _called(bare, [one for one in there if one.account.record.owner_uid == uid])
    own = _called(selector, [one for one in there if one.account.record.owner_uid == caller.uid])
    return own if own or in_full else _called(selector, there)


def _called(bare: str, keepers: list[Keeper]) -> list[Keeper]:
    """Return the accounts of a name, else of a JID or a phone number."""
    if named := [one for one in keepers if one.account.name == bare]:
        return named
    if "@" in bare:
        return [one for one in keepers if bare in (one.account.record.jid, one.account.record.lid)]
    if check_phone("account", bare):
        return []
    digits = digits_of(bare)
    return [one for one in keepers if digits_of(one.account.record.phone) == digits]


def _not_found(selector: str | None, there: list[Keeper], caller: Caller) -> TowerError:
    message = f"no account {selector}" if selector else "there is no account"
    if not there:
        add = "; add one: towerctl add NAME" if caller.may_add else ""
        return TowerError("account-not-found", message, hint=f"there are none{add}")
    names = [address(one.account.record, caller.uid) for one in there]
    more = ", …" if len(names) > _LISTED_ACCOUNTS else ""
    return TowerError(
        "account-not-found", message, hint=f"accounts: {', '.join(names[:_LISTED_ACCOUNTS])}{more}"
    )
