"""The method `account.import`: a list of accounts from elsewhere.

The one rule: everything is checked before anything is added, and all that is new is added in one step.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from towerd.config_files import Mistake, fields_of
from towerd.declarations import Declaration, Reader
from towerd.protocol import importing as wire
from towerd.protocol.errors import TowerError
from towerd.rpc.call import Call
from towerd.supervision.declared import columns_by_hand
from towerd.users import user_name


async def import_accounts(call: Call, params: wire.Import) -> wire.ImportResult:
    """Add accounts from a list, all of them or none; those that are there stay as they are."""
    declarations = await asyncio.to_thread(_check, params.accounts, call.peer.uid)
    supervisor = call.services.supervisor
    known = {
        key: keeper
        for one in declarations
        if (keeper := supervisor.owned(*(key := (one.owner_uid, one.name)))) is not None
    }
    new = [one for one in declarations if (one.owner_uid, one.name) not in known]
    call.notes.append(f"{len(new)} created, {len(known)} existing" + (", dry run" if params.dry_run else ""))
    ids = {key: keeper.account.record.id for key, keeper in known.items()}
    if new and not params.dry_run:
        columns = [{"owner_uid": one.owner_uid, **columns_by_hand(one)} for one in new]
        for keeper in await supervisor.add_all(columns):
            record = keeper.account.record
            ids[record.owner_uid, record.name] = record.id
            call.services.auditor.by_peer(
                call.peer.uid, call.peer.pid, "account.add", record, result="done", detail="imported"
            )
    return wire.ImportResult(
        accounts=[
            wire.ImportedAccount(
                name=one.name,
                owner=user_name(one.owner_uid),
                outcome="existing" if (one.owner_uid, one.name) in known else "created",
                id=ids.get((one.owner_uid, one.name)),
            )
            for one in declarations
        ],
        dry_run=params.dry_run,
    )


def _check(rows: list[wire.ImportRow], owner_uid: int) -> list[Declaration]:
    """Return what the rows declare.

    Raises:
        TowerError: `config-invalid`, with every mistake in every row.
    """
    reader = Reader(owner_uid=owner_uid)
    mistakes: list[Mistake] = []
    declared: dict[tuple[int, str], Declaration] = {}
    for row in rows:
        file = Path(row.file)
        one = reader.check(row.table, file=file, where=row.key, name=row.name, mistakes=mistakes)
        if one is None:
            continue
        if (one.owner_uid, one.name) in declared:
            mistakes.append(
                Mistake(
                    file=file, key=row.key, why=f"{one.name} of {user_name(one.owner_uid)} is there twice"
                )
            )
        declared[one.owner_uid, one.name] = one
    if mistakes:
        raise TowerError(
            "config-invalid",
            "the list is not valid, so nothing was imported",
            hint="correct it and import it again; --dry-run only looks",
            fields=fields_of(mistakes),
        )
    return list(declared.values())
