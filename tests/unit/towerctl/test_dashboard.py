"""What the picture of `watch` says, and its lines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.towerctl.fake_daemon import account, event, pairing_account
from tests.unit.towerctl.test_commands import status_answer
from towerctl import dashboard
from towerctl.dashboard import Glance, change, concerns, is_in, picture
from towerctl.output import Line, Table

AT = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)


def drawn(
    *accounts: dict[str, Any],
    rows: int = 40,
    trouble: str | None = None,
    since_seconds: float = 0.0,
    **status: Any,
) -> tuple[list[str], list[dict[str, str]]]:
    """Return the lines around the table, and its rows by column."""
    glance = Glance(list(accounts), status_answer(**status), at_seconds=0.0)  # type: ignore[arg-type]
    blocks = picture(glance, at=AT, since_seconds=since_seconds, rows=rows, trouble=trouble)
    lines = [block.text for block in blocks if isinstance(block, Line)]
    table = next((block for block in blocks if isinstance(block, Table)), None)
    if table is None:
        return lines, []
    return lines, [dict(zip(table.columns, (cell.text for cell in row), strict=True)) for row in table.rows]


def test_a_row_has_state_evidence_and_health() -> None:
    _, rows = drawn(
        account(
            state="reconnecting",
            reason="refused",
            last_seen_at="2026-01-01T00:00:18.000Z",
            reconnect={"attempt": 3, "next_attempt_at": "2026-01-01T00:00:42.500Z"},
            health="critical",
            health_reasons=["reconnects-failed"],
            push_name="Anna",
        )
    )
    assert rows == [
        {
            "NAME": "shop",
            "STATE": "reconnecting",
            "REASON": "refused",
            "SEEN": "12s",
            "NEXT": "attempt 3 in 0:13",
            "HEALTH": "critical (reconnects-failed)",
            "TITLE": "Anna",
        }
    ]


@pytest.mark.parametrize("next_attempt_at", [None, "2026-01-01T00:00:29.000Z"])
def test_an_attempt_that_is_due_is_now(next_attempt_at: str | None) -> None:
    reconnect = {"attempt": 1, "next_attempt_at": next_attempt_at}
    assert drawn(account(reconnect=reconnect))[1][0]["NEXT"] == "attempt 1 now"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "QR 2/6 0:14, ends 3:05"),
        ({"round": 2}, "QR 2/6 round 2 0:14, ends 3:05"),
        ({"number": 0, "expires_in_seconds": None}, "QR 0/6 to come, ends 3:05"),
        ({"method": "code", "expires_in_seconds": 100.0}, "code 1:34, ends 3:05"),
        ({"expires_in_seconds": 1.0}, "QR 2/6 0:00, ends 3:05"),
    ],
)
def test_countdowns_of_a_pairing_go_on_between_two_answers(changes: dict[str, Any], words: str) -> None:
    one = pairing_account()
    one["pairing"] |= {
        "number": 2,
        "expires_in_seconds": 20.0,
        "deadline_at": "2026-01-01T00:03:35.000Z",
    } | changes
    assert drawn(one, since_seconds=6.0)[1][0]["NEXT"] == words


def test_the_header_is_the_daemon_at_a_glance() -> None:
    fleet = {
        "state": "open",
        "cause": "client-outdated",
        "canary": "shop",
        "held": 2,
        "since": None,
    }
    lines, _ = drawn(
        account("a"),
        account("b"),
        account("c", state="failed"),
        starting={"done": 37, "total": 90},
        fleet=fleet,
        problems=["disk full"],
        since_seconds=100.0,
    )
    assert lines[:4] == [
        "towerd 9.9.9, up 2h · 3: 2 connected, 1 failed",
        "starting: 37/90 up",
        "held back: client-outdated, 2 accounts wait, shop tries first (admins: towerctl release)",
        "problem: disk full",
    ]
    lines, rows = drawn(account(), trouble="waiting for towerd … 3s")
    assert lines[0] == "waiting for towerd … 3s"
    assert [row["NAME"] for row in rows] == ["shop"]


def test_no_accounts_are_said_to_be_none() -> None:
    assert "no accounts" in drawn()[0]


def test_what_has_no_room_is_counted_and_who_needs_somebody_comes_first() -> None:
    many = [account(f"a{number:02}") for number in range(20)]
    many += [
        account("tired", state="reconnecting"),
        account("ill", state="failed"),
        account("new", state="later"),
    ]
    lines, rows = drawn(*many, rows=10)
    assert [row["NAME"] for row in rows] == ["new", "ill", "tired", "a00", "a01", "a02"]
    assert lines[-1] == "17 more: 17 connected · q ends"
    assert [row["NAME"] for row in drawn(*many, rows=40)[1]] == [one["name"] for one in many]
    assert len(drawn(*many, rows=1)[1]) == 1


def test_namesakes_are_told_apart() -> None:
    rows = drawn(account("shop", owner="ann"), account("shop", owner="bob"))[1]
    assert [row["NAME"] for row in rows] == ["ann/shop", "bob/shop"]


@pytest.mark.parametrize(
    ("happened", "words"),
    [
        (event(1, old="connected", new="reconnecting", reason="dns"), "shop connected → reconnecting (dns)"),
        (event(1, old="connecting", new="connected", reason=None), "shop connecting → connected"),
        (
            event(1, "health.changed", old="healthy", new="warning", reasons=["a", "b"]),
            "shop health healthy → warning (a, b)",
        ),
        (
            event(1, "account.renamed", "new") | {"data": {"old": "shop", "new": "new"}},
            "new renamed shop → new",
        ),
        (event(1, "account.removed", logout="done"), "shop removed"),
        (event(1, "fleet.opened", None, cause="unlink-wave"), "- fleet opened (unlink-wave)"),
        (event(1, "fleet.closed", None, cause="x", why="y", held=2), "- fleet closed (x: y)"),
        (event(1, "daemon.started", None, version="1"), "- daemon started"),
    ],
)
def test_a_change_is_a_line(happened: dict[str, Any], words: str) -> None:
    (line,) = change(happened)  # type: ignore[arg-type]
    assert isinstance(line, Line)
    assert line.text == f"2026-01-01T00:00:00.000Z {words}"


def test_every_change_is_watched() -> None:
    assert set(dashboard.CHANGE_TYPES) <= set(dashboard.WATCHED_TYPES)


def test_a_filter_keeps_changes_to_and_from_a_state() -> None:
    moved: Any = event(1, old="connected", new="failed", reason=None)
    assert concerns(moved, [])
    assert concerns(moved, ["failed"])
    assert concerns(moved, ["connected", "stopped"])
    assert not concerns(moved, ["stopped"])
    added: Any = event(1, "account.added")
    assert concerns(added, [])
    assert not concerns(added, ["failed"])


def test_a_change_that_the_list_shows_already_is_known() -> None:
    shown: Any = account(state="connected", updated_at="2026-01-01T00:00:00.000Z")

    def moved(new: str, second: str) -> Any:
        return event(1, old="connecting", new=new, reason=None) | {"time": f"2026-01-01T00:00:0{second}Z"}

    assert is_in(moved("connected", "0.000"), shown)
    assert not is_in(moved("reconnecting", "0.000"), shown)
    assert not is_in(moved("connected", "0.001"), shown)
    assert is_in(event(1, old="a", new="b") | {"time": "2025-12-31T00:00:00.000Z"}, shown)  # type: ignore[arg-type]
    assert not is_in(event(1, "account.renamed") | {"time": "2025-12-31T00:00:00.000Z"}, shown)  # type: ignore[arg-type]
