"""The method `audit.list`."""

from __future__ import annotations

from towerd.accounts.records import AuditRecord, EventQuery
from towerd.clock import rfc3339
from towerd.protocol import methods as m
from towerd.protocol.types import AccountRef, Audit
from towerd.rpc.call import Call
from towerd.rpc.handlers.events import moment
from towerd.supervision.selection import is_id_of_none


async def list_audit(call: Call, params: m.ListAudit) -> m.AuditResult:
    """List who did what, oldest first."""
    after_id, from_time = moment("since", params.since)
    until_id, until_time = moment("until", params.until)
    query = EventQuery(
        after_id=after_id,
        from_time=from_time,
        until_id=until_id,
        until_time=until_time,
        account_id=_account_id(call, params.account),
        owners=call.caller.reach("read"),
        by_uid=call.peer.uid,
        types=tuple(params.actions or ()),
        limit=params.limit,
    )
    records = await call.services.ledger.read(lambda registry: registry.audits(query))
    return m.AuditResult(audits=[_to_wire(one) for one in records])


def _account_id(call: Call, selector: str | None) -> str | None:
    """Return the id of an account; one that is gone is named by its id."""
    if selector is None:
        return None
    if is_id_of_none(call.services.supervisor.keepers, selector, call.caller):
        return selector
    return call.find(selector).account.record.id


def _to_wire(record: AuditRecord) -> Audit:
    account = None
    if record.account_id is not None:
        account = AccountRef(id=record.account_id, name=record.account_label or "")
    return Audit(
        id=record.id,
        time=rfc3339(record.time),
        user=record.user,
        uid=record.uid,
        pid=record.pid,
        source=record.source,
        action=record.action,
        account=account,
        result=record.result,
        detail=record.detail,
    )
