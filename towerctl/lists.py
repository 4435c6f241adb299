"""Lists of accounts in TOML, as `account.import` takes them.

The one rule: this reads and takes apart; what a table may say is for the daemon to judge.
"""

from __future__ import annotations

import sys
import tomllib
from datetime import date, time
from math import isfinite
from pathlib import Path
from typing import Any

from towerctl.exits import Failure

_MANY = "account"


def read_list(file: str) -> list[dict[str, Any]]:
    """Return a row for each account of a file; `-` is standard input.

    Raises:
        Failure: it cannot be read, is not TOML, or holds no list of accounts.
    """
    shown = "standard input" if file == "-" else file
    document = _parse(_read(file, shown), shown)
    if not document:
        raise Failure("usage", f"{shown}: holds no account")
    if _MANY not in document:
        name = {"name": Path(file).stem} if file != "-" else {}
        return [{"table": document, "file": shown, **name}]
    tables = document.pop(_MANY)
    if document:
        raise Failure("usage", f"{shown}: {', '.join(document)}: beside [[account]] there is no other key")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise Failure("usage", f"{shown}: account is an array of tables: write [[account]]")
    return [{"table": table, "file": shown, "key": f"account[{index}]"} for index, table in enumerate(tables)]


def _read(file: str, shown: str) -> bytes:
    try:
        if file == "-":
            return b"" if sys.stdin is None else sys.stdin.buffer.read()
        return Path(file).read_bytes()
    except OSError as error:
        raise Failure("usage", f"{shown}: cannot be read: {error.strerror}") from None


def _parse(content: bytes, shown: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Failure("usage", f"{shown}: not TOML: {error}") from None
    if odd := _without_json(document):
        raise Failure("usage", f"{shown}: {odd} has no place in a list of accounts")
    return document


def _without_json(value: Any) -> str | None:
    """Return what JSON cannot carry of a value of TOML, in words; None when it can carry it all."""
    if isinstance(value, dict):
        return next((odd for inner in value.values() if (odd := _without_json(inner))), None)
    if isinstance(value, list):
        return next((odd for inner in value if (odd := _without_json(inner))), None)
    if isinstance(value, date | time):
        return f"the time {value}"
    return f"the number {value}" if isinstance(value, float) and not isfinite(value) else None
