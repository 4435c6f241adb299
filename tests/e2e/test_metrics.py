"""Every figure exists and moves with what it is about; the text is read by two parsers and linted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.tower import Tower
from tests.exposition import parse, problems
from tests.integration.receiver import Receiver, a_receiver, status
from tests.whatsapp.simulator import Simulator, wait_for
from towerctl.webhook_verifier import verify

PHONE = "491701234567"
GRACE = "491511111111"
SECRET = "ab" * 32
CONFIG = """
[reconnect]
base_seconds = 0.2
[metrics]
textfile = "{directory}/tower.prom"
interval_seconds = 1
[webhook]
retry_seconds = 1
[[webhook.endpoints]]
name = "crm"
url = "{url}"
secret_file = "{directory}/webhook.secret"
allow_private = true
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with a_receiver() as one:
        yield one


@pytest.fixture
def tower(simulator: Simulator, receiver: Receiver) -> Iterator[Tower]:
    one = Tower(simulator)
    one.config.write_text(CONFIG.format(directory=one.directory, url=receiver.url))
    secret = one.directory / "webhook.secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    with one:
        yield one


def figure(text: str, name: str) -> float:
    """Return one sample as Prometheus's own parser reads it."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{key}={said}" for key, said in sample.labels.items())
            if name == (f"{sample.name} {labels}" if labels else sample.name):
                return float(sample.value)
    return 0.0


def wait_for_figure(tower: Tower, name: str, value: float) -> None:
    wait_for(lambda: figure(tower.ctl("metrics"), name) == value, seconds=40, what=f"{name} is {value}")


def test_every_figure_moves_with_what_it_is_about(
    tower: Tower, simulator: Simulator, receiver: Receiver
) -> None:
    before = tower.ctl("metrics")
    assert figure(before, "tower_pairings_total outcome=linked") == 0
    receiver.behaviour = status(500)
    tower.link(simulator, "sales", PHONE)
    simulator.contact(GRACE, "Grace")
    for name in (
        *("tower_accounts state=connected", "tower_accounts_by_health level=healthy"),
        *("tower_time_to_qr_seconds_count", "tower_scan_to_connected_seconds_count"),
        *("tower_scan_to_phone_seconds_count", "tower_pairings_total outcome=linked"),
        *("tower_qrs_total", "tower_workers", "tower_rpc_seconds_count method=account.add"),
    ):
        wait_for_figure(tower, name, 1)
    assert figure(tower.ctl("metrics"), "tower_workers_memory_bytes") > 10e6
    simulator.deliver(PHONE, GRACE, "hello")
    wait_for_figure(tower, "tower_messages_total what=message-received", 1)
    tower.ctl("send", "sales", "--to", f"+{GRACE}", "--wait", "hello")
    wait_for_figure(tower, "tower_messages_total what=message-sent", 1)
    assert figure(tower.ctl("metrics"), "tower_texts_sent_today") == 1
    simulator.refuse()
    simulator.drop()
    tower.wait_for_state("sales", "reconnecting")
    tower.ctl("send", "sales", "--to", f"+{GRACE}", "later")
    assert figure(tower.ctl("metrics"), "tower_texts_waiting") == 1
    simulator.refuse(on=False)
    wait_for_figure(tower, "tower_reconnects_total", 1)
    wait_for_figure(tower, "tower_texts_waiting", 0)
    exits = figure(tower.ctl("metrics"), "tower_worker_exits_total cause=worker-lost")
    (worker,) = tower.workers()
    os.kill(worker, 9)
    wait_for_figure(tower, "tower_worker_exits_total cause=worker-lost", exits + 1)
    tower.run("show", "nobody")
    wait_for_figure(tower, "tower_rpc_errors_total slug=account-not-found", 1)
    failed = "tower_webhook_deliveries_total endpoint=crm,outcome=failed"
    wait_for(lambda: figure(tower.ctl("metrics"), failed) > 0, what="a delivery failed")
    receiver.behaviour = receiver.usual
    delivered = "tower_webhook_deliveries_total endpoint=crm,outcome=delivered"
    wait_for(lambda: figure(tower.ctl("metrics"), delivered) > 5, seconds=60, what="deliveries")
    wait_for(
        lambda: not tower.rpc("webhook.deliveries", state="queued")["deliveries"],
        seconds=60,
        what="nothing waits",
    )
    check(tower.ctl("metrics"))
    # The endpoint was told of the messages, and never of their words.
    told = [one for one in receiver.taken if one.event["type"] in ("message.received", "message.sent")]
    assert len(told) == 3
    for request in told:
        verify(SECRET, request.headers, request.body)
        assert b"hello" not in request.raw
    file = tower.directory / "tower.prom"
    wait_for(lambda: figure(read(file), delivered) > 5, what="the file has it, too")
    check(read(file))
    assert file.stat().st_mode & 0o777 == 0o644


def read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def check(text: str) -> None:
    """Hold a text against the lint, and two parsers against each other."""
    assert problems(text) == []
    ours = {
        (name, *sorted(labels.items())): value
        for family in parse(text)
        for name, labels, value in family.samples
    }
    theirs = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert ours == theirs
    assert len(ours) > 100
    for secret in ("sales", PHONE, GRACE, "hello", "@s.whatsapp.net", SECRET):
        assert secret not in text
