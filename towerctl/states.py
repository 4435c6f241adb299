"""The names of the states, for options that take them."""

from __future__ import annotations

from collections.abc import Iterable

from towerctl.exits import Failure
from towerd.protocol.states import STATES


def check_states(names: Iterable[str]) -> list[str]:
    """Return the names as they are, each once.

    Raises:
        Failure: one is no state; it names them all.
    """
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in STATES:
            raise Failure("usage", f"{name!r} is not a state", hint=f"states: {', '.join(STATES)}")
    return wanted
