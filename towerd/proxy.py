"""The proxy of one account: a URL in a file, read at each start of a worker.

The one rule: an account that has a proxy connects through it or not at all. The URL may hold a password: it
goes to the worker and nowhere else, and no error repeats it.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

_MAX_BYTES = 4096
# What Go's net/url takes, so that the library does not meet a URL that it would repeat in an error.
_URL = re.compile(
    r"(?:https?|socks5)://"
    r"(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*@)?"
    r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)


class ProxyUnreadableError(Exception):
    """The file does not say which proxy to use; the message says why, and never what is in it."""


async def read_proxy(file: str | None) -> str | None:
    """Return the URL in a file; None when the account has no proxy.

    Raises:
        ProxyUnreadableError: there is no telling which proxy to use.
    """
    return None if file is None else await asyncio.to_thread(read_now, Path(file))


def read_now(file: Path) -> str:
    """Return the URL in a file; for who may block.

    Raises:
        ProxyUnreadableError: there is no telling which proxy to use.
    """
    text = _text(file)
    found = _URL.fullmatch(text)
    if found is None or len(text) > _MAX_BYTES or not 0 < int(found["port"] or 1) < 65536:
        msg = f"{file}: must be one line with a URL like http://user:password@host:3128 (http, https, socks5)"
        raise ProxyUnreadableError(msg)
    return text


def _text(file: Path) -> str:
    if file.exists() and not file.is_file():
        # A pipe would hold the start for ever.
        msg = f"{file}: is not a file"
        raise ProxyUnreadableError(msg)
    try:
        with file.open("rb") as content:
            return content.read(_MAX_BYTES + 1).decode("ascii", "replace").strip()
    except OSError as error:
        msg = f"{file}: cannot be read: {error.strerror}"
        raise ProxyUnreadableError(msg) from None
