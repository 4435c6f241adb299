"""The methods `message.*`.

The one rule: texts are in these answers and nowhere else; events and logs never carry them.
"""

from __future__ import annotations

from towerd.accounts.records import MessageQuery, MessageRecord
from towerd.clock import rfc3339
from towerd.protocol import methods as m
from towerd.protocol.types import Message
from towerd.rpc.call import Call
from towerd.rpc.handlers.events import moment
from towerd.supervision.view import account_to_wire


async def list_messages(call: Call, params: m.ListMessages) -> m.MessagesResult:
    """List an account's messages, oldest first."""
    keeper = call.find(params.account)
    after_id, from_time = moment("since", params.since)
    query = MessageQuery(
        account_id=keeper.account.record.id,
        after_id=after_id,
        from_time=from_time,
        chat=params.chat,
        limit=params.limit,
    )
    records = await call.services.ledger.read(lambda registry: registry.messages(query))
    account = account_to_wire(
        keeper, call.services.clock, address=call.address(keeper.account.record), with_worker=False
    )
    return m.MessagesResult(account=account, messages=[_to_wire(one) for one in records])


def _to_wire(record: MessageRecord) -> Message:
    return Message(
        id=record.id,
        message_id=record.message_id,
        time=rfc3339(record.time),
        received_at=rfc3339(record.received_at),
        chat=record.chat,
        is_group=record.is_group,
        from_me=record.from_me,
        sender=record.sender,
        sender_lid=record.sender_lid,
        push_name=record.push_name,
        kind=record.kind,
        text=record.text,
        quoted_id=record.quoted_id,
        target_id=record.target_id,
    )
