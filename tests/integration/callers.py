"""Callers who are other users: connected under their uid, so that the kernel says who they are.

For root only: nobody else can be somebody else.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.integration.towerd import DEADLINE_SECONDS, Towerd, environment

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as other users")

# Nobody has these numbers, so that each user is called by the number, on every machine.
OWNER, VIEWER, OPERATOR, ADMIN, STRANGER, MEMBER = range(1_900_000_001, 1_900_000_007)
GROUP = 1_900_000_100

CONFIG = f"""
[[access.grants]]
role = "viewer"
to = ["{VIEWER}", "@{GROUP}"]
owners = ["{OWNER}"]
[[access.grants]]
role = "operator"
to = ["{OPERATOR}"]
owners = ["{OWNER}"]
[[access.grants]]
role = "admin"
to = ["{ADMIN}"]
"""


@contextlib.contextmanager
def as_user(uid: int, groups: Sequence[int] = ()) -> Iterator[None]:
    """Be another user: whom the kernel tells the daemon of, for connections made meanwhile."""
    former = os.getgroups()
    os.setgroups(groups)
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(former)


def let_everybody_in(towerd: Towerd) -> None:
    """Let every user connect to a daemon that runs; of its directory nothing else can be reached."""
    towerd.directory.chmod(0o711)
    towerd.socket.chmod(0o666)


class Caller:
    """One user's calls, a connection each."""

    def __init__(self, towerd: Towerd, uid: int, groups: Sequence[int] = ()) -> None:
        self.uid = uid
        self._towerd = towerd
        self._groups = groups

    @contextlib.contextmanager
    def connect(self) -> Iterator[socket.socket]:
        """Open a connection; who is at its end is settled by then."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE_SECONDS)
            with as_user(self.uid, self._groups):
                connection.connect(str(self._towerd.socket))
            yield connection

    def line(self, method: str, **params: Any) -> bytes:
        """Make a call and return the answer as it came."""
        with self.connect() as connection, connection.makefile("rb") as lines:
            request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            connection.sendall(json.dumps(request).encode() + b"\n")
            return lines.readline()

    def exchange(self, method: str, **params: Any) -> Any:
        """Make a call and return the whole answer."""
        return json.loads(self.line(method, **params))

    def ask(self, method: str, **params: Any) -> Any:
        """Make a call and return its result."""
        answer = self.exchange(method, **params)
        assert "result" in answer, answer
        return answer["result"]

    def refusal(self, method: str, **params: Any) -> Any:
        """Make a call that is refused and return the data of its error, with the message."""
        answer = self.exchange(method, **params)
        assert "error" in answer, answer
        return answer["error"]["data"] | {"message": answer["error"]["message"]}

    def add(self, name: str) -> Any:
        """Add an account that does not pair."""
        return self.ask("account.add", name=name, pair=False)["account"]

    def names(self) -> list[str]:
        """Return the names of all accounts that the caller sees."""
        return [account["name"] for account in self.ask("account.list")["accounts"]]


# Another user may not be able to read the checkout; what is imported before needs not be read any more.
_TOWERCTL = """
import grp, importlib, importlib.metadata, json, os, pkgutil, pwd, select, sys, unicodedata
import towerctl, towerd.protocol.errors
for found in pkgutil.walk_packages(towerctl.__path__, "towerctl."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
uid = int(sys.argv.pop(1))
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
towerctl.cli.main()
"""


def towerctl(towerd: Towerd, uid: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as another user, in a process that becomes that user for good."""
    return subprocess.run(
        [sys.executable, "-c", _TOWERCTL, str(uid), *arguments],
        env=environment(towerd.directory, TOWER_SOCKET=str(towerd.socket)),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        stdin=subprocess.DEVNULL,
        check=False,
    )
