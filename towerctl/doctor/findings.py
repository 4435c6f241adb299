"""What a check has found, in the shape of the wire.

The one rule: a finding of ours and one of the daemon look the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from towerctl.results import Finding

LEVELS = ("skipped", "ok", "warning", "failure")
"""From the best to the worst; what was skipped says nothing."""


def finding(check: str, level: str, line: str, command: str | None = None) -> Finding:
    """Return a finding."""
    assert level in LEVELS
    return {"check": check, "level": level, "line": line, "command": command, "account": None}


def worst(findings: Iterable[Finding]) -> str:
    """Return the worst level there is; `ok` when nothing says otherwise."""
    levels = {one["level"] for one in findings}
    return next((level for level in ("failure", "warning") if level in levels), "ok")
