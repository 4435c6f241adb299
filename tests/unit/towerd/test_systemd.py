"""Telling the service manager: what it takes, and one that does not listen."""

from __future__ import annotations

import socket
from pathlib import Path

from towerd.systemd import find_systemd


def test_nobody_waits_for_a_manager_that_does_not_read(short_directory: Path) -> None:
    path = short_directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        systemd = find_systemd({"NOTIFY_SOCKET": str(path)})
        assert systemd.tell(STATUS="one")
        # Until there is no room for more; it would block here.
        while systemd.tell(WATCHDOG="1"):
            pass
        assert manager.recv(4096) == b"STATUS=one"
        assert systemd.tell(STATUS="two")
    assert not systemd.tell(STATUS="three")


def test_without_a_manager_everything_is_taken() -> None:
    assert find_systemd({}).tell(READY="1")
