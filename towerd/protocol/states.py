"""The names of a session's states, in the order of the table, for clients."""

from __future__ import annotations

from sessions.states import State

STATES: tuple[str, ...] = tuple(state.value for state in State)
