"""Stanzas and their binary form: token dictionaries, packed strings, JIDs, optional compression.

One rule: whatever bytes a client sends, decoding either returns a node or raises StanzaError.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TABLES = json.loads((Path(__file__).parent / "tokens.json").read_text(encoding="utf-8"))
SINGLE: list[str] = _TABLES["single"]
DOUBLE: list[list[str]] = _TABLES["double"]

_LIST_EMPTY, _DICTIONARY_0, _DICTIONARY_3 = 0, 236, 239
_INTEROP_JID, _FB_JID, _AD_JID, _LIST_8, _LIST_16, _JID_PAIR = 245, 246, 247, 248, 249, 250
_HEX_8, _BINARY_8, _BINARY_20, _BINARY_32, _NIBBLE_8 = 251, 252, 253, 254, 255

_NIBBLES, _HEX = "0123456789-.", "0123456789ABCDEF"
_PACKED_MAX = 127
_COMPRESSED = 2
_MAX_DEPTH = 64
_MAX_UNPACKED_BYTES = 1 << 24

_DOMAIN_OF_SERVER = {"s.whatsapp.net": 0, "lid": 1, "hosted": 128, "hosted.lid": 129}
_SERVER_OF_DOMAIN = {domain: server for server, domain in _DOMAIN_OF_SERVER.items()}
_SERVERS = {*_DOMAIN_OF_SERVER, "g.us", "c.us", "broadcast", "newsletter", "msgr", "interop", "bot", "call"}


class StanzaError(Exception):
    """Bytes that are no stanza."""


@dataclass(frozen=True, slots=True)
class Jid:
    """An address: user, server and, for one device of a user, its number."""

    user: str
    server: str = "s.whatsapp.net"
    device: int = 0

    def __str__(self) -> str:
        """Return the written form, which `parse` reads."""
        device = f":{self.device}" if self.device else ""
        return f"{self.user}{device}@{self.server}" if self.user else self.server

    @classmethod
    def parse(cls, text: str) -> Jid | None:
        """Read a written address; None when `text` is something else."""
        user, at, server = text.rpartition("@")
        if server not in _SERVERS or (not at and server != "s.whatsapp.net" and server != "g.us"):
            return None
        user, _, device = user.partition(":")
        if device and not (device.isascii() and device.isdigit()):
            return None
        return cls(user, server, int(device or 0))


SERVER = Jid("")

Attributes = dict[str, "str | Jid"]


@dataclass(slots=True)
class Node:
    """One stanza or an element inside one."""

    tag: str
    attrs: Attributes = field(default_factory=dict)
    content: bytes | str | list[Node] | None = None

    @property
    def children(self) -> list[Node]:
        return self.content if isinstance(self.content, list) else []

    @property
    def data(self) -> bytes:
        """The content as bytes; short strings travel as tokens, so a client's bytes may arrive as text."""
        if isinstance(self.content, str):
            return self.content.encode()
        return self.content if isinstance(self.content, bytes) else b""

    def child(self, *path: str) -> Node | None:
        """Return the first child of that tag, or the first down a path of tags."""
        found: Node | None = self
        for tag in path:
            found = next((node for node in found.children if node.tag == tag), None) if found else None
        return found

    def get(self, name: str) -> str:
        """Return an attribute as text, empty when it is missing."""
        return str(self.attrs.get(name, ""))

    def as_json(self) -> dict[str, Any]:
        """Return the form the control socket shows; bytes stand as hexadecimal digits."""
        content: Any = self.content
        if isinstance(content, list):
            content = [node.as_json() for node in content]
        elif isinstance(content, bytes):
            content = {"hex": content.hex()}
        return {
            "tag": self.tag,
            "attrs": {name: str(value) for name, value in self.attrs.items()},
            "content": content,
        }

    @classmethod
    def from_json(cls, data: Any) -> Node:
        """Read the form of the control socket: text content becomes bytes, written addresses become JIDs."""
        if not isinstance(data, dict) or not isinstance(data.get("tag"), str) or not data["tag"]:
            raise StanzaError('a stanza is an object like {"tag": "iq", "attrs": {}, "content": []}')
        attrs = data.get("attrs") or {}
        if not isinstance(attrs, dict):
            raise StanzaError("attrs must be an object")
        return cls(
            data["tag"],
            {str(name): Jid.parse(str(value)) or str(value) for name, value in attrs.items()},
            _content_from_json(data.get("content")),
        )


def _content_from_json(content: Any) -> bytes | list[Node] | None:
    match content:
        case None:
            return None
        case str():
            return content.encode()
        case {"hex": str(digits)}:
            try:
                return bytes.fromhex(digits)
            except ValueError as error:
                raise StanzaError("hex content must be hexadecimal digits") from error
        case list():
            return [Node.from_json(item) for item in content]
    raise StanzaError('content must be a list of stanzas, text, {"hex": digits} or null')


_SINGLE_INDEX = {token: index for index, token in enumerate(SINGLE) if token}
_DOUBLE_INDEX = {
    token: (_DICTIONARY_0 + number, index)
    for number, table in enumerate(DOUBLE)
    for index, token in enumerate(table)
}


class _Encoder:
    def __init__(self) -> None:
        self.out = bytearray()

    def node(self, node: Node) -> None:
        has_content = node.content is not None
        self._list(1 + 2 * len(node.attrs) + has_content)
        self.text(node.tag)
        for name, value in node.attrs.items():
            self.text(name)
            if isinstance(value, Jid):
                self._jid(value)
            else:
                self.text(str(value))
        if isinstance(node.content, list):
            self._list(len(node.content))
            for child in node.content:
                self.node(child)
        elif isinstance(node.content, str):
            self.text(node.content)
        elif node.content is not None:
            self._bytes(node.content)

    def text(self, value: str) -> None:
        if value in _SINGLE_INDEX:
            self.out.append(_SINGLE_INDEX[value])
        elif value in _DOUBLE_INDEX:
            self.out += bytes(_DOUBLE_INDEX[value])
        elif 0 < len(value) <= _PACKED_MAX and all(letter in _NIBBLES for letter in value):
            self._packed(_NIBBLE_8, _NIBBLES, value)
        elif 0 < len(value) <= _PACKED_MAX and all(letter in _HEX for letter in value):
            self._packed(_HEX_8, _HEX, value)
        else:
            self._bytes(value.encode())

    def _packed(self, kind: int, alphabet: str, value: str) -> None:
        digits = [alphabet.index(letter) for letter in value]
        is_odd = len(digits) % 2
        if is_odd:
            digits.append(15)
        self.out += bytes([kind, len(digits) // 2 | is_odd << 7])
        self.out += bytes(high << 4 | low for high, low in zip(digits[::2], digits[1::2], strict=True))

    def _bytes(self, value: bytes) -> None:
        if len(value) < 1 << 8:
            self.out += bytes([_BINARY_8, len(value)])
        elif len(value) < 1 << 20:
            self.out += bytes([_BINARY_20]) + len(value).to_bytes(3, "big")
        else:
            self.out += bytes([_BINARY_32]) + len(value).to_bytes(4, "big")
        self.out += value

    def _list(self, length: int) -> None:
        if length == 0:
            self.out.append(_LIST_EMPTY)
        elif length < 1 << 8:
            self.out += bytes([_LIST_8, length])
        else:
            self.out += bytes([_LIST_16]) + length.to_bytes(2, "big")

    def _jid(self, jid: Jid) -> None:
        if jid.server in _DOMAIN_OF_SERVER and (jid.device or jid.server.startswith("hosted")):
            self.out += bytes([_AD_JID, _DOMAIN_OF_SERVER[jid.server], jid.device])
            self.text(jid.user)
            return
        self.out.append(_JID_PAIR)
        if jid.user:
            self.text(jid.user)
        else:
            self.out.append(_LIST_EMPTY)
        self.text(jid.server)


class _Decoder:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def node(self, depth: int = 0) -> Node:
        if depth > _MAX_DEPTH:
            raise StanzaError("stanza is nested too deeply")
        length = self._length(self._int(1))
        if length == 0:
            raise StanzaError("element without a tag")
        tag = self._text()
        if not tag:
            raise StanzaError("element with an empty tag")
        attrs: Attributes = {}
        for _ in range((length - 1) // 2):
            name = self._text()
            value = self._value(self._int(1))
            if not isinstance(value, Jid):
                value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            attrs[name] = value or ""
        return Node(tag, attrs, None if length % 2 else self._content(depth))

    def _content(self, depth: int) -> bytes | str | list[Node] | None:
        kind = self._int(1)
        if kind in (_LIST_8, _LIST_16):
            return [self.node(depth + 1) for _ in range(self._length(kind))]
        value = self._value(kind)
        return str(value) if isinstance(value, Jid) else value

    def _value(self, kind: int) -> str | bytes | Jid | None:
        if kind == _LIST_EMPTY:
            return None
        if kind in (_BINARY_8, _BINARY_20, _BINARY_32):
            size = {_BINARY_8: 1, _BINARY_20: 3, _BINARY_32: 4}[kind]
            length = self._int(size)
            return self._take(length & 0xFFFFF if kind == _BINARY_20 else length)
        if kind in (_NIBBLE_8, _HEX_8):
            return self._packed(kind)
        if _DICTIONARY_0 <= kind <= _DICTIONARY_3:
            return self._token(DOUBLE[kind - _DICTIONARY_0], self._int(1))
        if kind < len(SINGLE):
            return self._token(SINGLE, kind)
        return self._jid(kind)

    def _jid(self, kind: int) -> Jid:
        if kind == _JID_PAIR:
            return Jid(self._text(), self._text())
        if kind == _AD_JID:
            domain, device = self._int(1), self._int(1)
            return Jid(self._text(), _SERVER_OF_DOMAIN.get(domain, "s.whatsapp.net"), device)
        if kind in (_FB_JID, _INTEROP_JID):
            user, device = self._text(), self._int(2)
            if kind == _INTEROP_JID:
                self._int(2)
            return Jid(user, self._text(), device)
        raise StanzaError(f"unknown token {kind}")

    def _token(self, table: list[str], index: int) -> str:
        if index >= len(table):
            raise StanzaError(f"token {index} stands in no dictionary")
        return table[index]

    def _text(self) -> str:
        value = self._value(self._int(1))
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, Jid):
            raise StanzaError("an address stands where text is expected")
        return value or ""

    def _packed(self, kind: int) -> str:
        start = self._int(1)
        alphabet = _NIBBLES if kind == _NIBBLE_8 else _HEX
        digits = [digit for byte in self._take(start & 127) for digit in (byte >> 4, byte & 15)]
        if start >> 7 and digits:
            digits.pop()
        try:
            return "".join(alphabet[digit] for digit in digits)
        except IndexError as error:
            raise StanzaError("packed string with an unknown digit") from error

    def _length(self, kind: int) -> int:
        if kind == _LIST_EMPTY:
            return 0
        if kind not in (_LIST_8, _LIST_16):
            raise StanzaError(f"a list cannot begin with {kind}")
        return self._int(1 if kind == _LIST_8 else 2)

    def _int(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def _take(self, length: int) -> bytes:
        taken = self._data[self._at : self._at + length]
        if len(taken) != length:
            raise StanzaError("stanza ends too early")
        self._at += length
        return taken


def encode(node: Node, *, is_compressed: bool = False) -> bytes:
    """Return a node's binary form with its leading flag byte."""
    encoder = _Encoder()
    encoder.node(node)
    if is_compressed:
        return bytes([_COMPRESSED]) + zlib.compress(bytes(encoder.out))
    return b"\0" + bytes(encoder.out)


def decode(data: bytes) -> Node:
    """Read a node from its binary form with the leading flag byte.

    Raises:
        StanzaError: the bytes are no stanza.
    """
    if not data:
        raise StanzaError("empty frame")
    body = data[1:]
    if data[0] & _COMPRESSED:
        inflater = zlib.decompressobj()
        try:
            body = inflater.decompress(body, _MAX_UNPACKED_BYTES)
        except zlib.error as error:
            raise StanzaError("compressed frame does not unpack") from error
    return _Decoder(body).node()
