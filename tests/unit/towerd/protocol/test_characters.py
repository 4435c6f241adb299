"""What drives a terminal is escaped, and what does not stays as it is."""

from __future__ import annotations

import pytest

from towerd.protocol.characters import printable


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b",
        "\x07",
        "\x00",
        "\x7f",
        "\x9b",
        "\x85",
        "\n",
        "\r",
        "\t",
        "\u202e",
        "\u2066",
        "\u200f",
        "\u061c",
        "\u2028",
        "\ufeff",
        "\udc80",
    ],
)
def test_what_drives_a_terminal_is_escaped(hostile: str) -> None:
    shown = printable(f"a{hostile}b")
    assert hostile not in shown
    assert shown.startswith("a\\")
    assert shown.isprintable()


@pytest.mark.parametrize(
    "harmless",
    [
        "plain",
        "M\u00fcller",
        "\u4e2d\u6587",
        "\U0001f469\u200d\U0001f4bb",
        "a\u00a0b",
        "\u0645\u06cc\u200c\u062e",
    ],
)
def test_what_people_write_stays(harmless: str) -> None:
    assert printable(harmless) == harmless
