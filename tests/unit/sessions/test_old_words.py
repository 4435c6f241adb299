"""Every state word of the old systems has exactly one TOWER state for each cause it was used for."""

from __future__ import annotations

import pytest

from sessions.states import State, Trigger, next_state

# The old word, the cause it was set for, and the triggers that this cause is here, from a new account on.
PAIR, SCAN, CONNECT = Trigger.PAIR, Trigger.SCANNED, Trigger.CONNECTED
LINKED = (PAIR, SCAN, CONNECT)
OLD_WORDS = [
    ("unpaired", "no device was ever linked", (), State.UNPAIRED),
    ("failed", "a duplicate phone was cleaned up", (*LINKED, Trigger.UNPAIR), State.UNPAIRED),
    ("ACTIVE", "placeholder JID, before the scan", (PAIR,), State.PAIRING),
    ("QR_PENDING", "no code has come yet", (PAIR,), State.PAIRING),
    ("QR_READY", "a code is on offer", (PAIR,), State.PAIRING),
    ("pending", "waiting for the scan", (PAIR,), State.PAIRING),
    ("qr_scanning", "a code is on offer", (PAIR,), State.PAIRING),
    ("Connecting", "set on the qr event", (PAIR,), State.PAIRING),
    (
        "DISCONNECTED",
        "after a logout, paired anew by itself",
        (*LINKED, Trigger.LOGGED_OUT, Trigger.WIPED, PAIR),
        State.PAIRING,
    ),
    ("authenticated", "scanned, restart under way", (PAIR, SCAN), State.AUTHENTICATED),
    ("Connected", "set on the authenticated event", (PAIR, SCAN), State.AUTHENTICATED),
    ("CONNECTED", "logged in", LINKED, State.CONNECTED),
    ("ACTIVE", "after the scan", LINKED, State.CONNECTED),
    ("Connected", "set on the ready event", LINKED, State.CONNECTED),
    ("disconnected", "the connection was lost", (*LINKED, Trigger.DISCONNECTED), State.RECONNECTING),
    ("DISCONNECTED", "after a drop", (*LINKED, Trigger.DISCONNECTED), State.RECONNECTING),
    ("ERROR", "after a drop", (*LINKED, Trigger.DISCONNECTED), State.RECONNECTING),
    ("loggedOut", "the phone removed the device", (*LINKED, Trigger.LOGGED_OUT), State.LOGGED_OUT),
    ("is_active = false", "taken offline by the operator", (*LINKED, Trigger.STOP), State.STOPPED),
    ("Disconnected", "by the operator", (*LINKED, Trigger.STOP), State.STOPPED),
    ("ERROR", "on an authentication failure", (*LINKED, Trigger.FAILURE), State.FAILED),
    ("Failed", "given up", (*LINKED, Trigger.FAILURE), State.FAILED),
    ("failed", "given up", (*LINKED, Trigger.FAILURE), State.FAILED),
]


@pytest.mark.parametrize(("word", "cause", "triggers", "state"), OLD_WORDS)
def test_old_word_by_its_cause_is_one_state(
    word: str, cause: str, triggers: tuple[Trigger, ...], state: State
) -> None:
    now = State.UNPAIRED
    for trigger in triggers:
        now = next_state(now, trigger)
    assert now is state, f"{word} ({cause})"


def test_each_word_with_its_cause_stands_once() -> None:
    keys = [(word, cause) for word, cause, _, _ in OLD_WORDS]
    assert len(keys) == len(set(keys))


def test_only_connecting_had_no_word_in_the_old_systems() -> None:
    assert set(State) - {state for _, _, _, state in OLD_WORDS} == {State.CONNECTING}
