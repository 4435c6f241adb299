"""What towerd and systemd tell each other: sockets passed in, readiness, status, the watchdog.

The one rule: without systemd all of it does nothing. What systemd put into the environment is taken out, so
that no worker takes itself for the service (sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3)).
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

_FIRST_DESCRIPTOR = 3
_VARIABLES = ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID")


class ActivationError(Exception):
    """systemd passed something that is not the one socket towerd serves; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Systemd:
    """The service manager, or nobody.

    Attributes:
        listening: the socket passed in by `towerd.socket`.
        watchdog_seconds: how often a sign of life is expected, at the latest.
    """

    listening: socket.socket | None = None
    watchdog_seconds: float | None = None
    _notify: str | None = None

    def tell(self, **states: str) -> bool:
        """Send states such as READY="1" or STATUS="…"; tell whether they were taken.

        A manager that does not listen is no fault of ours, and nobody waits for it.
        """
        if self._notify is None:
            return True
        address = "\0" + self._notify[1:] if self._notify.startswith("@") else self._notify
        message = "\n".join(f"{name}={value}" for name, value in states.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)  # noqa: FBT003
            try:
                sender.sendto(message.encode(), address)
            except OSError:
                return False
        return True

    def turn_away(self) -> None:
        """Hang up on all who wait for an answer: else systemd would start the service again for them."""
        while self.listening is not None:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            connection.close()


def find_systemd(environment: MutableMapping[str, str] = os.environ) -> Systemd:
    """Take what systemd passed in out of the environment.

    Raises:
        ActivationError: not exactly one listening Unix stream socket was passed in.
    """
    given = {name: environment.pop(name, "") for name in _VARIABLES}
    is_ours = given["WATCHDOG_PID"] in ("", str(os.getpid()))
    watchdog = int(given["WATCHDOG_USEC"]) / 1e6 if given["WATCHDOG_USEC"].isdigit() and is_ours else None
    return Systemd(
        listening=_listening(given),
        watchdog_seconds=watchdog or None,
        _notify=given["NOTIFY_SOCKET"] or None,
    )


def _listening(given: dict[str, str]) -> socket.socket | None:
    if given["LISTEN_PID"] != str(os.getpid()) or not given["LISTEN_FDS"].isdigit():
        return None
    if given["LISTEN_FDS"] != "1":
        msg = f"systemd passed {given['LISTEN_FDS']} sockets; towerd serves one: see towerd.socket"
        raise ActivationError(msg)
    try:
        os.set_inheritable(_FIRST_DESCRIPTOR, False)  # noqa: FBT003
        listening = socket.socket(fileno=_FIRST_DESCRIPTOR)
        is_listening = bool(listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError as error:
        msg = f"what systemd passed is not a socket: {error.strerror}"
        raise ActivationError(msg) from error
    if listening.family != socket.AF_UNIX or listening.type != socket.SOCK_STREAM or not is_listening:
        msg = "systemd passed another kind of socket; towerd serves a Unix stream socket: see towerd.socket"
        raise ActivationError(msg)
    listening.setblocking(False)  # noqa: FBT003
    return listening
