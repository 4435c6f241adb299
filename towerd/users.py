"""The user database of the machine: names to numbers and back.

The one rule: a name that nobody has, or that a directory service does not tell now, is None and no error.
"""

from __future__ import annotations

import grp
import pwd
from functools import lru_cache


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


@lru_cache(maxsize=4096)
def user_name(uid: int) -> str:
    """Return a user's name, or the number when nobody has it any more; asked for once until forgotten.

    Where names come from a directory server each is a question over the network.
    """
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def forget_names() -> None:
    """Ask for the names of users anew: one may have come, gone or been renamed."""
    user_name.cache_clear()


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()
