"""`events`: listing, following, and going on after a restart of the daemon."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.towerctl.conftest import Tower
from tests.unit.towerctl.fake_daemon import DEADLINE_SECONDS, Connection, FakeDaemon, error, event
from towerctl.commands import events as events_command


def test_one_line_per_event(tower: Tower, daemon: FakeDaemon) -> None:
    listed = [
        event(7, old="pairing", new="connected", reason=None),
        event(8, "session.disconnected", reason="a b"),
        event(9, "daemon.started", None),
    ]
    daemon.prepare("event.list", {"events": listed})
    ran = tower("events")
    words = [line.split() for line in ran.out.splitlines()]
    assert words[0] == [
        "2026-01-01T00:00:00.000Z", "7", "session.state", "shop", "old=pairing", "new=connected", "reason=-"
    ]  # fmt: skip
    assert words[1][4:] == ['reason="a', 'b"']
    assert words[2][1:] == ["9", "daemon.started", "-"]
    assert tower("events", "--json").json == {"events": listed}
    daemon.prepare("event.list", {"events": []})
    assert (tower("events").out, tower("events").err) == ("", "no events\n")


def test_what_is_asked_for(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("event.list", {"events": []})
    tower("events", "--account", "shop", "--type", "session.state", "--type", "session.qr", "--since", "7")
    tower("events", "--since", "2026-01-01T00:00:00Z")
    first, second = daemon.asked("event.list")
    assert {"account": "shop", "types": ["session.state", "session.qr"], "since": 7}.items() <= first.items()
    assert second["since"] == "2026-01-01T00:00:00.000Z"
    ran = tower("events", "--since", "yesterday")
    assert ran.status == 2
    assert "10m, 2h, 3d" in ran.err


def test_until_is_what_since_is(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("event.list", {"events": []})
    daemon.prepare("audit.list", {"audits": []})
    for command, method in (("events", "event.list"), ("audit", "audit.list")):
        tower(command, "--since", "7", "--until", "9")
        tower(command, "--until", "2026-01-01T00:00:00Z")
        assert [(one.get("since"), one["until"]) for one in daemon.asked(method)] == [
            (7, 9),
            (None, "2026-01-01T00:00:00.000Z"),
        ]
        failure = tower(command, "--until", "tomorrow", "--json").error
        assert (failure["exit"], failure["message"]) == (2, "--until cannot be 'tomorrow'")
    failure = tower("events", "--follow", "--until", "9", "--json").error
    assert (failure["exit"], failure["hint"]) == (2, "--timeout SECONDS ends --follow")


@pytest.mark.parametrize("command", [["events", "--follow"], ["watch"]])
def test_a_time_limit_ends_what_goes_on(tower: Tower, daemon: FakeDaemon, command: list[str]) -> None:
    def subscribe(connection: Connection, _: object) -> dict[str, Any]:
        connection.notify(event(1, "account.added"))
        return {"subscription": "s1"}

    daemon.prepare("event.subscribe", subscribe)
    ran = tower(*command, "--json", "--timeout", "0.5")
    assert (ran.status, ran.err) == (0, "")
    assert ran.json == event(1, "account.added")


def test_a_time_limit_ends_it_also_while_the_daemon_is_away(
    daemon: FakeDaemon, command: Callable[..., list[str]]
) -> None:
    daemon.prepare("event.subscribe", {"subscription": "s1"})
    with subprocess.Popen(
        command("events", "--follow", "--timeout", "3"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        daemon.wait_for_answer("event.subscribe")
        daemon.close()
        out, err = running.communicate(timeout=DEADLINE_SECONDS)
    assert (running.returncode, out) == (0, "")
    assert err == "towerd closed the connection; waiting for towerd …\n"


def test_all_pages_are_fetched(tower: Tower, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_command, "_PAGE", 3)

    def page(_: Connection, params: dict[str, Any]) -> dict[str, Any]:
        first = params.get("since", 0) + 1
        return {"events": [event(number) for number in range(first, min(first + params["limit"], 9))]}

    daemon.prepare("event.list", page)
    for since in ([], ["--since", "0"]):
        ran = tower("events", "--json", *since)
        assert [one["id"] for one in ran.json["events"]] == list(range(1, 9))


def test_expired_events_are_an_error_not_a_gap(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("event.list", error("events-expired", "events before 5 are gone"))
    daemon.prepare("event.subscribe", error("events-expired", "events before 5 are gone"))
    assert tower("events", "--since", "1").status == 1
    assert tower("events", "--since", "1", "--follow").status == 1


def test_following_goes_on_after_a_restart(daemon: FakeDaemon, command: Callable[..., list[str]]) -> None:
    daemon.prepare("event.subscribe", {"subscription": "s1"})
    with subprocess.Popen(
        command("events", "--follow", "--type", "session.state"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        try:
            asked = daemon.wait_for_request("event.subscribe")
            assert asked == {"types": ["session.state"]}
            daemon.connections[0].notify(event(41, new="connected"))
            assert " 41  session.state" in running.stdout.readline()
            daemon.close()
            assert running.stderr.readline() == "towerd closed the connection; waiting for towerd …\n"
            daemon.listen()
            assert daemon.wait_for_request("event.subscribe", 2)["since"] == 41
            assert running.stderr.readline() == "connected again\n"
            daemon.connections[-1].notify(event(42))
            assert " 42  session.state" in running.stdout.readline()
        finally:
            running.terminate()
        assert running.wait(DEADLINE_SECONDS) != 0


def test_following_before_any_event_came_resumes_from_the_beginning(
    daemon: FakeDaemon, command: Callable[..., list[str]]
) -> None:
    daemon.prepare("event.subscribe", {"subscription": "s1"})
    with subprocess.Popen(
        command("events", "--follow", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        try:
            daemon.wait_for_answer("event.subscribe")
            daemon.connections[0].hang_up()
            since = daemon.wait_for_request("event.subscribe", 2)["since"]
            assert since.endswith("Z")
            daemon.connections[-1].notify(event(1))
            assert json.loads(running.stdout.readline()) == event(1)
        finally:
            running.terminate()


def test_a_subscription_that_was_cut_off_goes_on_where_it_was(
    daemon: FakeDaemon, command: Callable[..., list[str]]
) -> None:
    daemon.prepare("event.subscribe", {"subscription": "s1"})
    with subprocess.Popen(
        command("events", "--follow"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        try:
            daemon.wait_for_request("event.subscribe")
            connection = daemon.connections[0]
            connection.notify(event(5))
            connection.send({"jsonrpc": "2.0", "method": "of.a.later.minor", "params": {"x": 1}})
            connection.send({"jsonrpc": "2.0", "method": "event.ended", "params": {"subscription": "s1"}})
            assert daemon.wait_for_request("event.subscribe", 2) == {"since": 5}
            connection.notify(event(6), "s2")
            assert [running.stdout.readline().split()[1] for _ in range(2)] == ["5", "6"]
        finally:
            running.terminate()


def test_following_ends_quietly_when_nobody_reads(
    daemon: FakeDaemon, command: Callable[..., list[str]]
) -> None:
    daemon.prepare("event.subscribe", {"subscription": "s1"})
    with subprocess.Popen(
        command("events", "--follow"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        daemon.wait_for_request("event.subscribe")
        running.stdout.close()
        daemon.connections[0].notify(event(1))
        assert running.stderr.read() == ""
        assert running.wait(DEADLINE_SECONDS) == 141


def test_following_needs_a_daemon_to_begin_with(tower: Tower, environment: dict[str, str]) -> None:
    assert tower("events", "--follow").status == 3
