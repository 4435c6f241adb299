"""How an examination reads as text.

The one rule: a line for each finding; on a terminal its command stands under it, in a pipe behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from towerctl.output import Block, Line, Note

if TYPE_CHECKING:
    from towerctl.results import Finding

MARKS = {"ok": "\u2713", "warning": "!", "failure": "\u2717", "skipped": "-"}
_CHECK_WIDTH = 13
_LEVEL_WIDTH = 7
_ACCOUNTS_SHOWN = 10


def examination(document: Mapping[str, Any], *, has_marks: bool, is_verbose: bool) -> list[Block]:
    """`doctor`: a line for each finding, and how many there are to look at."""
    findings: list[Finding] = document["findings"]
    shown, more = (findings, 0) if is_verbose else _without_the_many(findings)
    blocks: list[Block] = [line for one in shown for line in _lines(one, has_marks=has_marks)]
    if more:
        words = f"{more} more accounts are well (-v shows them)"
        blocks += _lines(_summary("account", words), has_marks=has_marks)
    return [*blocks, Note(_counts(findings))]


def _without_the_many(findings: Iterable[Finding]) -> tuple[list[Finding], int]:
    """Leave out accounts that are well, beyond the first few; return how many."""
    shown, well = [], 0
    for one in findings:
        if one["check"] == "account" and one["level"] == "ok":
            well += 1
            if well > _ACCOUNTS_SHOWN:
                continue
        shown.append(one)
    return shown, max(0, well - _ACCOUNTS_SHOWN)


def _summary(check: str, line: str) -> Finding:
    return {"check": check, "level": "ok", "line": line, "command": None, "account": None}


def _lines(finding: Finding, *, has_marks: bool) -> list[Line]:
    check = finding["check"].ljust(_CHECK_WIDTH)
    command = finding["command"]
    if has_marks:
        lines = [Line(f"{MARKS.get(finding['level'], '?')} {check} {finding['line']}")]
        return [*lines, Line(f"  {'':{_CHECK_WIDTH}} {command}")] if command else lines
    level = finding["level"].ljust(_LEVEL_WIDTH)
    return [Line(f"{level}  {check}  {finding['line']}" + (f"; run: {command}" if command else ""))]


def _counts(findings: Iterable[Finding]) -> str:
    levels = [one["level"] for one in findings]
    words = [
        f"{count} {level}{'s' if count > 1 else ''}"
        for level in ("failure", "warning")
        if (count := levels.count(level))
    ]
    return ", ".join(words) or "all is well"
