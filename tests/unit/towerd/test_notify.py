"""Telling people: once each, at a rate, again after a failure, and over restarts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from tests.unit.towerd.builders import FakeClock, settings_of
from tests.unit.towerd.waiting import run, turns, until
from towerd.accounts.ledger import Ledger
from towerd.accounts.registry import Registry
from towerd.config import Config, NotifyConfig
from towerd.errand import ErrandFailedError
from towerd.incidents import Incidents, Outlook, Trouble
from towerd.notices import Notice, trial
from towerd.notify import Bucket, Channel, Notifier, Programs
from towerd.settings import Settings

REFILL_SECONDS = 300.0


# --- the bucket ------------------------------------------------------------------------------------------


def test_so_many_go_at_once_then_one_for_each_while() -> None:
    clock = FakeClock()
    bucket = Bucket(size=lambda: 3, refill_seconds=lambda: REFILL_SECONDS, clock=clock)
    for left in (3, 2, 1):
        assert bucket.tokens() == left
        bucket.take()
    assert bucket.tokens() == 0
    assert bucket.wait_seconds() == REFILL_SECONDS
    clock.time += REFILL_SECONDS - 1
    assert (bucket.tokens(), round(bucket.wait_seconds())) == (0, 1)
    clock.time += 1
    assert bucket.tokens() == 1
    clock.time += 100 * REFILL_SECONDS
    assert bucket.tokens() == 3


# --- the channels ----------------------------------------------------------------------------------------


def a_settings(**keys: Any) -> Settings:
    return settings_of(notify=NotifyConfig(**keys))


def test_a_channel_is_wanted_while_the_configuration_names_its_program() -> None:
    running = a_settings()
    ways = Programs(running, {}).channels(FakeClock())
    assert {way.name: way.program() for way in ways} == {"command": None, "mail": None}
    running.current = Config(
        notify=NotifyConfig(command=["/bin/alert", "x"], mail_to=["root"], sendmail="/bin/mail")
    )
    assert {way.name: way.program() for way in ways} == {"command": "/bin/alert", "mail": "/bin/mail"}


def test_a_command_gets_json_and_variables_and_sendmail_gets_a_mail_and_its_recipients(
    tmp_path: Path,
) -> None:
    alert = tmp_path / "alert"
    alert.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/arguments\nenv >> {tmp_path}/env\ncat >> {tmp_path}/stdin'
    )
    alert.chmod(0o700)
    running = a_settings(command=[str(alert), "x"], mail_to=["root", "ops"], sendmail=str(alert))
    ways = Programs(running, {"PATH": os.environ["PATH"], "TOWER_SOCKET": "/s"}).channels(FakeClock())

    async def play() -> None:
        for way in ways:
            await way.deliver(trial())

    run(play())
    assert (tmp_path / "arguments").read_text() == "x\n-i root ops\n"
    assert (tmp_path / "env").read_text().count("TOWER_EVENT=test") == 1
    assert (tmp_path / "env").read_text().count("TOWER_SOCKET=/s") == 2
    document, mail = (tmp_path / "stdin").read_text().split("\n", 1)
    assert json.loads(document)["event"] == "test"
    assert "Subject: [tower" in mail


# --- the notifier ----------------------------------------------------------------------------------------


@dataclass
class Post:
    """Takes messages, or does not."""

    messages: list[Notice] = field(default_factory=list)
    tries: int = 0
    refuses: bool = False

    async def deliver(self, message: Notice) -> None:
        self.tries += 1
        if self.refuses:
            raise ErrandFailedError("ended with status 1")
        self.messages.append(message)

    @property
    def subjects(self) -> list[str]:
        return [message.subject for message in self.messages]


@dataclass
class Office:
    """A notifier on a real registry; what is in trouble the test makes up."""

    database: Path
    clock: FakeClock = field(default_factory=FakeClock)
    post: Post = field(default_factory=Post)
    size: int = 5
    program: str | None = "/bin/alert"
    retry_seconds: float = 0.02
    seen: Outlook = field(default_factory=Outlook)

    @contextlib.asynccontextmanager
    async def staffed(self) -> AsyncIterator[Office]:
        self.ledger = Ledger(Registry(self.database), lambda _events: None)
        await self.ledger.open()
        self.incidents = Incidents(
            lambda: self.seen,
            ledger=self.ledger,
            clock=self.clock,
            well_seconds=lambda: 0.0,
            channels=lambda: [way.name for way in self.notifier.channels],
        )
        await self.incidents.load()
        bucket = Bucket(size=lambda: self.size, refill_seconds=lambda: REFILL_SECONDS, clock=self.clock)
        self.way = Channel(
            name="command", program=lambda: self.program, deliver=self.post.deliver, bucket=bucket
        )
        self.notifier = Notifier(
            [self.way],
            self.incidents,
            ledger=self.ledger,
            clock=self.clock,
            retry_seconds=lambda: self.retry_seconds,
        )
        task = asyncio.create_task(self.notifier.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.ledger.close()

    def see(self, *names: str) -> None:
        self.seen = Outlook(
            troubles=[Trouble(subject=name, kind="k", line=name, action=None) for name in names]
        )
        self.incidents.look()

    async def until_told(self, *subjects: str) -> None:
        await until(lambda: self.post.subjects == list(subjects), f"{subjects}, not {self.post.subjects}")
        await self.ledger.settle()


def test_each_incident_is_told_once_and_its_end_once(tmp_path: Path) -> None:
    async def play() -> None:
        async with Office(tmp_path / "db").staffed() as office:
            office.see("one")
            await office.until_told("one")
            office.see("one")
            office.see()
            await office.until_told("one", "over: one")
            office.see()
            await turns()
            assert office.post.tries == 2
            assert office.way.delivered_at == office.clock.time

    run(play())


def test_more_at_once_than_may_go_are_one_summary(tmp_path: Path) -> None:
    async def play() -> None:
        async with Office(tmp_path / "db").staffed() as office:
            office.see(*(f"n{number}" for number in range(100)))
            await office.until_told("100 incidents: 100 need somebody")

    run(play())


def test_beyond_the_rate_they_wait_and_come_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with Office(tmp_path / "db", size=1).staffed() as office:
            slept: list[float] = []
            sleep = asyncio.sleep

            async def pass_time(seconds: float) -> None:
                if seconds > 1:
                    slept.append(seconds)
                    await woken.wait()
                    office.clock.time += seconds
                else:
                    await sleep(seconds)

            woken = asyncio.Event()
            monkeypatch.setattr(asyncio, "sleep", pass_time)
            office.see("one")
            await office.until_told("one")
            office.see("one", "two")
            await until(lambda: slept == [REFILL_SECONDS], "the wait")
            office.see("two", "three")
            assert office.post.tries == 1
            woken.set()
            await office.until_told("one", "3 incidents: 2 need somebody, 1 over")

    run(play())


def test_what_does_not_get_through_is_tried_again_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        async with Office(tmp_path / "db").staffed() as office:
            office.post.refuses = True
            office.see("one")
            await until(lambda: office.post.tries >= 3, "the third try")
            assert office.notifier.problems == [
                "people cannot be told of incidents by command: /bin/alert ended with status 1"
            ]
            office.see("one", "two")
            office.post.refuses = False
            await office.until_told("one", "two")
            assert office.notifier.problems == []

    run(play())
    assert caplog.text.count("cannot be told") == 1
    assert caplog.text.count("are told by command again") == 1


def test_each_failure_doubles_the_pause_up_to_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    timeout = asyncio.timeout

    def note(seconds: float) -> Any:
        if seconds >= 10:
            pauses.append(seconds)
            return timeout(0)
        return timeout(seconds)

    async def play() -> None:
        async with Office(tmp_path / "db", retry_seconds=10).staffed() as office:
            office.post.refuses = True
            monkeypatch.setattr("towerd.notify.asyncio.timeout", note)
            office.see("one")
            await until(lambda: office.post.tries >= 12, "the twelfth try")
            monkeypatch.undo()

    run(play())
    assert pauses[:11] == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]


def test_a_restart_tells_what_was_not_told_and_nothing_else(tmp_path: Path) -> None:
    office = Office(tmp_path / "db")

    async def play() -> None:
        async with office.staffed():
            office.see("told")
            await office.until_told("told")
            office.post.refuses = True
            office.see("told", "untold")
            await until(lambda: office.post.tries >= 2, "a try")
            await office.ledger.settle()
        office.post.refuses = False
        async with office.staffed():
            await office.until_told("told", "untold")
            office.see("told", "untold")
            await turns()
            office.see("untold")
            await office.until_told("told", "untold", "over: told")
        async with office.staffed():
            await turns()
        assert len(office.post.messages) == 3

    run(play())


def test_a_kill_after_the_telling_tells_nothing_twice(tmp_path: Path) -> None:
    """The row is on the disk before the message goes, and that it went is written at once."""
    office = Office(tmp_path / "db")

    async def play() -> None:
        async with office.staffed():
            office.see("one")
            await office.until_told("one")
            rows = await office.ledger.read(lambda registry: registry.unsettled_incidents())
            assert [(row.subject, row.told) for row in rows] == [("one", {"command": ["k"]})]

    run(play())


def test_a_disk_that_cannot_be_written_keeps_nobody_from_being_told(tmp_path: Path) -> None:
    async def play() -> None:
        async with Office(tmp_path / "db").staffed() as office:

            async def refuse() -> None:
                from towerd.protocol.errors import TowerError

                raise TowerError("registry-unavailable", "full")

            cast("Any", office.ledger).settle, settle = refuse, office.ledger.settle
            office.see("one")
            await until(lambda: office.post.subjects == ["one"], "the message")
            cast("Any", office.ledger).settle = settle

    run(play())


def test_a_test_goes_at_once_says_how_it_went_and_lets_what_waits_go_on(tmp_path: Path) -> None:
    async def play() -> None:
        async with Office(tmp_path / "db", retry_seconds=3600).staffed() as office:
            office.post.refuses = True
            office.see("one")
            await until(lambda: office.post.tries == 1, "the first try")
            assert await office.notifier.test() == {"command": "ended with status 1"}
            office.post.refuses = False
            assert await office.notifier.test() == {"command": None}
            await until(lambda: "one" in office.post.subjects, "what waited")

    run(play())


def test_a_message_that_cannot_be_made_does_not_end_the_telling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        async with Office(tmp_path / "db").staffed() as office:
            monkeypatch.setattr("towerd.notify.notice", None)
            office.see("one")
            await until(lambda: "internal error" in caplog.text, "the error")
            monkeypatch.undo()
            await office.until_told("one")

    run(play())


def test_a_channel_that_is_configured_later_tells_and_one_that_is_not_any_more_is_silent(
    tmp_path: Path,
) -> None:
    async def play() -> None:
        office = Office(tmp_path / "db", program=None)
        async with office.staffed():
            office.see("one")
            await turns()
            assert office.post.tries == 0
            office.program = "/bin/alert"
            office.see("one")
            await office.until_told("one")
            office.program = None
            office.see("one", "two")
            await turns()
            assert office.post.tries == 1

    run(play())
