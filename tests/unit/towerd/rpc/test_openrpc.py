"""The document that describes the interface is made from the tables and is whole."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from towerd.protocol.errors import ERRORS
from towerd.protocol.methods import METHODS
from towerd.rpc.openrpc import document

DOCUMENT: dict[str, Any] = json.loads(msgspec.json.encode(document()))
BY_NAME = {method["name"]: method for method in DOCUMENT["methods"]}


def references(value: object) -> set[str]:
    match value:
        case dict():
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*(references(one) for one in value.values()))
        case list():
            return set().union(*(references(one) for one in value))
        case _:
            return set()


def resolve(reference: str) -> Any:
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_document_says_what_it_is() -> None:
    assert DOCUMENT["openrpc"].startswith("1.")
    assert DOCUMENT["info"]["title"] == "towerd"
    assert DOCUMENT["info"]["version"]


def test_every_method_is_there_in_order() -> None:
    assert [method["name"] for method in DOCUMENT["methods"]] == sorted(METHODS)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_parameter_is_described_and_marked_when_required(name: str) -> None:
    described = {param["name"]: param for param in BY_NAME[name]["params"]}
    fields = {field.name: field for field in msgspec.structs.fields(METHODS[name].params)}
    assert set(described) == set(fields)
    for field, content in described.items():
        assert content["schema"]
        assert content["required"] is fields[field].required


@pytest.mark.parametrize("name", list(METHODS))
def test_method_is_called_by_name_and_has_a_result_and_a_summary(name: str) -> None:
    method = BY_NAME[name]
    assert method["paramStructure"] == "by-name"
    assert method["summary"] == METHODS[name].summary
    assert method["result"]["schema"]


@pytest.mark.parametrize("name", list(METHODS))
def test_method_names_the_right_that_it_needs(name: str) -> None:
    assert BY_NAME[name]["x-right"] == METHODS[name].right


def test_every_reference_leads_somewhere() -> None:
    found = references(DOCUMENT)
    assert found
    for reference in found:
        assert isinstance(resolve(reference), dict)


@pytest.mark.parametrize("slug", list(ERRORS))
def test_every_error_is_there(slug: str) -> None:
    error = DOCUMENT["components"]["errors"][slug]
    assert (error["code"], error["message"], error["data"]["exit"]) == (
        ERRORS[slug].code,
        ERRORS[slug].meaning,
        int(ERRORS[slug].exit),
    )


def test_account_is_described_with_every_field_of_the_contract() -> None:
    fields = set(DOCUMENT["components"]["schemas"]["Account"]["properties"])
    contract = {
        "id",
        "name",
        "display_name",
        "owner",
        "primary",
        "state",
        "reason",
        "action",
        "since",
        "desired",
        "health",
        "jid",
        "lid",
        "phone",
        "device_number",
        "push_name",
        "business_name",
        "platform",
        "pairing",
        "reconnect",
        "worker",
        "created_at",
        "updated_at",
        "last_connected_at",
        "last_disconnected_at",
        "last_seen_at",
        "last_activity_at",
    }
    assert fields >= contract
