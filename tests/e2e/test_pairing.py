"""Pairing through the real command line, the real library and the simulator."""

from __future__ import annotations

import json
import signal
import stat
import time
from typing import TYPE_CHECKING

import zxingcpp
from PIL import Image

from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.tower import Tower
    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"
OTHER_PHONE = "491707654321"


def read_qr(path: Path) -> str:
    """Return the text of a QR picture, as a phone's camera would read it."""
    with Image.open(path) as image:
        found = zxingcpp.read_barcodes(image, formats=zxingcpp.BarcodeFormat.QRCode)
    assert len(found) == 1
    return str(found[0].text)


def test_an_account_is_linked_by_a_qr_decoded_from_the_saved_png(
    tower: Tower, simulator: Simulator, tmp_path: Path
) -> None:
    png = tmp_path / "qr.png"
    tower.ctl("add", "sales", "--display-name", "Sales")
    tower.ctl("qr", "sales", "-o", png)
    assert stat.S_IMODE(png.stat().st_mode) == 0o600
    linked = simulator.scan(read_qr(png), PHONE, platform="iphone", business_name="Ada GmbH")
    tower.ctl("wait", "sales", "--for", "connected", "--timeout", "30")
    account = json.loads(tower.ctl("show", "sales", "--json"))["account"]
    assert account["state"] == "connected"
    assert account["jid"] == f"{PHONE}@s.whatsapp.net"
    assert account["lid"] == linked["lid"].replace(":1@", "@")
    assert account["phone"] == f"+{PHONE}"
    assert account["device_number"] == linked["device"]
    assert account["business_name"] == "Ada GmbH"
    assert account["platform"] == "iphone"
    assert account["pairing"] is None
    assert [device["is_online"] for device in simulator.devices(PHONE)] == [True]


def test_identity_is_null_before_pairing(tower: Tower) -> None:
    tower.ctl("add", "sales")
    account = tower.account("sales")
    assert [account[key] for key in ("jid", "lid", "phone", "device_number")] == [None] * 4


def test_state_is_pairing_at_once_and_the_qr_comes_soon(tower: Tower) -> None:
    added = json.loads(tower.ctl("add", "sales", "--json"))
    assert added["account"]["state"] == "pairing"
    answer = tower.rpc("account.qr", account="sales", wait_seconds=20)
    qr = answer["qr"]
    assert (qr["round"], qr["number"], qr["count"]) == (1, 1, 6)
    assert 50 < qr["expires_in_seconds"] <= 60


def test_qr_payload_and_keys_reach_neither_log_nor_list_nor_events(
    tower: Tower, simulator: Simulator
) -> None:
    tower.ctl("add", "sales")
    payload = tower.rpc("account.qr", account="sales", wait_seconds=20)["qr"]["data"]
    secrets = [part for part in payload.partition("#")[2].split(",") if len(part) > 20]
    assert len(secrets) >= 4
    simulator.scan(payload, PHONE)
    tower.wait_for_state("sales", "connected")
    tower.rpc("account.unpair", account="sales")
    seen = tower.log() + json.dumps(
        [tower.rpc("account.list"), tower.rpc("account.get", account="sales"), tower.events()]
    )
    seen += "".join(
        path.read_bytes().decode("latin-1") for path in tower.state.glob("tower.db*") if path.is_file()
    )
    assert [secret for secret in secrets if secret in seen] == []
    assert PHONE not in tower.log()


def test_two_accounts_pair_at_once(tower: Tower, simulator: Simulator) -> None:
    for name in ("one", "two"):
        tower.ctl("add", name)
    for name, phone in (("one", PHONE), ("two", OTHER_PHONE)):
        simulator.scan(tower.rpc("account.qr", account=name, wait_seconds=20)["qr"]["data"], phone)
    assert tower.wait_for_state("one", "connected")["phone"] == f"+{PHONE}"
    assert tower.wait_for_state("two", "connected")["phone"] == f"+{OTHER_PHONE}"
    listed = json.loads(tower.ctl("list", "--json"))["accounts"]
    assert [account["name"] for account in listed] == ["one", "two"]


def test_a_dropped_line_brings_a_new_qr_and_the_old_one_is_dead(
    tower: Tower, simulator: Simulator, untouched: None
) -> None:
    tower.ctl("add", "sales")
    first = tower.rpc("account.qr", account="sales", wait_seconds=20)["qr"]
    simulator.drop_unpaired()
    second = tower.rpc("account.qr", account="sales", wait_seconds=20, newer_than=first["id"])["qr"]
    assert second["round"] == first["round"] + 1
    assert second["data"] != first["data"]
    simulator.scan(second["data"], PHONE)
    tower.wait_for_state("sales", "connected")


def test_follow_rewrites_the_file_until_connected_and_then_removes_it(
    tower: Tower, simulator: Simulator, tmp_path: Path
) -> None:
    png = tmp_path / "qr.png"
    tower.ctl("add", "sales")
    follower = tower.spawn_ctl("qr", "sales", "-o", png, "--follow", "--timeout", "60")
    try:
        wait_for(png.exists, what="the first QR file")
        first = read_qr(png)
        simulator.drop()
        wait_for(lambda: png.exists() and read_qr(png) != first, what="the file changes at the rotation")
        simulator.scan(read_qr(png), PHONE)
        _, noise = follower.communicate(timeout=30)
        assert follower.returncode == 0, noise
        assert not png.exists()
    finally:
        follower.kill()
        follower.communicate()


def test_the_library_rotates_the_qr_by_itself_after_a_minute(tower: Tower, simulator: Simulator) -> None:
    tower.ctl("add", "sales")
    first = tower.rpc("account.qr", account="sales", wait_seconds=20)["qr"]
    began = time.monotonic()
    second = tower.rpc("account.qr", account="sales", wait_seconds=58 + 20, newer_than=first["id"])["qr"]
    assert 50 < time.monotonic() - began < 75
    assert (second["round"], second["number"]) == (1, 2)
    assert second["expires_in_seconds"] <= 20
    simulator.scan(second["data"], PHONE)
    tower.wait_for_state("sales", "connected")


def test_a_follower_that_is_interrupted_leaves_no_file(tower: Tower, tmp_path: Path) -> None:
    png = tmp_path / "qr.png"
    tower.ctl("add", "sales")
    follower = tower.spawn_ctl("qr", "sales", "-o", png, "--follow")
    try:
        wait_for(png.exists, what="the first QR file")
        follower.send_signal(signal.SIGTERM)
        follower.communicate(timeout=20)
        assert follower.returncode != 0
        assert list(tmp_path.glob("*.png*")) == []
    finally:
        follower.kill()
        follower.communicate()


def test_qr_of_a_linked_account_disturbs_nothing(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    refused = tower.run("qr", "sales")
    assert refused.returncode == 6
    assert "linked" in refused.stderr
    assert tower.account("sales")["state"] == "connected"


def test_qr_of_an_unpaired_account_begins_a_pairing(
    tower: Tower, simulator: Simulator, tmp_path: Path
) -> None:
    png = tmp_path / "qr.png"
    tower.ctl("add", "sales", "--no-pair")
    assert tower.account("sales")["state"] == "unpaired"
    tower.ctl("qr", "sales", "-o", png)
    simulator.scan(read_qr(png), PHONE)
    tower.wait_for_state("sales", "connected")


def test_pairing_again_tears_the_former_attempt_down(tower: Tower, simulator: Simulator) -> None:
    tower.ctl("add", "sales")
    first = tower.rpc("account.qr", account="sales", wait_seconds=20)["qr"]
    (old,) = tower.workers()
    tower.ctl("pair", "sales")
    second = tower.rpc("account.qr", account="sales", wait_seconds=20)["qr"]
    assert second["data"] != first["data"]
    assert old not in tower.workers()
    simulator.scan(second["data"], PHONE)
    tower.wait_for_state("sales", "connected")
    assert len(simulator.devices(PHONE)) == 1
