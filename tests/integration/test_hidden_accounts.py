"""What a caller may not see does not exist: no answer tells another's account from none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sessions.states import State
from tests.integration.callers import CONFIG, OWNER, STRANGER, VIEWER, Caller, let_everybody_in, needs_root
from tests.integration.calls import params_of, takes_account
from tests.integration.towerd import Towerd, a_towerd
from tests.unit.sessions.stores import make_store
from tests.unit.towerd.builders import a_linked_account
from towerd.accounts.registry import Registry
from towerd.protocol.methods import METHODS

pytestmark = needs_root

HIDDEN = a_linked_account(
    owner_uid=OWNER,
    name="hiddenname",
    display_name="HiddenTitle",
    desired="stopped",
    state=State.STOPPED,
    reason="stopped-by-operator",
    push_name="HiddenPush",
)
LID = "123456789012345@lid"
# What there is, and beside it what there is not, in the same form.
PAIRS = {
    "name": ("hiddenname", "absentname"),
    "id": (HIDDEN.id, "a-zzzzzzzzzz"),
    "owner": (f"{OWNER}/hiddenname", f"{OWNER}/absentname"),
    "owner-and-phone": (f"{OWNER}/{HIDDEN.phone}", f"{OWNER}/+491709999999"),
    "phone": (f"{HIDDEN.phone}", "+491709999999"),
    "phone-with-punctuation": ("+49 170 1234567", "+49 170 9999999"),
    "jid": (f"{HIDDEN.jid}", "491709999999@s.whatsapp.net"),
    "lid": (LID, "999999999999999@lid"),
}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "account.remove": [{"if_present": True}, {"require_logout": True}],
    "account.qr": [{"start": True}, {"newer_than": "x"}, {"wait_seconds": 0.01}],
    "account.set": [{"name": "hiddenname"}, {"primary": True}, {"name": "not a name"}],
    "account.pair": [{"phone": "491701234567"}, {"phone": "none"}, {"new_phone": True}],
    "account.wait": [{"timeout_seconds": 0.01}],
    "event.list": [{"since": 0}, {"types": ["account.added"]}],
    "event.subscribe": [{"since": 0}],
    "audit.list": [{"actions": ["account.stop"]}],
}
CASES = [
    (method, variant)
    for method in METHODS
    if takes_account(method)
    for variant in [{}, *VARIANTS.get(method, [])]
]
# Whatever of this stands in an answer says that the account is there.
TELLTALES = (
    *(HIDDEN.id, "hiddenname", "HiddenTitle", "HiddenPush", "491701234567", "123456789012345"),
    *(str(OWNER), "removedname"),
)


@pytest.fixture(scope="module")
def towerd_with_hidden() -> Iterator[Towerd]:
    """A daemon with a linked account of the owner's, and traces of one that is gone."""
    with a_towerd() as one:
        one.config.write_text(CONFIG)
        one.start()
        one.end()
        registry = Registry(one.database)
        registry.open()
        registry.insert(HIDDEN)
        registry.close()
        make_store(one.state / "sessions", HIDDEN.id)
        one.start()
        let_everybody_in(one)
        owner = Caller(one, OWNER)
        assert owner.ask("account.get", account=HIDDEN.id)["account"]["state"] == "stopped"
        owner.add("removedname")
        owner.ask("account.remove", account="removedname")
        # Refused by the viewer's role, and so in the audit log.
        assert Caller(one, VIEWER).refusal("account.stop", account=HIDDEN.id)["slug"] == "not-permitted"
        yield one


@pytest.fixture(params=["has-none", "has-one"])
def stranger(request: pytest.FixtureRequest, towerd_with_hidden: Towerd) -> Caller:
    """A caller who sees no account, or one of their own."""
    return a_stranger(towerd_with_hidden, STRANGER, has_one=request.param == "has-one")


@pytest.fixture(params=["has-none", "has-one"])
def newcomer(request: pytest.FixtureRequest, towerd_with_hidden: Towerd) -> Caller:
    """Another one, who has asked for nothing: what somebody typed stands in their own audit rows."""
    return a_stranger(towerd_with_hidden, STRANGER + 10, has_one=request.param == "has-one")


def a_stranger(towerd: Towerd, uid: int, *, has_one: bool) -> Caller:
    caller = Caller(towerd, uid + has_one)
    if has_one and not caller.names():
        caller.add("own")
    return caller


@pytest.mark.parametrize("form", list(PAIRS))
@pytest.mark.parametrize(("method", "variant"), CASES)
def test_answer_about_anothers_account_is_that_about_none(
    stranger: Caller, method: str, variant: dict[str, Any], form: str
) -> None:
    answers = [
        stranger.line(method, **params_of(method, selector) | variant).replace(selector.encode(), b"X")
        for selector in PAIRS[form]
    ]
    assert answers[0] == answers[1]
    assert not any(word in answers[0].decode() for word in TELLTALES if word != PAIRS[form][0])


@pytest.mark.parametrize("form", list(PAIRS))
def test_health_of_anothers_account_is_that_of_none(stranger: Caller, form: str) -> None:
    answers = [
        stranger.line("account.health", accounts=[selector]).replace(selector.encode(), b"X")
        for selector in PAIRS[form]
    ]
    assert answers[0] == answers[1]
    assert b"account-not-found" in answers[0]


def test_the_accounts_of_these_tests_are_there(towerd_with_hidden: Towerd) -> None:
    owner = Caller(towerd_with_hidden, OWNER)
    for existing, absent in PAIRS.values():
        assert owner.ask("account.get", account=existing)["account"]["id"] == HIDDEN.id
        assert owner.refusal("account.get", account=absent)["slug"] == "account-not-found"


WITHOUT_ACCOUNT = [
    ("account.health", {}),
    ("account.list", {}),
    ("account.list", {"state": ["stopped"]}),
    ("audit.list", {}),
    ("audit.list", {"since": 0}),
    ("audit.list", {"actions": ["account.stop", "account.remove", "removed"]}),
    ("daemon.doctor", {}),
    ("daemon.status", {}),
    ("event.list", {}),
    ("event.list", {"since": 0}),
    ("event.list", {"types": ["account.added", "account.removed"]}),
]


@pytest.mark.parametrize(("method", "params"), WITHOUT_ACCOUNT)
def test_lists_counts_events_and_audit_rows_leave_it_out(
    newcomer: Caller, method: str, params: dict[str, Any]
) -> None:
    line = newcomer.line(method, **params).decode()
    assert '"result"' in line
    assert [word for word in TELLTALES if word in line] == []


def test_every_method_that_tells_of_accounts_is_asked() -> None:
    asked = {method for method, _ in WITHOUT_ACCOUNT} | {method for method, _ in CASES} | {"account.add"}
    telling = {name for name, row in METHODS.items() if row.right not in ("everybody", "admin")}
    assert asked == telling | {name for name in METHODS if takes_account(name)}


def test_status_counts_what_the_caller_sees(towerd_with_hidden: Towerd, stranger: Caller) -> None:
    own = len(stranger.names())
    status = stranger.ask("daemon.status")
    assert status["accounts"] == ({"unpaired": own} if own else {})
    assert status["health"] == ({"inactive": own} if own else {})
    assert status["messages"] == {"sent": 0, "received": 0, "waiting": 0}
    assert status["memory"]["workers_bytes"] == 0
    assert status["starting"] == {"done": 0, "total": 0}
    assert (status["workers"], status["problems"], status["fleet"]["state"]) == ([], [], "closed")
    assert towerd_with_hidden.ask("daemon.status")["starting"] == {"done": 1, "total": 1}
    assert Caller(towerd_with_hidden, VIEWER).ask("daemon.status")["starting"] == {"done": 1, "total": 1}


def test_events_of_a_removed_account_stay_with_its_owner(towerd_with_hidden: Towerd) -> None:
    for uid, sees in ((OWNER, True), (VIEWER, True), (0, True), (STRANGER, False)):
        events = Caller(towerd_with_hidden, uid).ask("event.list", types=["account.removed"])["events"]
        assert ("removedname" in named(events)) is sees
        audits = Caller(towerd_with_hidden, uid).ask("audit.list", actions=["account.remove"])["audits"]
        assert ("removedname" in named(audits)) is sees


def named(rows: list[Any]) -> set[str]:
    return {row["account"]["name"] for row in rows if row["account"] is not None}


def test_events_of_the_daemon_go_to_those_who_see_all(towerd_with_hidden: Towerd) -> None:
    for uid, sees in ((0, True), (OWNER, False), (VIEWER, False), (STRANGER, False)):
        events = Caller(towerd_with_hidden, uid).ask("event.list", types=["daemon.started"])["events"]
        assert bool(events) is sees


def test_stream_brings_what_the_caller_sees_and_nothing_else(towerd_with_hidden: Towerd) -> None:
    stranger, owner = Caller(towerd_with_hidden, STRANGER + 20), Caller(towerd_with_hidden, OWNER)
    with stranger.connect() as connection, connection.makefile("rwb") as lines:
        request = {"jsonrpc": "2.0", "id": 1, "method": "event.subscribe", "params": {"since": 0}}
        lines.write(json.dumps(request).encode() + b"\n")
        lines.flush()
        assert b'"result"' in lines.readline()
        owner.add("removedname")
        owner.ask("account.remove", account="removedname")
        stranger.add("mine")
        first = json.loads(lines.readline())["params"]["event"]
    assert (first["type"], first["account"]["name"]) == ("account.added", "mine")


def test_name_and_phone_of_another_owner_are_free(towerd_with_hidden: Towerd) -> None:
    stranger = Caller(towerd_with_hidden, STRANGER + 30)
    line = stranger.line(
        "account.add", name="hiddenname", pair=False, expect_phone=HIDDEN.phone, if_absent=True
    ).decode()
    answer = json.loads(line)["result"]
    assert answer["created"]
    assert answer["account"]["id"] != HIDDEN.id
    assert not any(word in line for word in (HIDDEN.id, "HiddenTitle", "HiddenPush", str(OWNER)))
