"""Whatever bytes come: a message or a decode error. Whatever a message holds: it survives the wire."""

from __future__ import annotations

import builtins
import json
import typing
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from sessions import messages
from sessions.messages import OrderEnvelope, ReportEnvelope

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
BODIES = typing.get_args(messages.Orders | messages.Reports)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Return values of a field's type, with nothing in them that JSON does not have."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = typing.get_type_hints(kind)
        return st.builds(kind, **{name: values(field) for name, field in fields.items()})
    inner = typing.get_args(kind)
    match typing.get_origin(kind):
        case typing.Literal:
            return st.sampled_from(inner)
        case builtins.list:
            return st.lists(values(inner[0]), max_size=4)
        case builtins.tuple:
            return st.lists(values(inner[0]), max_size=4).map(tuple)
        case builtins.dict:
            return st.dictionaries(values(inner[0]), values(inner[1]), max_size=4)
    if inner:
        return st.one_of(*(values(one) for one in inner))
    if kind is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    return TEXT if kind is str else st.from_type(kind)


def envelopes(kind: type[OrderEnvelope] | type[ReportEnvelope]) -> st.SearchStrategy[Any]:
    return values(kind)


def outcome(decode: Any, line: bytes) -> None:
    """Decode; anything but a message and a decode error is raised."""
    try:
        found = decode(line)
    except msgspec.DecodeError:
        return
    assert isinstance(found, OrderEnvelope | ReportEnvelope)


@given(st.binary())
def test_any_bytes_are_a_message_or_a_decode_error(line: bytes) -> None:
    outcome(messages.decode_order, line)
    outcome(messages.decode_report, line)


@given(JSON, st.sampled_from(BODIES), JSON, JSON)
def test_any_json_is_a_message_or_a_decode_error(
    account: Any, body: type[msgspec.Struct], generation: Any, value: Any
) -> None:
    wanted = dict.fromkeys(body.__struct_fields__, value) | {"type": body.__name__.lower()}
    for document in (value, {"account": account, "generation": generation, "body": wanted}):
        line = json.dumps(document).encode()
        outcome(messages.decode_order, line)
        outcome(messages.decode_report, line)


@given(envelopes(OrderEnvelope) | envelopes(ReportEnvelope), st.data())
def test_a_damaged_message_is_a_message_or_a_decode_error(
    envelope: OrderEnvelope | ReportEnvelope, data: st.DataObject
) -> None:
    line = bytearray(messages.encode(envelope))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(line) - 1))
        line[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        line = line or bytearray(b"\n")
    outcome(messages.decode_order, bytes(line))
    outcome(messages.decode_report, bytes(line))


@pytest.mark.parametrize(
    ("kind", "decode"), [(OrderEnvelope, messages.decode_order), (ReportEnvelope, messages.decode_report)]
)
def test_whatever_a_message_holds_it_survives_the_wire_on_one_line(kind: Any, decode: Any) -> None:
    @given(envelopes(kind))
    def survives(envelope: Any) -> None:
        line = messages.encode(envelope)
        assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
        assert decode(line) == envelope

    survives()
