"""The way in: an HTTP CONNECT proxy that ends TLS itself and upgrades WhatsApp's websocket.

One rule: nothing ever leaves this machine; WhatsApp's hosts are answered for, every other target is refused.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from email.utils import formatdate
from typing import TYPE_CHECKING

from tests.whatsapp.websocket import WebSocket, accept_key

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from tests.whatsapp.faults import Faults

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
_PATH = "/ws/chat"
_DOMAINS = ("whatsapp.com", "whatsapp.net")
# Below the range of outgoing connections' ports, so that nobody takes it while the simulator is down.
_PORTS = range(20000, 32000)
_BACKLOG = 512
_PORT_TRIES = 100


class Proxy:
    """The listening socket and what is done with each connection; `serve` gets the upgraded ones."""

    def __init__(
        self, context: ssl.SSLContext, faults: Faults, serve: Callable[[WebSocket], Awaitable[None]]
    ) -> None:
        self._context = context
        self._faults = faults
        self._serve = serve
        self._port = 0
        self._listener: asyncio.Server | None = None
        self._placeholder: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        return self._port

    async def open(self, port: int | None) -> None:
        """Listen on a port; on a free one when it is None.

        Raises:
            OSError: the port is taken.
        """
        bound = _bound(port) if port is not None else _bound_anywhere()
        self._port = bound.getsockname()[1]
        await self._listen(bound)

    async def refuse(self) -> None:
        """Refuse new connections from now on; those that are open stay."""
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        # Bound but not listening: connections are refused and nobody else gets the port.
        self._placeholder = _bound(self._port)

    async def accept(self) -> None:
        """Accept connections again."""
        if self._placeholder is None:
            return
        bound, self._placeholder = self._placeholder, None
        await self._listen(bound)

    def close(self) -> None:
        """Stop listening and break what is open."""
        if self._listener is not None:
            self._listener.close()
        if self._placeholder is not None:
            self._placeholder.close()
        for task in self._tasks:
            task.cancel()

    async def _listen(self, bound: socket.socket) -> None:
        self._listener = await asyncio.start_server(self._accepted, sock=bound, backlog=_BACKLOG)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._tunnel(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            log.info("proxy: %s: %s", type(error).__name__, error)
        except asyncio.CancelledError:
            pass
        except Exception:
            log.exception("proxy: a connection failed")
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, _ = await _read_request(reader)
        await self._faults.past("connect")
        host, _, port = target.rpartition(":")
        if method != "CONNECT":
            await _respond(writer, "405 Method Not Allowed")
            return
        if port != "443" or not any(host == domain or host.endswith(f".{domain}") for domain in _DOMAINS):
            log.info("proxy: refused a connection to %s", target)
            await _respond(writer, "403 Forbidden")
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.start_tls(self._context)
        await self._upgrade(reader, writer)

    async def _upgrade(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, headers = await _read_request(reader)
        await self._faults.past("upgrade")
        key = headers.get("sec-websocket-key")
        if method != "GET" or target.partition("?")[0] != _PATH or not key:
            await _respond(writer, "404 Not Found")
            return
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
        )
        await self._serve(WebSocket(reader, writer))


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines if line)
    return method, target, {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _respond(writer: asyncio.StreamWriter, status: str) -> None:
    date = formatdate(usegmt=True)
    head = f"HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()


def _bound(port: int) -> socket.socket:
    # With the protocol named, asyncio turns Nagle's delay off on what is accepted; it costs 40 ms otherwise.
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setblocking(False)
    try:
        made.bind((ADDRESS, port))
    except OSError:
        made.close()
        raise
    return made


def _bound_anywhere() -> socket.socket:
    for _ in range(_PORT_TRIES):
        try:
            return _bound(secrets.choice(_PORTS))
        except OSError:
            continue
    raise OSError("no free port for the proxy")
