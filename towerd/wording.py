"""Validation errors in words: what is wrong with a value and what would be right.

The one rule: no reader needs to know a type of Python or of JSON schema.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Literal, get_args, get_origin

_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "nothing",
    "bytes": "bytes",
}
_BOUND = re.compile(r"Expected `(\w+)` (>=|<=|>|<) ([\d.]+)")
_LENGTH = re.compile(r"Expected `(str|array)` of length (>=|<=) (\d+)")
_MISMATCH = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_ENUM = re.compile(r"Invalid enum value '?(.*?)'?$")
RECIPIENT = r"^[^\s-]\S*\Z"
_SHAPES = {RECIPIENT: "must be an address: no spaces, and no - at its beginning"}
"""Patterns that are asked for somewhere, and what they mean."""
_PATTERN = re.compile(r"Expected `str` matching regex '(.*)'$")
_LONGEST_QUOTED = 100
_SIGNS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def in_words(error: str, *, choices: tuple[str, ...] = ()) -> str:
    """Return a msgspec validation error in plain words.

    Args:
        error: the library's text.
        choices: the values there are, for an error about one that is none of them.
    """
    text = error.partition(" - at `")[0]
    if found := _LENGTH.fullmatch(text):
        kind, sign, length = found.groups()
        unit = "characters" if kind == "str" else "entries"
        return f"must have {_SIGNS[sign]} {length} {unit}"
    if found := _BOUND.fullmatch(text):
        kind, sign, bound = found.groups()
        return f"must be {_TYPES[kind]}, {_SIGNS[sign]} {bound.removesuffix('.0')}"
    if found := _MISMATCH.fullmatch(text):
        expected, got = found.groups()
        kinds = [_TYPES.get(kind, kind) for kind in expected.split(" | ") if kind != "null"]
        return f"must be {' or '.join(kinds)}, not {_TYPES.get(got, got)}"
    if found := _PATTERN.fullmatch(text):
        return _SHAPES.get(found[1].replace("\\\\", "\\"), text)
    if found := _ENUM.fullmatch(text):
        known = f"; known are {', '.join(choices)}" if choices else ""
        return f"{found[1][:_LONGEST_QUOTED]} is none of the values there are{known}"
    return text


def choices_of(hint: object) -> tuple[str, ...]:
    """Return the values that a type allows by name: of literals and of enumerations, at any depth."""
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return tuple(one.value for one in hint)
    if get_origin(hint) is Literal:
        return tuple(str(one) for one in get_args(hint))
    return tuple(word for inner in get_args(hint) for word in choices_of(inner))
