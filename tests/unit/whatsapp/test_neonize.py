"""The unmodified neonize against the simulator: pairing, coming back, and every fault that has a name."""

from __future__ import annotations

import os
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.whatsapp.bare import BareClient
from tests.whatsapp.client import SimulatorError
from tests.whatsapp.simulator import Simulator, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PHONE = "491701234567"


def outcomes(simulator: Simulator, kind: str) -> list[Any]:
    return [entry["outcome"] for entry in simulator.log()["connections"] if entry["kind"] == kind]


def test_scan_links_and_connects(simulator: Simulator, start_client: Callable[..., BareClient]) -> None:
    client = start_client()
    scanned = simulator.scan(client.wait("QR")["qr"], "+49 170 1234567", business_name="Tower GmbH")
    told = client.wait("PairStatus")["text"]
    assert "Tower GmbH" in told
    client.wait("Connected")
    assert [session["phone"] for session in simulator.sessions()] == [PHONE]
    [device] = simulator.devices(PHONE)
    assert (scanned["device"], scanned["jid"]) == (device["device"], device["jid"])
    assert (device["prekeys"], device["is_online"], device["os"]) == (812, True, "Neonize")
    seen = simulator.log()
    assert {f"{PHONE}:{device['device']}": 1} == seen["counters"]["logins"]
    assert seen["connections"][0]["device_props"]["os"] == "Neonize"
    assert seen["connections"][0]["tertiary"] > 1_000_000_000


def test_linked_store_connects_without_qr(
    simulator: Simulator, linked: BareClient, start_client: Callable[..., BareClient]
) -> None:
    linked.kill()
    simulator.wait_offline(PHONE)
    assert start_client().wait("QR", "Connected")["event"] == "Connected"
    assert len(simulator.devices(PHONE)) == 1


def test_unlinking_online_device_logs_it_out(
    simulator: Simulator, linked: BareClient, start_client: Callable[..., BareClient]
) -> None:
    simulator.logout(PHONE)
    linked.wait("LoggedOut")
    assert simulator.devices(PHONE) == []
    # The library tells first and deletes the device from its store afterwards.
    wait_for(lambda: stored_devices(linked) == 0)
    linked.kill()
    start_client().wait("QR")


def stored_devices(client: BareClient) -> int:
    with closing(sqlite3.connect(client.store)) as store:
        return int(store.execute("SELECT count(*) FROM whatsmeow_device").fetchone()[0])


def test_unlinking_offline_device_fails_its_next_login(
    simulator: Simulator, linked: BareClient, start_client: Callable[..., BareClient]
) -> None:
    linked.kill()
    simulator.wait_offline(PHONE)
    simulator.logout(PHONE, device=1)
    start_client().wait("LoggedOut")
    assert outcomes(simulator, "login")[-1] == "failure 401"


def test_own_logout_frees_the_slot(simulator: Simulator, linked: BareClient) -> None:
    linked.tell("logout")
    linked.wait("logout")
    simulator.wait_for(lambda each: not each.devices(PHONE))
    simulator.wait_offline(PHONE)
    assert {f"{PHONE}:1": 1} == simulator.log()["counters"]["logouts"]


def test_dropped_client_reconnects(simulator: Simulator, linked: BareClient) -> None:
    simulator.drop(PHONE)
    linked.wait("Disconnected")
    linked.wait("Connected")
    simulator.wait_online(PHONE)


def test_linked_device_survives_restart_of_the_simulator(simulator: Simulator, linked: BareClient) -> None:
    simulator.kill()
    linked.wait("Disconnected")
    simulator.restart()
    linked.wait("Connected", seconds=30)
    assert simulator.wait_online(PHONE)["device"] == 1


def test_outdated_registration_is_told(simulator: Simulator, start_client: Callable[..., BareClient]) -> None:
    simulator.outdated()
    assert start_client().wait("status")["status"] == "err-client-outdated"
    assert outcomes(simulator, "registration") == ["failure 405"]


def test_outdated_login_is_told(simulator: Simulator, linked: BareClient) -> None:
    simulator.outdated()
    simulator.drop(PHONE)
    linked.wait("ClientOutdated")
    assert len(simulator.devices(PHONE)) == 1


@pytest.mark.parametrize("code", [403, 406])
def test_ban_logs_out(simulator: Simulator, linked: BareClient, code: int) -> None:
    simulator.ban(PHONE, code)
    linked.wait("LoggedOut")
    assert f"failure {code}" == outcomes(simulator, "login")[-1]


def test_temporary_ban_is_told_and_ends(
    simulator: Simulator, linked: BareClient, start_client: Callable[..., BareClient]
) -> None:
    simulator.ban(PHONE, 402, expire=3600)
    assert "3600" in linked.wait("TemporaryBan")["text"]
    linked.kill()
    simulator.unban(PHONE)
    start_client().wait("Connected")


def test_replaced_session_is_told(simulator: Simulator, linked: BareClient) -> None:
    simulator.replace(PHONE)
    linked.wait("StreamReplaced")


def test_second_login_of_a_device_replaces_the_first(
    simulator: Simulator, linked: BareClient, start_client: Callable[..., BareClient]
) -> None:
    start_client().wait("Connected")
    linked.wait("StreamReplaced")
    assert len(simulator.sessions()) == 1


def test_unavailable_server_is_tried_again(simulator: Simulator, linked: BareClient) -> None:
    simulator.fail_login(PHONE, 503, times=1)
    simulator.drop(PHONE)
    linked.wait("Connected")
    assert outcomes(simulator, "login") == ["success", "failure 503", "success"]


def test_unknown_failure_is_told(simulator: Simulator, linked: BareClient) -> None:
    simulator.failure(400, phone=PHONE)
    simulator.drop(PHONE)
    assert "GENERIC" in linked.wait("ConnectFailure")["text"]


def test_failure_the_library_cannot_encode_ends_it(simulator: Simulator, linked: BareClient) -> None:
    simulator.failure(499)
    simulator.drop(PHONE)
    linked.wait("end")


def test_refused_client_comes_back(simulator: Simulator, linked: BareClient) -> None:
    simulator.refuse()
    simulator.drop(PHONE)
    linked.wait("Disconnected")
    simulator.refuse(False)
    linked.wait("Connected")


@pytest.mark.parametrize("stage", ["connect", "upgrade", "hello"])
def test_stalled_client_goes_on_when_let(
    simulator: Simulator, start_client: Callable[..., BareClient], stage: str
) -> None:
    simulator.stall(stage)
    client = start_client()
    client.wait("start")
    with pytest.raises(TimeoutError):
        client.wait("QR", seconds=0.5)
    simulator.stall("off")
    client.wait("QR")


def test_mute_server_keeps_connection(simulator: Simulator, linked: BareClient) -> None:
    simulator.mute()
    linked.tell("active")
    with pytest.raises(TimeoutError):
        linked.wait("active", "error", "Disconnected", seconds=0.5)
    simulator.mute(False)
    assert len(simulator.sessions()) == 1


def test_halfopen_session_swallows_everything(simulator: Simulator, linked: BareClient) -> None:
    simulator.halfopen(PHONE)
    linked.tell("active")
    with pytest.raises(TimeoutError):
        linked.wait("active", "error", "Disconnected", seconds=0.5)
    assert simulator.sessions()[0]["is_half_open"]


def test_answers_go_on_while_connected(simulator: Simulator, linked: BareClient) -> None:
    linked.tell("active")
    linked.wait("active")


def test_compressed_and_slow_frames_are_understood(
    simulator: Simulator, start_client: Callable[..., BareClient]
) -> None:
    simulator.compress()
    simulator.slow(20)
    client = start_client()
    simulator.scan(client.wait("QR")["qr"], PHONE)
    client.wait("Connected")


def test_raw_stanza_arrives(simulator: Simulator, linked: BareClient) -> None:
    simulator.stanza(PHONE, {"tag": "stream:error", "attrs": {"code": "599"}})
    assert "599" in linked.wait("StreamError")["text"]


def test_held_login_connects_when_let(simulator: Simulator, start_client: Callable[..., BareClient]) -> None:
    simulator.hold_success()
    client = start_client()
    simulator.scan(client.wait("QR")["qr"], PHONE)
    client.wait("PairStatus")
    with pytest.raises(TimeoutError):
        client.wait("Connected", seconds=0.5)
    assert simulator.sessions() == []
    simulator.hold_success(False)
    client.wait("Connected")


def test_without_restart_the_paired_client_stays(
    simulator: Simulator, start_client: Callable[..., BareClient]
) -> None:
    client = start_client()
    simulator.scan(client.wait("QR")["qr"], PHONE, restart=False)
    client.wait("PairStatus")
    assert [each["kind"] for each in simulator.connections()] == ["registration"]


def test_passkey_is_asked_for(simulator: Simulator, start_client: Callable[..., BareClient]) -> None:
    simulator.passkey()
    client = start_client()
    assert simulator.scan(client.wait("QR")["qr"], PHONE)["passkey"] == "requested"
    assert client.wait("status")["status"] == "passkey-request"
    assert simulator.devices(PHONE) == []


def test_code_links(simulator: Simulator, start_client: Callable[..., BareClient]) -> None:
    client = start_client()
    client.wait("QR")
    client.tell(f"code {PHONE}")
    code = client.wait("code")["code"]
    assert simulator.link_code(code, PHONE)["device"] == 1
    client.wait("Connected")


def test_wrong_code_is_refused(simulator: Simulator, start_client: Callable[..., BareClient]) -> None:
    client = start_client()
    client.wait("QR")
    client.tell(f"code {PHONE}")
    client.wait("code")
    with pytest.raises(SimulatorError) as refused:
        simulator.link_code("11111111", PHONE)
    assert refused.value.reason == "wrong-code"
    assert simulator.devices(PHONE) == []


def test_qr_is_good_only_while_on_show(tmp_path: Path) -> None:
    with (
        Simulator.start(tmp_path / "simulator", qr_timeouts=(0.5, 60), qr_grace=0) as simulator,
        BareClient(simulator, tmp_path / "account.sqlite") as client,
    ):
        # With the passkey gate a scan of a current QR links nothing, so it can be repeated.
        simulator.passkey()
        qr = client.wait("QR")["qr"]
        assert refusal_of_scan(simulator, qr) == ""
        wait_for(lambda: refusal_of_scan(simulator, qr) == "stale")


def refusal_of_scan(simulator: Simulator, qr: str) -> str:
    try:
        simulator.scan(qr, PHONE)
    except SimulatorError as error:
        return error.reason
    return ""


def test_used_and_unknown_qr_are_refused(simulator: Simulator, linked: BareClient) -> None:
    key = "A" * 43 + "="
    with pytest.raises(SimulatorError) as refused:
        simulator.scan(f"2@nobody,{key},{key},{key},1", PHONE)
    assert refused.value.reason == "unknown"


def test_two_phones_cannot_scan_one_qr(simulator: Simulator, start_client: Callable[..., BareClient]) -> None:
    qr = start_client().wait("QR")["qr"]
    with ThreadPoolExecutor() as phones:
        scans = [phones.submit(refusal_of_scan, simulator, qr) for _ in range(4)]
    reasons = sorted(scan.result() for scan in scans)
    assert reasons[0] == ""
    assert set(reasons[1:]) <= {"used", "unknown"}
    assert len(simulator.devices(PHONE)) == 1


def test_client_killed_before_it_confirms_takes_no_slot(
    simulator: Simulator, start_client: Callable[..., BareClient]
) -> None:
    client = start_client()
    qr = client.wait("QR")["qr"]
    os.kill(client.pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as phones:
        scan = phones.submit(refusal_of_scan, simulator, qr)
        simulator.wait_for(lambda each: each.devices(PHONE))
        client.kill()
        assert scan.result() == "unconfirmed"
    assert simulator.devices(PHONE) == []


def test_held_login_of_a_killed_client_is_no_login(
    simulator: Simulator, linked: BareClient, start_client: Callable[..., BareClient]
) -> None:
    linked.kill()
    simulator.wait_offline(PHONE)
    simulator.hold_success()
    newcomer = start_client()
    simulator.wait_for(lambda each: [line for line in each.connections() if line["kind"] == "login"])
    newcomer.kill()
    simulator.hold_success(False)
    simulator.wait_for(lambda each: not each.connections())
    assert simulator.log()["counters"]["logins"] == {f"{PHONE}:1": 1}


def test_fifth_device_is_refused(simulator: Simulator, start_client: Callable[..., BareClient]) -> None:
    clients = [start_client(f"account{number}.sqlite") for number in range(5)]
    for number, client in enumerate(clients[:4], start=1):
        assert number == simulator.scan(client.wait("QR")["qr"], PHONE)["device"]
    with pytest.raises(SimulatorError) as refused:
        simulator.scan(clients[4].wait("QR")["qr"], PHONE)
    assert refused.value.reason == "full"
    simulator.logout(PHONE, device=1)
    with pytest.raises(SimulatorError):
        simulator.logout(PHONE, device=1)
