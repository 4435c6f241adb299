"""The table of methods: its names, rights, and what its parameters refuse."""

from __future__ import annotations

import inspect
import re
from typing import Any, get_args

import msgspec
import pytest

from towerd.protocol.methods import METHODS, Right
from towerd.protocol.parameters import Params
from towerd.protocol.types import Wire

# Written from the contract.
CONTRACT = {
    "daemon.version",
    "daemon.status",
    "account.list",
    "account.get",
    "account.health",
    "account.add",
    "account.set",
    "account.pair",
    "account.qr",
    "account.start",
    "account.stop",
    "account.restart",
    "account.unpair",
    "account.logout",
    "account.remove",
    "account.wait",
    "event.subscribe",
    "event.unsubscribe",
    "event.list",
    "rpc.discover",
}
RIGHTS = {
    "account.list": "read",
    "account.get": "read",
    "account.health": "read",
    "account.wait": "read",
    "event.list": "read",
    "event.subscribe": "read",
    "daemon.status": "read",
    "account.add": "connect",
    "account.pair": "connect",
    "account.qr": "connect",
    "account.start": "connect",
    "account.restart": "connect",
    "account.stop": "disconnect",
    "account.unpair": "disconnect",
    "account.logout": "disconnect",
    "account.set": "update",
    "account.remove": "delete",
    # Not in the contract's table: what is no account's is everybody's or the admins'.
    "audit.list": "read",
    "event.unsubscribe": "everybody",
    "rpc.discover": "everybody",
    "daemon.version": "everybody",
    "daemon.config": "admin",
    "daemon.release": "admin",
    "daemon.reload": "admin",
}


def test_every_method_of_the_contract_is_there() -> None:
    assert set(METHODS) >= CONTRACT


@pytest.mark.parametrize(("method", "right"), RIGHTS.items())
def test_method_needs_the_right_of_the_contract(method: str, right: str) -> None:
    assert METHODS[method].right == right


def test_every_method_names_a_right_that_there_is() -> None:
    assert {method: row.right for method, row in METHODS.items() if row.right not in get_args(Right)} == {}


@pytest.mark.parametrize("method", list(METHODS))
def test_method_is_named_family_verb_and_says_what_it_does(method: str) -> None:
    row = METHODS[method]
    assert re.fullmatch(r"[a-z]+\.[a-z]+", method)
    assert re.fullmatch(r"[A-Z].*\.", row.summary)
    assert inspect.getdoc(row.params)


@pytest.mark.parametrize("method", list(METHODS))
def test_parameters_refuse_what_they_do_not_know_and_results_are_objects(method: str) -> None:
    row = METHODS[method]
    assert issubclass(row.params, Params)
    required = {field.name: "x" for field in msgspec.structs.fields(row.params) if field.required}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(required | {"unheard_of": 1}, row.params)
    assert row.result == dict[str, Any] or issubclass(row.result, Wire)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", list(METHODS))
def test_verbs_that_destroy_need_the_account_named_in_full(method: str) -> None:
    destroys = method in ("account.unpair", "account.logout", "account.remove", "account.export")
    assert METHODS[method].names_in_full is destroys
    if destroys:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({}, METHODS[method].params)


@pytest.mark.parametrize(
    "method", ["account.get", "account.start", "account.stop", "account.qr", "account.pair"]
)
def test_other_verbs_may_leave_the_account_out(method: str) -> None:
    assert msgspec.convert({}, METHODS[method].params).account is None  # type: ignore[attr-defined]
