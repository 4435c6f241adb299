"""What a drop-in file means for the account that it declares.

The one rule: a file decides names, expected phone, limits and proxy for as long as it is there; whether the
account runs is decided by whoever spoke last, the file when it changes, or an operator.
"""

from __future__ import annotations

from typing import Any

from towerd.accounts.records import AccountRecord
from towerd.declarations import DIRECTORY, Declaration
from towerd.supervision.names import digits_of

NOT_DECLARED: dict[str, Any] = {"declared_in": None, "is_declaration_gone": False, "declared_desired": None}
"""The columns of an account that nobody declares."""


def file_of(record: AccountRecord) -> str | None:
    """Return the file that declares an account, or did, as people see it."""
    return f"{DIRECTORY}/{record.declared_in}" if record.declared_in is not None else None


def reason_to_rest(record: AccountRecord) -> str:
    """Return why an account is stopped: who wanted that."""
    if record.is_declaration_gone:
        return "declaration-gone"
    return "stopped-by-declaration" if record.declared_desired == "stopped" else "stopped-by-operator"


def columns_to_run(record: AccountRecord) -> dict[str, Any]:
    """Return what an operator's wish that an account runs writes.

    An account whose file is gone is one that is kept by hand from then on.
    """
    return {"desired": "running"} | (NOT_DECLARED if record.is_declaration_gone else {})


def columns_of(file: str, declaration: Declaration) -> dict[str, Any]:
    """Return the columns of an account that is created by a file."""
    return columns_by_hand(declaration) | {
        "declared_in": file,
        "is_declaration_gone": False,
        "declared_desired": declaration.desired,
    }


def columns_by_hand(declaration: Declaration) -> dict[str, Any]:
    """Return the columns of an account that is declared once, and kept by hand from then on."""
    return {
        "name": declaration.name,
        "display_name": declaration.display_name,
        "desired": declaration.desired,
        "proxy_file": declaration.proxy_file,
        "daily_limit": declaration.daily_limit,
        "per_minute_limit": declaration.per_minute_limit,
        "expected_phone": declaration.expected_phone,
    }


def columns_changed(record: AccountRecord, file: str, declaration: Declaration) -> dict[str, Any]:
    """Return the columns that a file wants to be others than they are."""
    wanted = columns_of(file, declaration)
    if declaration.desired == record.declared_desired:
        # The file says what it said before; what an operator has said since stands.
        del wanted["desired"]
    phone = declaration.expected_phone
    if phone is None or digits_of(phone) == digits_of(record.expected_phone):
        del wanted["expected_phone"]
    return {key: value for key, value in wanted.items() if value != getattr(record, key)}


def columns_when_gone(record: AccountRecord) -> dict[str, Any]:
    """Return what it writes that the file of an account is gone: it stops, and its device stays linked."""
    gone: dict[str, Any] = {"is_declaration_gone": True}
    if record.desired == "running":
        # What stops it now, the file's coming back undoes.
        gone |= {"desired": "stopped", "declared_desired": None}
    return gone
