"""From a request object to a response object; no exception leaves."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.integration.calls import params_of
from tests.unit.towerd.builders import an_account
from tests.unit.towerd.rpc.calls import SilentLedger, a_call
from tests.unit.towerd.waiting import run
from towerd.audit import Auditor
from towerd.protocol import methods as m
from towerd.protocol.errors import ACCOUNT, ERRORS, TowerError
from towerd.rpc.dispatch import decode_params, dispatch
from towerd.rpc.handlers.table import HANDLERS

SECRET = "the words of a bug"


def answer(request: object, **parts: Any) -> dict[str, Any] | None:
    return run(dispatch(request, a_call(**parts)))


def error_of(request: object) -> dict[str, Any]:
    response = answer(request)
    assert response is not None
    assert "result" not in response
    error: dict[str, Any] = response["error"]
    return error


def request(method: str = "daemon.version", **fields: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method} | fields


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Put a handler in place of every one, which notes its parameters and answers."""
    seen: list[Any] = []

    async def handle(_call: object, params: object) -> m.Empty:
        seen.append(params)
        return m.Empty()

    for method in HANDLERS:
        monkeypatch.setitem(HANDLERS, method, handle)
    return seen


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Let the handler of daemon.version raise the error that the test puts in."""
    errors: list[BaseException] = []

    async def handle(_call: object, _params: object) -> None:
        raise errors[0]

    monkeypatch.setitem(HANDLERS, "daemon.version", handle)
    return errors


@pytest.mark.parametrize("request_id", [1, 0, -5, 1.5, "abc", "", None])
def test_answer_carries_the_id_of_its_request(handled: list[Any], request_id: object) -> None:
    assert answer(request(id=request_id)) == {"jsonrpc": "2.0", "id": request_id, "result": m.Empty()}


def test_parameters_come_typed_and_with_their_defaults(handled: list[Any]) -> None:
    answer(request("account.qr", params={"account": "alpha", "format": "png"}))
    assert handled == [m.GetQr(account="alpha", format="png")]


INVALID = [
    None,
    1,
    "text",
    True,
    [],
    {},
    {"jsonrpc": "2.0"},
    {"jsonrpc": "2.0", "id": 1},
    {"jsonrpc": "1.0", "id": 1, "method": "daemon.version"},
    {"jsonrpc": 2.0, "id": 1, "method": "daemon.version"},
    {"id": 1, "method": "daemon.version"},
    {"jsonrpc": "2.0", "id": 1, "method": 5},
    {"jsonrpc": "2.0", "id": 1, "method": None},
    {"jsonrpc": "2.0", "id": [1], "method": "daemon.version"},
    {"jsonrpc": "2.0", "id": {}, "method": "daemon.version"},
    {"jsonrpc": "2.0", "id": True, "method": "daemon.version"},
]


@pytest.mark.parametrize("broken", INVALID)
def test_what_is_no_request_is_answered_so(handled: list[Any], broken: object) -> None:
    error = error_of(broken)
    assert (error["code"], error["data"]["slug"]) == (-32600, "invalid-request")
    assert handled == []


@pytest.mark.parametrize(("given", "back"), [(7, 7), ("x", "x"), ([1], None), (True, None)])
def test_faulty_request_gets_its_id_back_where_it_is_one(given: object, back: object) -> None:
    response = answer({"jsonrpc": "1.0", "id": given, "method": "daemon.version"})
    assert response is not None
    assert response["id"] == back


def test_unknown_method_is_named_and_says_where_to_look() -> None:
    error = error_of(request("account.destroy"))
    assert (error["code"], error["data"]["slug"]) == (-32601, "method-not-found")
    assert "account.destroy" in error["message"]
    assert "rpc.discover" in error["data"]["hint"]


def test_long_unknown_method_is_not_sent_back_whole() -> None:
    assert len(error_of(request("x" * 10_000))["message"]) < 200


def test_of_very_many_unknown_parameters_some_are_named() -> None:
    error = error_of(request(params={f"unknown-{n}": n for n in range(10_000)}))
    assert [one["field"] for one in error["data"]["fields"]] == [f"unknown-{n}" for n in range(20)]


@pytest.mark.parametrize("params", [[], ["alpha"], "alpha", 1, None])
def test_parameters_go_by_name(handled: list[Any], params: object) -> None:
    error = error_of(request(params=params))
    assert (error["code"], error["data"]["slug"]) == (-32602, "invalid-params")
    assert handled == []


def test_all_bad_parameters_are_told_at_once() -> None:
    error = error_of(
        request(
            "account.qr",
            params={
                "account": 5,
                "format": "gif",
                "scale": 65,
                "border": -1,
                "invert": "no",
                "colour": 1,
                "x": 2,
            },
        )
    )
    assert error["data"]["slug"] == "invalid-params"
    assert error["data"]["exit"] == 2
    fields = {bad["field"]: bad["why"] for bad in error["data"]["fields"]}
    assert set(fields) == {"account", "format", "scale", "border", "invert", "colour", "x"}
    assert "unknown" in fields["colour"]
    assert "border" in fields["x"], "it names the known ones"
    assert all(name in error["message"] for name in fields)


def test_missing_parameters_are_named() -> None:
    error = error_of(request("account.wait", params={}))
    assert error["data"]["fields"] == [{"field": "states", "why": "is missing"}]


def test_method_without_parameters_refuses_any() -> None:
    (bad,) = error_of(request(params={"x": 1}))["data"]["fields"]
    assert bad["field"] == "x"


@pytest.mark.parametrize("method", list(m.METHODS))
def test_every_method_tells_unknown_parameters_by_name(handled: list[Any], method: str) -> None:
    fields = error_of(request(method, params={"unheard_of": 1}))["data"]["fields"]
    assert "unheard_of" in [bad["field"] for bad in fields]
    assert handled == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("account.wait", {"states": []}),
        ("account.wait", {"states": ["nowhere"]}),
        ("account.wait", {"states": ["connected"], "timeout_seconds": -1}),
        ("account.remove", {"account": ""}),
        ("account.remove", {"account": "x" * 201}),
        ("account.remove", {"account": None}),
        ("event.list", {"limit": 0}),
        ("event.list", {"limit": 10_001}),
        ("account.list", {"state": "connected"}),
        ("account.add", {"pair": 1}),
    ],
)
def test_value_that_breaks_its_rule_is_refused(
    handled: list[Any], method: str, params: dict[str, Any]
) -> None:
    assert len(error_of(request(method, params=params))["data"]["fields"]) == 1
    assert handled == []


def test_decoded_parameters_are_of_the_methods_type() -> None:
    assert decode_params("account.list", {"state": ["failed"]}) == m.List(state=["failed"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "notification",
    [
        {"jsonrpc": "2.0", "method": "daemon.version"},
        {"jsonrpc": "2.0", "method": "no.such"},
        {"jsonrpc": "2.0", "method": "daemon.version", "params": {"x": 1}},
        {"jsonrpc": "2.0", "method": "daemon.version", "params": []},
    ],
)
def test_notification_gets_no_answer_whatever_becomes_of_it(notification: dict[str, Any]) -> None:
    assert answer(notification) is None


def test_notification_is_carried_out(handled: list[Any]) -> None:
    answer({"jsonrpc": "2.0", "method": "daemon.version"})
    assert len(handled) == 1


def test_notification_that_fails_is_not_answered(failing: list[BaseException]) -> None:
    failing.append(ValueError(SECRET))
    assert answer({"jsonrpc": "2.0", "method": "daemon.version"}) is None


@pytest.mark.parametrize("slug", list(ERRORS))
def test_error_of_the_domain_goes_out_as_it_is(failing: list[BaseException], slug: str) -> None:
    failing.append(TowerError(slug, "the fact", hint="the next step"))
    assert error_of(request()) == TowerError(slug, "the fact", hint="the next step").to_wire()


@pytest.mark.parametrize(
    "bug", [ValueError(SECRET), KeyError(SECRET), AssertionError(SECRET), RecursionError(SECRET)]
)
def test_bug_is_an_internal_error_and_its_traceback_stays_in_the_log(
    failing: list[BaseException], bug: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    failing.append(bug)
    with caplog.at_level(logging.ERROR):
        error = error_of(request())
    assert (error["code"], error["data"]["slug"]) == (-32603, "internal-error")
    assert SECRET not in str(error)
    assert "journal" in error["message"]
    assert "Traceback" in caplog.text
    assert SECRET in caplog.text


def test_fault_of_the_disk_says_where_to_look(failing: list[BaseException]) -> None:
    failing.append(OSError(28, "No space left on device"))
    error = error_of(request())
    assert error["data"]["slug"] == "registry-unavailable"
    assert "No space left" in error["message"]
    assert error["data"]["hint"]


def test_what_changes_something_is_audited_with_its_outcome(
    handled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = SilentLedger()
    auditor = Auditor(ledger, a_call().services.clock)  # type: ignore[arg-type]
    answer(request("account.stop", params={"account": "alpha"}), ledger=ledger, auditor=auditor)

    async def refuse(_call: object, _params: object) -> None:
        raise TowerError("account-not-found", "none")

    monkeypatch.setitem(HANDLERS, "account.remove", refuse)
    answer(request("account.remove", params={"account": "alpha"}), ledger=ledger, auditor=auditor)
    answer(request("account.list"), ledger=ledger, auditor=auditor)
    assert [(row.action, row.result) for row in ledger.audits] == [
        ("account.stop", "done"),
        ("account.remove", "account-not-found"),
    ]


STRANGER = 1_900_000_009


@pytest.mark.parametrize("method", [name for name, row in m.METHODS.items() if row.right == "admin"])
def test_what_is_the_admins_is_refused_to_others_before_its_handler_and_noted(
    handled: list[Any], method: str
) -> None:
    ledger = SilentLedger()
    auditor = Auditor(ledger, a_call().services.clock)  # type: ignore[arg-type]
    params = params_of(method, "alpha")
    response = answer(request(method, params=params), uid=STRANGER, ledger=ledger, auditor=auditor)
    assert response is not None
    assert (response["error"]["code"], response["error"]["data"]["exit"]) == (400, 4)
    assert handled == []
    assert [(row.action, row.uid, row.result) for row in ledger.audits] == [
        (method, STRANGER, "not-permitted")
    ]


def test_refusal_is_noted_also_of_a_method_that_is_not_audited_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(call: Any, _params: object) -> None:
        call.about.append(an_account(name="sales", owner_uid=STRANGER))
        raise TowerError("not-permitted", "no")

    monkeypatch.setitem(HANDLERS, "account.qr", refuse)
    ledger = SilentLedger()
    auditor = Auditor(ledger, a_call().services.clock)  # type: ignore[arg-type]
    answer(request("account.qr"), ledger=ledger, auditor=auditor)
    assert [(row.action, row.account_label, row.owner_uid, row.result) for row in ledger.audits] == [
        ("account.qr", "sales", STRANGER, "not-permitted")
    ]


@pytest.mark.parametrize(("uid", "name"), [(STRANGER, "sales"), (0, f"{STRANGER}/sales")])
def test_hint_names_the_account_as_the_caller_has_to(
    monkeypatch: pytest.MonkeyPatch, uid: int, name: str
) -> None:
    async def fail(call: Any, _params: object) -> None:
        call.about.append(an_account(name="sales", owner_uid=STRANGER))
        raise TowerError("wrong-state", "no", hint=f"run: towerctl start {ACCOUNT} && towerctl qr {ACCOUNT}")

    monkeypatch.setitem(HANDLERS, "account.qr", fail)
    response = answer(request("account.qr"), uid=uid)
    assert response is not None
    assert response["error"]["data"]["hint"] == f"run: towerctl start {name} && towerctl qr {name}"
