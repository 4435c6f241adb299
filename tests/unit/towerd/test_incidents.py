"""Incidents follow what is true: what opens one, what ends one, and that nothing makes a second one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sessions.states import State
from tests.unit.towerd.builders import ACCOUNT_ID, NOW, FakeClock, a_linked_account, an_account
from tests.unit.towerd.waiting import run, until
from towerd.accounts.records import AccountRecord, EventDraft, IncidentRecord
from towerd.config_files import Mistake
from towerd.configuration import Difference
from towerd.incidents import (
    Incidents,
    Outlook,
    Trouble,
    account_outcome,
    account_trouble,
    config_trouble,
    fleet_trouble,
    problem_troubles,
    registry_trouble,
)
from towerd.reasons import REASONS
from towerd.supervision.health import Condition

WELL_SECONDS = 60.0


def condition(record: AccountRecord, *, is_tired: bool = False) -> Condition:
    return Condition(state=record.state, reason=record.reason, is_doubtful=False, is_tired=is_tired)


def kind_of(record: AccountRecord, *, is_tired: bool = False) -> str | None:
    trouble = account_trouble(record, condition(record, is_tired=is_tired))
    return trouble.kind if trouble else None


UNLINKED: dict[str, Any] = {"is_linked": False, "jid": None}


# --- what needs a human ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reason", ["locked", "banned", "store-damaged", "client-outdated", "connect-failure-9"]
)
def test_a_failed_account_needs_somebody(reason: str) -> None:
    assert kind_of(a_linked_account(state=State.FAILED, reason=reason)) == reason


@pytest.mark.parametrize("state", [State.LOGGED_OUT, State.UNPAIRED, State.PAIRING])
def test_an_unlink_by_the_phone_needs_somebody_until_it_is_scanned(state: State) -> None:
    assert kind_of(an_account(state=state, reason="logged-out-by-phone")) == "logged-out-by-phone"


def test_the_cause_counts_while_the_reason_says_something_else() -> None:
    record = an_account(state=State.PAIRING, reason="dns", cause="logged-out-by-phone")
    assert kind_of(record) == "logged-out-by-phone"


@pytest.mark.parametrize("cause", ["wrong-phone", "duplicate-phone", "locked", "banned"])
def test_a_link_that_was_refused_needs_somebody(cause: str) -> None:
    assert kind_of(an_account(state=State.UNPAIRED, reason=cause, cause=cause)) == cause


@pytest.mark.parametrize(
    "record",
    [
        an_account(),
        an_account(state=State.PAIRING, reason=None),
        an_account(reason="pairing-timeout"),
        an_account(reason="unpaired-by-operator", cause="unpaired-by-operator"),
        an_account(reason="logged-out-by-operator", cause="logged-out-by-operator"),
        a_linked_account(),
        a_linked_account(state=State.CONNECTING, reason="start-queued"),
        a_linked_account(state=State.RECONNECTING, reason="connection-lost"),
        a_linked_account(state=State.AUTHENTICATED, cause="logged-out-by-phone"),
        an_account(state=State.STOPPED, reason="stopped-by-operator", cause="logged-out-by-phone"),
        an_account(state=State.FAILED, reason="banned", desired="stopped"),
    ],
)
def test_what_gets_along_by_itself_or_is_wanted_so_needs_nobody(record: AccountRecord) -> None:
    assert kind_of(record) is None


def test_a_ban_with_an_end_and_reconnects_in_vain_need_somebody() -> None:
    record = a_linked_account(state=State.RECONNECTING, reason="banned-until", detail="until 2026-01-31")
    assert kind_of(record) == "banned-until"
    record = a_linked_account(state=State.RECONNECTING, reason="dns")
    assert kind_of(record, is_tired=False) is None
    trouble = account_trouble(record, condition(record, is_tired=True))
    assert trouble is not None
    assert (trouble.kind, trouble.line) == ("reconnects-failed", "alpha: reconnects-failed (dns)")
    assert trouble.action == REASONS["dns"].action


def test_an_account_that_the_fleet_holds_is_no_incident_of_its_own() -> None:
    assert kind_of(a_linked_account(state=State.RECONNECTING, reason="fleet-held"), is_tired=True) is None


def test_a_trouble_names_account_detail_and_what_to_do() -> None:
    record = an_account(state=State.FAILED, reason="banned", detail="because")
    trouble = account_trouble(record, condition(record))
    assert trouble is not None
    assert trouble.line == "alpha: banned: because"
    assert trouble.action is not None
    assert "towerctl pair alpha" in trouble.action


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        (a_linked_account(), "connected"),
        (an_account(state=State.STOPPED, reason="stopped-by-operator", desired="stopped"), "stopped"),
        (an_account(reason="unpaired-by-operator"), "unpaired-by-operator"),
        (an_account(reason="pairing-timeout"), None),
        (an_account(state=State.PAIRING), None),
        (a_linked_account(state=State.CONNECTING), None),
        (a_linked_account(state=State.RECONNECTING, reason="connection-lost"), None),
    ],
)
def test_an_account_is_well_when_it_works_or_is_as_somebody_wants_it(
    record: AccountRecord, outcome: str | None
) -> None:
    assert account_outcome(record) == outcome


@dataclass
class Breaker:
    cause: str | None

    @property
    def is_open(self) -> bool:
        return self.cause is not None


@dataclass
class Database:
    trouble: str | None


def test_the_daemon_itself_is_in_trouble_while_accounts_are_held_or_the_disk_refuses() -> None:
    assert fleet_trouble(cast("Any", Breaker(None))) is None
    held = fleet_trouble(cast("Any", Breaker("unlink-wave")))
    assert held is not None
    assert (held.kind, held.line) == ("fleet-held", "accounts are held back: unlink-wave")
    assert registry_trouble(cast("Any", Database(None))) is None
    full = registry_trouble(cast("Any", Database("database or disk is full")))
    assert full is not None
    assert full.line.endswith("database or disk is full")
    assert [one.line for one in problem_troubles(["one", "two"])] == ["one", "two"]
    assert len({one.subject for one in problem_troubles(["one", "two"])}) == 2


def test_files_that_are_not_valid_are_trouble_with_the_first_mistake_in_words() -> None:
    def configuration(*mistakes: Mistake) -> Any:
        return cast("Any", SimpleNamespace(difference=Difference(mistakes=mistakes)))

    assert config_trouble(configuration()) is None
    mistake = Mistake(file=Path("/etc/tower/tower.toml"), key="pairing.timeout", why="unknown key")
    one = config_trouble(configuration(mistake))
    assert one is not None
    assert one.line.endswith("not valid: /etc/tower/tower.toml: pairing.timeout: unknown key")
    two = config_trouble(configuration(mistake, mistake))
    assert two is not None
    assert two.line.endswith("(and 1 more)")


# --- the book --------------------------------------------------------------------------------------------


@dataclass
class Shelf:
    """A ledger that takes everything and hands it back."""

    kept: dict[str, IncidentRecord] = field(default_factory=dict)
    events: list[EventDraft] = field(default_factory=list)

    def post(self, *, incident: IncidentRecord, events: list[EventDraft]) -> None:
        self.kept[incident.id] = incident
        self.events += events

    async def read(self, _query: Any) -> list[IncidentRecord]:
        return [one for one in self.kept.values() if not one.is_settled]

    @property
    def types(self) -> list[str]:
        return [event.type.removeprefix("incident.") for event in self.events]


@dataclass
class Scene:
    """Incidents over a world that the test makes up."""

    clock: FakeClock = field(default_factory=FakeClock)
    shelf: Shelf = field(default_factory=Shelf)
    seen: Outlook = field(default_factory=Outlook)
    channels: tuple[str, ...] = ("command",)

    def __post_init__(self) -> None:
        self.incidents = self.open()

    def open(self) -> Incidents:
        return Incidents(
            lambda: self.seen,
            ledger=cast("Any", self.shelf),
            clock=self.clock,
            well_seconds=lambda: WELL_SECONDS,
            channels=lambda: self.channels,
        )

    def trouble(self, kind: str = "banned", subject: str = ACCOUNT_ID) -> None:
        trouble = Trouble(
            subject=subject, kind=kind, line=f"alpha: {kind}", action="act", account=an_account(id=subject)
        )
        self.seen = Outlook(troubles=[trouble])
        self.incidents.look()

    def unsettled(self, subject: str = ACCOUNT_ID) -> None:
        self.seen = Outlook(unsettled=frozenset({subject}))
        self.incidents.look()

    def well(self, seconds: float = 0.0, outcome: str = "connected") -> None:
        self.seen = Outlook(outcomes={ACCOUNT_ID: outcome})
        self.incidents.look()
        self.clock.time += seconds
        self.incidents.look()

    def tell(self) -> list[str]:
        """Let the channel tell what is due; return it in words."""
        due = self.incidents.due("command")
        self.incidents.note_told("command", due)
        return [one.kind if one.closed_at is None else "closed" for one in due]


def test_one_incident_from_the_first_look_until_it_has_been_well_for_long_enough() -> None:
    scene = Scene()
    scene.trouble()
    scene.trouble()
    scene.well(WELL_SECONDS - 1)
    assert [one.line for one in scene.incidents.open] == ["alpha: banned"]
    scene.well(1)
    assert scene.incidents.open == []
    assert scene.shelf.types == ["opened", "closed"]
    (kept,) = scene.shelf.kept.values()
    assert (kept.opened_at, kept.closed_at, kept.outcome) == (NOW, NOW + WELL_SECONDS, "connected")


def test_an_account_that_flaps_is_one_incident() -> None:
    scene = Scene()
    for _ in range(5):
        scene.trouble()
        scene.well(WELL_SECONDS - 1)
    scene.unsettled()
    scene.well(WELL_SECONDS)
    assert scene.shelf.types == ["opened", "closed"]


def test_what_is_open_yet_neither_ends_an_incident_nor_counts_as_well() -> None:
    scene = Scene()
    scene.trouble()
    scene.well(WELL_SECONDS - 1)
    scene.unsettled()
    scene.clock.time += 10 * WELL_SECONDS
    scene.unsettled()
    scene.well()
    assert len(scene.incidents.open) == 1


@pytest.mark.parametrize(("subject", "outcome"), [(ACCOUNT_ID, "removed")])
def test_a_subject_that_is_gone_ends_its_incident(subject: str, outcome: str) -> None:
    scene = Scene()
    scene.trouble(subject=subject)
    scene.seen = Outlook()
    scene.incidents.look()
    scene.clock.time += WELL_SECONDS
    scene.incidents.look()
    assert scene.shelf.events[-1].data["outcome"] == outcome


def test_another_kind_of_trouble_changes_the_incident_and_each_kind_is_told_once() -> None:
    scene = Scene()
    told = []
    for kind in ("banned", "store-damaged", "banned", "store-damaged"):
        scene.trouble(kind)
        told += scene.tell()
    assert told == ["banned", "store-damaged"]
    assert scene.shelf.types == ["opened", "changed", "changed", "changed"]
    scene.well(WELL_SECONDS)
    assert scene.tell() == ["closed"]
    assert scene.tell() == []


def test_an_incident_that_ended_before_it_was_told_is_one_message() -> None:
    scene = Scene()
    scene.trouble()
    scene.well(WELL_SECONDS)
    assert scene.tell() == ["closed"]


def test_it_is_settled_when_all_channels_have_told_its_end() -> None:
    scene = Scene(channels=("command", "mail"))
    scene.trouble()
    scene.well(WELL_SECONDS)
    scene.tell()
    (kept,) = scene.shelf.kept.values()
    assert not kept.is_settled
    scene.incidents.note_told("mail", scene.incidents.due("mail"))
    (kept,) = scene.shelf.kept.values()
    assert kept.is_settled


def test_without_anybody_to_tell_an_incident_is_settled_by_its_end() -> None:
    scene = Scene(channels=())
    scene.trouble()
    scene.well(WELL_SECONDS)
    (kept,) = scene.shelf.kept.values()
    assert kept.is_settled
    assert scene.shelf.types == ["opened", "closed"]


async def restarted(scene: Scene) -> None:
    scene.incidents = scene.open()
    await scene.incidents.load()


def test_a_restart_tells_nothing_twice_and_loses_nothing() -> None:
    scene = Scene()
    scene.trouble()
    assert scene.tell() == ["banned"]
    run(restarted(scene))
    scene.unsettled()
    scene.trouble()
    assert scene.tell() == []
    scene.well(WELL_SECONDS)
    run(restarted(scene))
    assert scene.tell() == ["closed"]
    run(restarted(scene))
    assert scene.tell() == []
    assert scene.shelf.types == ["opened", "closed"]


def test_a_channel_that_is_configured_later_is_told_what_is_open() -> None:
    scene = Scene(channels=())
    scene.trouble()
    scene.channels = ("command",)
    run(restarted(scene))
    assert scene.tell() == ["banned"]


@pytest.mark.parametrize("is_restarted", [True, False])
def test_what_nobody_is_to_be_told_any_more_is_settled(is_restarted: bool) -> None:
    scene = Scene()
    scene.trouble()
    scene.well(WELL_SECONDS)
    scene.channels = ()
    if is_restarted:
        run(restarted(scene))
    scene.incidents.look()
    (kept,) = scene.shelf.kept.values()
    assert kept.is_settled


def test_news_of_an_incident_that_is_over_does_not_touch_its_successor() -> None:
    scene = Scene()
    scene.trouble()
    then = scene.incidents.due("command")
    scene.well(WELL_SECONDS)
    scene.tell()
    scene.trouble()
    scene.incidents.note_told("command", then)
    assert scene.tell() == ["banned"]


def test_phone_numbers_and_keys_stay_out_of_it() -> None:
    scene = Scene()
    scene.seen = Outlook(
        troubles=[
            Trouble(subject="x", kind="k", line="expected +491701234567, got 491707654321", action=None)
        ]
    )
    scene.incidents.look()
    (incident,) = scene.incidents.open
    assert incident.line == "expected [phone], got [phone]"
    assert scene.shelf.events[0].data["line"] == incident.line


def test_a_bug_in_the_look_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.seen = cast("Any", None)

    async def play() -> None:
        task = asyncio.create_task(scene.incidents.run())
        await until(lambda: "internal error" in caplog.text)
        assert not task.done()
        task.cancel()

    run(play())
