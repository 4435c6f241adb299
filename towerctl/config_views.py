"""How the configuration reads as text.

The one rule: a value is written as a file of TOML would have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from towerctl.exits import Failure
from towerctl.output import Block, Cell, Line, Note, Result, Table

if TYPE_CHECKING:
    from towerctl import results


def settings_table(answer: results.ConfigResult) -> list[Block]:
    """`config`: a row per key."""
    rows = [
        [
            Cell(one["key"], "bold"),
            Cell(one["source"] or "default", "" if one["source"] else "dim"),
            Cell(value_words(one["value"])),
        ]
        for one in answer["settings"]
    ]
    return [Table(["KEY", "SOURCE", "VALUE"], rows, shrinkable=["SOURCE"])]


def reloaded(answer: results.ReloadResult) -> list[Block]:
    """`reload`: what is another now, and what waits for a restart."""
    blocks: list[Block] = [Line(_change_words(one)) for one in answer["changed"]]
    accounts = answer["accounts"]
    for what in ("created", "changed", "stopped"):
        blocks += [Line(f"account {name}: {what}") for name in accounts[what]]
    if any(one["needs_restart"] for one in answer["changed"]):
        blocks.append(Note("hint: for the rest restart the daemon: systemctl restart towerd"))
    return blocks or [Line("nothing changed")]


def imported(answer: results.ImportResult) -> list[Block]:
    """`import`: a row per account, in the order of the list."""
    rows = [
        [Cell(one["name"], "bold"), Cell(one["owner"]), Cell(one["outcome"]), Cell(one["id"] or "-")]
        for one in answer["accounts"]
    ]
    blocks: list[Block] = [Table(["NAME", "OWNER", "OUTCOME", "ID"], rows, shrinkable=["NAME", "OWNER"])]
    if answer["dry_run"]:
        return [*blocks, Note("nothing was done: --dry-run")]
    return [*blocks, Note("next, for each: towerctl qr NAME -o qr.png")]


def every_mistake(failure: Failure) -> Result:
    """Return what a command ends with when files were not right: in text a line for each mistake."""
    mistakes = [Failure(failure.slug, f"{bad['field']}: {bad['why']}") for bad in failure.fields]
    told = Failure(failure.slug, failure.message, hint=failure.hint)
    return Result({}, lambda _: [], failures=[*mistakes, told], summary=failure)


def _change_words(change: results.Change) -> str:
    words = f"{change['key']}: {value_words(change['old'])} -> {value_words(change['new'])}"
    return f"{words} (with the next start of towerd)" if change["needs_restart"] else words


def standing(status: results.ConfigStatus) -> list[tuple[str, str]]:
    """Return what `status` says of the files: lines with their style, none when they say what runs."""
    keys = ", ".join(status["keys"])
    match status["state"]:
        case "current":
            return []
        case "pending":
            return [(f"changed on the disk: {keys} (towerctl reload)", "yellow")]
        case "needs-restart":
            return [(f"waits for a restart of towerd: {keys}", "yellow")]
        case _:
            return [(f"not valid: {mistake}", "bold red") for mistake in status["mistakes"]]


def value_words(value: Any) -> str:
    """Return a value as TOML has it; JSON says the same for all that a configuration holds."""
    import json

    return json.dumps(value, ensure_ascii=False)
