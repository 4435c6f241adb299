"""A connection to towerd: JSON-RPC over a blocking socket.

The one rule: an answer is returned as the daemon sent it, an error becomes a `Failure`, and no call waits
longer than its time limit. Standard library only, and little of it: this is on the path of every command.
"""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from towerctl.exits import Failure, from_wire
from towerctl.sockets import Mute
from towerd.protocol.version import API_MAJOR

# How many requests `call_each` keeps on their way; towerd answers `too-busy` well above this.
_WINDOW = 8
_TICK_SECONDS = 1.0
_CHUNK_BYTES = 1 << 18

_VERSION_REQUEST_ID = 0
NOTHING: Mapping[str, Any] = {}


class Disconnected(Failure):
    """The daemon closed the connection: it ended, or it dropped us."""

    def __init__(self, path: str) -> None:
        super().__init__(
            "unreachable",
            f"towerd at {path} closed the connection before it answered",
            hint="see why: systemctl status towerd",
        )


class Connection:
    """A connection to towerd.

    Args:
        connection: a connected socket; it is closed with this one.
        path: where it is connected to, for messages.
        timeout_seconds: limit for a call that names none; None waits for ever.
        warn: told once when the daemon speaks another major version of the API.
        trace: told about every answer: method and time, never its content.
        tick: called every second that an answer is waited for.
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        path: str,
        timeout_seconds: float | None,
        warn: Callable[[str], None] = lambda text: None,
        trace: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.path = path
        self.tick: Callable[[], None] | None = None
        self._connection = connection
        self._timeout_seconds = timeout_seconds
        self._warn = warn
        self._trace = trace
        self._buffer = bytearray()
        self._answers: dict[int, Mapping[str, Any]] = {}
        self._notifications: deque[Mapping[str, Any]] = deque()
        self._last_id = _VERSION_REQUEST_ID

    def close(self) -> None:
        """Close the connection; the daemon drops its subscriptions."""
        self._connection.close()

    def notifications(self, *, end_at: float | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield method and parameters of every notification, for ever or to a moment of the monotonic clock.

        Raises:
            Disconnected: the daemon closed the connection.
        """
        while True:
            while self._notifications:
                notification = self._notifications.popleft()
                params = notification.get("params")
                if isinstance(params, dict):
                    yield str(notification["method"]), params
            if end_at is not None and not self._hears_until(end_at):
                return
            self._read_some(None, limit_seconds=0)

    def _hears_until(self, end_at: float) -> bool:
        from select import select

        left = end_at - time.monotonic()
        return left > 0 and bool(select([self._connection], [], [], left)[0])

    # -- for who has something else to look after meanwhile -----------------------------------------------

    def begin(self, method: str, params: Mapping[str, Any] = NOTHING) -> int:
        """Send a request and return its number, for `take`."""
        request_id, _ = self._send(method, params)
        return request_id

    def take(self, request_id: int) -> Any | None:
        """Return the result of a request that was begun, None while it has not come.

        Raises:
            Failure: the daemon answered with an error, or with what is not an answer.
        """
        answer = self._answers.pop(request_id, None)
        return None if answer is None else self._result_in(answer)

    def listen(self, within_seconds: float, *, wake: Sequence[int] = ()) -> list[Mapping[str, Any]]:
        """Wait for a while until the daemon says something; return the notifications that have come.

        Args:
            within_seconds: how long.
            wake: descriptors; when there is something to read from one, the wait is over too.

        Raises:
            Disconnected: the daemon closed the connection.
        """
        from select import select

        daemon = self._connection.fileno()
        readable, _, _ = select([daemon, *wake], [], [], within_seconds)
        if daemon in readable:
            self._read_some(None, limit_seconds=0)
        came = list(self._notifications)
        self._notifications.clear()
        return came

    # -- JSON-RPC -----------------------------------------------------------------------------------------

    def call(
        self, method: str, params: Mapping[str, Any] = NOTHING, *, within_seconds: float | None = None
    ) -> Any:
        """Call a method and return its result.

        Args:
            method: its name.
            params: by name.
            within_seconds: a limit other than the client's; 0 waits for ever.

        Raises:
            Failure: the daemon answered with an error, not at all, or with what is not an answer.
        """
        request_id, sent_at = self._send(method, params)
        return self._result(request_id, sent_at, method, within_seconds)

    def ask(self, method: str, params: Mapping[str, Any], within_seconds: float | None = None) -> Any:
        """Call a method with those parameters that are not None."""
        given = {name: value for name, value in params.items() if value is not None}
        return self.call(method, given, within_seconds=within_seconds)

    def call_each(
        self, method: str, all_params: Sequence[Mapping[str, Any]]
    ) -> Iterator[Mapping[str, Any] | Failure]:
        """Call a method once for each set of parameters, several at a time; yield in the order given.

        A failure is yielded, not raised: one account does not keep another from its turn. When the connection
        is lost, it is yielded for all that are left.
        """
        under_way: deque[tuple[int, float]] = deque()
        sent = 0
        lost: Failure | None = None
        for _ in all_params:
            while lost is None and sent < len(all_params) and len(under_way) < _WINDOW:
                under_way.append(self._send(method, all_params[sent]))
                sent += 1
            try:
                if lost is not None:
                    raise lost
                yield self._result(*under_way.popleft(), method, None)
            except Failure as failure:
                if isinstance(failure, Disconnected) or failure.slug == "bad-answer":
                    lost = failure
                yield failure

    def _send(self, method: str, params: Mapping[str, Any]) -> tuple[int, float]:
        lines = b""
        if self._last_id == _VERSION_REQUEST_ID:
            # Rides along with the first request, so that knowing the daemon's API costs no round trip.
            lines = _request_line(_VERSION_REQUEST_ID, "daemon.version", {})
        self._last_id += 1
        lines += _request_line(self._last_id, method, params)
        self._connection.settimeout(self._timeout_seconds)
        try:
            self._connection.sendall(lines)
        except TimeoutError:
            raise Mute(self.path, self._timeout_seconds or 0) from None
        except (BrokenPipeError, ConnectionResetError):
            pass  # what the daemon said before it hung up is still there to be read
        return self._last_id, time.monotonic()

    def _result(self, request_id: int, sent_at: float, method: str, within_seconds: float | None) -> Any:
        limit = self._timeout_seconds if within_seconds is None else within_seconds
        while request_id not in self._answers:
            self._read_some(sent_at + limit if limit else None, limit_seconds=limit or 0)
        answer = self._answers.pop(request_id)
        self._trace(f"{method}: {(time.monotonic() - sent_at) * 1000:.1f} ms")
        return self._result_in(answer)

    def _result_in(self, answer: Mapping[str, Any]) -> Any:
        error = answer.get("error")
        if isinstance(error, dict):
            raise from_wire(error)
        result = answer.get("result")
        if not isinstance(result, dict):
            raise self._bad_answer()
        return result

    def _read_some(self, give_up_at: float | None, *, limit_seconds: float) -> None:
        """Read what there is and sort it; return after a second without anything, for the tick."""
        remaining = None if give_up_at is None else give_up_at - time.monotonic()
        if remaining is not None and remaining <= 0:
            raise Mute(self.path, limit_seconds)
        if self.tick is not None:
            remaining = _TICK_SECONDS if remaining is None else min(remaining, _TICK_SECONDS)
        self._connection.settimeout(remaining)
        try:
            chunk = self._connection.recv(_CHUNK_BYTES)
        except TimeoutError:
            if self.tick is not None:
                self.tick()
            return
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise Disconnected(self.path)
        self._buffer += chunk
        if b"\n" not in chunk:
            return
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = rest
        for line in lines:
            self._sort(line)

    def _sort(self, line: bytes | bytearray) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            raise self._bad_answer() from None
        if not isinstance(message, dict):
            raise self._bad_answer()
        if "method" in message:
            self._notifications.append(message)
        elif message.get("id") == _VERSION_REQUEST_ID:
            self._check_version(message)
        elif isinstance(message.get("id"), int):
            self._answers[message["id"]] = message
        elif isinstance(message.get("error"), dict):
            # Without an id: the daemon could not even read the request.
            raise from_wire(message["error"])
        else:
            raise self._bad_answer()

    def _check_version(self, answer: Mapping[str, Any]) -> None:
        try:
            major = answer["result"]["api"]["major"]
        except (KeyError, TypeError):
            return
        if major != API_MAJOR:
            older = "towerctl" if major > API_MAJOR else "towerd"
            self._warn(f"towerd speaks API {major}, this towerctl API {API_MAJOR}; update {older}")

    def _bad_answer(self) -> Failure:
        return Failure(
            "bad-answer",
            f"what answers at {self.path} does not speak the protocol of towerd",
            hint="is this the socket of towerd?",
        )


def _request_line(request_id: int, method: str, params: Mapping[str, Any]) -> bytes:
    request = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
    try:
        return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError:
        raise Failure("usage", "an argument is not valid UTF-8") from None
