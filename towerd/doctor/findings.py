"""What a check has found: how bad it is, one line, and the command that helps.

The one rule: a line names what is wrong and what was seen, never a secret; a command can be pasted as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "failure", "skipped"]
"""`skipped`: there was nothing to look at, or no way to look; it counts neither as good nor as bad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check has found about one thing.

    Attributes:
        check: its name in the table.
        level: how bad it is.
        line: what was seen, in one line.
        command: what helps, for a shell; None where nothing needs help.
        account: the account that it is about, as the caller names it; None when it is about none.
    """

    check: str = ""
    level: Level
    line: str
    command: str | None = None
    account: str | None = None


def ok(line: str, *, account: str | None = None) -> Finding:
    """Return that all is well."""
    return Finding(level="ok", line=line, account=account)


def warning(line: str, command: str | None, *, account: str | None = None) -> Finding:
    """Return what works and should be looked at."""
    return Finding(level="warning", line=line, command=command, account=account)


def failure(line: str, command: str | None, *, account: str | None = None) -> Finding:
    """Return what does not work."""
    return Finding(level="failure", line=line, command=command, account=account)


def skipped(line: str) -> Finding:
    """Return why there was nothing to find."""
    return Finding(level="skipped", line=line)


def counted(count: int, noun: str) -> str:
    """Return a number of things in words: 1 account, 2 accounts."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
