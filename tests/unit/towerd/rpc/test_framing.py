"""Lines on the socket, however they are cut into pieces on the way."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import msgspec
from hypothesis import given, settings

from tests.fuzz.answers import Key, carried, expected, faults
from tests.unit.towerd.rpc.calls import services
from tests.unit.towerd.waiting import run
from towerd.protocol.framing import MAX_REQUEST_BYTES
from towerd.rpc.server import Server, bind

CALL = b'{"jsonrpc":"2.0","id":%d,"method":"daemon.version"}'
LINES = st.one_of(
    st.integers(0, 99).map(lambda number: CALL % number),
    st.just(b'{"jsonrpc":"2.0","method":"daemon.version"}'),
    st.just(b"[" + b",".join(CALL % number for number in range(3)) + b"]"),
    st.sampled_from([b"", b" ", b"\r", b"[]", b"{}", b"[[]]", b"null", b'"\xff"', b"\x00"]),
    st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"\r")),
)


async def answers(stream: bytes, cuts: list[int]) -> tuple[Counter[Key], list[str]]:
    """Send a stream in pieces and hang up; return what came back."""
    with tempfile.TemporaryDirectory() as directory:
        server = Server(services())
        await server.listen(bind(Path(directory) / "s", mode=0o600))
        try:
            reader, writer = await asyncio.open_unix_connection(str(Path(directory) / "s"))
            for start, end in itertools.pairwise([0, *cuts, len(stream)]):
                writer.write(stream[start:end])
                await writer.drain()
                await asyncio.sleep(0)
            writer.write_eof()
            got = [msgspec.json.decode(line) for line in (await reader.read()).splitlines()]
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        finally:
            await server.close()
    return Counter(map(carried, got)), [fault for one in got for fault in faults(one)]


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, max_size=12), st.binary(max_size=10), st.data())
def test_answers_do_not_depend_on_how_the_bytes_come(
    lines: list[bytes], rest: bytes, data: st.DataObject
) -> None:
    stream = b"".join(line + b"\n" for line in lines) + rest.replace(b"\n", b"")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    want = Counter(key for line in lines if (key := expected(line)) is not None)
    assert run(answers(stream, cuts)) == (want, [])


def test_the_longest_line_is_answered_and_one_byte_more_is_not() -> None:
    call = CALL % 7
    padding = b" " * (MAX_REQUEST_BYTES - len(call))
    assert run(answers(call + padding + b"\n", []))[0] == Counter([("int", "7")])
    assert run(answers(call + padding + b" \n", []))[0] == Counter([("NoneType", "None")])
