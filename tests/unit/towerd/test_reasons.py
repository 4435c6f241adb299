"""Every reason of the contract has its row, and what it tells a human to do can be done."""

from __future__ import annotations

import re

import pytest

from towerd.reasons import REASONS, action_for, lasting, reason_while_pairing

UNPAIRED = [
    "never-paired",
    "pairing-timeout",
    "pairing-interrupted",
    "pairing-incomplete",
    "duplicate-phone",
    "wrong-phone",
    "unpaired-by-operator",
    "logged-out-by-operator",
    "logged-out-by-phone",
]
FAILED = [
    "client-outdated",
    "locked",
    "banned",
    "stream-replaced",
    "passkey-required",
    "store-damaged",
    "store-mismatch",
    "store-locked",
    "worker-crash-loop",
]
# Reasons of the contract whose cause comes with a later issue.
OTHER = ["stopped-by-operator", "exported", "start-queued", "banned-until"]
LASTING = [
    "duplicate-phone",
    "wrong-phone",
    "unpaired-by-operator",
    "logged-out-by-operator",
    "logged-out-by-phone",
]
WEAK = ["never-paired", "pairing-timeout", "pairing-interrupted", "pairing-incomplete"]

# The verbs of the contract's command line.
VERBS = {
    "list",
    "show",
    "add",
    "qr",
    "pair",
    "wait",
    "start",
    "stop",
    "restart",
    "rename",
    "unpair",
    "logout",
    "remove",
    "events",
    "audit",
    "status",
    "watch",
    "health",
    "metrics",
    "doctor",
    "config",
    "send",
    "messages",
    "groups",
    "rpc",
    "reload",
    "version",
    "completion",
}


@pytest.mark.parametrize("reason", [*UNPAIRED, *FAILED, *OTHER])
def test_reason_of_the_contract_is_there_and_says_what_to_do(reason: str) -> None:
    action = action_for(reason, "alpha")
    assert action
    assert "\n" not in action
    assert "{" not in action


@pytest.mark.parametrize("reason", list(REASONS))
def test_slug_is_a_slug_and_every_command_in_its_action_exists(reason: str) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason)
    action = action_for(reason, "alpha") or ""
    commands = re.findall(r"towerctl ([a-z]+)(?: ([a-z]+))?", action)
    assert len(commands) == action.count("towerctl")
    for verb, account in commands:
        of_no_account = verb in ("release", "adopt")
        assert (of_no_account and not account) or (verb in VERBS and account == "alpha")


@pytest.mark.parametrize("reason", FAILED)
def test_failure_names_something_that_a_human_does(reason: str) -> None:
    action = action_for(reason, "alpha") or ""
    assert re.search(r"run:|upgrade|open WhatsApp|see the journal|towerctl", action)


@pytest.mark.parametrize("code", [400, 409, 599])
def test_connect_failure_of_any_code_says_what_to_do(code: int) -> None:
    assert "towerctl start alpha" in (action_for(f"connect-failure-{code}", "alpha") or "")


@pytest.mark.parametrize("reason", [None, "unheard-of"])
def test_no_reason_means_no_action(reason: str | None) -> None:
    assert action_for(reason, "alpha") is None


@pytest.mark.parametrize("new", WEAK)
@pytest.mark.parametrize("old", LASTING)
def test_lasting_cause_is_not_overwritten_by_a_weaker_one(old: str, new: str) -> None:
    assert lasting(old, new) == old
    assert lasting(new, old) == old


@pytest.mark.parametrize("old", [None, "connection-lost", "unheard-of", *WEAK, *LASTING])
def test_strongest_causes_are_always_told(old: str | None) -> None:
    for new in ("unpaired-by-operator", "logged-out-by-operator", "logged-out-by-phone"):
        assert lasting(old, new) == new


@pytest.mark.parametrize("old", [None, "never-paired", "connection-lost", "start-queued"])
def test_pairing_that_ran_out_is_told_when_nothing_lasting_was_there(old: str | None) -> None:
    assert lasting(old, "pairing-timeout") == "pairing-timeout"


def test_unlink_at_night_still_stands_after_its_automatic_pairing_ran_out() -> None:
    during = reason_while_pairing("logged-out-by-phone")
    assert during == "logged-out-by-phone"
    assert lasting(during, "pairing-timeout") == "logged-out-by-phone"


@pytest.mark.parametrize("reason", LASTING)
def test_lasting_cause_stays_visible_while_pairing(reason: str) -> None:
    assert reason_while_pairing(reason) == reason


@pytest.mark.parametrize("reason", [None, "unheard-of", "connection-lost", *WEAK])
def test_weak_cause_is_gone_while_pairing(reason: str | None) -> None:
    assert reason_while_pairing(reason) is None
