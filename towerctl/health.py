"""How well accounts are, for people and for monitoring systems.

The one rule: with --check the first line and the exit status are those of a monitoring plugin, whatever
happens: 0 ok, 1 warning, 2 critical, 3 unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from towerctl.output import HEALTH_STYLES, Block, Cell, Line, Note, Table
from towerctl.views import NONE

if TYPE_CHECKING:
    from towerctl import results

OK, WARNING, CRITICAL, UNKNOWN = range(4)
"""Exit statuses of monitoring plugins (Monitoring Plugins Development Guidelines)."""

WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_LEVELS = ("healthy", "warning", "critical", "inactive")


def status_of(health: results.HealthResult) -> int:
    """Return a plugin's exit status; a word that this towerctl does not know is unknown."""
    word = health["status"].upper()
    return WORDS.index(word) if word in WORDS else UNKNOWN


def table(health: results.HealthResult) -> list[Block]:
    """`health`: a row each."""
    if not health["accounts"]:
        return [Note("no accounts; add one: towerctl add NAME")]
    rows = [
        [
            Cell(account["name"], "bold"),
            Cell(account["health"], HEALTH_STYLES.get(account["health"], "")),
            Cell(", ".join(account["health_reasons"]) or NONE),
            Cell(account["state"]),
            Cell(f"{account['sent_today']}/{account['daily_limit']}"),
            Cell(str(account["received_today"])),
            Cell(str(account["waiting"])),
        ]
        for account in health["accounts"]
    ]
    columns = ["NAME", "HEALTH", "REASONS", "STATE", "SENT", "RECEIVED", "WAITING"]
    return [Table(columns, rows, shrinkable=["REASONS", "NAME"])]


def plugin_lines(health: results.HealthResult) -> list[Block]:
    """`health --check`: a plugin's line with performance data, then one for each account that is not well."""
    accounts = health["accounts"]
    if not accounts:
        return [Line("TOWER UNKNOWN - there are no accounts to look at")]
    counts = {level: sum(one["health"] == level for one in accounts) for level in _LEVELS}
    words = ", ".join(f"{count} {level}" for level, count in counts.items() if count)
    data = [f"{level}={count};;;0;{len(accounts)}" for level, count in counts.items()]
    data += [f"sent={sum(one['sent_today'] for one in accounts)};;;0"]
    data += [f"received={sum(one['received_today'] for one in accounts)};;;0"]
    data += [f"waiting={sum(one['waiting'] for one in accounts)};;;0"]
    lines = [Line(f"TOWER {WORDS[status_of(health)]} - {words} | {' '.join(data)}")]
    for one in accounts:
        if one["health"] in ("warning", "critical"):
            why = ", ".join(one["health_reasons"]) or one["state"]
            lines.append(Line(f"{one['name']}: {one['health']} ({why})".replace("|", "/")))
    return [*lines]
