"""The socket: real connections, and no client that can hurt another."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.towerd.builders import an_event_record
from tests.unit.towerd.rpc.calls import services
from tests.unit.towerd.waiting import run, until
from towerd.events import EventStream
from towerd.protocol import methods as m
from towerd.protocol.framing import MAX_REQUEST_BYTES
from towerd.rpc import server as server_module
from towerd.rpc.handlers.table import HANDLERS
from towerd.rpc.server import Server, bind

DEADLINE_SECONDS = 10


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *requests: object) -> None:
        for request in requests:
            self.writer.write(json.dumps(request).encode() + b"\n")

    def raw(self, content: bytes) -> None:
        self.writer.write(content)

    async def receive(self) -> Any:
        async with asyncio.timeout(DEADLINE_SECONDS):
            line = await self.reader.readline()
        assert line.endswith(b"\n"), f"the connection ended: {line!r}"
        return json.loads(line)

    async def ask(self, method: str, request_id: object = 1, **params: Any) -> Any:
        self.send(call(method, request_id, **params))
        return await self.receive()

    async def is_closed(self) -> bool:
        """Wait for the server to close; False when it says something instead."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    def close(self) -> None:
        self.writer.close()


def call(method: str, request_id: object = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


class Hall:
    """A server on a real socket, with handlers that wait for the test."""

    def __init__(self, path: Path, **parts: Any) -> None:
        self.path = path
        self.events = EventStream()
        self.server = Server(services(events=self.events, **parts))
        self.gates: dict[str, asyncio.Event] = {}
        self.cancelled: list[str] = []
        self._clients: list[Client] = []

    async def connect(self) -> Client:
        # The reader takes long lines: it is the server's limits that are looked at.
        reader, writer = await asyncio.open_unix_connection(str(self.path), limit=64 * 1024 * 1024)
        self._clients.append(Client(reader, writer))
        return self._clients[-1]

    async def get(self, _call: object, params: m.OneAccount) -> dict[str, Any]:
        """Stand in for `account.get`: answer when the gate of this name is open."""
        name = params.account or ""
        gate = self.gates.setdefault(name, asyncio.Event())
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        return {"name": name}

    def open(self, name: str) -> None:
        self.gates.setdefault(name, asyncio.Event()).set()

    async def until_asked(self, name: str) -> None:
        await until(lambda: name in self.gates, f"the request {name}")

    def close_clients(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def path(short_directory: Path) -> Path:
    return short_directory / "s.sock"


@pytest.fixture
def scene(path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Hall], Any]], None]:
    """Return what runs a scene in a hall of its own."""

    @contextlib.asynccontextmanager
    async def hall() -> AsyncIterator[Hall]:
        one = Hall(path)
        monkeypatch.setitem(HANDLERS, "account.get", one.get)
        await one.server.listen(bind(path, mode=0o600))
        try:
            yield one
        finally:
            one.close_clients()
            await one.server.close()

    def play(act: Callable[[Hall], Any]) -> None:
        async def bounded() -> None:
            async with hall() as one:
                await act(one)

        run(bounded())

    return play


Scene = Callable[[Callable[[Hall], Any]], None]


# --- answering -------------------------------------------------------------------------------------------


def test_request_is_answered_on_its_line(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        client = await hall.connect()
        answer = await client.ask("daemon.version", 7)
        assert (answer["jsonrpc"], answer["id"]) == ("2.0", 7)
        assert answer["result"]["pid"] == os.getpid()

    scene(act)


def test_concurrent_requests_are_answered_as_they_finish(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        client = await hall.connect()
        client.send(call("account.get", 1, account="slow"), call("account.get", 2, account="quick"))
        await hall.until_asked("quick")
        hall.open("quick")
        assert (await client.receive())["id"] == 2
        hall.open("slow")
        assert (await client.receive())["id"] == 1

    scene(act)


def test_batch_is_answered_together_without_its_notifications(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        client = await hall.connect()
        client.send(
            [
                call("daemon.version", "a"),
                {"jsonrpc": "2.0", "method": "daemon.version"},
                call("no.such", "b"),
                5,
            ]
        )
        answers = await client.receive()
        assert [one["id"] for one in answers] == ["a", "b", None]
        assert [one.get("error", {}).get("code") for one in answers] == [None, -32601, -32600]

    scene(act)


def test_batch_of_notifications_gets_no_answer(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        client = await hall.connect()
        client.send([{"jsonrpc": "2.0", "method": "daemon.version"}] * 3)
        assert (await client.ask("daemon.version", "after"))["id"] == "after"

    scene(act)


def test_empty_batch_is_one_invalid_request(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        client = await hall.connect()
        client.send([])
        answer = await client.receive()
        assert answer["error"]["code"] == -32600

    scene(act)


@pytest.mark.parametrize(
    "line", [b"hello\n", b"{\n", b'{"a":1}}\n', b"\xff\xfe\n", b"[1,\n", b"\x00\n", b"[" * 100_000 + b"\n"]
)
def test_malformed_line_is_answered_and_the_connection_goes_on(scene: Scene, line: bytes) -> None:
    async def act(hall: Hall) -> None:
        client = await hall.connect()
        client.raw(line)
        answer = await client.receive()
        assert (answer["id"], answer["error"]["code"]) == (None, -32700)
        assert answer["error"]["data"]["slug"] == "parse-error"
        assert (await client.ask("daemon.version", 2))["id"] == 2

    scene(act)


def test_empty_lines_are_nothing(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        client = await hall.connect()
        client.raw(b"\n  \n\r\n")
        assert (await client.ask("daemon.version", 2))["id"] == 2

    scene(act)


def test_line_that_comes_in_pieces_is_one_line(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        client = await hall.connect()
        line = json.dumps(call("daemon.version", "pieces")).encode() + b"\n"
        for start in range(0, len(line), 7):
            client.raw(line[start : start + 7])
            await client.writer.drain()
            await asyncio.sleep(0)
        assert (await client.receive())["id"] == "pieces"

    scene(act)


def test_long_line_within_the_limit_is_taken(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        client = await hall.connect()
        answer = await client.ask("account.list", 1, padding="x" * (MAX_REQUEST_BYTES - 200))
        assert answer["error"]["data"]["slug"] == "invalid-params"

    scene(act)


@pytest.mark.parametrize("size", [MAX_REQUEST_BYTES + 2, 2 * 1024 * 1024, 8 * 1024 * 1024])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_line_over_the_limit_is_answered_and_the_connection_closed(
    scene: Scene, size: int, end: bytes
) -> None:
    async def act(hall: Hall) -> None:
        client, other = await hall.connect(), await hall.connect()
        client.raw(b"x" * size + end)
        answer = await client.receive()
        assert (answer["id"], answer["error"]["data"]["slug"]) == (None, "request-too-long")
        assert await client.is_closed()
        assert (await other.ask("daemon.version"))["result"]

    scene(act)


@pytest.mark.parametrize("rest", [b"", b'{"jsonrpc":', b'{"jsonrpc":"2.0","id":1,"method":"daemon.version"}'])
def test_half_a_line_and_a_hang_up_asks_nothing(scene: Scene, rest: bytes) -> None:
    async def act(hall: Hall) -> None:
        client, other = await hall.connect(), await hall.connect()
        client.raw(rest)
        await client.writer.drain()
        client.close()
        await until(lambda: len(hall.server._connections) == 1)
        assert (await other.ask("daemon.version"))["result"]

    scene(act)


def test_client_that_has_said_all_still_gets_its_answers(scene: Scene) -> None:
    """As a shell's pipe does: it shuts down its sending side after the last line."""

    async def act(hall: Hall) -> None:
        client = await hall.connect()
        client.send(call("account.get", 1, account="slow"))
        client.writer.write_eof()
        await hall.until_asked("slow")
        hall.open("slow")
        assert (await client.receive())["id"] == 1
        assert await client.is_closed()

    scene(act)


def test_client_that_hung_up_after_it_had_said_all_is_not_waited_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_HANG_UP_LOOK_SECONDS", 0.02)

    async def act(hall: Hall) -> None:
        client = await hall.connect()
        client.send(call("account.get", 1, account="slow"))
        client.writer.write_eof()
        await hall.until_asked("slow")
        client.close()
        await until(lambda: hall.cancelled == ["slow"])
        await until(lambda: not hall.server._connections)

    scene(act)


def test_hang_up_ends_what_was_under_way_and_nothing_else(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        client, other = await hall.connect(), await hall.connect()
        client.send(call("account.get", 1, account="mine"))
        other.send(call("account.get", 1, account="theirs"))
        await hall.until_asked("mine")
        await hall.until_asked("theirs")
        client.close()
        await until(lambda: hall.cancelled)
        hall.open("theirs")
        assert (await other.receive())["result"] == {"name": "theirs"}
        assert hall.cancelled == ["mine"]

    scene(act)


# --- many, slow and greedy -------------------------------------------------------------------------------


def test_many_clients_are_served_at_once(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        clients = [await hall.connect() for _ in range(100)]
        for number, client in enumerate(clients):
            client.send(call("account.get", number, account="all"))
        await hall.until_asked("all")
        hall.open("all")
        answers = [await client.receive() for client in clients]
        assert [one["id"] for one in answers] == list(range(100))

    scene(act)


def test_too_many_requests_at_once_are_refused_by_their_id_and_the_rest_go_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_MAX_REQUESTS", 3)

    async def act(hall: Hall) -> None:
        client, other = await hall.connect(), await hall.connect()
        client.send(*(call("account.get", number, account="held") for number in range(4)))
        refused = await client.receive()
        assert (refused["id"], refused["error"]["data"]["slug"]) == (3, "too-busy")
        assert (await other.ask("daemon.version"))["result"]
        hall.open("held")
        assert sorted([(await client.receive())["id"] for _ in range(3)]) == [0, 1, 2]
        assert (await client.ask("daemon.version", "again"))["result"]

    scene(act)


def test_batch_counts_as_what_is_in_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_MAX_REQUESTS", 3)

    async def act(hall: Hall) -> None:
        client = await hall.connect()
        client.send([call("daemon.version", number) for number in range(4)])
        assert (await client.receive())["error"]["data"]["slug"] == "too-busy"
        client.send([call("daemon.version", number) for number in range(3)])
        assert len(await client.receive()) == 3

    scene(act)


def test_client_that_never_reads_is_cut_off_and_hurts_nobody(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_WRITE_SECONDS", 0.2)

    async def act(hall: Hall) -> None:
        async def long(_call: object, _params: object) -> dict[str, str]:
            return {"long": "x" * 200_000}

        monkeypatch.setitem(HANDLERS, "account.list", long)
        deaf = socket.socket(socket.AF_UNIX)
        deaf.setblocking(False)
        deaf.connect(str(hall.path))
        line = json.dumps(call("account.list")).encode() + b"\n"
        deaf.send(line * 50)
        other = await hall.connect()
        for number in range(20):
            assert (await other.ask("daemon.version", number))["id"] == number
        await until(lambda: len(hall.server._connections) == 1, "the deaf client to be cut off")
        assert (await other.ask("daemon.version"))["result"]
        deaf.close()

    scene(act)


def test_close_ends_all_connections(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        clients = [await hall.connect() for _ in range(3)]
        for client in clients:
            client.send(call("account.get", 1, account="held"))
        await hall.until_asked("held")
        await hall.server.close()
        assert [await client.is_closed() for client in clients] == [True] * 3
        with pytest.raises(OSError, match=r"refused|No such file"):
            await hall.connect()

    scene(act)


def test_who_calls_is_what_the_kernel_says(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    async def who(own: Any, _params: object) -> m.Empty:
        seen.append(own.peer)
        return m.Empty()

    monkeypatch.setitem(HANDLERS, "daemon.status", who)

    async def act(hall: Hall) -> None:
        client = await hall.connect()
        await client.ask("daemon.status")
        (peer,) = seen
        assert (peer.uid, peer.gid, peer.pid) == (os.getuid(), os.getgid(), os.getpid())

    scene(act)


# --- subscriptions ---------------------------------------------------------------------------------------


def test_subscriber_gets_its_events_and_others_their_answers(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        client = await hall.connect()
        subscription = (await client.ask("event.subscribe", types=["session.state"]))["result"][
            "subscription"
        ]
        await until(lambda: hall.events._listeners)
        hall.events.publish([an_event_record(1), an_event_record(2, type="other"), an_event_record(3)])
        notes = [await client.receive(), await client.receive()]
        assert [note["method"] for note in notes] == ["event", "event"]
        assert {note["params"]["subscription"] for note in notes} == {subscription}
        assert [note["params"]["event"]["id"] for note in notes] == [1, 3]
        assert (await client.ask("daemon.version", "between"))["id"] == "between"

    scene(act)


def test_subscription_ends_with_its_connection(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        client = await hall.connect()
        await client.ask("event.subscribe")
        await until(lambda: hall.events._listeners)
        client.close()
        await until(lambda: not hall.events._listeners, "the listener to be gone")
        hall.events.publish([an_event_record(1)])

    scene(act)


def test_subscription_ends_when_asked_and_is_not_known_afterwards(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        client = await hall.connect()
        subscription = (await client.ask("event.subscribe"))["result"]["subscription"]
        assert (await client.ask("event.unsubscribe", subscription=subscription))["result"] == {}
        await until(lambda: not hall.events._listeners)
        again = await client.ask("event.unsubscribe", subscription=subscription)
        assert again["error"]["data"]["slug"] == "invalid-field"

    scene(act)


def test_subscription_of_another_connection_cannot_be_ended(scene: Scene) -> None:
    async def act(hall: Hall) -> None:
        client, other = await hall.connect(), await hall.connect()
        subscription = (await client.ask("event.subscribe"))["result"]["subscription"]
        answer = await other.ask("event.unsubscribe", subscription=subscription)
        assert answer["error"]["data"]["slug"] == "invalid-field"

    scene(act)


# --- binding ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_socket_has_its_mode(path: Path, mode: int) -> None:
    with bind(path, mode=mode):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_socket_that_nobody_listens_on_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    inode = path.stat().st_ino
    with bind(path, mode=0o600) as listening:
        listening.listen()
        assert path.stat().st_ino != inode or listening.getsockname() == str(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_socket_that_somebody_listens_on_is_left_alone(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(OSError, match="another daemon") as caught:
            bind(path, mode=0o600)
        assert caught.value.filename == str(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


@pytest.mark.parametrize("what", ["file", "directory", "link to a file", "dangling link"])
def test_what_is_no_socket_is_left_alone(path: Path, what: str) -> None:
    precious = path.with_name("precious")
    match what:
        case "file":
            path.write_text("precious")
        case "directory":
            path.mkdir()
        case "link to a file":
            precious.write_text("precious")
            path.symlink_to(precious)
        case "dangling link":
            path.symlink_to(precious)
    with pytest.raises(OSError, match="not a socket") as caught:
        bind(path, mode=0o600)
    assert caught.value.filename == str(path)
    assert path.is_symlink() or path.exists()


def test_path_that_cannot_be_bound_is_named(path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        bind(path / "missing" / "s.sock", mode=0o600)
    assert str(path) in str(caught.value.filename)


def test_answer_is_one_line_however_long(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "line\nbreak \u2028 " * 10_000

    async def long(_call: object, _params: object) -> msgspec.Struct:
        return m.SubscribeResult(subscription=text)

    monkeypatch.setitem(HANDLERS, "account.list", long)

    async def act(hall: Hall) -> None:
        client = await hall.connect()
        assert (await client.ask("account.list"))["result"]["subscription"] == text

    scene(act)
