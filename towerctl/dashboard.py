"""What `watch` shows: the picture of all accounts, and one change as a line.

The one rule: pure functions of what the daemon said and of the present time; ages and countdowns go on
between two answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from towerctl.output import Block, Cell, Line, Table
from towerctl.text import age, countdown, duration, seconds_until
from towerctl.views import (
    NONE,
    address,
    fleet_words,
    shown_names,
    starting_words,
    state_cell,
    state_words,
    title,
)

if TYPE_CHECKING:
    from towerctl import results

WATCHED_TYPES = (
    "account.added",
    "account.removed",
    "account.renamed",
    "account.recovered",
    "session.state",
    "session.qr",
    "session.code",
    "session.connected",
    "session.disconnected",
    "session.logged_out",
    "session.timeout",
    "session.duplicate",
    "session.wrong_phone",
    "health.changed",
    "worker.exited",
    "fleet.opened",
    "fleet.closed",
    "daemon.started",
    "daemon.stopping",
)
"""Events that change the picture."""

CHANGE_TYPES = (
    "session.state",
    "account.added",
    "account.removed",
    "account.renamed",
    "account.recovered",
    "health.changed",
    "fleet.opened",
    "fleet.closed",
    "daemon.started",
    "daemon.stopping",
)
"""Events that are a line each."""

# Who needs somebody comes first where not all have room.
_URGENCY = (
    "failed",
    "logged_out",
    "reconnecting",
    "authenticated",
    "pairing",
    "connecting",
    "unpaired",
    "stopped",
    "connected",
)
_HEALTH_STYLES = {"healthy": "green", "warning": "yellow", "critical": "bold red", "inactive": "dim"}
_COLUMNS = ("NAME", "STATE", "REASON", "SEEN", "NEXT", "HEALTH", "TITLE")
_SHRINKABLE = ("TITLE", "HEALTH", "REASON", "NAME")
_MAX_PROBLEMS = 3


class Glance:
    """What the daemon said last.

    Args:
        accounts: those that are watched.
        status: the daemon at a glance.
        at_seconds: when, on the monotonic clock.
    """

    def __init__(
        self, accounts: Sequence[results.Account], status: results.StatusResult, *, at_seconds: float
    ) -> None:
        self.accounts = accounts
        self.status = status
        self.at_seconds = at_seconds


def picture(
    glance: Glance, *, at: datetime, since_seconds: float, rows: int, trouble: str | None
) -> list[Line | Table]:
    """Return the picture.

    Args:
        glance: what the daemon said last.
        at: the present time.
        since_seconds: how long ago it said so.
        rows: how many lines there are.
        trouble: why nothing newer is known, None when all is well.
    """
    head = _header(glance, since_seconds, trouble)
    foot = Line("q ends", "dim")
    accounts = list(zip(shown_names(glance.accounts), glance.accounts, strict=True))
    if not accounts:
        return [*head, Line(""), Line("no accounts"), Line(""), foot]
    room = max(1, rows - len(head) - len(["", "columns", "foot"]))
    shown, hidden = accounts, accounts[:0]
    if len(accounts) > room:
        accounts.sort(key=lambda one: _urgency(one[1]["state"]))
        shown, hidden = accounts[:room], accounts[room:]
    table = Table(
        _COLUMNS, [_row(name, one, at, since_seconds) for name, one in shown], shrinkable=_SHRINKABLE
    )
    more = f"{len(hidden)} more: {_counted(one for _, one in hidden)} · " if hidden else ""
    return [*head, Line(""), table, Line(f"{more}{foot.text}", foot.style)]


def _header(glance: Glance, since_seconds: float, trouble: str | None) -> list[Line | Table]:
    status = glance.status
    up = duration(status["uptime_seconds"] + since_seconds)
    counts = _counted(glance.accounts) or "no accounts"
    head: list[Line | Table] = [
        Line(f"towerd {status['version']}, up {up} · {len(glance.accounts)}: {counts}", "bold")
    ]
    if trouble:
        return [Line(trouble, "bold yellow"), *head]
    if progress := starting_words(status["starting"]):
        head.append(Line(f"starting: {progress}", "cyan"))
    if status["fleet"]["state"] != "closed":
        head.append(Line(f"{fleet_words(status['fleet'])} (admins: towerctl release)", "yellow"))
    head += [Line(f"problem: {problem}", "bold red") for problem in status["problems"][:_MAX_PROBLEMS]]
    return head


def _counted(accounts: Any) -> str:
    count = Counter(account["state"] for account in accounts)
    return ", ".join(f"{count[state]} {state}" for state in sorted(count, key=_urgency, reverse=True))


def _urgency(state: str) -> int:
    # A state of a newer daemon comes before all that are known.
    return _URGENCY.index(state) if state in _URGENCY else -1


def _row(name: str, account: results.Account, at: datetime, since_seconds: float) -> list[Cell]:
    health = account["health"]
    why = f" ({', '.join(account['health_reasons'])})" if account["health_reasons"] else ""
    seen = account["last_seen_at"]
    return [
        Cell(name, "bold"),
        state_cell(account["state"]),
        Cell(account["reason"] or NONE),
        Cell(age(seen, at=at) if seen else NONE),
        Cell(_next(account, at, since_seconds)),
        Cell(health + why, _HEALTH_STYLES.get(health, "")),
        Cell(title(account)),
    ]


def _next(account: results.Account, at: datetime, since_seconds: float) -> str:
    """Return what comes next by itself, and when."""
    if (pairing := account["pairing"]) is not None:
        return _pairing(pairing, at, since_seconds)
    if (reconnect := account["reconnect"]) is not None:
        return _retry(reconnect, at)
    return NONE


def _pairing(pairing: results.Pairing, at: datetime, since_seconds: float) -> str:
    words = "code" if pairing["method"] == "code" else f"QR {pairing['number']}/{pairing['count']}"
    if pairing["round"] > 1:
        words += f" round {pairing['round']}"
    if pairing["expires_in_seconds"] is None:
        words += " to come"
    else:
        words += f" {countdown(pairing['expires_in_seconds'] - since_seconds)}"
    left = seconds_until(pairing["deadline_at"], at=at)
    return words if left is None else f"{words}, ends {countdown(left)}"


def _retry(reconnect: results.Reconnect, at: datetime) -> str:
    words = f"attempt {reconnect['attempt']}"
    left = seconds_until(reconnect["next_attempt_at"], at=at) if reconnect["next_attempt_at"] else None
    return f"{words} in {countdown(left)}" if left is not None and left > 0 else f"{words} now"


# -- lines for a pipe --------------------------------------------------------------------------------------


def account_now(account: results.Account) -> str:
    """Return where an account stands, and since when, as a line."""
    return f"{account['since']} {address(account)} {state_words(account)}"


def change(event: results.Event) -> list[Block]:
    """Return what an event changed, as a line."""
    name = event["account"]["name"] if event["account"] else NONE
    return [Line(f"{event['time']} {name} {_change_words(event['type'], event['data'])}")]


def _change_words(kind: str, data: Mapping[str, Any]) -> str:
    match kind:
        case "session.state":
            why = f" ({data['reason']})" if data.get("reason") else ""
            return f"{data.get('old') or NONE} → {data.get('new')}{why}"
        case "health.changed":
            reasons = ", ".join(map(str, data.get("reasons") or ()))
            return f"health {data.get('old')} → {data.get('new')}" + (f" ({reasons})" if reasons else "")
        case "account.renamed":
            return f"renamed {data.get('old')} → {data.get('new')}"
        case "fleet.opened" | "fleet.closed":
            why = f": {data['why']}" if data.get("why") else ""
            return f"{kind.replace('.', ' ')} ({data.get('cause')}{why})"
        case _:
            return kind.partition(".")[2] if kind.startswith("account.") else kind.replace(".", " ")


def concerns(event: results.Event, states: Sequence[str]) -> bool:
    """Tell whether an event is of one of these states; of any, when there are none."""
    if not states:
        return True
    data = event["data"]
    return event["type"] == "session.state" and bool({data.get("old"), data.get("new")} & set(states))


def is_in(event: results.Event, account: results.Account) -> bool:
    """Tell whether a change of state had happened when the account was shown."""
    if event["type"] != "session.state" or event["time"] > account["updated_at"]:
        return False
    data = event["data"]
    is_same = (data.get("new"), data.get("reason")) == (account["state"], account["reason"])
    return is_same or event["time"] < account["updated_at"]
