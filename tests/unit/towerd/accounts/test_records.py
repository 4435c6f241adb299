"""The columns of an account: who writes which."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.towerd.builders import an_account
from towerd.accounts.records import ACTUAL_COLUMNS, IMMUTABLE_COLUMNS, INTENT_COLUMNS, AccountRecord


def test_every_column_is_intent_actual_or_immutable_and_only_one_of_them() -> None:
    columns = [*INTENT_COLUMNS, *ACTUAL_COLUMNS, *IMMUTABLE_COLUMNS]
    assert len(columns) == len(set(columns))
    assert set(columns) == set(AccountRecord.__struct_fields__)


def test_what_an_operator_asks_for_is_intent() -> None:
    declared = {"declared_in", "is_declaration_gone", "declared_desired"}
    own = {"proxy_file", "daily_limit", "per_minute_limit"}
    asked = {"name", "display_name", "desired", "expected_phone", "intent"}
    assert set(INTENT_COLUMNS) == asked | own | declared


def test_record_is_frozen() -> None:
    with pytest.raises(AttributeError):
        an_account().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("jid", "phone"),
    [
        (None, None),
        ("491701234567@s.whatsapp.net", "+491701234567"),
        ("123456789012345@lid", None),
        ("491701234567@hosted", None),
    ],
)
def test_phone_comes_from_the_phone_jid_alone(jid: str | None, phone: str | None) -> None:
    assert msgspec.structs.replace(an_account(), jid=jid).phone == phone
