"""What towerd and its fork server say to each other: one packet each, descriptors beside it.

The one rule: a pid in a packet is never that of another process. The fork server says that a worker ended
before it can fork another of the same number.
"""

from __future__ import annotations

import msgspec

MAX_PACKET_BYTES = 4096


class Fork(msgspec.Struct, tag="fork", frozen=True):
    """towerd wants a worker; with it go the worker's end of the wire, and where its output goes.

    Args:
        id: is repeated in the answer.
    """

    id: int


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """All is loaded."""


class Unready(msgspec.Struct, tag="unready", frozen=True):
    """Something could not be loaded; the fork server ends.

    Args:
        detail: what, and why.
    """

    detail: str


class Born(msgspec.Struct, tag="born", frozen=True):
    """A worker was forked; with it goes a pidfd.

    Args:
        id: of the request.
        pid: its number.
    """

    id: int
    pid: int


class Refused(msgspec.Struct, tag="refused", frozen=True):
    """No worker could be forked.

    Args:
        id: of the request.
        errno: why, as the kernel says.
    """

    id: int
    errno: int


class Died(msgspec.Struct, tag="died", frozen=True):
    """A worker ended.

    Args:
        pid: its number.
        status: exit status; the negative number of a signal that ended it.
    """

    pid: int
    status: int


News = Ready | Unready | Born | Refused | Died

_encoder = msgspec.json.Encoder()
_fork_decoder = msgspec.json.Decoder(Fork)
_news_decoder: msgspec.json.Decoder[News] = msgspec.json.Decoder(News)


def encode(packet: Fork | News) -> bytes:
    """Return a packet."""
    return _encoder.encode(packet)


def decode_fork(packet: bytes) -> Fork:
    """Read what towerd sends.

    Raises:
        msgspec.DecodeError: it is nothing of ours.
    """
    return _fork_decoder.decode(packet)


def decode_news(packet: bytes) -> News:
    """Read what the fork server sends.

    Raises:
        msgspec.DecodeError: it is nothing of ours.
    """
    return _news_decoder.decode(packet)
