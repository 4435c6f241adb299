"""Validation errors in words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest

from towerd.wording import in_words


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("x", int, "must be a whole number, not text"),
        (1, str | None, "must be text, not a whole number"),
        (True, float, "must be a number, not true or false"),
        (0, Annotated[int, msgspec.Meta(ge=1)], "must be a whole number, at least 1"),
        (0.0, Annotated[float, msgspec.Meta(gt=0)], "must be a number, more than 0"),
        (99, Annotated[int, msgspec.Meta(le=64)], "must be a whole number, at most 64"),
        ("", Annotated[str, msgspec.Meta(min_length=1)], "must have at least 1 characters"),
        ([], Annotated[list[int], msgspec.Meta(min_length=1)], "must have at least 1 entries"),
        ({}, list[int], "must be a list, not an object"),
        ("gif", Literal["png", "svg"], "gif is none of the values there are; known are png, svg"),
        ("x" * 9999, Literal["png"], f"{'x' * 100} is none of the values there are; known are png, svg"),
    ],
)
def test_the_library_speaks_plainly(value: object, kind: Any, expected: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(value, kind)
    assert in_words(str(caught.value), choices=("png", "svg")) == expected


def test_an_error_of_another_shape_is_passed_on() -> None:
    assert in_words("something new") == "something new"
