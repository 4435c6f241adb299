"""An account goes from one towerd to another with its device: never two holders, whatever is killed."""

from __future__ import annotations

import random
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.sealed_tower import SealedTower
from tests.e2e.tower import Tower
from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"
GRACE = "491511111111"
SEED = 20261125
KILLS = 6


@pytest.fixture
def here(simulator: Simulator) -> Iterator[SealedTower]:
    """The towerd that an account leaves; its stores are sealed."""
    with SealedTower(simulator) as started:
        simulator.contact(GRACE, "Grace")
        yield started


@pytest.fixture
def there(simulator: Simulator) -> Iterator[Tower]:
    """The towerd that it goes to; its stores are plain."""
    with Tower(simulator) as started:
        yield started


@pytest.fixture
def key(here: SealedTower, tmp_path: Path) -> Path:
    here.ctl("key", "generate", "-o", tmp_path / "transfer.key")
    return tmp_path / "transfer.key"


@pytest.fixture
def parcel(tmp_path: Path) -> Path:
    return tmp_path / "sales.tower"


def export(tower: Tower, parcel: Path, key: Path) -> str:
    return tower.ctl("export", "sales", "-o", parcel, "--key-file", key)


def adopt(tower: Tower, parcel: Path, key: Path, *options: str, status: int = 0) -> str:
    return tower.ctl("adopt", parcel, "--key-file", key, *options, status=status)


def logins(simulator: Simulator) -> int:
    return len([each for each in simulator.sessions() if each["phone"] == PHONE])


def accounts(tower: Tower) -> list[dict[str, Any]]:
    return list(tower.rpc("account.list")["accounts"])


def assert_stays_fenced(tower: Tower) -> None:
    """Try all that might log in from here."""
    for verb in ("start", "restart", "pair", "qr"):
        ran = tower.run(verb, "sales")
        assert (ran.returncode, ran.stdout) == (6, "")
        assert "was exported" in ran.stderr
        assert "towerctl adopt FILE" in ran.stderr
    assert tower.run("logout", "sales", "--yes").returncode == 6
    shown = tower.account("sales")
    assert (shown["state"], shown["reason"], shown["desired"]) == ("stopped", "exported", "stopped")
    assert "towerctl remove sales" in shown["action"]
    assert tower.workers() == []


def test_an_account_moves_with_its_device_and_never_runs_twice(
    here: SealedTower, there: Tower, simulator: Simulator, parcel: Path, key: Path
) -> None:
    before = here.link(simulator, "sales", PHONE)
    said = export(here, parcel, key)
    assert str(parcel) in said
    assert logins(simulator) == 0
    content = parcel.read_bytes()
    assert parcel.stat().st_mode & 0o777 == 0o600
    assert content.startswith(f"TOWER-ACCOUNT 1 {before['id']}\n".encode())
    assert PHONE.encode() not in content
    assert b"SQLite" not in content
    assert_stays_fenced(here)
    said = adopt(there, parcel, key, "--name", "moved")
    assert f"+{PHONE}" in said
    after = there.wait_for_state("moved", "connected")
    assert [after[part] for part in ("jid", "lid", "device_number", "created_at")] == [
        before[part] for part in ("jid", "lid", "device_number", "created_at")
    ]
    assert there.events("session.qr") == []
    assert len(simulator.devices(PHONE)) == 1
    there.ctl("send", "moved", "--to", f"+{GRACE}", "--wait", "from there")
    for restart in (here.terminate, here.kill, here.lose_power):
        restart()
        here.start()
        assert_stays_fenced(here)
    wait_for(lambda: here.plain() == [], what="nothing is left in memory")
    # Gone from here, and nobody there notices.
    assert "stays linked there" in here.ctl("remove", "sales", "--yes")
    assert there.account("moved")["since"] == after["since"]
    there.ctl("send", "moved", "--to", f"+{GRACE}", "--wait", "still there")
    assert [one["text"] for one in simulator.outbox(PHONE)] == ["from there", "still there"]
    assert logins(simulator) == 1
    assert len(simulator.devices(PHONE)) == 1
    assert [event["data"]["outcome"] for event in there.events("account.adopted")] == ["created"]
    assert len(here.events("account.exported")) == 1
    for tower in (here, there):
        assert key.read_bytes().hex() not in tower.log()


def test_an_account_comes_back_with_what_it_did_elsewhere(
    here: SealedTower, there: Tower, simulator: Simulator, parcel: Path, key: Path, tmp_path: Path
) -> None:
    here.link(simulator, "sales", PHONE)
    export(here, parcel, key)
    adopt(there, parcel, key)
    there.wait_for_state("sales", "connected")
    there.ctl("send", "sales", "--to", f"+{GRACE}", "--wait", "there")
    back = tmp_path / "back.tower"
    export(there, back, key)
    assert_stays_fenced(there)
    said = there.ctl("unpair", "sales", "--yes")
    assert "stays linked there" in said
    assert "Linked devices" not in said
    assert there.account("sales")["state"] == "unpaired"
    assert "has returned" in adopt(here, back, key)
    here.wait_for_state("sales", "connected")
    here.ctl("send", "sales", "--to", f"+{GRACE}", "--wait", "here again")
    assert [one["text"] for one in simulator.outbox(PHONE)] == ["there", "here again"]
    assert len(here.events("session.qr")) == 1
    assert len(simulator.devices(PHONE)) == 1
    # Here again, so nobody else's file replaces it.
    assert adopt(here, back, key, status=6) == ""
    here.terminate()
    here.start()
    here.wait_for_state("sales", "connected")


def test_a_file_that_is_not_right_changes_nothing(
    here: SealedTower, there: Tower, simulator: Simulator, parcel: Path, key: Path, tmp_path: Path
) -> None:
    here.link(simulator, "sales", PHONE)
    export(here, parcel, key)
    whole, bad = parcel.read_bytes(), tmp_path / "bad.tower"
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    newer = whole.replace(b"TOWER-ACCOUNT 1", b"TOWER-ACCOUNT 2", 1)
    for content, words in (
        (bytes(flipped), "is not the one that was written"),
        (whole[: len(whole) // 2], "cut off"),
        (whole + b"x", "follows its end"),
        (newer, "upgrade"),
        (here.sealed(here.account("sales")).read_bytes(), "no exported account"),
    ):
        bad.write_bytes(content)
        ran = there.run("adopt", bad, "--key-file", key)
        assert (ran.returncode, words in ran.stderr) == (2, True), ran.stderr
    there.ctl("key", "generate", "-o", tmp_path / "other.key")
    ran = there.run("adopt", parcel, "--key-file", tmp_path / "other.key")
    assert (ran.returncode, "--key-file" in ran.stderr) == (2, True)
    # Without a key of its own a towerd has to be given one.
    assert there.run("adopt", parcel).returncode == 6
    assert accounts(there) == []
    assert list((there.state / "sessions").iterdir()) == []
    assert_stays_fenced(here)
    adopt(there, parcel, key)
    there.wait_for_state("sales", "connected")
    ran = there.run("adopt", parcel, "--key-file", key, "--name", "twice")
    assert (ran.returncode, "is linked here already, as sales" in ran.stderr) == (6, True)
    assert len(accounts(there)) == 1


def test_a_lost_registry_does_not_bring_an_exported_device_back(
    there: Tower, simulator: Simulator, parcel: Path, key: Path
) -> None:
    account = there.link(simulator, "sales", PHONE)
    export(there, parcel, key)
    there.kill()
    for path in there.state.glob("tower.db*"):
        path.unlink()
    there.start()
    (shown,) = accounts(there)
    assert (shown["id"], shown["state"], shown["reason"]) == (account["id"], "stopped", "exported")
    there.kill()
    there.start()
    assert there.run("start", account["id"]).returncode == 6
    assert logins(simulator) == 0


def test_stores_that_are_sealed_travel_with_their_own_key(
    here: SealedTower, simulator: Simulator, parcel: Path
) -> None:
    here.link(simulator, "sales", PHONE)
    here.ctl("export", "sales", "-o", parcel)
    with SealedTower(simulator) as there:
        assert there.run("adopt", parcel).returncode == 2
        there.kill()
        there.give_key(here.key.read_bytes())
        there.start()
        there.ctl("adopt", parcel, "--no-start")
        assert there.account("sales")["state"] == "stopped"
        wait_for(lambda: there.plain() == [], what="nothing is left in memory")
        there.ctl("start", "sales")
        there.wait_for_state("sales", "connected")
    assert len(simulator.devices(PHONE)) == 1


@pytest.mark.timeout(400)
def test_kills_in_the_middle_of_exports_leave_one_holder_and_a_way_on(
    here: SealedTower, simulator: Simulator, parcel: Path, key: Path
) -> None:
    dice = random.Random(SEED)
    here.link(simulator, "sales", PHONE)
    for _ in range(KILLS):
        killed_while(here, dice, "export", "sales", "-o", parcel, "--key-file", key)
        # What a start says is settled; what is shown just after one of the daemon need not be.
        started = here.run("start", "sales")
        if started.returncode:
            assert_stays_fenced(here)
            if not parcel.exists():
                export(here, parcel, key)
            assert "has returned" in adopt(here, parcel, key)
        else:
            assert not parcel.exists()
        here.wait_for_state("sales", "connected")
        parcel.unlink(missing_ok=True)
    assert len(here.events("session.qr")) == 1
    assert len(simulator.devices(PHONE)) == 1


@pytest.mark.timeout(400)
def test_kills_in_the_middle_of_arrivals_leave_all_of_it_or_nothing(
    here: SealedTower, simulator: Simulator, parcel: Path, key: Path
) -> None:
    dice = random.Random(SEED)
    here.link(simulator, "sales", PHONE)
    export(here, parcel, key)
    for make in (Tower, SealedTower):
        for _ in range(KILLS // 2):
            with make(simulator) as there:
                killed_while(there, dice, "adopt", parcel, "--key-file", key)
                if not accounts(there):
                    assert [path.name for path in (there.state / "sessions").iterdir()] == []
                    adopt(there, parcel, key)
                there.wait_for_state("sales", "connected")
                assert len(accounts(there)) == 1
                assert there.events("session.qr") == []
                there.terminate()
                shutil.rmtree(there.state)
    assert len(simulator.devices(PHONE)) == 1


def killed_while(tower: Tower, dice: random.Random, *arguments: str | Path) -> None:
    """Run a command, and kill the daemon somewhere in it; start it again."""
    process = tower.process
    assert process is not None
    # Where the kill falls is the experiment; a start of Python comes first.
    killer = threading.Timer(dice.uniform(0.05, 0.7), process.kill)
    killer.start()
    tower.run(*arguments)
    killer.join()
    tower.kill()
    tower.start()
