"""The user database of the machine: names to numbers and back.

The one rule: a name that nobody has, or that a directory service does not tell now, is None and no error.
"""

from __future__ import annotations

import grp
import pwd
import time
from functools import lru_cache

_KEPT_SECONDS = 60.0


class Users:
    """Looks names up; that may wait for a directory service. A number stands for itself."""

    def uid_of(self, name: str) -> int | None:
        """Return a user's number."""
        if _is_number(name):
            return int(name)
        # ValueError: a name with a byte in it that no name can have.
        try:
            return pwd.getpwnam(name).pw_uid
        except (KeyError, ValueError):
            return None

    def gid_of(self, name: str) -> int | None:
        """Return a group's number."""
        if _is_number(name):
            return int(name)
        try:
            return grp.getgrnam(name).gr_gid
        except (KeyError, ValueError):
            return None


def user_name(uid: int) -> str:
    """Return a user's name, or the number when nobody has it any more; as of at most a minute ago."""
    return _user_name(uid, int(time.monotonic() // _KEPT_SECONDS))


@lru_cache(maxsize=4096)
def _user_name(uid: int, _period: int) -> str:
    # Where names come from a directory server this is a question over the network.
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()
