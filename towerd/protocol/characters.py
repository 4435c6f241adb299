"""Characters that others chose, made harmless for a terminal.

The one rule: text that is harmless stays as it is, byte for byte.
"""

from __future__ import annotations

# Not printable by Python's reckoning, and harmless all the same: spaces, and the joiners inside emoji and
# of Persian and Indic scripts.
_HARMLESS = frozenset("\u00a0\u2007\u2009\u202f\u3000\u200c\u200d")


def printable(text: str) -> str:
    """Return the text with control characters and direction overrides written as escapes.

    A push name is chosen by a stranger; an ESC in it would drive the terminal, U+202E would turn it around.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in _HARMLESS else _escape(one) for one in text)


def _escape(one: str) -> str:
    number = ord(one)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
