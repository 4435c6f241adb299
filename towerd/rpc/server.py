"""The Unix socket: connections, lines, concurrent requests, and who is at the other end.

The one rule: no client can hurt another. A slow one is waited for only by itself, a greedy one is told so, a
dying one takes nothing with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import select
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from towerd.protocol.errors import TowerError
from towerd.protocol.framing import MAX_REQUEST_BYTES
from towerd.rpc.call import Call, Services
from towerd.rpc.dispatch import dispatch, id_of
from towerd.rpc.peer import peer_of

log = logging.getLogger(__name__)

_MAX_REQUESTS = 256
"""Requests that one connection may have under way at once."""
_MAX_CONNECTIONS = 256
"""Connections that one user may have: each takes a descriptor, and the workers need theirs."""
_WRITE_SECONDS = 60.0
"""How long a client may leave an answer unread before it is cut off."""
_HANG_UP_LOOK_SECONDS = 0.5
"""How often it is looked whether a client that asks no more still listens."""
_BACKLOG = 128

_encoder = msgspec.json.Encoder()


class Server:
    """Serves JSON-RPC on a listening socket.

    Args:
        services: what handlers may use.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._connections: set[asyncio.Task[None]] = set()
        self._of_user: Counter[int] = Counter()
        self._server: asyncio.Server | None = None

    async def listen(self, listening: socket.socket) -> None:
        """Begin to serve."""
        self._server = await asyncio.start_unix_server(
            self._connected, sock=listening, limit=MAX_REQUEST_BYTES, backlog=_BACKLOG
        )

    async def close(self) -> None:
        """Stop accepting and end all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: asyncio's would log its cancellation, at each orderly end, as an error.
        task = asyncio.create_task(self._serve(Connection(reader, writer, self._services)))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, connection: Connection) -> None:
        uid = connection.uid
        self._of_user[uid] += 1
        try:
            if self._of_user[uid] > _MAX_CONNECTIONS:
                await connection.turn_away()
            else:
                await connection.serve()
        except ConnectionError:
            log.debug("a client hung up")
        except Exception:
            log.exception("internal error on a connection")
        finally:
            await connection.close()
            self._of_user[uid] -= 1


class Connection:
    """One client."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, services: Services
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests = 0
        self._call = Call(
            peer=peer_of(writer.get_extra_info("socket")),
            services=services,
            notify=self._notify,
            run=self._run,
        )

    @property
    def uid(self) -> int:
        """The user at the other end."""
        return self._call.peer.uid

    async def turn_away(self) -> None:
        """Say that there are too many, and nothing else."""
        await self._refuse("too-busy", f"more than {_MAX_CONNECTIONS} connections of one user")

    async def serve(self) -> None:
        """Read requests until the client hangs up; answer them as they finish."""
        while True:
            try:
                line = await self._reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                # Half a line asked for nothing. Answers under way are waited for while anybody listens.
                await self._finish()
                return
            except asyncio.LimitOverrunError:
                await self._refuse("request-too-long", "the request line is longer than 1 MiB")
                return
            if line.strip():
                await self._take(line)

    async def _finish(self) -> None:
        """Let a client that only shut down its sending side, as a shell's pipe does, have its answers."""
        while self._tasks and not self._has_hung_up():
            await asyncio.wait(
                self._tasks, timeout=_HANG_UP_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )

    def _has_hung_up(self) -> bool:
        if self._writer.is_closing():
            return True
        # unix(7) reports POLLHUP when the peer closed, not when it only shut down its sending side.
        poll = select.poll()
        poll.register(self._writer.get_extra_info("socket").fileno(), 0)
        return bool(poll.poll(0))

    async def close(self) -> None:
        """End everything that runs for this client."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()

    async def _take(self, line: bytes) -> None:
        try:
            request = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            await self._refuse("parse-error", "the line is not JSON")
            return
        size = len(request) if isinstance(request, list) else 1
        if self._requests + size > _MAX_REQUESTS:
            await self._refuse("too-busy", f"more than {_MAX_REQUESTS} requests under way", request)
            return
        self._requests += size
        self._run(self._answer(request, size))

    async def _answer(self, request: object, size: int) -> None:
        try:
            if isinstance(request, list):
                answer: object = await self._answer_batch(request)
            else:
                answer = await dispatch(request, self._call)
            if answer is not None:
                await self._write(_encoder.encode(answer))
        finally:
            # Only now: a client that does not read its answers has them under way.
            self._requests -= size

    async def _answer_batch(self, requests: list[object]) -> object:
        if not requests:
            error = TowerError("invalid-request", "an empty batch")
            return {"jsonrpc": "2.0", "id": None, "error": error.to_wire()}
        answers = await asyncio.gather(*(dispatch(one, self._call) for one in requests))
        return [one for one in answers if one is not None] or None

    async def _notify(self, method: str, params: msgspec.Struct) -> None:
        await self._write(_encoder.encode({"jsonrpc": "2.0", "method": method, "params": params}))

    async def _refuse(self, slug: str, message: str, request: object = None) -> None:
        error = TowerError(slug, message)
        answer = {"jsonrpc": "2.0", "id": id_of(request), "error": error.to_wire()}
        await self._write(_encoder.encode(answer))

    async def _write(self, line: bytes) -> None:
        async with self._writing:
            self._writer.write(line + b"\n")
            try:
                async with asyncio.timeout(_WRITE_SECONDS):
                    await self._writer.drain()
            except TimeoutError:
                self._writer.transport.abort()
                raise ConnectionAbortedError from None

    def _run(self, work: Coroutine[Any, Any, None]) -> Callable[[], object]:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Cancelled before it began, it would never have been awaited; once it ran, this does nothing.
        task.add_done_callback(lambda _task: work.close())
        return task.cancel

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ConnectionError:
            log.debug("a client hung up before its answer")
        except Exception:
            log.exception("internal error on a connection")
            self._writer.transport.abort()


def bind(path: Path, *, mode: int) -> socket.socket:
    """Return a listening socket at a path, replacing a socket that nobody listens on.

    Raises:
        OSError: the path cannot be used; EADDRINUSE when somebody listens on it.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        listening.bind(str(path))
        path.chmod(mode)
        listening.setblocking(False)  # noqa: FBT003
    except OSError as error:
        listening.close()
        # The calls on sockets do not say which path they were about.
        raise OSError(error.errno, error.strerror, str(path)) from error
    return listening


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on, and nothing else."""
    if not path.is_socket():
        if path.exists() or path.is_symlink():
            raise OSError(errno.EEXIST, "something that is not a socket is in the way")
        return
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise OSError(errno.EADDRINUSE, "another daemon listens here")
