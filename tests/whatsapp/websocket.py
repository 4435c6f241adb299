"""The server's end of a websocket: the upgrade's answer and the frames.

One rule: only what a WhatsApp client uses; no extension is ever agreed to.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_MAX_MESSAGE_BYTES = 1 << 25


class WebSocketError(Exception):
    """The client broke the websocket protocol."""


def accept_key(key: str) -> str:
    """Return Sec-WebSocket-Accept for a client's Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def _header(opcode: int, length: int) -> bytes:
    if length < 126:
        return bytes([0x80 | opcode, length])
    if length < 1 << 16:
        return bytes([0x80 | opcode, 126]) + length.to_bytes(2, "big")
    return bytes([0x80 | opcode, 127]) + length.to_bytes(8, "big")


def _unmasked(data: bytes, mask: bytes) -> bytes:
    if not data:
        return data
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")


class WebSocket:
    """An upgraded connection."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._is_silent = False

    @property
    def is_closed(self) -> bool:
        return self._writer.transport.is_closing()

    def fall_silent(self) -> None:
        """Never write again, and take no close for an answer: what a half-open line looks like."""
        self._is_silent = True

    def send(self, data: bytes) -> None:
        """Send one binary message; nothing happens on a closed line."""
        self._write(_BINARY, data)

    async def receive(self) -> bytes | None:
        """Return the next message, or None when the client closed.

        Raises:
            WebSocketError: the client broke the protocol.
            asyncio.IncompleteReadError, OSError: the line broke.
        """
        message = bytearray()
        while True:
            is_final, opcode, data = await self._frame()
            if opcode == _CLOSE and not self._is_silent:
                self._write(_CLOSE, data[:2])
                return None
            if opcode == _PING:
                self._write(_PONG, data)
            elif opcode in (_BINARY, _TEXT, _CONTINUATION):
                message += data
                if len(message) > _MAX_MESSAGE_BYTES:
                    raise WebSocketError("message is too long")
                if is_final:
                    return bytes(message)
            elif opcode not in (_PONG, _CLOSE):
                raise WebSocketError(f"unknown opcode {opcode}")

    def close(self) -> None:
        """Close the line the polite way, after what was sent."""
        self._write(_CLOSE, (1000).to_bytes(2, "big"))
        self._writer.close()

    def abort(self) -> None:
        """Break the line at once."""
        self._writer.transport.abort()

    def _write(self, opcode: int, data: bytes) -> None:
        if not self._is_silent and not self.is_closed:
            self._writer.write(_header(opcode, len(data)) + data)

    async def _frame(self) -> tuple[bool, int, bytes]:
        first, second = await self._reader.readexactly(2)
        if not second & 0x80 or first & 0x70:
            raise WebSocketError("frame without a mask, or with an extension")
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(await self._reader.readexactly(2 if length == 126 else 8), "big")
        if length > _MAX_MESSAGE_BYTES:
            raise WebSocketError("frame is too long")
        mask = await self._reader.readexactly(4)
        return bool(first & 0x80), first & 0x0F, _unmasked(await self._reader.readexactly(length), mask)
