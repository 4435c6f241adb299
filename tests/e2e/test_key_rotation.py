"""Another key for stores in use: nobody loses a connection, and no kill in the middle loses a store."""

from __future__ import annotations

import os
import random
import threading
from typing import TYPE_CHECKING

import pytest

from tests.e2e.sealed_tower import SealedTower
from tests.e2e.tower import RpcError
from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.whatsapp.simulator import Simulator

PHONES = {f"account-{number}": f"49170000000{number}" for number in range(3)}
SEED = 20261123


def new_key(tmp_path: Path, number: int = 0) -> Path:
    path = tmp_path / f"key-{number}"
    path.write_bytes(os.urandom(32))
    return path


def keys_used(tower: SealedTower) -> set[str]:
    """Return the ids of the keys that stores are sealed with."""
    return {path.read_bytes()[12:20].hex() for path in (tower.state / "sessions").glob("*/store.sealed")}


def test_a_key_is_changed_under_running_and_stopped_accounts(simulator: Simulator, tmp_path: Path) -> None:
    with SealedTower(simulator) as tower:
        since = {name: tower.link(simulator, name, phone)["since"] for name, phone in PHONES.items()}
        tower.ctl("stop", "account-2")
        old = keys_used(tower)
        key = new_key(tmp_path)
        out = tower.ctl("key", "rotate", "--new-key", key)
        assert "3 stores sealed" in out
        (used,) = keys_used(tower)
        assert used in out
        assert used not in old
        for name in ("account-0", "account-1"):
            assert tower.account(name)["since"] == since[name]
        assert used in tower.ctl("status")
        assert "next start" in tower.ctl("status")
        # The daemon is started once more with the old key, then with the new one, then after a loss of power.
        for prepare in (lambda: None, lambda: tower.give_key(key.read_bytes()), tower.lose_power):
            tower.kill()
            prepare()
            tower.start()
            for name in ("account-0", "account-1"):
                tower.wait_for_state(name, "connected")
        wait_for(lambda: tower.rpc("daemon.status")["problems"] == [], what="the rotation is over")
        assert not (tower.state / "keyring").exists()
        tower.ctl("start", "account-2")
        tower.wait_for_state("account-2", "connected")
        assert len(tower.events("session.qr")) == len(PHONES)


@pytest.mark.timeout(300)
def test_kills_in_the_middle_of_rotations_lose_no_store(simulator: Simulator, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    with SealedTower(simulator) as tower:
        for name, phone in PHONES.items():
            tower.link(simulator, name, phone)
        tower.ctl("stop", "account-2")
        key = tower.key
        for number in range(8):
            following = new_key(tmp_path, number)
            process = tower.process
            assert process is not None
            # The kill falls somewhere into the rotation; where is the experiment.
            killer = threading.Timer(dice.uniform(0, 0.05), process.kill)
            killer.start()
            tower.run("key", "rotate", "--new-key", following)
            killer.join()
            tower.kill()
            # Either of the two keys will do, where the rotation has begun; else the old one.
            has_begun = (tower.state / "keyring").exists()
            tower.give_key((following if has_begun else key).read_bytes())
            tower.start()
            for name in ("account-0", "account-1"):
                tower.wait_for_state(name, "connected")
            wait_for(lambda: not (tower.state / "keyring").exists(), what="the rotation is over")
            assert len(keys_used(tower)) == 1
            key = tmp_path / f"given-{number}"
            key.write_bytes(tower.key.read_bytes())
        tower.ctl("start", "account-2")
        tower.wait_for_state("account-2", "connected")
        assert len(tower.events("session.qr")) == len(PHONES)


def test_stores_that_are_not_sealed_have_no_key_to_change(simulator: Simulator) -> None:
    with SealedTower(simulator) as tower:
        tower.kill()
        tower.give_key(None)
        tower.start()
        with pytest.raises(RpcError) as refused:
            tower.rpc("key.rotate")
        assert refused.value.slug == "wrong-state"
        assert tower.run("key", "rotate").returncode == 6
