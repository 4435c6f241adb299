"""The other end of the control socket, for tests and for the command.

One rule: an error of a verb is raised as SimulatorError with the words the simulator found for it.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from tests.whatsapp.control import short_path

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_SECONDS = 60.0


class SimulatorError(Exception):
    """A verb failed; `reason` is a word for programs ("stale", "unknown", "full", ...)."""

    def __init__(self, message: str, reason: str = "internal") -> None:
        super().__init__(message)
        self.reason = reason


def call(directory: Path, verb: str, **arguments: Any) -> Any:
    """Have the simulator that serves `directory` do one verb; arguments that are None are left out.

    Raises:
        SimulatorError: the verb was refused, or no simulator serves there.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    line = json.dumps({"verb": verb, "arguments": given}).encode() + b"\n"
    try:
        with short_path(directory) as path, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_SECONDS)
            connection.connect(path)
            connection.sendall(line)
            with connection.makefile("rb") as answers:
                answer = answers.readline()
    except OSError as error:
        raise SimulatorError(f"no simulator answers in {directory}: {error}", "not-running") from error
    if not answer:
        raise SimulatorError("the simulator ended before it answered", "not-running")
    answered = json.loads(answer)
    if "error" in answered:
        raise SimulatorError(answered["error"], answered.get("reason", "internal"))
    return answered["result"]
