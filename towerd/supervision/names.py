"""What an account may be called, and how a selector is recognised.

The one rule: a name never looks like an id or a phone number, so that a selector means one thing.
"""

from __future__ import annotations

import re

from towerd.protocol.errors import Field

ID_PATTERN = re.compile(r"a-[a-z2-7]{10}")
_NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_PHONE_PATTERN = re.compile(r"\d{5,}")
# E.164: at most 15 digits; the shortest numbers in use have 7.
_PHONE_DIGITS = range(7, 16)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def check_name(name: str) -> list[Field]:
    """Return why a name is not possible; empty when it is."""
    if not _NAME_PATTERN.fullmatch(name):
        why = (
            "must begin with a letter or digit and go on with letters, digits, '.', '_' or '-', "
            "63 characters at most"
        )
        return [Field(field="name", why=why)]
    if ID_PATTERN.fullmatch(name):
        return [Field(field="name", why="must not look like an account id")]
    if _PHONE_PATTERN.fullmatch(name) or not check_phone("name", name):
        return [Field(field="name", why="must not look like a phone number")]
    return []


def check_display_name(display_name: str | None) -> list[Field]:
    """Return why a display name is not possible; empty when it is."""
    if display_name is not None and _CONTROLS.search(display_name):
        return [Field(field="display_name", why="must not contain control characters")]
    return []


def check_phone(field: str, phone: str | None) -> list[Field]:
    """Return why a phone number is not possible; empty when it is, or when there is none."""
    if phone is None:
        return []
    digits = digits_of(phone)
    is_national = digits.startswith("0")
    if is_national or re.fullmatch(r"\+?[\d ()/.-]+", phone) is None or len(digits) not in _PHONE_DIGITS:
        return [
            Field(field=field, why="must be a phone number in international form, such as +4915112345678")
        ]
    return []


def digits_of(phone: str | None) -> str:
    """Return the digits of a phone number, which is how numbers are compared."""
    return re.sub(r"\D", "", phone or "")


def international(phone: str | None) -> str | None:
    """Return a phone number as it is shown: a plus sign and digits; None for none."""
    return f"+{digits_of(phone)}" if phone else None
