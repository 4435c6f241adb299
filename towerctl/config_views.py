"""How the configuration reads as text.

The one rule: a value is written as a file of TOML would have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from towerctl.output import Block, Cell, Table

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


def value_words(value: Any) -> str:
    """Return a value as TOML has it; JSON says the same for all that a configuration holds."""
    import json

    return json.dumps(value, ensure_ascii=False)
