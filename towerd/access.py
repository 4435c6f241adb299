"""Who may do what: the rights of each role, and who has which role over whose accounts.

The one rule: every question of right is answered here, from `RIGHTS` and the grants, for one owner's accounts
at a time; an account that a caller may not read does not exist for the caller.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from towerd.config import EVERYBODY, AccessConfig
from towerd.protocol.errors import TowerError
from towerd.protocol.methods import Right
from towerd.settings import Settings
from towerd.users import Users, forget_names, user_name

log = logging.getLogger(__name__)

Role = Literal["viewer", "operator", "owner", "admin"]

RIGHTS: dict[Role, frozenset[Right]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "connect", "disconnect", "update"}),
    "owner": frozenset({"read", "connect", "disconnect", "update", "delete"}),
    "admin": frozenset({"read", "connect", "disconnect", "update", "delete", "admin"}),
}
"""What a role may do to the accounts that it reaches; `admin` is the right over the daemon itself."""

LOOK_AGAIN_SECONDS = 60.0
"""How often names are looked up again: those that nobody knew, and those that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A role over the accounts of some owners.

    Attributes:
        owners: uids; None: of all owners, and over the daemon.
    """

    role: Role
    owners: frozenset[int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What a user may do at this moment.

    Attributes:
        uid: who it is.
        holdings: the roles, that of an owner over the own accounts included.
        may_add: new accounts may be added, which the caller then owns.
    """

    uid: int
    holdings: tuple[Holding, ...]
    may_add: bool

    def reach(self, right: Right) -> frozenset[int] | None:
        """Return the owners whose accounts a right reaches; None: all, and the daemon."""
        reached: set[int] = set()
        for holding in self.holdings:
            if right in RIGHTS[holding.role]:
                if holding.owners is None:
                    return None
                reached |= holding.owners
        return frozenset(reached)

    def may(self, right: Right, owner_uid: int | None) -> bool:
        """Tell whether a right reaches the accounts of an owner; None stands for what is the daemon's own."""
        reach = self.reach(right)
        return reach is None or owner_uid in reach

    @property
    def sees_all(self) -> bool:
        """True when no account is hidden, and so nothing that the daemon says of all of them."""
        return self.reach("read") is None

    def require(self, right: Right, owner_uid: int, name: str) -> None:
        """Insist on a right over an account that the caller may read.

        Raises:
            TowerError: `not-permitted`, with the right and with who has it or can grant it.
        """
        if self.may(right, owner_uid):
            return
        roles = [one.role for one in self.holdings if one.owners is None or owner_uid in one.owners]
        raise TowerError(
            "not-permitted",
            f"the right to {right} {name} is missing: you are its {' and '.join(sorted(set(roles)))}",
            hint=f"its owner {user_name(owner_uid)} has it; root can make you {_lowest_role(right)}: "
            "[access] in tower.toml(5)",
        )

    def require_daemon(self, right: Right) -> None:
        """Insist on a right over the daemon itself.

        Raises:
            TowerError: `not-permitted`.
        """
        if not self.may(right, None):
            raise TowerError(
                "not-permitted",
                f"the right {right} over the daemon is missing",
                hint=f"root has it, and can make you {_lowest_role(right)}: [access] in tower.toml(5)",
            )

    def require_adding(self) -> None:
        """Insist on the right to add accounts.

        Raises:
            TowerError: `not-permitted`.
        """
        if not self.may_add:
            raise TowerError(
                "not-permitted",
                "the right to add accounts is missing: access.may_add does not name you",
                hint="root can add you to it: [access] in tower.toml(5)",
            )


def _lowest_role(right: Right) -> Role:
    """Return the role that has a right and as little else as possible, of those that can be granted."""
    granted: tuple[Role, ...] = ("viewer", "operator", "admin")
    return next(role for role in granted if right in RIGHTS[role])


@dataclass(frozen=True, slots=True, kw_only=True)
class _People:
    """Users and groups that the configuration names, as numbers."""

    is_everybody: bool
    uids: frozenset[int]
    gids: frozenset[int]

    def include(self, uid: int, groups: frozenset[int]) -> bool:
        return self.is_everybody or uid in self.uids or not self.gids.isdisjoint(groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grants:
    """A configuration with its names looked up."""

    config: AccessConfig
    roles: list[tuple[Holding, _People]]
    may_add: _People
    unknown: list[str]


class Access:
    """The configured grants, with their names looked up.

    Args:
        settings: the configuration that runs.
        own_uid: who runs the daemon, which is an admin, as root is.
        users: the user database.
    """

    def __init__(self, settings: Settings, *, own_uid: int, users: Users | None = None) -> None:
        self._settings = settings
        self._admins = frozenset({0, own_uid})
        self._users = users or Users()
        self._known: _Grants | None = None
        self.look_up()

    def look_up(self) -> _Grants:
        """Look all names up anew; that may wait for a directory service."""
        grants = _looked_up(self._settings.current.access, self._users)
        told = self._known.unknown if self._known is not None else []
        for words in grants.unknown:
            if words not in told:
                log.warning("%s; looked up again every %g s", words, LOOK_AGAIN_SECONDS)
        self._known = grants
        return grants

    async def watch(self) -> None:
        """Look names up again, now and then: the directory service may have been away."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            forget_names()
            if self.unknown:
                await asyncio.to_thread(self.look_up)

    @property
    def unknown(self) -> list[str]:
        """What the configuration names and the user database does not know, one sentence each."""
        return self._grants().unknown

    def caller(self, uid: int, groups: frozenset[int]) -> Caller:
        """Return what a user may do, as a member of these groups."""
        grants = self._grants()
        holdings = [Holding(role="owner", owners=frozenset({uid}))]
        if uid in self._admins:
            holdings.append(Holding(role="admin", owners=None))
        holdings += [holding for holding, to in grants.roles if to.include(uid, groups)]
        is_admin = any(one.role == "admin" and one.owners is None for one in holdings)
        return Caller(
            uid=uid,
            holdings=tuple(holdings),
            may_add=is_admin or grants.may_add.include(uid, groups),
        )

    def _grants(self) -> _Grants:
        known = self._known
        # A reload holds for the very next question.
        is_current = known is not None and known.config is self._settings.current.access
        return known if known is not None and is_current else self.look_up()


def unknown_names(config: AccessConfig) -> list[str]:
    """Return what a configuration names and the user database does not know, one sentence each."""
    return _looked_up(config, Users()).unknown


def _looked_up(config: AccessConfig, users: Users) -> _Grants:
    unknown: list[str] = []

    def people(key: str, names: Iterable[str]) -> _People:
        uids: set[int] = set()
        gids: set[int] = set()
        for name in names:
            if name == EVERYBODY:
                continue
            is_group = name.startswith("@")
            found = users.gid_of(name[1:]) if is_group else users.uid_of(name)
            if found is None:
                unknown.append(f"{key}: there is no {'group' if is_group else 'user'} {name.lstrip('@')}")
            else:
                (gids if is_group else uids).add(found)
        return _People(is_everybody=EVERYBODY in names, uids=frozenset(uids), gids=frozenset(gids))

    roles = []
    for index, one in enumerate(config.grants):
        key = f"access.grants[{index}]"
        to = people(f"{key}.to", one.to)
        owners = people(f"{key}.owners", one.owners)
        reached = None if owners.is_everybody else owners.uids
        roles.append((Holding(role=one.role, owners=reached), to))
    may_add = people("access.may_add", config.may_add)
    return _Grants(config=config, roles=roles, may_add=may_add, unknown=unknown)
