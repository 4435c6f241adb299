"""Many connections of one user."""

from __future__ import annotations

import contextlib

import pytest

from tests.unit.towerd.rpc.test_server import Hall, Scene, path, scene
from tests.unit.towerd.waiting import until
from towerd.rpc import server

__all__ = ["path", "scene"]


def test_one_too_many_is_turned_away_and_the_others_are_served(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_MAX_CONNECTIONS", 3)

    async def act(hall: Hall) -> None:
        clients = [await hall.connect() for _ in range(3)]
        for client in clients:
            await client.ask("daemon.version")
        crowd = await hall.connect()
        # What it asks is not looked at; it may be too late to ask at all.
        with contextlib.suppress(ConnectionError):
            crowd.send({"jsonrpc": "2.0", "id": 7, "method": "daemon.version"})
        answer = await crowd.receive()
        assert (answer["id"], answer["error"]["data"]["slug"]) == (None, "too-busy")
        assert await crowd.is_closed()
        for client in clients:
            assert (await client.ask("daemon.version"))["id"] == 1
        clients[0].close()
        await until(lambda: len(hall.server._connections) == 2, "the first to be gone")
        late = await hall.connect()
        assert "result" in await late.ask("daemon.version")

    scene(act)
