"""The daemon at a glance.

The one rule: what a daemon of an earlier version does not tell is left out, not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from towerctl.config_views import standing
from towerctl.output import HEALTH_STYLES, Block, Cell, Fields, Line, Note, Table
from towerctl.text import duration, size
from towerctl.views import NONE, fleet_words, starting_words

if TYPE_CHECKING:
    from towerctl import results


def page(answer: results.StatusResult) -> list[Block]:
    """`status`: the daemon at a glance."""
    counts = {state: count for state, count in answer["accounts"].items() if count}
    accounts = ", ".join(f"{count} {state}" for state, count in counts.items()) or "none"
    rows = [
        ("towerd", Cell(f"{answer['version']}, pid {answer['pid']}")),
        ("up", Cell(f"{duration(answer['uptime_seconds'])}, since {answer['started_at']}")),
        ("accounts", Cell(f"{sum(counts.values())}: {accounts}" if counts else accounts)),
        *_vitals(answer),
        ("state directory", Cell(answer["state_dir"])),
        ("registry", Cell(answer["registry"])),
    ]
    # A daemon of an earlier version says nothing of its stores, nor of its files.
    if stores := answer.get("stores"):
        rows.append(("stores", Cell(*_stores_words(stores))))
    if answer["fleet"]["state"] != "closed":
        rows.append(("fleet", Cell(fleet_words(answer["fleet"]), "yellow")))
    if config := answer.get("config"):
        rows += [("configuration", Cell(words, style)) for words, style in standing(config)]
    if progress := starting_words(answer["starting"]):
        rows.append(("starting", Cell(progress, "cyan")))
    rows += [("problem", Cell(problem, "bold red")) for problem in answer["problems"]]
    blocks: list[Block] = [Fields(rows)]
    if answer["workers"]:
        blocks += [Line(""), _workers_table(answer["workers"])]
    if answer["fleet"]["state"] != "closed":
        blocks.append(Note("hint: an admin can let them go on now: towerctl release"))
    return blocks


def _stores_words(stores: results.StoresStatus) -> tuple[str, str]:
    """Return how stores lie on the disk, and the style of that."""
    if stores["trouble"]:
        return f"cannot be sealed: {stores['trouble']}", "bold red"
    return (f"sealed, key {stores['key']}", "") if stores["sealed"] else ("not sealed", "")


def _vitals(answer: results.StatusResult) -> list[tuple[str, Cell]]:
    """Return how accounts, messages and memory are."""
    rows = []
    if levels := answer.get("health"):
        known = [*HEALTH_STYLES, *sorted(levels.keys() - HEALTH_STYLES.keys())]
        words = ", ".join(f"{levels[level]} {level}" for level in known if levels.get(level))
        worst = next((style for level, style in HEALTH_STYLES.items() if levels.get(level)), "")
        rows.append(("health", Cell(words, worst)))
    if today := answer.get("messages"):
        words = f"{today['sent']} sent, {today['received']} received"
        rows += [("today", Cell(words)), ("queue", Cell(f"{today['waiting']} waiting to be sent"))]
    if memory := answer.get("memory"):
        own = size(memory["daemon_bytes"]) if memory["daemon_bytes"] else NONE
        words = f"{own}, and {size(memory['workers_bytes'])} of workers"
        rows.append(("memory", Cell(words)))
    return rows


def _workers_table(workers: Sequence[results.WorkerSummary]) -> Table:
    rows = [
        [
            Cell(worker["account"]),
            Cell(worker["state"]),
            Cell(str(worker["pid"] or NONE)),
            Cell(str(worker["restarts"])),
            Cell(size(worker["memory_bytes"]) if worker["memory_bytes"] else NONE),
        ]
        for worker in workers
    ]
    return Table(["ACCOUNT", "WORKER", "PID", "RESTARTS", "MEMORY"], rows, shrinkable=["ACCOUNT"])
