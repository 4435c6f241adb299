"""Texts are stored, sent once each, in their order and within the limits, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sessions.messages import Send
from sessions.states import State
from tests.unit.towerd.accounts.test_registry import a_linked_account
from tests.unit.towerd.waiting import run, turns, until
from towerd.accounts.ledger import Ledger
from towerd.accounts.records import OutgoingRecord
from towerd.accounts.registry import Registry
from towerd.clock import day_of
from towerd.config import Config, LimitsConfig
from towerd.protocol.errors import TowerError
from towerd.supervision import outbox as outbox_module
from towerd.supervision.account_state import AccountState
from towerd.supervision.outbox import MAX_ATTEMPTS, Outbox
from towerd.supervision.process import OrderFailedError, WorkerEndedError
from towerd.supervision.tally import Tally

ALICE, BOB = "491701111111", "491702222222"


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.time = 1_790_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


class Carrier:
    """A worker that answers as the test says; by default it sends."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.answers: list[Any] = []
        self.sealed = asyncio.Event()
        self.sealed.set()

    async def ask(self, order: Any, _deadline_seconds: float) -> str | None:
        send: Send = order(1)
        self.sent.append((send.to, send.text))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, asyncio.Event):
            await answer.wait()
        elif isinstance(answer, Exception):
            raise answer
        return f"{send.to}@s.whatsapp.net 3EB{len(self.sent)}"

    async def seal(self) -> None:
        await self.sealed.wait()


class Desk:
    """An outbox on a real ledger."""

    def __init__(self, directory: Path, limits: LimitsConfig) -> None:
        self.events: list[Any] = []
        self.clock = Clock()
        self.ledger = Ledger(Registry(directory / "tower.db"), self.events.extend)
        self.record = a_linked_account(state=State.CONNECTED)
        self.carrier = Carrier()
        config = msgspec.structs.replace(Config(), limits=limits)
        self.around = type("Around", (), {"ledger": self.ledger, "clock": self.clock, "config": config})()
        self.account = AccountState(self.record, ledger=self.ledger, clock=self.clock)
        self.outbox = self.another()

    def another(self) -> Outbox:
        """Return an outbox as a new start of the daemon makes it."""
        return Outbox(self.account, self.carrier, Tally(self.account, self.around), self.around)  # type: ignore[arg-type]

    async def send(self, text: str = "hello", to: str = ALICE, key: str | None = None) -> OutgoingRecord:
        return await self.outbox.accept(target=to, text=text, key=key)

    async def all(self) -> list[OutgoingRecord]:
        return await self.ledger.read(lambda registry: registry.outgoing(self.record.id, 1000))

    async def until_idle(self) -> None:
        await until(lambda: self.outbox.waiting == 0, "an empty queue")

    def be(self, state: State) -> None:
        self.account.record = msgspec.structs.replace(self.account.record, state=state)
        self.account.changed()


@asynccontextmanager
async def a_desk(directory: Path, **limits: Any) -> AsyncIterator[Desk]:
    desk = Desk(directory, LimitsConfig(**limits))
    await desk.ledger.open()
    try:
        await desk.ledger.commit(lambda registry: registry.insert(desk.record))
        yield desk
    finally:
        desk.outbox.close()
        await desk.ledger.close()


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(outbox_module, "_LOOK_SECONDS", 0.01)


def states(records: list[OutgoingRecord]) -> list[tuple[str, str | None]]:
    return [(one.state, one.reason) for one in records]


def test_text_is_sent_counted_and_told_of_without_its_words(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            record = await desk.outbox.settled(await desk.send("secret words", key="k"), 10)
            assert (record.state, record.message_id) == ("sent", "3EB1")
            (event,) = desk.events
            assert (event.type, event.data) == (
                "message.sent",
                {"message": record.id, "chat": f"{ALICE}@s.whatsapp.net", "key": "k"},
            )
            day = day_of(desk.clock.now(), "")
            traffic = await desk.ledger.read(lambda registry: registry.traffic(desk.record.id, day))
            assert (traffic.sent, traffic.received) == (1, 0)

    run(scene())


def test_text_is_told_of_only_when_the_store_that_sent_it_is_sealed(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.carrier.sealed.clear()
            record = await desk.send("words")
            await until(lambda: desk.carrier.sent, "the send")
            await turns()
            assert desk.events == []
            desk.carrier.sealed.set()
            assert (await desk.outbox.settled(record, 10)).state == "sent"

    run(scene())


def test_same_key_sends_once_and_another_text_under_it_is_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            first = await desk.outbox.settled(await desk.send(key="k"), 10)
            again = await desk.send(key="k")
            assert (again.id, again.state) == (first.id, "sent")
            with pytest.raises(TowerError, match="another text") as refused:
                await desk.send("other", key="k")
            assert refused.value.slug == "invalid-field"
            assert len(desk.carrier.sent) == 1

    run(scene())


def test_two_at_once_with_one_key_send_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            one, two = await asyncio.gather(desk.send(key="k"), desk.send(key="k"))
            await desk.until_idle()
            assert one.id == two.id
            assert len(desk.carrier.sent) == 1

    run(scene())


def test_order_is_kept_and_what_waits_for_another_try_holds_back_its_chat_only(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.be(State.RECONNECTING)
            for text, to in (("a1", ALICE), ("a2", ALICE), ("b1", BOB)):
                await desk.send(text, to)
            desk.carrier.answers = [OrderFailedError("client-error: cannot encrypt")]
            desk.be(State.CONNECTED)
            await until(lambda: len(desk.carrier.sent) == 2)
            assert desk.carrier.sent == [(ALICE, "a1"), (BOB, "b1")]
            desk.clock.time += 5
            await desk.until_idle()
            assert desk.carrier.sent[2:] == [(ALICE, "a1"), (ALICE, "a2")]

    run(scene())


UNKNOWN = [
    WorkerEndedError("the worker ended"),
    OrderFailedError("no answer within 90 s", timed_out=True),
    OrderFailedError("timeout: timed out waiting for message send response"),
]


@pytest.mark.parametrize("error", UNKNOWN, ids=str)
def test_what_may_have_been_sent_is_never_sent_again(tmp_path: Path, error: Exception) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.carrier.answers = [error]
            record = await desk.outbox.settled(await desk.send(), 10)
            assert (record.state, record.reason) == ("failed", "outcome-unknown")
            assert len(desk.carrier.sent) == 1
            assert desk.events[-1].type == "message.failed"

    run(scene())


@pytest.mark.parametrize(
    ("said", "reason"),
    [("not-on-whatsapp: nobody", "not-on-whatsapp"), ("refused: 479", "refused-by-whatsapp")],
)
def test_what_is_refused_fails_at_once(tmp_path: Path, said: str, reason: str) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.carrier.answers = [OrderFailedError(said)]
            record = await desk.outbox.settled(await desk.send(), 10)
            assert (record.state, record.reason, record.attempts) == ("failed", reason, 1)

    run(scene())


def test_what_never_left_is_tried_again_a_few_times(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.carrier.answers = [OrderFailedError("client-error: no") for _ in range(MAX_ATTEMPTS)]
            await desk.send()
            for attempt in range(1, MAX_ATTEMPTS + 1):
                await until(lambda attempt=attempt: len(desk.carrier.sent) == attempt)
                desk.clock.time += 100
            await desk.until_idle()
            assert states(await desk.all()) == [("failed", "send-failed")]

    run(scene())


def test_a_line_that_is_lost_before_it_left_costs_no_attempt(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.carrier.answers = [OrderFailedError("not-connected: websocket not connected")] * 20
            await desk.send()
            await desk.until_idle()
            (record,) = await desk.all()
            assert (record.state, record.attempts) == ("sent", 1)
            assert len(desk.carrier.sent) == 21

    run(scene())


def test_what_waits_survives_a_restart_and_what_was_under_way_is_not_sent_again(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.carrier.answers = [asyncio.Event()]
            for text in ("under way", "waits"):
                await desk.send(text)
            await until(lambda: len(desk.carrier.sent) == 1)
            desk.outbox.close()
            await turns()
            desk.outbox = desk.another()
            await desk.outbox.load()
            await desk.until_idle()
            assert states(await desk.all()) == [("failed", "outcome-unknown"), ("sent", None)]
            assert [text for _, text in desk.carrier.sent] == ["under way", "waits"]

    run(scene())


def test_a_number_and_its_jid_are_one_chat(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.carrier.answers = [OrderFailedError("network: no route")]
            for target in (ALICE, f"{ALICE}@s.whatsapp.net", BOB):
                await desk.send(to=target)
            await until(lambda: len(desk.carrier.sent) == 2)
            await turns()
            assert [to for to, _ in desk.carrier.sent] == [ALICE, BOB]
            desk.clock.time += 10
            await desk.until_idle()
            assert [to for to, _ in desk.carrier.sent][2:] == [ALICE, f"{ALICE}@s.whatsapp.net"]

    run(scene())


def test_a_clock_that_was_set_back_holds_no_text_back(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.carrier.answers = [OrderFailedError("network: no route")]
            await desk.send()
            await until(lambda: len(desk.carrier.sent) == 1)
            desk.clock.time -= 86400
            await desk.until_idle()
            assert states(await desk.all()) == [("sent", None)]

    run(scene())


def test_rate_is_limited_over_a_restart_too(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path, per_minute=2) as desk:
            for text in ("1", "2", "3"):
                await desk.send(text)
            await until(lambda: len(desk.carrier.sent) == 2)
            desk.outbox.close()
            desk.outbox = desk.another()
            await desk.outbox.load()
            await turns()
            assert len(desk.carrier.sent) == 2
            desk.clock.time += 61
            await desk.until_idle()
            assert len(desk.carrier.sent) == 3

    run(scene())


def test_daily_limit_refuses_and_ends_with_the_day(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path, daily=2) as desk:
            for text in ("1", "2"):
                await desk.send(text)
            await desk.until_idle()
            with pytest.raises(TowerError) as refused:
                await desk.send("3")
            assert refused.value.slug == "limit-reached"
            desk.clock.time += 86400
            await desk.outbox.settled(await desk.send("3"), 10)
            assert len(desk.carrier.sent) == 3

    run(scene())


def test_limits_of_an_accounts_own_count_instead_of_those_of_all(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path, daily=1, per_minute=1) as desk:
            own = {"daily_limit": 2, "per_minute_limit": 2}
            desk.account.record = msgspec.structs.replace(desk.account.record, **own)
            for text in ("1", "2"):
                await desk.send(text)
            await desk.until_idle()
            with pytest.raises(TowerError) as refused:
                await desk.send("3")
            assert refused.value.slug == "limit-reached"

    run(scene())


def test_full_queue_says_so(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path, queue=2) as desk:
            desk.be(State.RECONNECTING)
            for text in ("1", "2"):
                await desk.send(text)
            with pytest.raises(TowerError) as refused:
                await desk.send("3")
            assert refused.value.slug == "queue-full"
            assert len(await desk.all()) == 2

    run(scene())


@pytest.mark.parametrize(
    ("limits", "slug"), [({"queue": 3}, "queue-full"), ({"daily": 3, "queue": 100}, "limit-reached")]
)
def test_limits_hold_for_many_at_once(tmp_path: Path, limits: dict[str, int], slug: str) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path, **limits) as desk:
            desk.be(State.RECONNECTING)
            done = await asyncio.gather(*(desk.send(str(n)) for n in range(20)), return_exceptions=True)
            refused = [one for one in done if isinstance(one, TowerError)]
            assert [one.slug for one in refused] == [slug] * 17
            assert len(await desk.all()) == desk.outbox.waiting == 3

    run(scene())


@pytest.mark.parametrize("state", [State.UNPAIRED, State.STOPPED, State.FAILED, State.PAIRING])
def test_an_account_without_a_session_takes_nothing(tmp_path: Path, state: State) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.be(state)
            with pytest.raises(TowerError) as refused:
                await desk.send()
            assert refused.value.slug == "not-connected"
            assert refused.value.hint
            assert await desk.all() == []

    run(scene())


def test_what_waits_is_given_up_with_its_device(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.carrier.answers = [asyncio.Event()]
            for text in ("under way", "waits"):
                await desk.send(text)
            await until(lambda: len(desk.carrier.sent) == 1)
            await desk.outbox.fail_all("unlinked")
            assert states(await desk.all()) == [("failed", "outcome-unknown"), ("failed", "unlinked")]
            assert desk.outbox.waiting == 0

    run(scene())


def test_end_that_cannot_be_written_is_written_later_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:

            async def sql(statement: str) -> None:
                await desk.ledger.read(lambda registry: registry._database.execute_sql(statement))

            await sql(
                "CREATE TRIGGER refuse BEFORE UPDATE ON outgoing WHEN new.state = 'sent' "
                "BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
            accepted = await desk.send()
            await until(lambda: len(desk.carrier.sent) == 1)
            assert (await desk.outbox.settled(accepted, 0.05)).state == "sending"
            await sql("DROP TRIGGER refuse")
            await desk.until_idle()
            assert states(await desk.all()) == [("sent", None)]
            assert len(desk.carrier.sent) == 1

    run(scene())
