"""The session's state machine, as data: states, triggers, one table, `next_state`. Nothing else.

The one rule: a (state, trigger) pair that is not in the table does not happen. For a command that means an
error which names the verb that would work; for a report it means the report is late and is dropped.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where an account's session stands."""

    UNPAIRED = "unpaired"
    PAIRING = "pairing"
    AUTHENTICATED = "authenticated"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    LOGGED_OUT = "logged_out"
    STOPPED = "stopped"
    FAILED = "failed"


class Trigger(StrEnum):
    """What can happen to a session: commands, reports of the library, findings of the daemon."""

    # Commands.
    PAIR = "pair"
    START_LINKED = "start-linked"
    START_UNLINKED = "start-unlinked"
    STOP = "stop"
    UNPAIR = "unpair"
    # Reports of the worker.
    SCANNED = "scanned"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    LOGGED_OUT = "logged-out"
    # Findings of the daemon.
    DEVICE_FOUND = "device-found"
    DEVICE_GONE = "device-gone"
    ATTEMPT_OVER = "attempt-over"
    WIPED = "wiped"
    FAILURE = "failure"


class IllegalTransition(Exception):
    """A trigger that the present state does not know.

    Args:
        state: the state, unchanged.
        trigger: what did not fit.
    """

    def __init__(self, state: State, trigger: Trigger) -> None:
        super().__init__(f"{trigger.value} does not apply to {state.value}")
        self.state = state
        self.trigger = trigger


_EVERYWHERE: dict[Trigger, State] = {
    Trigger.STOP: State.STOPPED,
    Trigger.UNPAIR: State.UNPAIRED,
    Trigger.FAILURE: State.FAILED,
}

TRANSITIONS: dict[State, dict[Trigger, State]] = {
    State.UNPAIRED: {
        **_EVERYWHERE,
        Trigger.PAIR: State.PAIRING,
        # A kill between the scan and our hearing of it leaves a device that the registry never saw.
        Trigger.DEVICE_FOUND: State.CONNECTING,
    },
    State.PAIRING: {
        **_EVERYWHERE,
        Trigger.PAIR: State.PAIRING,
        Trigger.SCANNED: State.AUTHENTICATED,
        # The library may say Connected without our having seen PairStatus.
        Trigger.CONNECTED: State.CONNECTED,
        Trigger.DEVICE_FOUND: State.CONNECTING,
        Trigger.ATTEMPT_OVER: State.UNPAIRED,
    },
    State.AUTHENTICATED: {
        **_EVERYWHERE,
        Trigger.PAIR: State.PAIRING,
        Trigger.CONNECTED: State.CONNECTED,
        Trigger.DEVICE_FOUND: State.CONNECTING,
        # No device after a scan, or a 401 at the first login: the pairing did not come off.
        Trigger.ATTEMPT_OVER: State.UNPAIRED,
    },
    State.CONNECTING: {
        **_EVERYWHERE,
        Trigger.START_LINKED: State.CONNECTING,
        Trigger.CONNECTED: State.CONNECTED,
        Trigger.DISCONNECTED: State.RECONNECTING,
        Trigger.LOGGED_OUT: State.LOGGED_OUT,
        Trigger.DEVICE_GONE: State.UNPAIRED,
        Trigger.ATTEMPT_OVER: State.UNPAIRED,
    },
    State.CONNECTED: {
        **_EVERYWHERE,
        Trigger.START_LINKED: State.CONNECTING,
        Trigger.CONNECTED: State.CONNECTED,
        Trigger.DISCONNECTED: State.RECONNECTING,
        Trigger.LOGGED_OUT: State.LOGGED_OUT,
        Trigger.DEVICE_GONE: State.UNPAIRED,
    },
    State.RECONNECTING: {
        **_EVERYWHERE,
        Trigger.START_LINKED: State.CONNECTING,
        Trigger.CONNECTED: State.CONNECTED,
        Trigger.DISCONNECTED: State.RECONNECTING,
        Trigger.LOGGED_OUT: State.LOGGED_OUT,
        Trigger.DEVICE_GONE: State.UNPAIRED,
        # Scanned, then the line was lost, and only the next login is refused.
        Trigger.ATTEMPT_OVER: State.UNPAIRED,
    },
    State.LOGGED_OUT: {
        **_EVERYWHERE,
        Trigger.WIPED: State.UNPAIRED,
    },
    State.STOPPED: {
        **_EVERYWHERE,
        Trigger.PAIR: State.PAIRING,
        Trigger.START_LINKED: State.CONNECTING,
        Trigger.START_UNLINKED: State.UNPAIRED,
        Trigger.DEVICE_GONE: State.UNPAIRED,
    },
    State.FAILED: {
        **_EVERYWHERE,
        Trigger.PAIR: State.PAIRING,
        Trigger.START_LINKED: State.CONNECTING,
        Trigger.START_UNLINKED: State.UNPAIRED,
        Trigger.DEVICE_GONE: State.UNPAIRED,
    },
}


def next_state(state: State, trigger: Trigger) -> State:
    """Return the state that follows.

    Raises:
        IllegalTransition: the table has no such pair; nothing changed.
    """
    try:
        return TRANSITIONS[state][trigger]
    except KeyError:
        raise IllegalTransition(state, trigger) from None


LINKED_STATES = frozenset({State.CONNECTING, State.CONNECTED, State.RECONNECTING})
"""A device is linked and the session runs or tries to."""

ATTEMPT_STATES = frozenset({State.PAIRING, State.AUTHENTICATED})
"""A pairing attempt is under way."""
