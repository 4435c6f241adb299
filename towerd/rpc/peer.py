"""Who is at the other end of a connection.

The one rule: it is what the kernel says, as of the moment of the connection; the caller is not asked.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from dataclasses import dataclass

# asm-generic/socket.h; Python has no name for it.
_SO_PEERGROUPS = 59
_UCRED = struct.Struct("=iII")
_GID = struct.Struct("=I")
# Most users are in fewer; the kernel says how many there are when it is not enough.
_USUAL_GROUPS = 64

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The process at the other end of a connection.

    Attributes:
        groups: the process's own group and its supplementary ones.
    """

    uid: int
    gid: int
    pid: int
    groups: frozenset[int]


def peer_of(connected: socket.socket) -> Peer:
    """Return who is at the other end, as the kernel says (unix(7), SO_PEERCRED and SO_PEERGROUPS)."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(raw)
    return Peer(uid=uid, gid=gid, pid=pid, groups=frozenset({gid, *_groups_of(connected)}))


def _groups_of(connected: socket.socket) -> list[int]:
    """Return the supplementary groups of the peer."""
    # Not socket.getsockopt: it takes 1024 bytes at most, and there are people in more than 256 groups.
    length = ctypes.c_uint32(_USUAL_GROUPS * _GID.size)
    while True:
        buffer = ctypes.create_string_buffer(length.value)
        result = _libc.getsockopt(
            connected.fileno(), socket.SOL_SOCKET, _SO_PEERGROUPS, buffer, ctypes.byref(length)
        )
        if result == 0:
            return [gid for (gid,) in _GID.iter_unpack(buffer.raw[: length.value])]
        if ctypes.get_errno() != errno.ERANGE:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
