"""Accounts that files declare, kept as the files say.

The one rule: a file touches its own account and no other, and its going stops that account and nothing more;
what cannot be read, or is not right, touches nothing at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from towerd.accounts.ledger import Ledger
from towerd.accounts.records import account_event, daemon_event
from towerd.accounts.transactions import NameTakenError
from towerd.audit import Auditor
from towerd.clock import Clock
from towerd.config_files import Mistake
from towerd.declarations import Declaration, Declared, Reader
from towerd.protocol.errors import TowerError
from towerd.supervision.declared import columns_changed, columns_of, columns_when_gone
from towerd.supervision.keeper import Keeper
from towerd.supervision.supervisor import Supervisor

log = logging.getLogger(__name__)

_DOUBT_SECONDS = 0.15
"""A file that is gone, or not right, is looked at once more after this: somebody may be just writing it."""

Doing = Literal["created", "adopted", "changed", "returned", "gone"]
_ACTIONS: dict[Doing, str] = {
    "created": "account.add",
    "adopted": "account.set",
    "changed": "account.set",
    "returned": "account.start",
    "gone": "account.stop",
}
"""What the audit log calls it: as if somebody had done it by hand."""


@dataclass(slots=True, kw_only=True)
class Applied:
    """What a look at the files came to: names of accounts, and every mistake in any file."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)


class DropIns:
    """Keeps accounts as their files say.

    Args:
        directory: where the files lie.
        reader: reads them.
        supervisor: has the accounts.
        auditor: notes what files did.
        ledger: takes events.
        clock: gives their times.
    """

    def __init__(
        self,
        directory: Path,
        *,
        reader: Reader,
        supervisor: Supervisor,
        auditor: Auditor,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self.directory = directory
        self._reader = reader
        self._supervisor = supervisor
        self._auditor = auditor
        self._ledger = ledger
        self._clock = clock
        self._turn = asyncio.Lock()
        self._declarations: dict[str, Declaration] = {}
        self._mistakes: dict[str, list[Mistake]] = {}
        self._problem: str | None = None

    @property
    def problems(self) -> list[str]:
        """What is wrong with the directory and its files, a line each."""
        wrong = [str(one) for mistakes in self._mistakes.values() for one in mistakes]
        return [*([self._problem] if self._problem else []), *wrong]

    def declaration_of(self, keeper: Keeper) -> Declaration | None:
        """Return what the file of an account says; None when there is no such file, or it is not right."""
        record = keeper.account.record
        return self._declarations.get(record.declared_in or "") if record.is_declared else None

    def path_of(self, keeper: Keeper) -> Path | None:
        """Return the file that declares an account, None when none does."""
        record = keeper.account.record
        return self.directory / record.declared_in if record.declared_in and record.is_declared else None

    async def apply(self) -> Applied:
        """Look at the files, and let the accounts be as they say."""
        async with self._turn:
            declared = await self._read()
            applied = Applied()
            if declared.problem is None:
                await self._take_over(declared, applied)
                self._declarations = declared.declarations
                applied.mistakes = [one for mistakes in declared.mistakes.values() for one in mistakes]
                self._tell_mistakes(declared.mistakes)
            # Run by hand there may be no configuration at all; only accounts that it declares would miss it.
            is_missed = declared.directory.parent.is_dir() or any(map(_is_declared, self._supervisor.keepers))
            self._tell_problem(declared.problem if is_missed else None)
            return applied

    async def _take_over(self, declared: Declared, applied: Applied) -> None:
        files = {*declared.declarations, *declared.mistakes}
        known = {
            one.account.record.declared_in: one
            for one in self._supervisor.keepers
            if one.account.record.declared_in is not None
        }
        declared.refuse_doubles(
            {(one.account.record.owner_uid, one.account.name): name for name, one in known.items()}
        )
        changes: list[Coroutine[Any, Any, None]] = []
        for name, declaration in list(declared.declarations.items()):
            file = self.directory / name
            try:
                keeper = known.get(name) or self._namesake(declaration, files)
                _require_owner(keeper, declaration)
            except _ContradictionError as error:
                declared.refuse(file.name, error.key, error.why)
                continue
            if keeper is None:
                # One after the other: that is the order in which accounts are listed.
                await self._guarded(self._create(file, declaration, applied), file, declared)
            else:
                changes.append(
                    self._guarded(self._change(keeper, file, declaration, applied), file, declared)
                )
        # What starts and stops takes its time, and no account waits for another.
        await asyncio.gather(*changes)
        gone = [
            keeper
            for keeper in self._supervisor.keepers
            if _is_declared(keeper) and keeper.account.record.declared_in not in files
        ]
        await asyncio.gather(*(self._let_go(keeper, applied) for keeper in gone))

    async def _guarded(self, work: Coroutine[Any, Any, None], file: Path, declared: Declared) -> None:
        """Do what one file wants; what speaks against it is a mistake of the file."""
        try:
            await work
        except NameTakenError:
            declared.refuse(file.name, "name", "its owner has another account of this name")
        except TowerError as error:
            declared.refuse(file.name, "", error.message)
        except Exception:
            # One file that cannot be taken over never keeps another from it.
            log.exception("%s could not be taken over", file)
            declared.refuse(file.name, "", "internal error, see the journal of towerd")

    async def _read(self) -> Declared:
        """Read the directory, and once more when a file seems to be gone, or no longer right."""
        declared = await asyncio.to_thread(self._reader.read_directory, self.directory)
        known = {one.account.record.declared_in for one in self._supervisor.keepers if _is_declared(one)}
        gone = known - {*declared.declarations, *declared.mistakes}
        if declared.problem is None and (gone or declared.mistakes.keys() - self._mistakes.keys()):
            await asyncio.sleep(_DOUBT_SECONDS)
            return await asyncio.to_thread(self._reader.read_directory, self.directory)
        return declared

    def _namesake(self, declaration: Declaration, files: set[str]) -> Keeper | None:
        """Return the account that a new file is about because it has the name, None when there is none.

        Raises:
            _ContradictionError: another file declares it.
        """
        named = self._supervisor.owned(declaration.owner_uid, declaration.name)
        if named is not None and _is_declared(named) and named.account.record.declared_in in files:
            other = named.account.record.declared_in
            raise _ContradictionError("name", f"{declaration.name} is declared by {other}")
        return named

    async def _create(self, file: Path, declaration: Declaration, applied: Applied) -> None:
        columns = columns_of(file.name, declaration)
        keeper, _ = await self._supervisor.add(owner_uid=declaration.owner_uid, **columns)
        self._note(keeper, file.name, "created")
        applied.created.append(keeper.account.name)

    async def _change(self, keeper: Keeper, file: Path, declaration: Declaration, applied: Applied) -> None:
        record = keeper.account.record
        columns = columns_changed(record, file.name, declaration)
        if not columns:
            return
        doing: Doing = "changed"
        if record.is_declaration_gone:
            doing = "returned"
        elif record.declared_in != file.name:
            doing = "adopted"
        keys = sorted(columns.keys() - _OURS)
        await keeper.declare(lambda: self._note(keeper, file.name, doing, keys=keys), **columns)
        applied.changed.append(keeper.account.name)

    async def _let_go(self, keeper: Keeper, applied: Applied) -> None:
        """Stop an account whose file is gone; its device stays linked."""
        record = keeper.account.record
        try:
            await keeper.declare(
                lambda: self._note(keeper, record.declared_in or "", "gone"), **columns_when_gone(record)
            )
        except (TowerError, OSError) as error:
            log.error("%s could not be stopped, though its file is gone: %s", record.name, error)
            return
        applied.stopped.append(record.name)

    def _note(self, keeper: Keeper, file: str, doing: Doing, *, keys: list[str] | None = None) -> None:
        record, path = keeper.account.record, self.directory / file
        about = f" ({', '.join(keys)})" if keys else ""
        log.info("%s: %s by %s%s", record.name, doing, path, about)
        self._auditor.by_itself(_ACTIONS[doing], record, source="drop-in", detail=f"{doing}: {path}{about}")
        data: dict[str, Any] = {"file": str(path), "change": doing, "keys": keys or []}
        event = account_event(record, "account.declared", data, time=self._clock.now())
        self._ledger.post(events=[event])

    def _tell_mistakes(self, mistakes: dict[str, list[Mistake]]) -> None:
        was, self._mistakes = self._mistakes, mistakes
        for name, wrong in mistakes.items():
            if was.get(name) != wrong:
                for one in wrong:
                    log.error("an account's file is not right and was left alone: %s", one)
                self._emit("declaration.broken", name, [str(one) for one in wrong])
        for name in was.keys() - mistakes.keys():
            log.info("%s is right again, or gone", self.directory / name)
            self._emit("declaration.mended", name, [])

    def _tell_problem(self, problem: str | None) -> None:
        if problem is not None and problem != self._problem:
            log.error("no account is declared or let go: %s", problem)
        self._problem = problem

    def _emit(self, event_type: str, name: str, mistakes: list[str]) -> None:
        data: dict[str, Any] = {"file": str(self.directory / name), "mistakes": mistakes}
        self._ledger.post(events=[daemon_event(event_type, data, time=self._clock.now())])


_OURS = frozenset({"declared_in", "is_declaration_gone", "declared_desired"})


class _ContradictionError(Exception):
    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.key = key
        self.why = why


def _require_owner(keeper: Keeper | None, declaration: Declaration) -> None:
    """Insist that the account of a file is that of the owner whom the file names.

    Raises:
        _ContradictionError: it is somebody else's.
    """
    if keeper is not None and keeper.account.record.owner_uid != declaration.owner_uid:
        raise _ContradictionError("owner", f"the owner of {keeper.account.name} cannot be changed")


def _is_declared(keeper: Keeper) -> bool:
    return keeper.account.record.is_declared
