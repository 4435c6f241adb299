"""Names of users, as they are shown."""

from __future__ import annotations

import pwd
from typing import TYPE_CHECKING, NoReturn

from towerd import users
from towerd.users import user_name

if TYPE_CHECKING:
    import pytest


def test_name_is_asked_for_once_a_minute_and_nobody_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def nobody(uid: int) -> NoReturn:
        asked.append(uid)
        raise KeyError(uid)

    minutes = iter((0.0, 59.9, 60.0))
    users._user_name.cache_clear()
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(users.time, "monotonic", lambda: next(minutes))
    assert [user_name(4711) for _ in range(3)] == ["4711"] * 3
    assert asked == [4711, 4711]
    users._user_name.cache_clear()
