"""A bare neonize as a process, for tests and measurements: start it, wait for what it says, kill it.

One rule: lines are taken in order and each is waited for only once, so a test reads as what comes after what.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from tests.whatsapp.simulator import Simulator

_SCRIPT = Path(__file__).parent / "bare_client.py"


class BareClient:
    """One neonize process with its own store; as a context manager it is killed at the end."""

    def __init__(self, simulator: Simulator, store: Path) -> None:
        self.store = store
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, str(_SCRIPT), str(store)],
            env=os.environ | simulator.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        """Return the running client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it."""
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, *events: str, seconds: float = 20.0) -> dict[str, Any]:
        """Return the next line that tells one of these events; what comes before it is dropped.

        Raises:
            TimeoutError: it did not come; the message tells what came instead.
        """
        seen = []
        try:
            while True:
                line = self._lines.get(timeout=seconds)
                if line["event"] in events:
                    return line
                seen.append(line["event"])
        except queue.Empty:
            raise TimeoutError(f"none of {events} within {seconds} s; seen: {seen}") from None

    def collect(self, event: str, count: int, *, seconds: float = 20.0) -> list[dict[str, Any]]:
        """Return the data of the next `count` lines that tell this event."""
        return [self.wait(event, seconds=seconds)["data"] for _ in range(count)]

    def tell(self, command: str) -> None:
        """Write a command: bare_client.py lists them."""
        assert self._process.stdin is not None
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """End it the only way an unpaired client can be ended."""
        self._process.kill()
        self._reader.join()
        with self._process:
            pass

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put({"event": "gone"})
