"""Accounts that files declare: what a declaration may say, and reading a directory of them.

The one rule: a file is right as a whole or not at all, and one that is not says nothing about any account.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from towerd.config import Count, Rate, Section
from towerd.config_files import Mistake, check_table, drop_ins, read_toml
from towerd.supervision.names import check_display_name, check_name, check_phone
from towerd.users import Users

DIRECTORY = "accounts.d"
MAX_UID = 2**32 - 2
"""(uid_t) -1 stands for no user, chown(2)."""

Text = Annotated[str, msgspec.Meta(max_length=200)]


class LimitsTable(Section, frozen=True, kw_only=True):
    """`[limits]` of an account.

    Attributes:
        daily: how many texts it may send in a day.
        per_minute: how many in any 60 seconds.
    """

    daily: Count | None = None
    per_minute: Rate | None = None


class AccountTable(Section, frozen=True, kw_only=True):
    """One account as a file declares it.

    Attributes:
        name: what it is called; the file's own name without its ending.
        display_name: what people call it.
        owner: a user, by name or number; who runs towerd.
        desired: whether it runs.
        expected_phone: the only phone that may be linked.
        limits: how much it may send, instead of what holds for all.
        proxy_file: a file that holds the URL of the proxy to connect through.
    """

    name: Text | None = None
    display_name: Text | None = None
    owner: str | int | None = None
    desired: Literal["running", "stopped"] = "running"
    expected_phone: Text | None = None
    limits: LimitsTable = LimitsTable()
    proxy_file: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One account as it was declared, with everything looked up and right.

    Attributes:
        expected_phone: None says nothing: an expectation that stands is left alone.
    """

    name: str
    owner_uid: int
    display_name: str | None
    desired: Literal["running", "stopped"]
    expected_phone: str | None
    daily_limit: int | None
    per_minute_limit: int | None
    proxy_file: str | None


@dataclass(slots=True, kw_only=True)
class Declared:
    """What a directory says.

    Attributes:
        directory: which.
        declarations: the files that are right, by name, in order.
        mistakes: those that are not.
        problem: why nothing is known; the directory itself cannot be read.
    """

    directory: Path
    declarations: dict[str, Declaration] = field(default_factory=dict)
    mistakes: dict[str, list[Mistake]] = field(default_factory=dict)
    problem: str | None = None

    def refuse_doubles(self, holders: Mapping[tuple[int, str], str]) -> None:
        """Set aside what several files declare; the one that has the account keeps it, else the first.

        Args:
            holders: which file has which account, by owner and name.
        """
        named: dict[tuple[int, str], list[str]] = {}
        for file, declaration in self.declarations.items():
            named.setdefault((declaration.owner_uid, declaration.name), []).append(file)
        for key, files in named.items():
            first = holders[key] if holders.get(key) in files else files[0]
            for file in files:
                if file != first:
                    self.refuse(file, "name", f"{first} declares {key[1]} already")

    def refuse(self, file: str, key: str, why: str) -> None:
        """Set a file aside that is right by itself but contradicts another, or what is there."""
        self.declarations.pop(file, None)
        self.mistakes.setdefault(file, []).append(Mistake(file=self.directory / file, key=key, why=why))


class Reader:
    """Reads declarations.

    Args:
        owner_uid: who owns an account whose declaration names nobody.
        users: looks owners up.
    """

    def __init__(self, *, owner_uid: int, users: Users | None = None) -> None:
        self._owner_uid = owner_uid
        self._users = users or Users()

    def read_directory(self, directory: Path) -> Declared:
        """Read every file of a directory; one that is not there holds none, if its parent is."""
        found = Declared(directory=directory)
        listing: list[Mistake] = []
        files = drop_ins(directory, listing)
        found.problem = _unreadable(directory) or next((str(one) for one in listing), None)
        if found.problem is not None:
            return found
        for file in files:
            mistakes: list[Mistake] = []
            declaration = self._read_file(file, mistakes)
            if declaration is None:
                found.mistakes[file.name] = mistakes
            else:
                found.declarations[file.name] = declaration
        return found

    def _read_file(self, file: Path, mistakes: list[Mistake]) -> Declaration | None:
        document = read_toml(file, mistakes)
        if not document and not mistakes:
            # It may be about to be written; and who owns an account cannot be changed later.
            mistakes.append(Mistake(file=file, key="", why='says nothing; write at least name = "…"'))
        declaration = self.check(document, file=file, where="", name=file.stem, mistakes=mistakes)
        return None if mistakes else declaration

    def check(
        self, content: dict[str, Any], *, file: Path, where: str, name: str | None, mistakes: list[Mistake]
    ) -> Declaration | None:
        """Return the account that a table declares, None when something is wrong with it.

        Args:
            content: the table.
            file: where it stands.
            where: its key path in there; empty for the file itself.
            name: the account's name when the table has none.
            mistakes: gets everything that is wrong.
        """
        before = len(mistakes)
        checked = check_table(file, where, AccountTable, content, mistakes)

        def note(key: str, why: str) -> None:
            mistakes.append(Mistake(file=file, key=f"{where}.{key}" if where else key, why=why))

        if len(mistakes) > before:
            return None
        table = msgspec.convert(checked, AccountTable)
        self._check_words(table, name, note)
        owner_uid = self._owner(table.owner, note)
        if len(mistakes) > before or owner_uid is None:
            return None
        return Declaration(
            name=table.name or name or "",
            owner_uid=owner_uid,
            display_name=(table.display_name or "").strip() or None,
            desired=table.desired,
            expected_phone=table.expected_phone,
            daily_limit=table.limits.daily,
            per_minute_limit=table.limits.per_minute,
            proxy_file=table.proxy_file,
        )

    def _check_words(self, table: AccountTable, name: str | None, note: Callable[[str, str], None]) -> None:
        if table.name is None and name is None:
            note("name", "is missing")
        elif table.name is None and check_name(name or ""):
            note("name", "is missing, and the file's own name is none that an account can have")
        bad = check_name(table.name) if table.name is not None else []
        bad += check_display_name(table.display_name)
        bad += check_phone("expected_phone", table.expected_phone)
        for one in bad:
            note(one.field, one.why)
        if table.proxy_file is not None and not Path(table.proxy_file).is_absolute():
            note("proxy_file", "must be an absolute path")

    def _owner(self, owner: str | int | None, note: Callable[[str, str], None]) -> int | None:
        if owner is None:
            return self._owner_uid
        uid = self._users.uid_of(str(owner))
        if uid is None:
            note("owner", f"there is no user {owner}")
        elif not 0 <= uid <= MAX_UID:
            note("owner", f"must be a user's name or number, at most {MAX_UID}")
            return None
        return uid


def _unreadable(directory: Path) -> str | None:
    """Return why nothing can be said of a directory; a directory that is not there is empty."""
    try:
        next(directory.iterdir(), None)
    except FileNotFoundError:
        return None if directory.parent.is_dir() else f"{directory.parent} is not there"
    except OSError as error:
        return f"{directory} cannot be read: {error.strerror or errno.errorcode.get(error.errno or 0, error)}"
    return None
