"""All checks at once: none holds up another, the answer, or the daemon."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.unit.towerd.doctor.patients import a_patient
from tests.unit.towerd.waiting import run, until
from towerd.doctor.findings import Finding, ok
from towerd.doctor.patient import Patient
from towerd.doctor.rounds import Rounds
from towerd.doctor.table import CHECKS, Check


def saying(word: str) -> Callable[[Patient], Iterator[Finding]]:
    def look(_patient: Patient) -> Iterator[Finding]:
        yield ok(word)

    return look


def test_findings_come_in_the_order_of_the_table_with_the_names_of_their_checks() -> None:
    def two(_patient: Patient) -> Iterator[Finding]:
        yield ok("first")
        yield ok("second")

    checks = [Check(name="b", look=two), Check(name="a", look=saying("third"))]
    found = run(Rounds(checks).examine(a_patient()))
    assert [(one.check, one.line) for one in found] == [("b", "first"), ("b", "second"), ("a", "third")]


def test_those_who_are_no_admins_get_the_checks_about_accounts_alone() -> None:
    checks = [
        Check(name="daemon", look=saying("secret")),
        Check(name="mine", look=saying("mine"), is_about_accounts=True),
    ]
    found = run(Rounds(checks).examine(a_patient(), is_about_accounts=True))
    assert [one.check for one in found] == ["mine"]


def test_a_check_that_hangs_is_a_failure_and_holds_up_nobody() -> None:
    end = threading.Event()
    begun: list[int] = []

    def hang(_patient: Patient) -> Iterator[Finding]:
        begun.append(1)
        end.wait(60)
        yield ok("at last")

    checks = [
        Check(name="hangs", look=hang, deadline_seconds=0.1, late_command="dmesg"),
        Check(name="works", look=saying("well")),
    ]

    async def play() -> None:
        rounds = Rounds(checks)
        late, well = await rounds.examine(a_patient())
        assert (late.level, late.line, late.command) == ("failure", "no answer within 0.1 s", "dmesg")
        assert well.line == "well"
        late, _ = await rounds.examine(a_patient())
        assert late.line == "an earlier look still hangs"
        # No second thread for what hangs already.
        assert begun == [1]
        end.set()
        await until(lambda: len(begun) == 1)
        found = await rounds.examine(a_patient())
        assert [one.line for one in found] == ["at last", "well"]

    try:
        run(play())
    finally:
        end.set()


def test_a_bug_in_a_check_is_told_and_hurts_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_patient: Patient) -> Iterator[Finding]:
        yield ok("half of it")
        raise RuntimeError("a bug")

    checks = [Check(name="broken", look=broken), Check(name="works", look=saying("well"))]
    found = run(Rounds(checks).examine(a_patient()))
    assert [one.level for one in found] == ["failure", "ok"]
    assert "the check broken failed" in caplog.text


def test_one_who_hangs_up_in_the_middle_does_not_spoil_the_next(caplog: pytest.LogCaptureFixture) -> None:
    end = threading.Event()

    def slow(_patient: Patient) -> Iterator[Finding]:
        end.wait(60)
        yield ok("done")

    async def play() -> None:
        rounds = Rounds([Check(name="slow", look=slow, deadline_seconds=20)])
        first = asyncio.create_task(rounds.examine(a_patient()))
        await until(lambda: any(thread.name == "doctor slow" for thread in threading.enumerate()))
        first.cancel()
        second = asyncio.create_task(rounds.examine(a_patient()))
        end.set()
        assert [one.line for one in await second] == ["done"]

    try:
        run(play())
    finally:
        end.set()
    assert caplog.text == ""


def test_the_table_names_each_check_once_and_gives_each_a_deadline() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    assert all(0 < check.deadline_seconds <= 10 for check in CHECKS)
    assert all(check.look.__doc__ for check in CHECKS)
