"""The connection: splitting lines, order of answers, errors without an id."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.towerctl.fake_daemon import DEADLINE_SECONDS, FakeDaemon, error
from towerctl.client import Client
from towerctl.connection import Disconnected
from towerctl.exits import Failure


class Peer:
    """The daemon's end of a socket pair."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self._lines = end.makefile("rb")

    def requests(self, count: int) -> list[dict[str, Any]]:
        return [json.loads(self._lines.readline()) for _ in range(count)]

    def send(self, *messages: object) -> None:
        self.end.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def close(self) -> None:
        self._lines.close()
        self.end.close()


@pytest.fixture
def pair() -> Iterator[tuple[Client, Peer]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(DEADLINE_SECONDS)
    client = Client(ours, path="/the/socket", timeout_seconds=DEADLINE_SECONDS)
    peer = Peer(theirs)
    yield client, peer
    client.close()
    peer.close()


def test_the_version_is_asked_for_along_with_the_first_request(pair: tuple[Client, Peer]) -> None:
    client, peer = pair
    peer.send({"id": 1, "result": {}}, {"id": 2, "result": {}})
    client.call("a")
    client.call("b", {"x": None})
    assert [(request["method"], request["params"]) for request in peer.requests(3)] == [
        ("daemon.version", {}),
        ("a", {}),
        ("b", {"x": None}),
    ]


def test_parameters_left_out_are_not_sent(pair: tuple[Client, Peer]) -> None:
    client, peer = pair
    peer.send({"id": 1, "result": {}})
    client.account_qr(None, wait_seconds=1, rendering={"format": "png", "scale": None})
    assert peer.requests(2)[1]["params"] == {"wait_seconds": 1, "start": True, "format": "png"}


def test_answers_may_come_in_any_order_and_in_pieces(pair: tuple[Client, Peer]) -> None:
    client, peer = pair
    answers = [{"id": number, "result": {"n": number, "t": "\u00fc" * 1000}} for number in (3, 1, 2)]
    line = "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers).encode()

    def dribble() -> None:
        for start in range(0, len(line), 97):
            peer.end.sendall(line[start : start + 97])

    thread = threading.Thread(target=dribble)
    thread.start()
    got = list(client.call_each("m", [{"a": 1}, {"a": 2}, {"a": 3}]))
    thread.join()
    assert [one["n"] for one in got if not isinstance(one, Failure)] == [1, 2, 3]


def test_notifications_wait_for_whoever_wants_them(pair: tuple[Client, Peer]) -> None:
    client, peer = pair
    peer.send(
        {"method": "event", "params": {"event": 1}},
        {"id": 1, "result": {"subscription": "s"}},
        {"method": "event", "params": {"event": 2}},
    )
    client.event_subscribe()
    came = client.notifications()
    assert [next(came), next(came)] == [("event", {"event": 1}), ("event", {"event": 2})]
    peer.end.shutdown(socket.SHUT_RDWR)
    with pytest.raises(Disconnected):
        next(came)


def test_an_error_without_an_id_is_the_answer(pair: tuple[Client, Peer]) -> None:
    client, peer = pair
    peer.send({"id": None, "error": error("request-too-long").to_wire()})
    peer.end.shutdown(socket.SHUT_WR)
    with pytest.raises(Failure) as failed:
        client.call("m", {"text": "x" * 100})
    assert failed.value.slug == "request-too-long"


def test_what_was_said_before_hanging_up_is_still_read(pair: tuple[Client, Peer]) -> None:
    client, peer = pair
    peer.send({"id": None, "error": error("request-too-long").to_wire()})
    peer.end.shutdown(socket.SHUT_RDWR)
    with pytest.raises(Failure) as failed:
        client.call("m", {"text": "x" * 3_000_000})
    assert failed.value.slug == "request-too-long"


def test_one_account_does_not_keep_another_from_its_turn(daemon: FakeDaemon, tower: Any) -> None:
    daemon.prepare(
        "account.stop",
        *([error("wrong-state")] * 3),
        lambda _, params: {"account": {"id": params["account"]}},
    )
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(daemon.path))
        client = Client(connection, path=str(daemon.path), timeout_seconds=DEADLINE_SECONDS)
        outcomes = list(client.call_each("account.stop", [{"account": str(n)} for n in range(40)]))
    assert [isinstance(one, Failure) for one in outcomes] == [True] * 3 + [False] * 37
    assert [str(n) for n in range(40)] == [asked["account"] for asked in daemon.asked("account.stop")]


def test_listening_ends_with_news_with_a_wake_and_with_time(pair: tuple[Client, Peer]) -> None:
    client, peer = pair
    assert client.listen(0) == []
    peer.send({"method": "event", "params": {"x": 1}}, {"method": "event", "params": {"x": 2}})
    assert [one["params"] for one in client.listen(DEADLINE_SECONDS)] == [{"x": 1}, {"x": 2}]
    reader, writer = os.pipe()
    os.write(writer, b"x")
    began = time.monotonic()
    assert client.listen(DEADLINE_SECONDS, wake=[reader]) == []
    assert time.monotonic() - began < DEADLINE_SECONDS / 2
    os.close(reader)
    os.close(writer)
    peer.close()
    with pytest.raises(Disconnected):
        client.listen(DEADLINE_SECONDS)


def test_what_was_begun_is_taken_when_it_has_come(pair: tuple[Client, Peer]) -> None:
    client, peer = pair
    first, second = client.begin("a"), client.begin("b")
    assert client.take(first) is None
    peer.send({"id": second, "result": {"b": 1}}, {"id": first, "error": error("not-permitted").to_wire()})
    client.listen(DEADLINE_SECONDS)
    assert client.take(second) == {"b": 1}
    assert client.take(second) is None
    with pytest.raises(Failure, match="it went wrong"):
        client.take(first)
