"""The methods `message.*`.

The one rule: texts are in these answers and nowhere else; events and logs never carry them.
"""

from __future__ import annotations

from towerd.accounts.records import GroupRecord, MessageQuery, MessageRecord, OutgoingRecord
from towerd.clock import rfc3339, rfc3339_or_none
from towerd.protocol import mail as m
from towerd.protocol.errors import Field, TowerError
from towerd.protocol.methods import OneAccount
from towerd.protocol.types import Account, Group, Message, Outgoing, Participant
from towerd.rpc.call import Call
from towerd.rpc.handlers.events import moment
from towerd.supervision.keeper import Keeper
from towerd.supervision.names import check_phone, digits_of
from towerd.supervision.supervisor import invalid
from towerd.supervision.view import account_to_wire

LONGEST_TEXT_CHARACTERS = 65536
"""What WhatsApp's own clients let people write."""

_SERVERS = ("s.whatsapp.net", "lid", "g.us")


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
    return m.MessagesResult(account=_view(call, keeper), messages=[_to_wire(one) for one in records])


async def send(call: Call, params: m.SendMessage) -> m.SendResult:
    """Have an account send a text."""
    keeper = call.find(params.account)
    target = _target(params.to)
    if len(params.text) > LONGEST_TEXT_CHARACTERS:
        raise TowerError(
            "text-too-long",
            f"the text has {len(params.text)} characters; {LONGEST_TEXT_CHARACTERS} at most are sent",
            hint="send it in parts",
        )
    record = await keeper.send(
        target=target, text=params.text, key=params.key, wait_seconds=params.wait_seconds
    )
    call.notes.append(f"message {record.id} to {target}")
    return m.SendResult(account=_view(call, keeper), message=_outgoing(record))


async def outbox(call: Call, params: m.ListOutgoing) -> m.OutboxResult:
    """List the texts that an account was to send, and what became of them."""
    keeper = call.find(params.account)
    account_id = keeper.account.record.id
    records = await call.services.ledger.read(lambda registry: registry.outgoing(account_id, params.limit))
    return m.OutboxResult(account=_view(call, keeper), messages=[_outgoing(one) for one in records])


async def groups(call: Call, params: OneAccount) -> m.GroupsResult:
    """List the groups that an account is in."""
    keeper = call.find(params.account)
    account_id = keeper.account.record.id
    records = await call.services.ledger.read(lambda registry: registry.groups(account_id))
    return m.GroupsResult(account=_view(call, keeper), groups=[_group(one) for one in records])


def _group(record: GroupRecord) -> Group:
    return Group(
        jid=record.group.jid,
        name=record.group.name,
        participants=[
            Participant(jid=one.jid, lid=one.lid, admin=one.is_admin) for one in record.group.members
        ],
        synced_at=rfc3339(record.synced_at),
    )


def _target(to: str) -> str:
    """Return a JID as it is, and a phone number as its digits.

    Raises:
        TowerError: `invalid-field`.
    """
    user, at, server = to.partition("@")
    if at:
        if not user.replace("-", "").isdecimal() or not user.isascii() or server not in _SERVERS:
            raise invalid([Field(field="to", why=f"is no JID; one ends in @{', @'.join(_SERVERS)}")])
        return to
    if check_phone("to", to):
        raise invalid([Field(field="to", why="must be a phone number such as +491701234567, or a JID")])
    return digits_of(to)


def _view(call: Call, keeper: Keeper) -> Account:
    address = call.address(keeper.account.record)
    return account_to_wire(keeper, call.services.clock, address=address, with_worker=False)


def _outgoing(record: OutgoingRecord) -> Outgoing:
    return Outgoing(
        id=record.id,
        key=record.key,
        to=record.target,
        chat=record.chat,
        text=record.text,
        state=record.state,
        reason=record.reason,
        attempts=record.attempts,
        created_at=rfc3339(record.created_at),
        settled_at=rfc3339_or_none(record.settled_at),
        message_id=record.message_id,
    )


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
