"""A selector means one thing: names look neither like ids nor like numbers."""

from __future__ import annotations

import pytest

from towerd.supervision.names import ID_PATTERN, check_display_name, check_name, check_phone, digits_of


@pytest.mark.parametrize(
    "name",
    ["a", "A", "7", "1234", "sales-2", "Büro".replace("ü", "ue"), "x.y_z", "a" * 63, "12345a", "a-short"],
)
def test_name_is_possible(name: str) -> None:
    assert check_name(name) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "-a",
        ".a",
        "_a",
        "a b",
        "a/b",
        "a@b",
        "ä",
        "+49",
        "a" * 64,
        "a\n",
        "\na",
        "a\0",
        "a-abcdefghij",
        "12345",
        "491701234567",
        "١٢٣٤٥",
    ],
)
def test_name_is_not_possible_and_says_why(name: str) -> None:
    (mistake,) = check_name(name)
    assert mistake.field == "name"
    assert mistake.why


@pytest.mark.parametrize(
    ("text", "is_id"), [("a-abcdefghij", True), ("a-abcdefgh27", True), ("a-abcdefghi1", False)]
)
def test_ids_are_ten_characters_of_base_32(text: str, is_id: bool) -> None:
    assert bool(ID_PATTERN.fullmatch(text)) is is_id


@pytest.mark.parametrize("name", [None, "", "Älpha & Söhne \U0001f5fc", "a\u200db"])
def test_display_name_is_possible(name: str | None) -> None:
    assert check_display_name(name) == []


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "a\0", "\u202eabc", "a\x85b", "a\u2066b"])
def test_display_name_that_disturbs_a_terminal_is_not_possible(name: str) -> None:
    (mistake,) = check_display_name(name)
    assert mistake.field == "display_name"


@pytest.mark.parametrize(
    "phone",
    [None, "+491701234567", "491701234567", "+49 170 123-45.67", "+1 (555) 010/9999", "1234567", "1" * 15],
)
def test_phone_is_possible(phone: str | None) -> None:
    assert check_phone("phone", phone) == []


@pytest.mark.parametrize(
    "phone", ["", "+", "123456", "1" * 16, "49170x234567", "++491701234567", "alpha", "49;170"]
)
def test_phone_is_not_possible_and_names_the_field(phone: str) -> None:
    (mistake,) = check_phone("expect_phone", phone)
    assert mistake.field == "expect_phone"


@pytest.mark.parametrize(("phone", "digits"), [(None, ""), ("+49 170-1", "491701"), ("", "")])
def test_numbers_are_compared_by_their_digits(phone: str | None, digits: str) -> None:
    assert digits_of(phone) == digits
