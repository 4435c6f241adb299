"""A client behind the seam that does what the test says, and remembers what it was asked."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path

from sessions.messages import Group, Identity, Reports
from sessions.whatsapp import ClientError, Listener

_END = object()


class ScriptedWhatsApp:
    """Blocks in `connect` until the test ends it; every other call runs what the test put in its place."""

    version = "0.0.scripted"

    def __init__(self, database: Path, device_name: str, listener: Listener) -> None:
        self.database = database
        self.device_name = device_name
        self.report: Callable[[Reports], None] = listener
        self.calls: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.known: Identity | None = None
        self.on_logout: Callable[[], None] = lambda: None
        self.on_probe: Callable[[], None] = lambda: None
        self.on_pair_phone: Callable[[], str] = lambda: "ABCD-1234"
        self.on_send: Callable[[str, str], str] = lambda to, _text: f"{to} 3EB0"
        self.known_groups: list[Group] = []
        self.on_disconnect: Callable[[], None] = lambda: None
        self._end: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self.identity_asked = threading.Event()

    def end_connect(self, error: BaseException | None = None) -> None:
        """Let `connect` return, or raise."""
        self._end.put(error)

    def connect(self) -> None:
        self.calls.put("connect")
        error = self._end.get(timeout=20)
        if error is not None:
            raise error

    def identity(self) -> Identity | None:
        self.identity_asked.set()
        return self.known

    def logout(self) -> None:
        self.calls.put("logout")
        self.on_logout()

    def send(self, to: str, text: str) -> str:
        self.calls.put(f"send {to} {text}")
        return self.on_send(to, text)

    def groups(self) -> list[Group]:
        self.calls.put("groups")
        return self.known_groups

    def probe(self) -> None:
        self.calls.put("probe")
        self.on_probe()

    def pair_phone(self, phone: str) -> str:
        self.calls.put(f"pair-phone {phone}")
        return self.on_pair_phone()

    def disconnect(self) -> None:
        self.calls.put("disconnect")
        self.on_disconnect()


def refusing(cause: str, detail: str) -> Callable[[], None]:
    """Return a call that fails as the library would."""

    def refuse() -> None:
        raise ClientError(cause, detail)

    return refuse
