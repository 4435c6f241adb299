"""What operators ask of one account, against workers that do what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sessions import messages
from sessions.messages import Identity
from sessions.states import State
from tests.unit.sessions.stores import make_store
from tests.unit.towerd.builders import ACCOUNT_ID, NOW, account_id, an_account
from tests.unit.towerd.supervision.workers import ScriptedWorker
from tests.unit.towerd.supervision.world import ALICE, World, a_linked_account_at_rest, config
from tests.unit.towerd.waiting import DEADLINE_SECONDS, turns, until
from towerd.protocol.errors import ACCOUNT, TowerError
from towerd.supervision import keeper as keeper_module
from towerd.supervision import logout as logout_module
from towerd.supervision import reports as reports_module
from towerd.supervision.keeper import Keeper

Act = Callable[[World], Coroutine[Any, Any, None]]


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports_module, "_REPAIR_SECONDS", 0.02)
    monkeypatch.setattr(keeper_module, "_GOODBYE_SECONDS", 0.3)


Play = Callable[..., None]


async def until_state(
    keeper: Keeper, state: State, reason: str | None = "any", *, seconds: float = DEADLINE_SECONDS
) -> None:
    def reached() -> bool:
        now = keeper.account.record
        return now.state is state and reason in ("any", now.reason)

    try:
        await until(reached, seconds=seconds)
    except AssertionError:
        record = keeper.account.record
        raise AssertionError(f"wanted {state} ({reason}), is {record.state} ({record.reason})") from None


async def no_worker_starts(world: World) -> None:
    """See that nothing is under way, or waits its turn, that would start a worker."""
    count = world.workers.spawner.count
    loop = asyncio.get_running_loop()
    for keeper in world.keepers:
        await until(lambda keeper=keeper: keeper._life.are_over, "the aftermaths")
        for name in ("retry", "repair"):
            timer = keeper._timers._handles.get(name)
            # The slow tries after a failure are minutes away.
            assert timer is None or timer.when() - loop.time() > 60, f"the timer {name} runs"
    assert world.workers.spawner.count == count


def fire(keeper: Keeper, name: str) -> None:
    """Let a timer of the account run out now."""
    timer = keeper._timers._handles[name]
    timer._run()
    timer.cancel()


# --- pairing ---------------------------------------------------------------------------------------------


def test_pair_begins_in_a_fresh_directory_and_offers_the_qr(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep()
        stale = make_store(world.root, ACCOUNT_ID, jid=None)
        await keeper.pair()
        assert keeper.account.state is State.PAIRING
        assert not stale.exists()
        worker = await world.workers.next()
        worker.begun()
        world.show_qr(worker)
        await until(lambda: keeper.account.attempt and keeper.account.attempt.offer)
        offer = keeper.account.attempt.current(world.clock.monotonic())
        assert offer is not None
        assert offer.payload == f"secret-{worker.generation}-1"
        (event,) = await world.events("session.qr")
        assert (event["round"], event["number"], event["count"]) == (1, 1, 6)
        assert "secret" not in str([one.data for one in world.published])

    play(act)


def test_scan_and_login_are_recorded_step_by_step(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_pairing()
        make_store(world.root, ACCOUNT_ID)
        worker.report(messages.Scanned(identity=ALICE))
        await until_state(keeper, State.AUTHENTICATED)
        assert keeper.account.record.is_linked
        assert not keeper.account.record.is_confirmed
        assert keeper.account.attempt.current(world.clock.monotonic()) is None, (
            "a QR that was scanned is no offer"
        )
        # The restart that WhatsApp asks for is no news.
        worker.report(messages.Disconnected())
        worker.report(messages.Connected(identity=ALICE))
        await until_state(keeper, State.CONNECTED)
        record = keeper.account.record
        assert (record.phone, record.is_confirmed, record.reason) == ("+491701234567", True, None)
        assert keeper.account.attempt is None
        await world.ledger.settle()
        assert world.states_kept(keeper) == ["unpaired", "pairing", "authenticated", "connected"]
        assert world.kept(keeper)["is_linked"] == 1

    play(act)


def test_late_report_of_an_earlier_attempt_is_dropped(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, first = await world.keep_pairing()
        await keeper.pair()
        second = await world.workers.next()
        second.report(messages.Scanned(identity=ALICE), generation=first.generation)
        second.report(messages.LoggedOut(code=401, on_connect=False), generation=first.generation)
        world.show_qr(second)
        await until(lambda: keeper.account.attempt and keeper.account.attempt.number)
        assert keeper.account.state is State.PAIRING
        assert not keeper.account.record.is_linked

    play(act)


@pytest.mark.parametrize("heard", [True, False])
def test_worker_that_dies_after_the_scan_gets_a_successor_that_logs_in(play: Play, heard: bool) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_pairing()
        make_store(world.root, ACCOUNT_ID)
        if heard:
            worker.report(messages.Scanned(identity=ALICE))
            await until_state(keeper, State.AUTHENTICATED)
        worker.die()
        successor = await world.workers.next()
        assert world.store_of(keeper).exists(), "the store decides; nothing is wiped"
        assert keeper.account.state is State.CONNECTING
        successor.connected(ALICE)
        await until_state(keeper, State.CONNECTED)
        assert keeper.account.record.phone == "+491701234567"

    play(act)


def test_pairing_that_is_begun_anew_over_a_scan_keeps_the_device(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, _ = await world.keep_pairing()
        make_store(world.root, ACCOUNT_ID)
        await keeper.pair()
        (await world.workers.next()).connected(ALICE)
        await until_state(keeper, State.CONNECTED)

    play(act)


def test_codes_that_are_used_up_are_followed_by_the_next_round(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_pairing()
        worker.report(messages.PairingOver(status="timeout"))
        successor = await world.workers.next()
        successor.begun()
        world.show_qr(successor)
        await until(lambda: keeper.account.attempt and keeper.account.attempt.number == 1)
        assert keeper.account.attempt.round == 2
        assert keeper.account.state is State.PAIRING

    play(act)


def test_worker_that_dies_before_its_first_code_gets_a_successor(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep()
        await keeper.pair()
        (await world.workers.next()).die("dns")
        successor = await world.workers.next()
        assert (keeper.account.state, keeper.account.record.reason) == (State.PAIRING, "dns")
        world.show_qr(successor)
        await until(lambda: keeper.account.record.reason is None)
        assert keeper.account.attempt.round == 1

    play(act)


@pytest.mark.parametrize(("offered", "reason"), [(True, "pairing-timeout"), (False, "pairing-interrupted")])
def test_pairing_ends_with_its_time(play: Play, offered: bool, reason: str) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep()
        await keeper.pair()
        worker = await world.workers.next()
        if offered:
            world.show_qr(worker)
            await until(lambda: keeper.account.attempt.has_offered)
        fire(keeper, "pairing")
        await until_state(keeper, State.UNPAIRED, reason)
        await worker.gone()
        assert keeper.account.attempt is None
        await world.until_event("session.timeout")
        await no_worker_starts(world)

    play(act)


def test_scan_in_the_last_moment_counts(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep()
        await keeper.pair()
        await world.workers.next()
        make_store(world.root, ACCOUNT_ID)
        fire(keeper, "pairing")
        successor = await world.workers.next()
        successor.connected(ALICE)
        await until_state(keeper, State.CONNECTED)

    play(act)


def test_scan_that_whatsapp_does_not_keep_is_incomplete_and_the_attempt_goes_on(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_pairing()
        make_store(world.root, ACCOUNT_ID)
        worker.report(messages.Scanned(identity=ALICE))
        await until_state(keeper, State.AUTHENTICATED)
        world.lose_device(keeper)
        worker.report(messages.LoggedOut(code=401, on_connect=True))
        successor = await world.workers.next()
        assert keeper.account.state is State.PAIRING
        assert not keeper.account.record.is_linked
        reasons = [one.reason for one in await world.history(keeper)]
        assert "pairing-incomplete" in reasons
        assert "logged-out-by-phone" not in reasons
        world.show_qr(successor)

    play(act)


def test_device_that_never_logged_in_and_is_refused_after_a_drop_does_not_trap_the_account(
    play: Play,
) -> None:
    """Scanned, worker lost, login fails for want of a network, and only then the 401."""

    async def act(world: World) -> None:
        keeper, worker = await world.keep_pairing()
        make_store(world.root, ACCOUNT_ID)
        worker.die()
        (await world.workers.next()).die("refused")
        third = await world.workers.next()
        await until_state(keeper, State.RECONNECTING)
        world.lose_device(keeper)
        third.begun()
        third.report(messages.LoggedOut(code=401, on_connect=True))
        await until(lambda: keeper.account.state in (State.UNPAIRED, State.PAIRING), "a way out", seconds=3)
        assert not keeper.account.record.is_linked

    play(act)


def test_pair_over_a_linked_device_is_refused_and_names_the_way(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, _ = await world.keep_connected()
        with pytest.raises(TowerError) as caught:
            await keeper.pair()
        assert caught.value.slug == "wrong-state"
        assert f"towerctl logout {ACCOUNT}" in (caught.value.hint or "")
        assert keeper.account.state is State.CONNECTED

    play(act)


def test_passkey_is_named_and_needs_a_human(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_pairing()
        worker.report(messages.PairingOver(status="passkey-request"))
        await until_state(keeper, State.FAILED, "passkey-required")
        await worker.gone()

    play(act)


def test_other_phone_than_before_is_logged_out_again(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_pairing(expected_phone="+491709999999")
        make_store(world.root, ACCOUNT_ID)
        worker.report(messages.Scanned(identity=ALICE), messages.Connected(identity=ALICE))
        order = await worker.next_order()
        assert order["type"] == "logout"
        worker.report(messages.Answer(id=order["id"], error=None))
        await until_state(keeper, State.UNPAIRED, "wrong-phone")
        assert not keeper.account.record.is_linked
        assert not world.store_of(keeper).exists()
        assert keeper.account.record.expected_phone == "+491709999999"

    play(act)


def test_phone_of_another_account_of_the_same_owner_is_logged_out_again(play: Play) -> None:
    async def act(world: World) -> None:
        first, _ = await world.keep_connected(id=account_id(1), name="first")
        second, worker = await world.keep_pairing(id=account_id(2), name="second")
        make_store(world.root, account_id(2), jid="491701234567:13@s.whatsapp.net")
        late = Identity(jid=ALICE.jid, device_number=13)
        worker.report(messages.Scanned(identity=late), messages.Connected(identity=late))
        order = await worker.next_order()
        worker.report(messages.Answer(id=order["id"], error=None))
        await until_state(second, State.UNPAIRED, "duplicate-phone")
        assert first.account.state is State.CONNECTED
        (event,) = await world.events("session.duplicate")
        assert (event["phone"], event["existing"]) == ("+491701234567", "first")

    play(act)


# --- connection ------------------------------------------------------------------------------------------


def test_library_has_the_first_try_and_then_our_schedule_counts(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        worker.report(messages.Disconnected())
        await until_state(keeper, State.RECONNECTING, "connection-lost")
        assert keeper.account.retry is not None
        assert (keeper.account.retry.attempt, keeper.account.retry.next_attempt_at) == (0, None)
        fire(keeper, "library")
        await worker.gone()
        for attempt in (1, 2, 3):
            await until(
                lambda attempt=attempt: keeper.account.retry and keeper.account.retry.attempt == attempt
            )
            assert keeper.account.retry.next_attempt_at is not None
            successor = await world.workers.next()
            if attempt < 3:
                successor.die("refused")
        successor.connected(ALICE)
        await until_state(keeper, State.CONNECTED, None)
        assert keeper.account.retry is None
        assert len(await world.events("session.disconnected")) == 1

    play(act)


def test_connection_that_the_library_mends_itself_costs_no_worker(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        worker.report(messages.Disconnected())
        await until_state(keeper, State.RECONNECTING)
        worker.report(messages.Connected(identity=ALICE))
        await until_state(keeper, State.CONNECTED)
        await no_worker_starts(world)
        assert keeper.carrier.worker is not None
        assert keeper.carrier.worker.pid == worker.pid

    play(act)


@pytest.mark.parametrize(
    ("said", "reason"), [(None, "worker-lost"), ("dns", "dns"), ("unheard-of", "client-error")]
)
def test_worker_that_dies_is_replaced_and_the_reason_says_why(
    play: Play, said: str | None, reason: str
) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        worker.die(said)
        successor = await world.workers.next()
        assert (keeper.account.state, keeper.account.record.reason) == (State.RECONNECTING, reason)
        successor.connected(ALICE)
        await until_state(keeper, State.CONNECTED)
        assert {"connected", "reconnecting"} <= set(world.states_kept(keeper))

    play(act)


def test_worker_that_does_not_get_anywhere_in_time_is_replaced(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep(a_linked_account_at_rest())
        make_store(world.root, ACCOUNT_ID)
        await keeper.resume()
        mute = await world.workers.next()
        mute.begun()
        fire(keeper, "connect")
        successor = await world.workers.next()
        await mute.gone()
        assert keeper.account.state is State.RECONNECTING
        successor.connected(ALICE)
        await until_state(keeper, State.CONNECTED)

    play(act)


def test_session_that_does_not_answer_the_probe_is_replaced(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        assert (await worker.next_order())["type"] == "probe"
        await worker.gone()
        await world.workers.next()
        assert (keeper.account.state, keeper.account.record.reason) == (State.RECONNECTING, "server-silent")

    play(act, config(truth={"quiet_seconds": 0.1, "probe_seconds": 0.1}))


def test_session_that_answers_the_probe_lives_on(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        for _ in range(3):
            order = await worker.next_order()
            worker.report(messages.Answer(id=order["id"], error=None))
        assert keeper.account.state is State.CONNECTED
        assert world.workers.spawner.count == 1

    play(act, config(truth={"quiet_seconds": 0.05, "probe_seconds": 10}))


def test_workers_that_die_one_after_the_other_are_a_crash_loop(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        worker.die()
        for _ in range(2):
            (await world.workers.next()).die()
        await until_state(keeper, State.FAILED, "worker-crash-loop")
        assert world.store_of(keeper).exists()
        # It goes on slowly, by itself.
        (await world.workers.next()).connected(ALICE)
        await until_state(keeper, State.CONNECTED)

    play(act, config(reconnect={"slow_seconds": 0.3}))


def test_crash_loop_while_pairing_is_one_too(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep()
        await keeper.pair()
        for _ in range(3):
            (await world.workers.next()).die()
        await until_state(keeper, State.FAILED, "worker-crash-loop")
        await no_worker_starts(world)

    play(act)


def test_workers_that_say_why_they_end_are_no_crash_loop(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        worker.die("refused")
        for _ in range(5):
            (await world.workers.next()).die("refused")
        await until_state(keeper, State.RECONNECTING, "refused")

    play(act)


def test_machine_without_room_for_a_process_is_tried_again(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        world.workers.spawner.failures = 3
        worker.die("refused")
        (await world.workers.next()).connected(ALICE)
        await until_state(keeper, State.CONNECTED)

    play(act)


def test_push_name_that_is_learned_later_is_recorded(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected(push_name=None)
        worker.report(messages.IdentityLearned(identity=ALICE))
        await until(lambda: keeper.account.record.push_name == "Alice")
        await world.ledger.settle()
        assert world.kept(keeper)["push_name"] == "Alice"

    play(act)


# --- refusals --------------------------------------------------------------------------------------------


def test_unlink_by_the_phone_is_recorded_then_wiped_then_paired_anew(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        at_wipe: list[list[str]] = []
        renew = keeper.carrier.store.renew

        def watched() -> None:
            at_wipe.append(world.states_kept(keeper))
            renew()

        monkeypatch.setattr(keeper.carrier.store, "renew", watched)
        world.lose_device(keeper)
        worker.report(messages.LoggedOut(code=401, on_connect=False))
        successor = await world.workers.next()
        await worker.gone()
        assert at_wipe[0][-1] == "logged_out", "recorded before it was wiped"
        assert (keeper.account.state, keeper.account.record.reason) == (State.PAIRING, "logged-out-by-phone")
        world.show_qr(successor)
        await until(lambda: keeper.account.attempt and keeper.account.attempt.number == 1)
        assert keeper.account.record.expected_phone == "+491701234567"
        assert await world.events("session.logged_out") == [{"reason": "logged-out-by-phone", "by": "phone"}]

    play(act)


def test_unlink_while_the_worker_dies_over_it_is_seen_in_the_store(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        world.lose_device(keeper)
        worker.die()
        await world.workers.next()
        await until_state(keeper, State.PAIRING, "logged-out-by-phone")
        assert "logged_out" in world.states_kept(keeper)

    play(act)


def test_automatic_pairing_that_ran_out_still_reads_unlinked_by_the_phone(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        world.lose_device(keeper)
        worker.report(messages.LoggedOut(code=401, on_connect=False))
        world.show_qr(await world.workers.next())
        await until(lambda: keeper.account.attempt and keeper.account.attempt.has_offered)
        fire(keeper, "pairing")
        await until_state(keeper, State.UNPAIRED, "logged-out-by-phone")
        await world.until_event("session.timeout")
        await no_worker_starts(world)

    play(act)


def test_without_automatic_pairing_an_unlinked_account_stays_unpaired(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        world.lose_device(keeper)
        worker.report(messages.LoggedOut(code=401, on_connect=False))
        await until_state(keeper, State.UNPAIRED, "logged-out-by-phone")
        await no_worker_starts(world)

    play(act, config(pairing={"automatic": False}))


@pytest.mark.parametrize(("code", "reason"), [(403, "locked"), (406, "banned")])
def test_other_removals_need_a_human_and_pair_nothing(play: Play, code: int, reason: str) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        world.lose_device(keeper)
        worker.report(messages.LoggedOut(code=code, on_connect=False))
        await until_state(keeper, State.FAILED, reason)
        await worker.gone()
        assert not keeper.account.record.is_linked
        await no_worker_starts(world)

    play(act)


def test_account_that_was_locked_expects_the_same_phone_again(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        world.lose_device(keeper)
        worker.report(messages.LoggedOut(code=403, on_connect=False))
        await until_state(keeper, State.FAILED, "locked")
        await keeper.pair()
        await world.workers.next()
        assert keeper.account.record.expected_phone == "+491701234567"

    play(act)


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (messages.Banned(code=101, expires_in_seconds=0), "banned"),
        (messages.ConnectFailed(code=409), "connect-failure-409"),
        (messages.Outdated(), "client-outdated"),
        (messages.StoreLocked(holder_pid=1), "store-locked"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusal_that_keeps_the_device_needs_a_human_and_wipes_nothing(
    play: Play, report: messages.Reports, reason: str
) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        worker.report(report)
        await until_state(keeper, State.FAILED, reason)
        await worker.gone()
        assert keeper.account.record.is_linked
        assert world.store_of(keeper).exists()
        await no_worker_starts(world)

    play(act)


def test_ban_with_an_end_is_waited_out(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        worker.report(messages.Banned(code=101, expires_in_seconds=3600))
        await until_state(keeper, State.RECONNECTING, "banned-until")
        assert keeper.account.retry is not None
        assert keeper.account.retry.next_attempt_at is not None
        await no_worker_starts(world)
        fire(keeper, "retry")
        (await world.workers.next()).connected(ALICE)
        await until_state(keeper, State.CONNECTED, None)

    play(act)


def test_session_that_is_replaced_again_and_again_needs_a_human(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        for _ in range(2):
            worker.report(messages.Replaced())
            worker = await world.workers.next()
            worker.connected(ALICE)
            await until_state(keeper, State.CONNECTED)
        worker.report(messages.Replaced())
        await until_state(keeper, State.FAILED, "stream-replaced")
        await no_worker_starts(world)

    play(act, config(workers={"takeovers": 2}))


def test_store_that_is_damaged_when_its_worker_dies_fails_and_wipes_nothing(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        world.store_of(keeper).write_bytes(b"\xa5" * 9000)
        worker.die()
        await until_state(keeper, State.FAILED, "store-damaged")
        assert world.store_of(keeper).read_bytes() == b"\xa5" * 9000
        assert keeper.account.record.is_linked
        await no_worker_starts(world)

    play(act)


# --- stop, start, restart --------------------------------------------------------------------------------


def test_stop_lets_the_worker_say_goodbye_and_keeps_the_device(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        await keeper.stop()
        assert (await worker.next_order())["type"] == "quit"
        record = keeper.account.record
        assert (record.state, record.desired, record.is_linked) == (State.STOPPED, "stopped", True)
        assert world.kept(keeper)["desired"] == "stopped"
        assert world.store_of(keeper).exists()
        await keeper.stop()
        await no_worker_starts(world)

    play(act)


def test_stop_wins_over_a_pending_retry(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        worker.die("refused")
        await until_state(keeper, State.RECONNECTING)
        await keeper.stop()
        assert keeper.account.state is State.STOPPED
        assert keeper.account.retry is None
        await no_worker_starts(world)

    play(act, config(reconnect={"base_seconds": 30.0, "cap_seconds": 30.0}))


@pytest.mark.parametrize(
    "report", [messages.Disconnected(), messages.LoggedOut(code=401, on_connect=False), messages.Outdated()]
)
def test_late_report_after_stop_is_dropped(play: Play, report: messages.Reports) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        worker.tell(stubborn=True)
        worker.report(messages.KeepaliveRestored())
        stopping = asyncio.create_task(keeper.stop())
        await worker.next_order()
        worker.report(report)
        await stopping
        assert (keeper.account.state, keeper.account.record.reason) == (State.STOPPED, "stopped-by-operator")
        assert keeper.account.record.is_linked
        await no_worker_starts(world)

    play(act)


def test_stop_while_pairing_ends_the_attempt(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_pairing()
        await keeper.stop()
        await worker.gone()
        assert keeper.account.state is State.STOPPED
        assert keeper.account.attempt is None
        await keeper.start()
        assert keeper.account.state is State.UNPAIRED
        await no_worker_starts(world)

    play(act)


def test_start_after_stop_connects_again_without_a_qr(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, _ = await world.keep_connected()
        await keeper.stop()
        await keeper.start()
        assert keeper.account.state is State.CONNECTING
        assert world.kept(keeper)["desired"] == "running"
        (await world.workers.next()).connected(ALICE)
        await until_state(keeper, State.CONNECTED)

    play(act)


def test_start_of_a_running_account_changes_nothing(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, _ = await world.keep_connected()
        await keeper.start()
        assert keeper.account.state is State.CONNECTED
        await no_worker_starts(world)

    play(act)


def test_start_of_a_never_paired_account_sets_the_wish_only(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep(an_account(desired="stopped", state=State.STOPPED))
        await keeper.start()
        record = keeper.account.record
        assert (record.desired, record.state) == ("running", State.UNPAIRED)
        await no_worker_starts(world)

    play(act)


def test_start_on_a_store_that_lost_its_device_says_so(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, _ = await world.keep_connected()
        await keeper.stop()
        world.lose_device(keeper)
        await keeper.start()
        await until_state(keeper, State.UNPAIRED, "logged-out-by-phone")
        assert not keeper.account.record.is_linked

    play(act)


def test_restart_gives_a_new_worker(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        await keeper.restart()
        successor = await world.workers.next()
        assert successor.pid != worker.pid
        assert keeper.account.state is State.CONNECTING
        successor.connected(ALICE)
        await until_state(keeper, State.CONNECTED)

    play(act)


def test_stop_that_cannot_be_recorded_changes_nothing(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(world: World) -> None:
        keeper, _ = await world.keep_connected()

        async def refuse(_write: object) -> None:
            raise TowerError("registry-unavailable", "the disk is full")

        monkeypatch.setattr(world.ledger, "commit", refuse)
        with pytest.raises(TowerError):
            await keeper.stop()
        assert (keeper.account.state, keeper.account.record.desired) == (State.CONNECTED, "running")
        monkeypatch.undo()

    play(act)


# --- unpair, logout, remove ------------------------------------------------------------------------------


async def orders_so_far(worker: ScriptedWorker) -> list[str]:
    await worker.gone()
    await turns()
    return [worker.orders.get_nowait()["type"] for _ in range(worker.orders.qsize())]


def test_unpair_forgets_here_and_never_asks_for_a_logout(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        await keeper.unpair()
        record = keeper.account.record
        assert (record.state, record.reason) == (State.UNPAIRED, "unpaired-by-operator")
        assert (record.is_linked, record.jid, record.intent) == (False, None, None)
        assert record.expected_phone == "+491701234567"
        assert not world.store_of(keeper).exists()
        assert "logout" not in await orders_so_far(worker)
        await no_worker_starts(world)

    play(act)


def test_unpair_of_an_unpaired_account_is_done(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep()
        await keeper.unpair()
        assert keeper.account.record.reason == "never-paired"

    play(act)


def test_unpair_is_the_way_out_of_a_damaged_store(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep(a_linked_account_at_rest())
        make_store(world.root, ACCOUNT_ID).write_bytes(b"\xa5" * 9000)
        await keeper.resume()
        assert (keeper.account.state, keeper.account.record.reason) == (State.FAILED, "store-damaged")
        await keeper.unpair()
        assert keeper.account.state is State.UNPAIRED
        await keeper.pair()
        await world.workers.next()

    play(act)


async def answer_logout(worker: ScriptedWorker, error: str | None) -> None:
    order = await worker.next_order()
    assert order["type"] == "logout"
    worker.report(messages.Answer(id=order["id"], error=error))


def test_logout_that_whatsapp_confirms_wipes_and_does_not_pair_again(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        logging_out = asyncio.create_task(keeper.logout())
        order = await worker.next_order()
        assert world.kept(keeper)["intent"] == "logout", "recorded before it is done"
        # The library deletes the row, and the server may say 401 before the answer comes.
        world.lose_device(keeper)
        worker.report(messages.LoggedOut(code=401, on_connect=False))
        worker.report(messages.Answer(id=order["id"], error=None))
        assert (await logging_out).outcome == "done"
        record = keeper.account.record
        assert (record.state, record.reason) == (State.UNPAIRED, "logged-out-by-operator")
        assert (record.is_linked, record.intent) == (False, None)
        assert await world.events("session.logged_out") == []
        await no_worker_starts(world)

    play(act)


@pytest.mark.parametrize("error", [None, "not-connected: websocket not connected"])
def test_logout_that_was_cut_short_at_rest_is_finished_at_the_start(play: Play, error: str | None) -> None:
    async def act(world: World) -> None:
        at_rest = {"state": State.STOPPED, "reason": "stopped-by-operator", "desired": "stopped"}
        keeper = await world.keep(a_linked_account_at_rest(intent="logout", **at_rest))
        prepare_store(world, "device")
        await keeper.resume()
        worker = await world.workers.next()
        worker.connected()
        await answer_logout(worker, error)
        if error is None:
            await until_state(keeper, State.UNPAIRED, "logged-out-by-operator")
        else:
            await until_state(keeper, State.STOPPED, "stopped-by-operator")
            assert keeper.account.record.is_linked
        await until(lambda: keeper.account.record.intent is None)
        await worker.gone()
        await no_worker_starts(world)

    play(act)


def test_logout_that_fails_says_so_and_wipes_nothing(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        logging_out = asyncio.create_task(keeper.logout())
        await answer_logout(worker, "not-connected: websocket not connected")
        with pytest.raises(TowerError) as caught:
            await logging_out
        assert caught.value.slug == "logout-failed"
        record = keeper.account.record
        assert (record.is_linked, record.intent) == (True, None)
        assert world.store_of(keeper).exists()
        assert keeper.account.state is State.CONNECTED

    play(act)


@pytest.mark.parametrize("how", ["said so", "no answer"])
def test_logout_of_unknown_end_that_did_happen_never_pairs_again(
    play: Play, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(logout_module, "LOGOUT_SECONDS", 1.0)

    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        logging_out = asyncio.create_task(keeper.logout())
        if how == "said so":
            await answer_logout(worker, "timeout: websocket timed out")
        assert (await logging_out).outcome == "unknown"
        assert keeper.account.record.is_linked
        assert keeper.account.record.intent == "logout"
        assert world.store_of(keeper).exists()
        successor = await world.workers.next()
        successor.begun()
        world.lose_device(keeper)
        successor.report(messages.LoggedOut(code=401, on_connect=True))
        await until_state(keeper, State.UNPAIRED, "logged-out-by-operator")
        await until(lambda: keeper.account.record.intent is None)
        await no_worker_starts(world)

    play(act)


def test_logout_of_unknown_end_that_did_not_happen_is_forgotten_at_the_next_login(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logout_module, "LOGOUT_SECONDS", 0.3)

    async def act(world: World) -> None:
        keeper, _ = await world.keep_connected()
        assert (await keeper.logout()).outcome == "unknown"
        (await world.workers.next()).connected(ALICE)
        await until_state(keeper, State.CONNECTED)
        await until(lambda: keeper.account.record.intent is None)

    play(act)


def test_logout_of_unknown_end_that_the_library_carried_out_is_seen_at_once(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 401 and the deletion come while the answer does not."""
    monkeypatch.setattr(logout_module, "LOGOUT_SECONDS", 0.5)

    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        logging_out = asyncio.create_task(keeper.logout())
        await worker.next_order()
        world.lose_device(keeper)
        worker.report(messages.LoggedOut(code=401, on_connect=False))
        await logging_out
        await until_state(keeper, State.UNPAIRED, "logged-out-by-operator", seconds=3)
        await no_worker_starts(world)

    play(act)


def test_logout_of_a_stopped_account_connects_it_for_that(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, _ = await world.keep_connected()
        await keeper.stop()
        logging_out = asyncio.create_task(keeper.logout())
        worker = await world.workers.next()
        worker.connected(ALICE)
        await answer_logout(worker, None)
        assert (await logging_out).outcome == "done"
        await until_state(keeper, State.UNPAIRED, "logged-out-by-operator")

    play(act)


def test_stopped_account_whose_logout_fails_is_stopped_again(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logout_module, "LOGOUT_SECONDS", 0.5)

    async def act(world: World) -> None:
        keeper, _ = await world.keep_connected()
        await keeper.stop()
        with pytest.raises(TowerError):
            await keeper.logout()
        assert keeper.account.state is State.STOPPED
        assert keeper.account.record.is_linked
        assert not keeper.carrier.is_running

    play(act)


def test_logout_of_an_account_without_a_device_is_nothing(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep()
        assert (await keeper.logout()).outcome == "not-linked"
        assert world.workers.spawner.count == 0

    play(act)


def test_remove_logs_out_and_deletes_files_and_row(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        removing = asyncio.create_task(keeper.remove(require_logout=False))
        await answer_logout(worker, None)
        assert (await removing).outcome == "done"
        assert world.kept(keeper) is None
        assert list(world.root.iterdir()) == []
        assert await world.events("account.removed") == [{"logout": "done"}]
        await no_worker_starts(world)

    play(act)


def test_remove_whose_logout_fails_removes_all_the_same_and_says_so(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        removing = asyncio.create_task(keeper.remove(require_logout=False))
        await answer_logout(worker, "not-connected: no")
        report = await removing
        assert report.outcome == "failed"
        assert (report.detail or "").startswith("not-connected: no")
        assert world.kept(keeper) is None
        assert list(world.root.iterdir()) == []

    play(act)


def test_remove_that_requires_the_logout_deletes_nothing_when_it_fails(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        removing = asyncio.create_task(keeper.remove(require_logout=True))
        await answer_logout(worker, "not-connected: no")
        with pytest.raises(TowerError) as caught:
            await removing
        assert caught.value.slug == "logout-failed"
        assert keeper.account.record.intent is None
        assert world.kept(keeper)["is_linked"] == 1
        assert world.store_of(keeper).exists()

    play(act)


def test_remove_of_an_unpaired_account_deletes_it(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_pairing()
        assert (await keeper.remove(require_logout=True)).outcome == "not-linked"
        await worker.gone()
        assert world.kept(keeper) is None
        assert list(world.root.iterdir()) == []

    play(act)


def test_who_waits_for_a_removed_account_is_told(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep()
        waiting = asyncio.create_task(keeper.account.until(lambda: False, None))
        await turns()
        await keeper.remove(require_logout=False)
        with pytest.raises(TowerError) as caught:
            await waiting
        assert caught.value.slug == "account-not-found"

    play(act)


def test_name_is_changed_durably_with_an_event(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep()
        await keeper.set(name="beta", display_name="B")
        assert (world.kept(keeper)["name"], world.kept(keeper)["display_name"]) == ("beta", "B")
        assert await world.events("account.renamed") == [{"old": "alpha", "new": "beta"}]

    play(act)


# --- the start of the daemon -----------------------------------------------------------------------------


def test_nothing_is_connected_before_its_worker_says_so(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep(a_linked_account_at_rest())
        make_store(world.root, ACCOUNT_ID)
        keeper.announce()
        assert (keeper.account.state, keeper.account.record.reason) == (State.CONNECTING, "start-queued")
        await keeper.resume()
        await world.workers.next()
        assert keeper.account.state is State.CONNECTING

    play(act)


RESUMED = [
    # linked, store, state, reason, does a worker start
    (False, "device", State.CONNECTING, "start-queued", True),
    (True, "device", State.CONNECTING, "start-queued", True),
    (True, "missing", State.FAILED, "store-damaged", False),
    (True, "garbage", State.FAILED, "store-damaged", False),
    (True, "other", State.FAILED, "store-mismatch", False),
    (False, "no device", State.UNPAIRED, "never-paired", False),
    (False, "missing", State.UNPAIRED, "never-paired", False),
    (False, "garbage", State.UNPAIRED, "never-paired", False),
]


def prepare_store(world: World, what: str) -> None:
    match what:
        case "device":
            make_store(world.root, ACCOUNT_ID)
        case "other":
            make_store(world.root, ACCOUNT_ID, jid="491709999999:3@s.whatsapp.net")
        case "no device":
            make_store(world.root, ACCOUNT_ID, jid=None)
        case "garbage":
            make_store(world.root, ACCOUNT_ID).write_bytes(b"\xa5" * 9000)


@pytest.mark.parametrize(("is_linked", "store", "state", "reason", "starts"), RESUMED)
def test_store_decides_what_a_start_finds(
    play: Play, is_linked: bool, store: str, state: State, reason: str, starts: bool
) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep(a_linked_account_at_rest() if is_linked else an_account())
        prepare_store(world, store)
        keeper.announce()
        await keeper.resume()
        assert (keeper.account.state, keeper.account.record.reason) == (state, reason)
        if starts:
            await world.workers.next()
            assert world.store_of(keeper).exists()
        else:
            await no_worker_starts(world)

    play(act)


def test_linked_account_whose_store_lost_its_device_was_unlinked_meanwhile(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep(a_linked_account_at_rest())
        prepare_store(world, "no device")
        keeper.announce()
        await keeper.resume()
        await until_state(keeper, State.UNPAIRED, "logged-out-by-phone")
        assert not keeper.account.record.is_linked

    play(act, config(pairing={"automatic": False}))


def test_stopped_account_stays_stopped(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep(a_linked_account_at_rest(desired="stopped", state=State.STOPPED))
        make_store(world.root, ACCOUNT_ID)
        keeper.announce()
        await keeper.resume()
        assert keeper.account.state is State.STOPPED
        await no_worker_starts(world)

    play(act)


@pytest.mark.parametrize(
    "state", [State.CONNECTED, State.RECONNECTING, State.CONNECTING, State.AUTHENTICATED]
)
def test_account_that_should_run_runs_again_whatever_it_was_doing(play: Play, state: State) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep(a_linked_account_at_rest(state=state, reason="connection-lost"))
        make_store(world.root, ACCOUNT_ID)
        keeper.announce()
        await keeper.resume()
        (await world.workers.next()).connected(ALICE)
        await until_state(keeper, State.CONNECTED, None)

    play(act)


def test_unpair_that_was_cut_short_is_finished_at_the_next_start(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep(a_linked_account_at_rest(intent="unpair"))
        make_store(world.root, ACCOUNT_ID)
        keeper.announce()
        await keeper.resume()
        record = keeper.account.record
        assert (record.state, record.reason, record.intent) == (State.UNPAIRED, "unpaired-by-operator", None)
        assert not world.store_of(keeper).exists()
        await no_worker_starts(world)

    play(act)


def test_wipe_that_was_cut_short_is_finished_and_paired_anew(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep(
            a_linked_account_at_rest(state=State.LOGGED_OUT, reason="logged-out-by-phone")
        )
        prepare_store(world, "no device")
        keeper.announce()
        await keeper.resume()
        await world.workers.next()
        await until_state(keeper, State.PAIRING, "logged-out-by-phone")

    play(act)


def test_pairing_goes_on_within_its_time(play: Play) -> None:
    async def act(world: World) -> None:
        now = world.clock.now()
        keeper = await world.keep(an_account(state=State.PAIRING, reason=None, pairing_started_at=now - 10))
        await keeper.resume()
        await world.workers.next()
        assert keeper.account.state is State.PAIRING
        assert keeper.account.attempt.started_at == now - 10

    play(act)


def test_pairing_whose_time_is_over_was_interrupted(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep(an_account(state=State.PAIRING, reason=None, pairing_started_at=NOW - 9e8))
        await keeper.resume()
        assert (keeper.account.state, keeper.account.record.reason) == (State.UNPAIRED, "pairing-interrupted")
        await no_worker_starts(world)

    play(act)


def test_end_of_the_daemon_logs_nobody_out_and_decides_nothing(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        await keeper.close()
        assert await orders_so_far(worker) == ["quit"]
        assert world.store_of(keeper).exists()
        assert world.kept(keeper)["is_linked"] == 1
        assert world.kept(keeper)["desired"] == "running"
        await no_worker_starts(world)

    play(act)


def test_end_of_the_daemon_in_the_middle_of_everything_leaves_no_loose_end(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        world.lose_device(keeper)
        worker.report(messages.LoggedOut(code=401, on_connect=False))
        worker.die()
        await until(lambda: keeper.account.state is not State.CONNECTED)
        await keeper.close()
        await no_worker_starts(world)

    play(act)
