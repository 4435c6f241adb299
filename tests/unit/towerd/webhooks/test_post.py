"""One POST against a real server that answers with whatever comes to mind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.unit.towerd.waiting import run
from towerd.webhooks.post import PostError, post

BODY = b'{"type": "account.added"}'
KNOWN = (
    *("the connection was closed before the answer was complete", "what answered does not speak HTTP/1.1"),
    *("the head of the answer is longer than 16 KiB", "cannot be reached: "),
)


class Server:
    """Reads a request and sends what it was told to, in pieces, then closes."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.hangs = False
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head + await reader.readexactly(len(BODY)))
            for piece in self.pieces:
                writer.write(piece)
                await writer.drain()
                # A piece of its own, as the network might deliver it.
                await asyncio.sleep(0)
            if self.hangs:
                await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def a_server() -> AsyncIterator[tuple[Server, str]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server, f"http://127.0.0.1:{port}/hook"


async def posted(url: str, seconds: float = 20) -> int | str:
    """Return the status, or why there is none; everything else is a bug."""
    try:
        return await post(url, BODY, {"X-A": "b"}, allow_private=True, timeout_seconds=seconds)
    except PostError as error:
        return str(error)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200),
        (b"HTTP/1.0 204 No Content\r\nX: y\r\n\r\n", 204),
        (b"HTTP/1.1 200\r\n\r\n", 200),
        (b"HTTP/1.1 200 \xff\xfe\r\n\r\n", 200),
        # What is behind the head is nobody's business: it may be cut, missing, or without end.
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10_000_000, 200),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 503 No\r\n\r\n", 503),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\n\r\n", 301),
        (b"HTTP/1.1 600 Odd\r\n\r\n", KNOWN[1]),
        (b"HTTP/1.1 0200 Odd\r\n\r\n", KNOWN[1]),
        (b"HTTP/2 200\r\n\r\n", KNOWN[1]),
        (b"http/1.1 200 OK\r\n\r\n", KNOWN[1]),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", KNOWN[1]),
        (b"HTTP/1.1 200 OK\n\n", KNOWN[0]),
        (b"HTTP/1.1 200 OK\r\n", KNOWN[0]),
        (b"", KNOWN[0]),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 17_000 + b"\r\n\r\n", KNOWN[2]),
    ],
)
def test_an_answer_is_a_status_or_a_reason(answer: bytes, expected: int | str) -> None:
    async def scene() -> None:
        async with a_server() as (server, url):
            server.pieces = [answer]
            assert await posted(url) == expected
            assert server.requests[0].endswith(b"X-A: b\r\n\r\n" + BODY)

    run(scene())


def test_who_refuses_is_named_in_words_of_the_system() -> None:
    async def scene() -> None:
        async with a_server() as (_, url):
            pass
        assert await posted(url) == "cannot be reached: Connection refused"

    run(scene())


def test_who_only_announces_answers_is_not_listened_to_for_ever() -> None:
    async def scene() -> None:
        async with a_server() as (server, url):
            server.pieces = [b"HTTP/1.1 100 Continue\r\n\r\n"] * 50
            server.hangs = True
            assert await posted(url, 0.2) == "no answer within 0.2 s"

    run(scene())


_SEEDS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: x\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 301 Moved\r\nLocation: https://example.org/\r\n\r\n",
    b"HTTP/1.0 500 Oh\r\nRetry-After: 120\r\nConnection: close\r\n\r\nbody",
)
_SCRAPS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"HTTP/1.1 ",
    b"200",
    b"\xff",
    b"\xd9\xa2\xd9\xa0",
    b":",
    b"9" * 400,
)


def mutated(rng: random.Random) -> list[bytes]:
    """Return an answer that was good once, in pieces."""
    data = bytearray(rng.choice(_SEEDS) if rng.random() < 0.9 else rng.randbytes(rng.randrange(200)))
    for _ in range(rng.randrange(6)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[at:at] = rng.choice(_SCRAPS)
            case 1:
                del data[at : at + rng.randrange(20)]
            case 2:
                data[at:at] = data[: rng.randrange(len(data) + 1)]
            case _ if at < len(data):
                data[at] = rng.randrange(256)
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(4)))
    return [bytes(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def test_two_thousand_answers_of_every_kind_end_in_a_status_or_a_reason() -> None:
    rng = random.Random(20261121)

    async def scene() -> set[str]:
        seen = set()
        async with a_server() as (server, url):
            for _ in range(2000):
                server.pieces = mutated(rng)
                found = await posted(url)
                if isinstance(found, int):
                    assert 200 <= found <= 599, server.pieces
                    seen.add("a status")
                else:
                    assert found.startswith(KNOWN), (found, server.pieces)
                    seen.add(found)
        return seen

    assert run(scene()) >= {"a status", KNOWN[0], KNOWN[1]}
