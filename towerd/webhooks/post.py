"""One POST over HTTP/1.1 or HTTPS: sent whole, answered with a status, closed.

The one rule: whatever the other side does, the caller knows within the time limit, and no more than the head
of an answer is ever read. No redirect is followed, no connection is kept, no proxy is asked.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from towerd.webhooks.addresses import AddressError, resolve

_HEAD_BYTES = 16 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n")


class PostError(Exception):
    """There is no answer; the message says in a few words why."""


async def post(
    url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool, timeout_seconds: float
) -> int:
    """Post a body and return the status of the answer.

    Raises:
        PostError: there is no answer.
    """
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(timeout_seconds):
            addresses = await resolve(
                parts.hostname or "",
                _port(parts),
                allow_private=allow_private,
                loopback_only=parts.scheme == "http",
            )
            share = timeout_seconds / len(addresses)
            reader, writer = await _connect(parts, addresses, share_seconds=share)
            try:
                writer.write(_head(parts, body, headers) + body)
                return await _status(reader)
            finally:
                # Not closed in an orderly way: the other side could take its time over that.
                writer.transport.abort()
    except TimeoutError:
        _fail(f"no answer within {timeout_seconds:g} s")
    except AddressError as error:
        _fail(str(error))
    except ssl.SSLCertVerificationError as error:
        _fail(f"the certificate is not valid: {error.verify_message}")
    except ssl.SSLError as error:
        _fail(f"TLS failed: {error.reason or 'the connection was closed'}")
    except OSError as error:
        # Not strerror: asyncio puts words of its own there.
        _fail(
            f"cannot be reached: {os.strerror(error.errno) if error.errno else 'the connection was closed'}"
        )


def _fail(why: str) -> NoReturn:
    raise PostError(why) from None


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


async def _connect(
    parts: SplitResult, addresses: list[str], *, share_seconds: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the first address that takes it."""
    context = await asyncio.to_thread(ssl.create_default_context) if parts.scheme == "https" else None
    trouble: OSError = TimeoutError()
    for address in addresses:
        try:
            async with asyncio.timeout(share_seconds):
                # The address that was judged; the certificate must be the name's all the same.
                return await asyncio.open_connection(
                    address,
                    _port(parts),
                    ssl=context,
                    server_hostname=parts.hostname if context else None,
                    limit=_HEAD_BYTES,
                )
        except ssl.SSLError:
            raise
        except OSError as error:
            trouble = error
    raise trouble


def _head(parts: SplitResult, body: bytes, headers: Mapping[str, str]) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"POST {target} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Connection: close",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def _status(reader: asyncio.StreamReader) -> int:
    """Read the head of the answer; heads that only announce another are passed over."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            _fail("the connection was closed before the answer was complete")
        except asyncio.LimitOverrunError:
            _fail(f"the head of the answer is longer than {_HEAD_BYTES // 1024} KiB")
        found = _STATUS.match(head)
        if found is None:
            _fail("what answered does not speak HTTP/1.1")
        status = int(found[1])
        if status >= 200:
            return status
