"""A pool of npm's Baileys sockets in one Node process: what a fleet is measured against.

The one rule: the library is used as published, and as the dashboards use it; nothing of it is shipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.whatsapp.simulator import Simulator

_CLIENT = Path(__file__).parent / "baileys"


def install() -> str | None:
    """See that Baileys is there; return why it cannot be."""
    if shutil.which("npm") is None:
        return "npm is not installed"
    if not (_CLIENT / "node_modules" / "baileys").exists():
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=_CLIENT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"npm ci failed: {done.stderr[-300:]}"
    return None


class BaileysPool:
    """One Node process with a socket for each name; as a context manager it is killed at the end."""

    def __init__(self, simulator: Simulator, directory: Path, names: Sequence[str]) -> None:
        environment = os.environ | simulator.environment()
        environment["NODE_EXTRA_CA_CERTS"] = environment["SSL_CERT_FILE"]
        self._process = subprocess.Popen(
            ["node", str(_CLIENT / "pool.mjs"), str(directory), *names],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        """Return the running pool."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        """The number of its one process."""
        return self._process.pid

    def wait(self, event: str) -> dict[str, Any]:
        """Return the next line that tells this event; what comes before it is dropped.

        Raises:
            AssertionError: the pool ended before.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said: dict[str, Any] = json.loads(line)
            if said["event"] == event:
                return said
        msg = f"the pool ended before {event}"
        raise AssertionError(msg)
