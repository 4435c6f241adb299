"""An account with a proxy of its own starts through it, or does not start."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from sessions.states import State
from tests.unit.sessions.stores import make_store
from tests.unit.towerd.builders import ACCOUNT_ID, an_account
from tests.unit.towerd.supervision.world import World, a_linked_account_at_rest, a_world, config
from tests.unit.towerd.waiting import run, turns, until
from towerd.protocol.errors import TowerError

URL = "http://tower:s3cret@proxy.example:3128"


def proxy_file(directory: Path, url: str = URL) -> str:
    file = directory / "proxy"
    file.write_text(url + "\n")
    return str(file)


def test_the_worker_is_told_the_url_at_each_start(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_world(tmp_path) as world:
            keeper, worker = await world.keep_connected(proxy_file=proxy_file(tmp_path))
            assert worker.begin["proxy"] == URL
            proxy_file(tmp_path, "socks5://other.example:1080")
            await keeper.restart()
            successor = await world.workers.next()
            assert successor.begin["proxy"] == "socks5://other.example:1080"

    run(scene())


def test_an_account_without_one_names_none(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_world(tmp_path) as world:
            _, worker = await world.keep_connected()
            assert worker.begin.get("proxy") is None

    run(scene())


async def unreadable(world: World, **fields: Any) -> Any:
    keeper = await world.keep(a_linked_account_at_rest(proxy_file="/nowhere/proxy", **fields))
    make_store(world.root, ACCOUNT_ID)
    await keeper.resume()
    await until(lambda: keeper.account.state is State.FAILED, "the failure")
    return keeper


def test_without_its_proxy_it_does_not_start_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with a_world(tmp_path) as world:
            keeper = await unreadable(world)
            assert keeper.account.record.reason == "proxy-unreadable"
            assert keeper.account.record.is_linked
            assert "towerctl start alpha" in keeper.action("alpha")
            await turns()
            assert world.workers.spawner.count == 0

    with caplog.at_level(logging.ERROR):
        run(scene())
    assert ["/nowhere/proxy: cannot be read" in record.message for record in caplog.records] == [True]


def test_it_starts_by_itself_once_the_file_is_right(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_world(tmp_path, config(reconnect={"slow_seconds": 0.05})) as world:
            keeper = await world.keep(a_linked_account_at_rest(proxy_file=str(tmp_path / "proxy")))
            make_store(world.root, ACCOUNT_ID)
            await keeper.resume()
            await until(lambda: keeper.account.state is State.FAILED, "the failure")
            proxy_file(tmp_path)
            assert (await world.workers.next()).begin["proxy"] == URL

    run(scene())


def test_a_start_by_hand_tries_at_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_world(tmp_path) as world:
            keeper = await world.keep(a_linked_account_at_rest(proxy_file=str(tmp_path / "proxy")))
            make_store(world.root, ACCOUNT_ID)
            await keeper.resume()
            await until(lambda: keeper.account.state is State.FAILED, "the failure")
            proxy_file(tmp_path)
            await keeper.start()
            assert (await world.workers.next()).begin["proxy"] == URL

    run(scene())


def test_a_pairing_without_its_proxy_fails_and_is_begun_again(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_world(tmp_path, config(reconnect={"slow_seconds": 0.05})) as world:
            keeper = await world.keep(an_account(proxy_file=str(tmp_path / "proxy")))
            await keeper.pair()
            assert (keeper.account.state, keeper.account.record.reason) == (State.FAILED, "proxy-unreadable")
            proxy_file(tmp_path)
            assert (await world.workers.next()).begin["proxy"] == URL
            assert keeper.account.state is State.PAIRING

    run(scene())


def test_not_even_a_logout_goes_past_it(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_world(tmp_path) as world:
            keeper = await unreadable(world)
            with pytest.raises(TowerError) as caught:
                await keeper.logout()
            assert caught.value.slug == "logout-failed"
            assert world.workers.spawner.count == 0
            assert keeper.account.record.is_linked
            assert (keeper.account.state, keeper.account.record.reason) == (State.FAILED, "proxy-unreadable")

    run(scene())
