"""Secrets of a pairing that runs, and callers who may look but not pair; two owners and one phone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.tower import Tower
from tests.integration.callers import OWNER, VIEWER, Caller, let_everybody_in, needs_root
from tests.whatsapp.simulator import Simulator
from towerd.protocol.methods import METHODS

pytestmark = needs_root

CONFIG = f'[[access.grants]]\nrole = "viewer"\nto = ["{VIEWER}"]\nowners = ["{OWNER}"]\n'


@pytest.fixture
def tower(simulator: Simulator) -> Iterator[Tower]:
    with Tower(simulator, config=CONFIG) as started:
        let_everybody_in(started)
        yield started


def all_that_is_told(caller: Caller, account: str) -> str:
    """Return every answer that a caller gets to anything that only reads, and the stream of events."""
    params: dict[str, dict[str, Any]] = {
        "account.wait": {"account": account, "states": ["pairing"]},
        "account.get": {"account": account},
    }
    told = [
        caller.line(method, **params.get(method, {})).decode()
        for method, row in METHODS.items()
        if row.right == "read" and method != "event.subscribe"
    ]
    newest = json.loads(caller.line("event.list"))["result"]["events"][-1]["id"]
    with caller.connect() as connection, connection.makefile("rwb") as lines:
        request = {"jsonrpc": "2.0", "id": 1, "method": "event.subscribe", "params": {"since": 0}}
        lines.write(json.dumps(request).encode() + b"\n")
        lines.flush()
        for line in lines:
            told.append(line.decode())
            if json.loads(line).get("params", {}).get("event", {}).get("id") == newest:
                return "".join(told)
    raise AssertionError("the stream ended early")


def test_viewer_never_sees_a_qr(tower: Tower) -> None:
    owner, viewer = Caller(tower, OWNER), Caller(tower, VIEWER)
    owner.ask("account.add", name="shop")
    payload = owner.ask("account.qr", account="shop", format="raw", wait_seconds=30)["qr"]["data"]
    for params in ({}, {"format": "raw"}, {"newer_than": "none", "wait_seconds": 1}, {"start": True}):
        assert viewer.refusal("account.qr", account=f"{OWNER}/shop", **params)["slug"] == "not-permitted"
    assert viewer.refusal("account.pair", account=f"{OWNER}/shop")["slug"] == "not-permitted"
    told = all_that_is_told(viewer, f"{OWNER}/shop")
    assert '"session.qr"' in told
    assert "shop" in told
    assert not any(piece in told for piece in (payload, *payload.split(",")[:4]))
    # What was refused has disturbed nothing.
    assert owner.ask("account.qr", account="shop")["qr"]["data"] == payload


def test_viewer_never_sees_a_pairing_code(tower: Tower) -> None:
    owner, viewer = Caller(tower, OWNER), Caller(tower, VIEWER)
    code = owner.ask("account.add", name="shop", phone="+491701234567")["code"]
    error = viewer.refusal("account.pair", account=f"{OWNER}/shop", phone="+491701234567")
    assert error["slug"] == "not-permitted"
    again = owner.ask("account.add", name="shop", phone="+491701234567", if_absent=True)
    assert (again["created"], again.get("code")) == (False, None)
    told = all_that_is_told(viewer, f"{OWNER}/shop")
    assert '"session.code"' in told
    assert code not in told
    assert code.replace("-", "") not in told


def test_two_owners_may_link_one_phone_and_neither_hears_of_the_other(
    tower: Tower, simulator: Simulator
) -> None:
    phone = "491701234567"
    owners = Caller(tower, OWNER), Caller(tower, OWNER + 50)
    for owner in owners:
        owner.ask("account.add", name="shop")
        qr = owner.ask("account.qr", account="shop", format="raw", wait_seconds=30)["qr"]
        simulator.scan(qr["data"], phone)
        answer = owner.ask("account.wait", account="shop", states=["connected"], timeout_seconds=30)
        assert answer["outcome"] == "reached"
    ids = {owner.ask("account.get", account=phone)["account"]["id"] for owner in owners}
    assert len(ids) == 2
    for owner in owners:
        assert len(owner.ask("account.list")["accounts"]) == 1
        types = {event["type"] for event in owner.ask("event.list")["events"]}
        assert "session.duplicate" not in types
        assert len({event["account"]["id"] for event in owner.ask("event.list")["events"]}) == 1
    assert tower.rpc("daemon.status")["accounts"] == {"connected": 2}
