"""What is kept of messages is bounded for each account, by number and by age."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.unit.towerd.accounts.test_registry import an_account
from tests.unit.towerd.builders import settings_of
from tests.unit.towerd.waiting import run
from towerd.accounts.ledger import Ledger
from towerd.accounts.records import Arrival, EventDraft, MessageQuery, MessageRecord, OutgoingRecord
from towerd.accounts.registry import Registry
from towerd.config import Config, MessagesConfig
from towerd.housekeeping import Housekeeping

NOW = 1_790_000_000.0
DAY = 86400.0


class Clock:
    """Stands still."""

    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return NOW


def a_message(account_id: str, number: int, *, days: float) -> MessageRecord:
    return MessageRecord(
        account_id=account_id,
        message_id=f"3EB{number}",
        received_at=NOW - days * DAY,
        time=NOW,
        chat="491511111111@s.whatsapp.net",
        kind="text",
        text="hello",
        **dict.fromkeys(("sender", "sender_lid", "push_name", "quoted_id", "target_id")),
        **dict.fromkeys(("from_me", "is_group"), False),
    )


def an_outgoing(account_id: str, text: str, state: str, *, days: float) -> OutgoingRecord:
    created_at = NOW - days * DAY
    return OutgoingRecord(
        account_id=account_id,
        key=None,
        target="491511111111",
        text=text,
        created_at=created_at,
        next_attempt_at=created_at,
        state=state,  # type: ignore[arg-type]
    )


def event_of(message: MessageRecord) -> EventDraft:
    return EventDraft(
        time=NOW,
        type="message.received",
        account_id=message.account_id,
        account_name=None,
        owner_uid=0,
        data={},
    )


def test_old_messages_of_quiet_accounts_go_and_those_too_many_of_accounts_that_take_turns(
    tmp_path: Path,
) -> None:
    quiet, *busy = accounts = [an_account(id=f"a-{name}", name=name) for name in ("quiet", "one", "two")]
    config = msgspec.structs.replace(Config(), messages=MessagesConfig(kept=100, kept_days=30))

    async def scene() -> None:
        ledger = Ledger(Registry(tmp_path / "tower.db"), lambda _: None)
        await ledger.open()

        async def arrive(message: MessageRecord) -> None:
            arrival = Arrival(
                account_id=message.account_id,
                messages=[message],
                day="2026-09-21",
                kept=100,
                kept_since=0.0,
                event=event_of,
            )
            await ledger.commit(lambda registry: registry.keep_messages(arrival)[1])

        async def left(account_id: str) -> list[str]:
            query = MessageQuery(account_id=account_id, limit=1000)
            found = await ledger.read(lambda registry: registry.messages(query))
            return [one.message_id for one in found]

        for record in accounts:
            await ledger.commit(lambda registry, one=record: registry.insert(one))
        await arrive(a_message(quiet.id, 1, days=31))
        await arrive(a_message(quiet.id, 2, days=29))
        for number in range(150):
            for record in busy:
                await arrive(a_message(record.id, number, days=0))
        for text, state, days in (("old", "sent", 31), ("waits", "queued", 31), ("new", "failed", 29)):
            one = an_outgoing(quiet.id, text, state, days=days)
            await ledger.read(lambda registry, one=one: registry.accept(one))
        await Housekeeping(settings_of(config), ledger=ledger, clock=Clock()).look()
        assert await left(quiet.id) == ["3EB2"]
        for record in busy:
            assert await left(record.id) == [f"3EB{number}" for number in range(50, 150)]
        texts = await ledger.read(lambda registry: registry.outgoing(quiet.id, 100))
        assert [one.text for one in texts] == ["waits", "new"]
        await ledger.close()

    run(scene())
