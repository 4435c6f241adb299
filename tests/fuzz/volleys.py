"""Connections that fire lines at a daemon and hold every answer to what the line calls for.

The one rule: what is found is kept with the line that brought it about; nothing is raised in a thread.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from tests.fuzz.answers import Key, carried, difference, expected, faults
from tests.fuzz.lines import Lines

_LINES_PER_VOLLEY = 20
"""So many, and each of twelve calls at most, stay below the 256 that one connection may have under way."""
_VOLLEYS_PER_CONNECTION = 25
_ANSWER_SECONDS = 60.0
_CHUNK_BYTES = 1 << 18
_MOST_FINDINGS = 10
_METHOD = re.compile(rb'"method":"([a-z.]+)"')


@dataclass(slots=True, kw_only=True)
class Report:
    """What a run found, shared by its threads.

    Attributes:
        cases: lines sent so far.
        findings: what is wrong, with the line.
        secrets: what must stand in the answers of some methods only.
        shown: how many answers held a secret and were allowed to.
        answers: how often each method was answered how: by a result or by the slug of an error.
    """

    cases: int = 0
    findings: list[str] = field(default_factory=list)
    secrets: set[bytes] = field(default_factory=set)
    shown: int = 0
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def found(self, what: str, line: bytes | None = None) -> None:
        """Keep a finding."""
        with self.lock:
            self.findings.append(what if line is None else f"{what}\n  line: {line[:1000]!r}")

    @property
    def is_enough(self) -> bool:
        """Whether so much is wrong that more would not be read."""
        return len(self.findings) >= _MOST_FINDINGS


class Shooter(threading.Thread):
    """One client that sends its share of the lines, volley by volley, and some of them without listening.

    Args:
        path: the daemon's socket.
        lines: where lines come from.
        numbers: which of them.
        report: where to put what is found.
    """

    def __init__(self, path: Path, lines: Lines, numbers: range, report: Report) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._lines = lines
        self._numbers = numbers
        self._report = report

    def run(self) -> None:
        """Send all of them."""
        per_connection = _LINES_PER_VOLLEY * _VOLLEYS_PER_CONNECTION
        for start in range(0, len(self._numbers), per_connection):
            if self._report.is_enough:
                return
            share = self._numbers[start : start + per_connection]
            try:
                with connected(self._path) as connection:
                    self._fire(connection, share)
            except (OSError, EOFError, msgspec.DecodeError) as error:
                self._report.found(f"lines {share.start} to {share.stop}: {type(error).__name__}: {error}")

    def _fire(self, connection: Connection, numbers: range) -> None:
        for start in range(0, len(numbers), _LINES_PER_VOLLEY):
            volley = [self._lines.line(number) for number in numbers[start : start + _LINES_PER_VOLLEY]]
            connection.send(b"".join(line + b"\n" for line in volley))
            self._collect(connection, volley)
            with self._report.lock:
                self._report.cases += len(volley)
        # The client goes with answers unread and its last line half said.
        connection.send(b"".join(line + b"\n" for line in volley) + volley[-1][: len(volley[-1]) // 2])

    def _collect(self, connection: Connection, volley: list[bytes]) -> None:
        want: Counter[Key] = Counter()
        of: dict[Key, bytes] = {}
        for line in volley:
            key = expected(line)
            if key is not None:
                want[key] += 1
                of[key] = of.get(key, b"") + line + b"\n"
        got: Counter[Key] = Counter()
        try:
            while got.total() < want.total():
                raw, answer = connection.answer()
                key = carried(answer)
                got[key] += 1
                self._look_at(raw, answer, of.get(key))
        except TimeoutError:
            pass
        if got != want:
            self._report.found(difference(want, got), b"\n".join(volley))

    def _look_at(self, raw: bytes, answer: Any, line: bytes | None) -> None:
        for fault in faults(answer):
            self._report.found(fault, line)
        if (method := _METHOD.search(line or b"")) and isinstance(answer, dict):
            slug = answer["error"]["data"]["slug"] if "error" in answer else "result"
            self._report.answers[method[1].decode(), slug] += 1
        if any(secret in raw for secret in self._report.secrets):
            # A QR stands in the answer to account.qr; a batch may hold one beside others.
            if line is not None and b"account.qr" in line:
                self._report.shown += 1
            else:
                self._report.found(f"a secret in an answer: {raw[:300]!r}", line)


class Bystander(threading.Thread):
    """A client that means no harm: it asks one thing after the other, all the time.

    Args:
        path: the daemon's socket.
        account: one that nobody disturbs.
        report: where to put what is found.
    """

    def __init__(self, path: Path, account: str, report: Report) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._account = account
        self._report = report
        self._is_over = threading.Event()
        self.served_at: list[int] = []
        """At each round trip, how many lines the others had sent."""

    def run(self) -> None:
        """Ask until told to end."""
        try:
            with connected(self._path) as connection:
                while not self._is_over.is_set():
                    connection.call("account.get", account=self._account)
                    self.served_at.append(self._report.cases)
        except (OSError, EOFError, AssertionError) as error:
            self._report.found(f"the other client: {type(error).__name__}: {error}")

    def end(self) -> None:
        """Ask no more."""
        self._is_over.set()
        self.join(_ANSWER_SECONDS)

    def longest_gap(self, total: int) -> int:
        """Return the largest number of lines that were sent between two of its round trips."""
        moments = [0, *self.served_at, total]
        return max(later - sooner for sooner, later in pairwise(moments))


class Connection:
    """A connection of lines; notifications are read and dropped."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._rest = b""
        self._lines: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._peer.sendall(data)

    def answer(self) -> tuple[bytes, Any]:
        """Return the next answer, as it came and decoded.

        Raises:
            EOFError: the daemon closed the connection.
            TimeoutError: none came.
            msgspec.DecodeError: it is not JSON.
        """
        while True:
            while not self._lines:
                chunk = self._peer.recv(_CHUNK_BYTES)
                if not chunk:
                    raise EOFError("the daemon closed the connection")
                *self._lines, self._rest = (self._rest + chunk).split(b"\n")
                self._lines.reverse()
            raw = self._lines.pop()
            answer = msgspec.json.decode(raw)
            if not (isinstance(answer, dict) and "method" in answer):
                return raw, answer

    def call(self, method: str, **params: Any) -> Any:
        """Make a call and return its result."""
        self.send(
            msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + b"\n"
        )
        _, answer = self.answer()
        assert "result" in answer, answer
        return answer["result"]


@contextlib.contextmanager
def connected(path: Path) -> Any:
    """Open a connection."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(_ANSWER_SECONDS)
        peer.connect(str(path))
        yield Connection(peer)
