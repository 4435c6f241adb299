"""The fault matrix: each fault at the simulator, what is seen, and that nobody else notices.

docs/faults.md states the same in words; the names of these tests stand there.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.bystander import BYSTANDER
from tests.e2e.tower import Tower
from tests.whatsapp.simulator import Simulator, SimulatorError, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

PHONE = "491701234567"
STRANGER = "491707654321"
LARGE = {"tag": "nobody-knows-this", "attrs": {"id": "1"}, "content": "x" * 3_000_000}
# Short clocks, so that a fault is seen within a test; the defaults are the same code.
CONFIG = """
[reconnect]
library_seconds = 1
base_seconds = 0.3
cap_seconds = 2
critical_after = 2
slow_seconds = 3
[truth]
quiet_seconds = 2
probe_seconds = 2
[workers]
connect_seconds = 25
[fleet]
canary_seconds = 2
"""


@pytest.fixture
def tower(simulator: Simulator) -> Iterator[Tower]:
    with Tower(simulator, config=CONFIG) as started:
        yield started


@pytest.fixture
def linked(tower: Tower, simulator: Simulator, untouched: None) -> Tower:
    """A linked account `sales` beside a bystander that must not notice anything."""
    tower.link(simulator, "sales", PHONE)
    return tower


def wait_for_reason(tower: Tower, reason: str, *, seconds: float = 30.0) -> dict[str, object]:
    def look() -> dict[str, object] | None:
        account = tower.account("sales")
        return account if account["reason"] == reason else None

    found = wait_for(look, seconds=seconds, what=f"reason {reason}")
    assert found is not None
    return found


def test_a_dropped_line_heals_within_seconds(linked: Tower, simulator: Simulator) -> None:
    simulator.drop(PHONE)
    linked.wait_for_state("sales", "connected", seconds=15)
    wait_for(lambda: linked.events("session.disconnected"), what="the loss is an event")
    simulator.wait_online(PHONE)


@pytest.mark.parametrize("stage", ["connect", "upgrade", "hello"])
def test_a_stall_at_login_is_reconnecting_and_heals(linked: Tower, simulator: Simulator, stage: str) -> None:
    simulator.stall(stage)
    simulator.drop(PHONE)
    linked.wait_for_state("sales", "reconnecting")
    wait_for(lambda: (linked.account("sales")["reconnect"] or {}).get("attempt", 0) >= 1, seconds=40)
    simulator.stall("off")
    simulator.drop_unpaired()  # What is stalled already never gets an answer.
    linked.wait_for_state("sales", "connected", seconds=60)


def test_refusals_follow_the_schedule_and_health_turns_critical(linked: Tower, simulator: Simulator) -> None:
    simulator.refuse()
    simulator.drop(PHONE)
    account = wait_for(
        lambda: (found := linked.account("sales"))["health"] == "critical" and found, seconds=40
    )
    assert account["state"] == "reconnecting"
    assert account["reason"] in ("proxy", "refused")
    assert account["reconnect"]["attempt"] >= 3
    assert account["reconnect"]["next_attempt_at"] is not None
    assert "reconnects-failed" in account["health_reasons"]
    simulator.refuse(on=False)
    linked.wait_for_state("sales", "connected", seconds=30)
    wait_for(lambda: linked.events("health.changed")[-1]["data"]["new"] == "healthy", what="health is back")


def test_a_half_open_line_is_noticed_by_the_probe(linked: Tower, simulator: Simulator) -> None:
    simulator.halfopen(PHONE)
    wait_for_reason(linked, "server-silent", seconds=20)
    linked.wait_for_state("sales", "connected", seconds=30)


def test_last_seen_moves_while_the_session_lives(linked: Tower) -> None:
    first = linked.account("sales")["last_seen_at"]
    wait_for(lambda: linked.account("sales")["last_seen_at"] > first, what="last_seen_at moves")


def test_a_stopped_worker_process_is_replaced(linked: Tower) -> None:
    victim = linked.account("sales")["worker"]["pid"]
    os.kill(victim, signal.SIGSTOP)
    wait_for_reason(linked, "server-silent", seconds=20)
    account = linked.wait_for_state("sales", "connected", seconds=30)
    assert account["state"] == "connected"
    assert linked.account("sales")["worker"]["pid"] != victim


@pytest.mark.parametrize(("code", "reason"), [(403, "locked"), (406, "banned")])
def test_locked_and_banned_need_a_human(linked: Tower, simulator: Simulator, code: int, reason: str) -> None:
    simulator.ban(PHONE, code)
    account = linked.wait_for_state("sales", "failed")
    assert account["reason"] == reason
    assert "phone" in account["action"]
    assert linked.run("wait", "sales", "--for", "connected", "--timeout", "20").returncode == 8
    simulator.unban(PHONE)
    linked.ctl("pair", "sales")
    answer = linked.rpc("account.qr", account="sales", wait_seconds=20)
    simulator.scan(answer["qr"]["data"], PHONE)
    linked.wait_for_state("sales", "connected")


def test_a_ban_without_an_end_needs_a_human_and_keeps_the_device(linked: Tower, simulator: Simulator) -> None:
    simulator.ban(PHONE, 402)
    account = linked.wait_for_state("sales", "failed")
    assert account["reason"] == "banned"
    assert account["phone"] == f"+{PHONE}"
    simulator.unban(PHONE)
    linked.ctl("start", "sales")
    linked.wait_for_state("sales", "connected")


def test_a_ban_with_an_end_heals_by_itself(linked: Tower, simulator: Simulator) -> None:
    simulator.ban(PHONE, 402, expire=4)
    account = wait_for_reason(linked, "banned-until")
    assert account["state"] == "reconnecting"
    assert "until" in str(account["detail"])
    linked.wait_for_state("sales", "connected", seconds=40)
    assert linked.account("sales")["detail"] is None


def test_outdated_fails_one_holds_the_others_and_ends_with_the_canary(
    tower: Tower, simulator: Simulator, untouched: None
) -> None:
    phones = {f"account-{n}": f"49170000000{n}" for n in range(1, 5)}
    for name, phone in phones.items():
        tower.link(simulator, name, phone)
    simulator.outdated()
    for phone in phones.values():
        simulator.drop(phone)

    def reasons() -> list[str]:
        accounts = tower.rpc("account.list")["accounts"]
        return sorted(str(one["reason"]) for one in accounts if one["name"] in phones)

    wanted = ["client-outdated", "fleet-held", "fleet-held", "fleet-held"]
    wait_for(lambda: reasons() == wanted, seconds=40, what="one canary, the rest held")
    before = len(simulator.log()["connections"])
    status = tower.rpc("daemon.status")["fleet"]
    assert (status["state"], status["cause"], status["held"]) == ("open", "client-outdated", 3)
    assert len(tower.events("fleet.opened")) == 1
    wait_for(lambda: len(simulator.log()["connections"]) > before, seconds=20, what="the canary tries")
    simulator.outdated(on=False)
    # Between its tries the canary is `failed`, which `wait` rightly says needs a human; so look, not wait.
    wait_for(
        lambda: tower.rpc("daemon.status")["accounts"] == {"connected": 5}, seconds=60, what="all are back"
    )
    assert [event["data"]["cause"] for event in tower.events("fleet.closed")] == ["client-outdated"]


def test_a_wave_of_unlinks_stops_all_logins_and_spares_the_canary(
    tower: Tower, simulator: Simulator, untouched: None
) -> None:
    phones = {f"account-{n}": f"49170000000{n}" for n in range(1, 6)}
    for name, phone in phones.items():
        tower.link(simulator, name, phone)
    tower.ctl("stop", "account-4", "account-5")
    for n in (1, 2, 3):
        simulator.logout(phones[f"account-{n}"])
    wait_for(lambda: tower.rpc("daemon.status")["fleet"]["state"] == "open", what="the breaker opens")
    assert tower.rpc("daemon.status")["fleet"]["cause"] == "unlink-wave"
    # WhatsApp refuses the next login as well, and only for now.
    simulator.fail_login(phones["account-4"], 401, times=1)
    tower.ctl("start", "account-4")
    tower.ctl("start", "account-5")
    for name in ("account-4", "account-5"):
        tower.wait_for_state(name, "connected", seconds=60)
        assert [step["reason"] for step in tower.rpc("account.get", account=name)["history"]].count(
            "logged-out-by-phone"
        ) == 0
    assert tower.rpc("daemon.status")["fleet"]["state"] == "closed"
    # Only now the unlinked ones pair anew.
    for n in (1, 2, 3):
        tower.wait_for_state(f"account-{n}", "pairing", seconds=30)


def test_a_line_lost_in_a_wave_of_unlinks_is_not_taken_up_again(
    tower: Tower, simulator: Simulator, untouched: None
) -> None:
    phones = [f"49170000000{n}" for n in range(1, 8)]
    for phone in phones:
        tower.link(simulator, f"account-{phone[-1]}", phone)
    for phone in phones[:3]:
        simulator.logout(phone)
    wait_for(lambda: tower.rpc("daemon.status")["fleet"]["state"] == "open", what="the breaker opens")
    # Whoever logs in now is refused; the canary's device is put back, nobody else's would be.
    for phone in phones[3:]:
        simulator.fail_login(phone, 401)
    for phone in phones[3:]:
        simulator.drop(phone)
    wait_for(lambda: tower.rpc("daemon.status")["fleet"]["held"] == 3, what="three accounts hold")
    for phone in phones[3:]:
        simulator.fail_login(phone, 401, times=0)
    for phone in phones[3:]:
        tower.wait_for_state(f"account-{phone[-1]}", "connected", seconds=30)
        assert len(simulator.devices(phone)) == 1
    assert len(tower.events("session.logged_out")) == 3


def test_the_breaker_is_closed_by_command(tower: Tower, simulator: Simulator) -> None:
    for n in (1, 2):
        tower.link(simulator, f"account-{n}", f"49170000000{n}")
    simulator.outdated()
    simulator.drop()
    wait_for(lambda: tower.rpc("daemon.status")["fleet"]["held"] == 1, seconds=30)
    simulator.outdated(on=False)
    assert tower.rpc("daemon.release")["fleet"]["state"] == "closed"
    held = next(
        one["name"] for one in tower.rpc("account.list")["accounts"] if one["reason"] != "client-outdated"
    )
    tower.wait_for_state(held, "connected", seconds=30)


def test_a_replaced_session_is_taken_back_three_times_then_fails(linked: Tower, simulator: Simulator) -> None:
    for n in range(3):
        simulator.replace(PHONE)
        wait_for(lambda n=n: replacements(linked) > n, what=f"takeover {n + 1}")
        linked.wait_for_state("sales", "connected", seconds=30)
    simulator.replace(PHONE)
    account = linked.wait_for_state("sales", "failed")
    assert account["reason"] == "stream-replaced"
    linked.ctl("start", "sales")
    linked.wait_for_state("sales", "connected")


def replacements(tower: Tower) -> int:
    history = tower.rpc("account.get", account="sales")["history"]
    return [step["reason"] for step in history].count("stream-replaced")


def test_an_unknown_failure_code_is_named(linked: Tower, simulator: Simulator) -> None:
    simulator.failure(409, phone=PHONE)
    simulator.drop(PHONE)
    account = linked.wait_for_state("sales", "failed")
    assert account["reason"] == "connect-failure-409"
    simulator.failure(None, phone=PHONE)
    linked.ctl("start", "sales")
    linked.wait_for_state("sales", "connected")


@pytest.mark.parametrize("code", [503, 500])
def test_a_busy_server_is_retried(linked: Tower, simulator: Simulator, code: int) -> None:
    simulator.failure(code, phone=PHONE)
    simulator.drop(PHONE)
    linked.wait_for_state("sales", "reconnecting")
    simulator.failure(None, phone=PHONE)
    linked.wait_for_state("sales", "connected", seconds=40)


@pytest.mark.parametrize(
    "stanza",
    [
        {
            "tag": "receipt",
            "attrs": {"type": "server-error", "from": f"{STRANGER}@s.whatsapp.net", "id": "1"},
        },
        {
            "tag": "chatstate",
            "attrs": {"from": f"{STRANGER}@s.whatsapp.net"},
            "content": [{"tag": "dreaming", "attrs": {}}],
        },
        {"tag": "presence", "attrs": {"from": f"{STRANGER}@s.whatsapp.net", "type": "somewhere"}},
        {"tag": "nobody-knows-this", "attrs": {"id": "1"}},
    ],
    ids=["receipt", "chat-presence", "presence", "unknown"],
)
def test_odd_stanzas_leave_the_session_alive(
    linked: Tower, simulator: Simulator, stanza: dict[str, object]
) -> None:
    simulator.stanza(PHONE, stanza)
    seen = linked.account("sales")["last_seen_at"]
    wait_for(lambda: linked.account("sales")["last_seen_at"] > seen, what="it still answers")
    assert linked.account("sales")["state"] == "connected"


def test_what_makes_the_library_deaf_ends_the_worker_and_a_successor_hears(
    linked: Tower, simulator: Simulator
) -> None:
    victim = linked.account("sales")["worker"]["pid"]
    simulator.fail_login(PHONE, 499, times=1)
    simulator.drop(PHONE)
    wait_for(lambda: (linked.account("sales")["worker"] or {}).get("pid") not in (None, victim), seconds=30)
    linked.wait_for_state("sales", "connected", seconds=40)


def test_a_restart_of_the_server_is_survived(tower: Tower, simulator: Simulator, touched: None) -> None:
    tower.link(simulator, "sales", PHONE)
    simulator.restart()
    tower.wait_for_state("sales", "connected", seconds=60)
    simulator.wait_online(PHONE)


def test_a_slow_server_is_no_fault(linked: Tower, simulator: Simulator) -> None:
    simulator.slow(700)
    simulator.drop(PHONE)
    linked.wait_for_state("sales", "connected", seconds=60)
    simulator.slow(0)


def test_a_worker_over_its_memory_is_replaced(linked: Tower, simulator: Simulator) -> None:
    used = max(linked.account(name)["worker"]["memory_bytes"] for name in ("sales", BYSTANDER))
    limit_mb = (used >> 20) + 12
    linked.config.write_text(CONFIG.replace("[workers]", f"[workers]\nmemory_max_mb = {limit_mb}"))
    linked.ctl("reload")
    victim = linked.account("sales")["worker"]["pid"]

    def grow() -> bool:
        """Have one worker swallow what is large, as long as it is not too large itself."""
        account = linked.rpc("account.get", account="sales")
        worker = account["account"]["worker"] or {"pid": None}
        if worker["pid"] == victim and worker["memory_bytes"] >> 20 <= limit_mb:
            # It may have gone since we looked.
            with contextlib.suppress(SimulatorError):
                simulator.stanza(PHONE, LARGE)
        return "worker-memory" in [step["reason"] for step in account["history"]]

    wait_for(grow, seconds=60, what="the worker is replaced")
    linked.wait_for_state("sales", "connected")
    assert linked.account("sales")["worker"]["pid"] != victim


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"HTTPS_PROXY": "http://nobody.invalid:3128"}, "dns"),
        ({"HTTPS_PROXY": "http://127.0.0.1:1"}, "proxy"),
        ({"SSL_CERT_FILE": "/dev/null"}, "tls"),
    ],
    ids=["dns", "proxy", "tls"],
)
def test_what_keeps_us_from_whatsapp_is_named(
    tower: Tower, simulator: Simulator, touched: None, environment: dict[str, str], reason: str
) -> None:
    good = dict(tower.environment)
    tower.link(simulator, "sales", PHONE)
    tower.terminate()
    tower.environment = good | environment
    tower.start()
    account = wait_for_reason(tower, reason)
    assert account["state"] == "reconnecting"
    assert account["action"]
    tower.terminate()
    tower.environment = good
    tower.start()
    tower.wait_for_state("sales", "connected")


def test_the_version_presented_to_whatsapp_is_the_one_that_we_tell(
    tower: Tower, simulator: Simulator
) -> None:
    tower.ctl("add", "sales")
    tower.rpc("account.qr", account="sales", wait_seconds=20)
    seen = [connection["version"] for connection in simulator.log()["connections"]]
    assert seen == [tower.rpc("daemon.version")["whatsapp_version"]]
