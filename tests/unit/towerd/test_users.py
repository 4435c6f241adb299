"""Names of users, as they are shown."""

from __future__ import annotations

import pwd
from typing import TYPE_CHECKING, NoReturn

from towerd.users import forget_names, user_name

if TYPE_CHECKING:
    import pytest


def test_name_is_asked_for_once_until_it_is_forgotten_and_nobody_is_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def nobody(uid: int) -> NoReturn:
        asked.append(uid)
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    forget_names()
    assert [user_name(4711), user_name(4711)] == ["4711", "4711"]
    forget_names()
    assert user_name(4711) == "4711"
    forget_names()
    assert asked == [4711, 4711]
