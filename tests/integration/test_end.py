"""How towerd ends, by request and by force, and what is there afterwards."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.integration.towerd import Towerd

LONGEST_SECONDS = 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_in_order(towerd: Towerd, number: signal.Signals) -> None:
    towerd.start()
    assert towerd.end(number) == 0
    assert not towerd.socket.exists()
    assert "Traceback" not in towerd.said()
    assert not towerd.database.with_name("tower.db-wal").exists(), "the log is folded in"


def test_clients_that_wait_do_not_hold_it_up(towerd: Towerd) -> None:
    towerd.start()
    towerd.add("alpha")
    with towerd.connect() as waiting, towerd.connect() as listening, towerd.connect():
        for connection, method, params in (
            (waiting, "account.wait", {"states": ["pairing"], "timeout_seconds": 0}),
            (listening, "event.subscribe", {}),
        ):
            request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            connection.sendall(json.dumps(request).encode() + b"\n")
        assert listening.recv(4096)
        started = time.monotonic()
        assert towerd.end() == 0
        assert time.monotonic() - started < LONGEST_SECONDS
    assert "Traceback" not in towerd.said()


def test_start_and_end_are_events(towerd: Towerd) -> None:
    towerd.start()
    towerd.restart()
    types = [event["type"] for event in towerd.ask("event.list")["events"]]
    assert types == ["daemon.started", "daemon.stopping", "daemon.started"]


def test_kill_leaves_a_socket_that_the_next_start_replaces(towerd: Towerd) -> None:
    towerd.start()
    towerd.end(signal.SIGKILL)
    assert towerd.socket.exists()
    towerd.start()
    assert towerd.ask("daemon.version")["pid"] == towerd.process.pid


def test_what_was_acknowledged_survives_a_kill(towerd: Towerd) -> None:
    towerd.start()
    for name in ("alpha", "beta", "gamma"):
        towerd.add(name)
    towerd.ask("account.set", account="beta", name="delta")
    towerd.ask("account.stop", account="gamma")
    towerd.restart(signal.SIGKILL)
    assert towerd.names() == ["alpha", "delta", "gamma"]
    gamma = towerd.ask("account.get", account="gamma")["account"]
    assert (gamma["state"], gamma["desired"]) == ("stopped", "stopped")


def test_event_ids_rise_over_kills_and_restarts(towerd: Towerd) -> None:
    towerd.start()
    for number, name in ((signal.SIGTERM, "alpha"), (signal.SIGKILL, "beta"), (signal.SIGTERM, "gamma")):
        towerd.add(name)
        towerd.restart(number)
    found = [event["id"] for event in towerd.ask("event.list")["events"]]
    assert found == sorted(set(found))
    assert len(found) > 6
