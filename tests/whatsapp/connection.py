"""One client's line: encrypted frames in and out, as stanzas.

One rule: sending never blocks and keeps its order, however slow the server is told to be; after the line is
closed or has gone half-open, sending does nothing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from tests.whatsapp.binary_xml import SERVER, Attributes, Node, decode, encode
from tests.whatsapp.noise import FrameBuffer, NoiseError, Transport, framed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.whatsapp.faults import Faults
    from tests.whatsapp.pairing import Companion
    from tests.whatsapp.websocket import WebSocket

log = logging.getLogger(__name__)

# The client should read the last stanza before the line ends: whatsmeow may take the end first otherwise.
_CLOSING_SECONDS = 0.25


class Connection:
    """An upgraded connection, from its first frame to its end."""

    def __init__(self, number: int, websocket: WebSocket, faults: Faults, entry: dict[str, Any]) -> None:
        self.number = number
        self.entry = entry
        self.opened_at = time.time()
        self.phone: str | None = None
        self.device: int | None = None
        self.companion: Companion | None = None
        self.logged_in_at: float | None = None
        self.keepalive_at: float | None = None
        self.is_active = False
        self.is_half_open = False
        self._websocket = websocket
        self._faults = faults
        self._transport: Transport | None = None
        self._frames = self._incoming()
        self._outbox: deque[tuple[float, Callable[[], None]]] = deque()
        self._is_ending = False
        self._replies: dict[str, asyncio.Future[Node]] = {}

    @property
    def key(self) -> str:
        """Return the `phone:device` of a logged-in connection, for counters."""
        return f"{self.phone}:{self.device}"

    @property
    def is_closed(self) -> bool:
        return self._websocket.is_closed

    def encrypt_with(self, transport: Transport) -> None:
        """From now on frames are encrypted."""
        self._transport = transport

    async def next_frame(self) -> bytes:
        """Return the next frame as it came.

        Raises:
            NoiseError: the line ended.
        """
        async for frame in self._frames:
            return frame
        raise NoiseError("the client closed the line during the handshake")

    async def stanzas(self) -> AsyncIterator[Node]:
        """Yield what the client sends until it closes."""
        async for frame in self._frames:
            if self._transport is None:
                raise NoiseError("stanza before the handshake was over")
            node = decode(self._transport.decrypt(frame))
            self.entry["stanzas"] += 1
            log.debug("connection %d: received %s", self.number, node.tag)
            yield node

    def send(self, node: Node) -> None:
        """Send a stanza."""
        self._later(lambda: self._send_now(node))

    def send_frame(self, data: bytes) -> None:
        """Send a frame of the handshake."""
        self._later(lambda: self._websocket.send(framed(data)))

    async def query(self, content: list[Node], *, timeout_seconds: float) -> Node:
        """Send the client an iq and return its answer.

        Raises:
            TimeoutError: it did not answer in time.
        """
        request = self.iq(content)
        reply: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        self._replies[request.get("id")] = reply
        try:
            self.send(request)
            async with asyncio.timeout(timeout_seconds):
                return await reply
        finally:
            del self._replies[request.get("id")]

    def iq(self, content: list[Node]) -> Node:
        """Make an iq of the server's own."""
        attrs: Attributes = {"from": SERVER, "type": "set", "id": secrets.token_hex(8)}
        return Node("iq", attrs | {"xmlns": "md", "t": str(int(time.time()))}, content)

    def take_reply(self, node: Node) -> None:
        """Give a client's iq result or error to whoever asked."""
        reply = self._replies.get(node.get("id"))
        if reply is not None and not reply.done():
            reply.set_result(node)

    def end(self, last: Node, outcome: str, *, after_seconds: float = _CLOSING_SECONDS) -> None:
        """Say a last stanza and the end of the stream, and close a moment later unless the client does."""
        self.entry["outcome"] = outcome
        if self.is_half_open:
            return
        self.send(last)
        self.send(Node("xmlstreamend"))
        self._is_ending = True
        asyncio.get_running_loop().call_later(
            self._faults.delay_seconds + after_seconds, self._websocket.close
        )

    def close(self) -> None:
        """Close the line politely."""
        self._websocket.close()

    def abort(self) -> None:
        """Break the line."""
        self._websocket.abort()

    def go_half_open(self) -> None:
        """From now on swallow everything: nothing is answered, nothing is closed."""
        self.is_half_open = True
        self._websocket.fall_silent()

    def lost(self) -> None:
        """Note that the line is gone."""
        self.entry["closed_at"] = time.time()
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(ConnectionError("the client closed the line"))

    def as_json(self) -> dict[str, Any]:
        return {
            "connection": self.number,
            "kind": self.entry["kind"],
            "opened_at": self.opened_at,
            "phone": self.phone,
            "device": self.device,
            "since": self.logged_in_at,
            "keepalive_age_seconds": None if self.keepalive_at is None else time.time() - self.keepalive_at,
            "is_half_open": self.is_half_open,
        }

    async def _incoming(self) -> AsyncIterator[bytes]:
        buffer = FrameBuffer()
        while (message := await self._websocket.receive()) is not None:
            for frame in buffer.feed(message):
                yield frame

    def _later(self, send: Callable[[], None]) -> None:
        if self.is_half_open or self._is_ending:
            return
        delay = self._faults.delay_seconds
        if not delay and not self._outbox:
            send()
            return
        loop = asyncio.get_running_loop()
        self._outbox.append((loop.time() + delay, send))
        if len(self._outbox) == 1:
            loop.call_later(delay, self._flush)

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._outbox and self._outbox[0][0] <= loop.time():
            self._outbox.popleft()[1]()
        if self._outbox:
            loop.call_at(self._outbox[0][0], self._flush)

    def _send_now(self, node: Node) -> None:
        if self._transport is None or self.is_half_open:
            return
        log.debug("connection %d: sending %s", self.number, node.tag)
        plaintext = encode(node, is_compressed=self._faults.is_compressing)
        self._websocket.send(framed(self._transport.encrypt(plaintext)))
