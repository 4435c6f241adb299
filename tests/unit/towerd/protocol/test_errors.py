"""The table of errors: one slug, one code, one exit status."""

from __future__ import annotations

import re

import pytest

from towerd.protocol.errors import ERRORS, Exit, Field, TowerError

# Written from the contract: slug, exit status.
CONTRACT = [
    ("account-not-found", 5),
    ("account-exists", 6),
    ("invalid-field", 2),
    ("limit-reached", 9),
    ("wrong-state", 6),
    ("not-connected", 6),
    ("needs-human", 8),
    ("pairing-timeout", 7),
    ("passkey-required", 8),
    ("duplicate-phone", 6),
    ("not-permitted", 4),
    ("worker-lost", 1),
    ("store-damaged", 8),
    ("logout-failed", 1),
    ("invalid-params", 2),
]
FAMILIES = {
    "account": range(100, 200),
    "session": range(200, 300),
    "pairing": range(300, 400),
    "access": range(400, 500),
    "inside": range(500, 600),
}


@pytest.mark.parametrize(("slug", "status"), CONTRACT)
def test_error_of_the_contract_has_its_exit_status(slug: str, status: int) -> None:
    assert ERRORS[slug].exit == status


@pytest.mark.parametrize("slug", list(ERRORS))
def test_slug_is_a_slug_and_its_code_is_in_a_family_or_of_the_specification(slug: str) -> None:
    kind = ERRORS[slug]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", slug)
    assert kind.meaning
    assert kind.exit is not Exit.DONE
    assert any(kind.code in family for family in FAMILIES.values()) or -32768 <= kind.code <= -32000


def test_codes_of_ours_are_given_once() -> None:
    codes = [kind.code for kind in ERRORS.values() if kind.code > 0]
    assert len(codes) == len(set(codes))


def test_exit_statuses_are_those_of_the_contract() -> None:
    assert [status.value for status in Exit] == list(range(10))


@pytest.mark.parametrize("slug", list(ERRORS))
def test_error_on_the_wire_carries_code_slug_and_exit(slug: str) -> None:
    wire = TowerError(slug, "the fact").to_wire()
    assert wire == {
        "code": ERRORS[slug].code,
        "message": "the fact",
        "data": {"slug": slug, "exit": int(ERRORS[slug].exit)},
    }


def test_hint_and_every_bad_field_go_along() -> None:
    error = TowerError(
        "invalid-field", "two", hint="next", fields=(Field(field="a", why="x"), Field(field="b", why="y"))
    )
    assert error.to_wire()["data"] == {
        "slug": "invalid-field",
        "exit": 2,
        "hint": "next",
        "fields": [{"field": "a", "why": "x"}, {"field": "b", "why": "y"}],
    }


def test_what_it_repeats_of_a_request_is_one_line_and_drives_no_terminal() -> None:
    hostile = "a\nb\x1b[2J\u202ec"
    error = TowerError(
        "invalid-field", hostile, hint=hostile, fields=(Field(field=hostile, why=hostile),)
    ).to_wire()
    harmless = "a\\x0ab\\x1b[2J\\u202ec"
    assert (error["message"], error["data"]["hint"]) == (harmless, harmless)
    assert error["data"]["fields"] == [{"field": harmless, "why": harmless}]
