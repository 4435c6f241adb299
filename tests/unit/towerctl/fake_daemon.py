"""A towerd made of prepared answers, on a real Unix socket."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from towerd.protocol.errors import ERRORS, TowerError
from towerd.protocol.version import API_MAJOR, API_MINOR

Answer = dict[str, Any] | TowerError | Callable[["Connection", dict[str, Any]], Any]

DEADLINE_SECONDS = 20.0


class HangUp(Exception):
    """Raised by a prepared answer: close the connection instead."""


class Silence(Exception):
    """Raised by a prepared answer: say nothing."""


class Verbatim(Exception):
    """Raised by a prepared answer: send these bytes instead."""

    def __init__(self, line: bytes) -> None:
        super().__init__(line)
        self.line = line


class Connection:
    """One client, as the daemon sees it."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        with self._lock, suppress(OSError):
            self.peer.sendall(line)

    def notify(self, event: dict[str, Any], subscription: str = "s1") -> None:
        params = {"subscription": subscription, "event": event}
        self.send({"jsonrpc": "2.0", "method": "event", "params": params})

    def hang_up(self) -> None:
        with suppress(OSError):
            self.peer.shutdown(socket.SHUT_RDWR)
        self.peer.close()


class FakeDaemon:
    """Answers each method with what was prepared for it; the last answer of a list is repeated."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.api_major = API_MAJOR
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.answered: list[str] = []
        self.connections: list[Connection] = []
        self._answers: dict[str, list[Answer]] = {}
        self._changed = threading.Condition()
        self._listener: socket.socket | None = None
        self.prepare("daemon.version", lambda *_: self.version())

    def __enter__(self) -> FakeDaemon:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def listen(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for connection in self.connections:
            connection.hang_up()
        self.path.unlink(missing_ok=True)

    def version(self) -> dict[str, Any]:
        return {
            "version": "9.9.9",
            "api": {"major": self.api_major, "minor": API_MINOR},
            "neonize": "0.5.2",
            "whatsapp_version": None,
            "pid": 4711,
            "started_at": "2026-01-01T00:00:00.000Z",
        }

    def prepare(self, method: str, *answers: Answer) -> None:
        self._answers[method] = list(answers)

    def asked(self, method: str) -> list[dict[str, Any]]:
        with self._changed:
            return [params for name, params in self.requests if name == method]

    def wait_for_request(self, method: str, count: int = 1) -> dict[str, Any]:
        with self._changed:
            came = self._changed.wait_for(
                lambda: sum(name == method for name, _ in self.requests) >= count, DEADLINE_SECONDS
            )
        assert came, f"{method} was not called {count} times"
        return self.asked(method)[count - 1]

    def wait_for_answer(self, method: str) -> None:
        with self._changed:
            came = self._changed.wait_for(lambda: method in self.answered, DEADLINE_SECONDS)
        assert came, f"{method} was not answered"

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            connection = Connection(peer)
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        with suppress(OSError, ValueError), connection.peer.makefile("rb") as lines:
            for line in lines:
                self._answer(connection, json.loads(line))
        connection.hang_up()

    def _answer(self, connection: Connection, request: dict[str, Any]) -> None:
        method, params = request["method"], request.get("params", {})
        if request["id"] != 0:  # not the version request that rides along
            with self._changed:
                self.requests.append((method, params))
                self._changed.notify_all()
        envelope: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            envelope["result"] = self._next_answer(connection, method, params)
        except TowerError as error:
            envelope["error"] = error.to_wire()
        except Silence:
            return
        except Verbatim as verbatim:
            connection.send(verbatim.line)
            return
        except HangUp:
            connection.hang_up()
            raise OSError from None
        connection.send(envelope)
        with self._changed:
            self.answered.append(method)
            self._changed.notify_all()

    def _next_answer(self, connection: Connection, method: str, params: dict[str, Any]) -> Any:
        answers = self._answers.get(method)
        if not answers:
            raise TowerError("method-not-found", f"no method {method}")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, TowerError):
            raise answer
        return answer(connection, params) if callable(answer) else answer


def error(slug: str, message: str = "it went wrong", hint: str | None = None) -> TowerError:
    assert slug in ERRORS
    return TowerError(slug, message, hint=hint)


def account(name: str = "shop", **changes: Any) -> dict[str, Any]:
    """Return an account as the wire has it."""
    made: dict[str, Any] = {
        "id": f"id-{name}",
        "name": name,
        "display_name": None,
        "owner": "root",
        "owner_uid": os.geteuid(),
        "primary": True,
        "state": "connected",
        "reason": None,
        "detail": None,
        "action": None,
        "since": "2026-01-01T00:00:00.000Z",
        "desired": "running",
        "health": "healthy",
        "health_reasons": [],
        "jid": "4915112345678@s.whatsapp.net",
        "lid": None,
        "phone": "+4915112345678",
        "expected_phone": None,
        "device_number": 1,
        "push_name": None,
        "business_name": None,
        "platform": "android",
        "pairing": None,
        "reconnect": None,
        "created_at": "2026-01-01T00:00:00.000Z",
        "sent_today": 0,
        "received_today": 0,
        "daily_limit": 1000,
        "waiting": 0,
        "updated_at": "2026-01-01T00:00:00.000Z",
        "last_connected_at": "2026-01-01T00:00:00.000Z",
        "last_disconnected_at": None,
        "last_seen_at": None,
        "last_activity_at": None,
    }
    unknown = changes.keys() - made.keys() - {"worker"}
    assert not unknown, unknown
    return made | changes


def pairing_account(name: str = "shop", **changes: Any) -> dict[str, Any]:
    """Return an account with a QR on offer."""
    attempt = {
        "method": "qr",
        "round": 1,
        "number": 1,
        "count": 6,
        "issued_at": "2026-01-01T00:00:00.000Z",
        "expires_at": "2026-01-01T00:01:00.000Z",
        "expires_in_seconds": 60.0,
        "deadline_at": "2026-01-01T00:05:00.000Z",
    }
    return account(name, **({"state": "pairing", "pairing": attempt, "jid": None, "phone": None} | changes))


def qr(data: str = "2@SECRET-1", number: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a QR as the wire has it."""
    made: dict[str, Any] = {
        "id": f"qr-{number}",
        "format": "raw",
        "media_type": "text/plain",
        "encoding": "utf-8",
        "data": data,
        "round": 1,
        "number": number,
        "count": 6,
        "issued_at": "2026-01-01T00:00:00.000Z",
        "expires_at": "2026-01-01T00:01:00.000Z",
        "expires_in_seconds": 60.0,
    }
    return made | changes


def event(number: int, kind: str = "session.state", name: str | None = "shop", **data: Any) -> dict[str, Any]:
    """Return an event as the wire has it."""
    return {
        "id": number,
        "time": "2026-01-01T00:00:00.000Z",
        "type": kind,
        "account": {"id": f"id-{name}", "name": name} if name else None,
        "data": data,
    }


def accounts(made: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the answer of account.list."""
    return {"accounts": list(made)}
