"""Stanzas in their binary form."""

from __future__ import annotations

import contextlib
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.whatsapp.binary_xml import DOUBLE, SERVER, SINGLE, Jid, Node, StanzaError, decode, encode

JIDS = [
    SERVER,
    Jid("491701234567"),
    Jid("491701234567", device=12),
    Jid("123456789012345", "lid", 3),
    Jid("491701234567-1600000000", "g.us"),
    Jid("status", "broadcast"),
]
ALL_TOKENS = [token for table in (SINGLE, *DOUBLE) for token in table if token]


def round_trip(node: Node) -> Node:
    assert decode(encode(node, is_compressed=True)) == decode(encode(node))
    return decode(encode(node))


def test_every_token_comes_back_from_its_table() -> None:
    assert (len(SINGLE), len(DOUBLE)) == (236, 4)
    for token in ALL_TOKENS:
        encoded = encode(Node(token, {token: token}, token))
        assert Node(token, {token: token}, token) == decode(encoded)
        assert len(encoded) <= 3 + 4 * 2


@pytest.mark.parametrize(
    "text", ["0123456789-.", "12345", "-", "ABCDEF0123", "F00", "é", "x" * 300, "9" * 128]
)
def test_packed_and_raw_strings_come_back(text: str) -> None:
    assert {"name": text} == round_trip(Node("tag", {"name": text})).attrs


def test_packed_strings_are_short() -> None:
    assert len(encode(Node("iq", {"id": "123456789"}))) == 1 + 2 + 1 + 1 + 2 + 5


@pytest.mark.parametrize("jid", JIDS, ids=str)
def test_addresses_come_back(jid: Jid) -> None:
    assert {"from": jid} == round_trip(Node("iq", {"from": jid})).attrs
    assert jid == Jid.parse(str(jid))


@pytest.mark.parametrize("text", ["", "urn:xmpp:ping", "a@example.org", "1:x@lid", "lid"])
def test_other_text_is_no_address(text: str) -> None:
    assert Jid.parse(text) is None


@pytest.mark.parametrize("size", [0, 255, 256, 1 << 20])
def test_bytes_of_every_length_come_back(size: int) -> None:
    assert bytes(size) == round_trip(Node("enc", {}, bytes(size))).content


@pytest.mark.parametrize("count", [1, 255, 256])
def test_lists_of_every_length_come_back(count: int) -> None:
    assert count == len(round_trip(Node("list", {}, [Node("item")] * count)).children)


names = st.text(min_size=1, max_size=8)
values = st.text(min_size=1) | st.sampled_from(JIDS)
nodes: st.SearchStrategy[Node] = st.recursive(
    st.builds(
        Node,
        st.text(min_size=1, max_size=8),
        st.dictionaries(
            st.text(min_size=1, max_size=8), st.text(min_size=1) | st.sampled_from(JIDS), max_size=3
        ),
        st.none() | st.binary(),
    ),
    lambda inner: st.builds(
        Node, st.sampled_from(ALL_TOKENS), st.just({}), st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=5,
)


@given(nodes)
def test_any_node_comes_back(node: Node) -> None:
    assert node == round_trip(node)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_node_or_a_stanza_error(data: bytes) -> None:
    for flag in (b"\0", b"\2"):
        with contextlib.suppress(StanzaError):
            decode(flag + data)


def test_damaged_frames_are_refused() -> None:
    whole = encode(Node("iq", {"from": SERVER, "id": "1"}, [Node("ping")]))
    for end in range(len(whole)):
        with pytest.raises(StanzaError):
            decode(whole[:end])
    with pytest.raises(StanzaError):
        decode(b"\2" + zlib.compress(b"")[:-2])
    nested = b"\xf8\x02\x19" * 100 + b"\xf8\x01\x19"
    with pytest.raises(StanzaError):
        decode(b"\0" + nested)


def test_json_form_is_read_back() -> None:
    text = {
        "tag": "iq",
        "attrs": {"from": "s.whatsapp.net", "to": "491701234567:2@s.whatsapp.net", "id": "7"},
        "content": [{"tag": "a", "content": "text"}, {"tag": "b", "content": {"hex": "00ff"}}],
    }
    node = Node.from_json(text)
    assert {"from": SERVER, "to": Jid("491701234567", device=2), "id": "7"} == node.attrs
    assert [child.content for child in node.children] == [b"text", b"\x00\xff"]
    assert node == Node.from_json(node.as_json())


@pytest.mark.parametrize(
    "wrong", [None, [], {}, {"tag": ""}, {"tag": "a", "attrs": [1]}, {"tag": "a", "content": 1}, {"tag": 1}]
)
def test_wrong_json_form_is_refused(wrong: Any) -> None:
    with pytest.raises(StanzaError):
        Node.from_json(wrong)
