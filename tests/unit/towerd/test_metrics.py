"""Figures: counted from events, in a form that Prometheus's own parser takes, and naming nobody."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.exposition import parse, problems
from tests.rules.manuals import roff
from tests.unit.towerd.builders import settings_of
from tests.unit.towerd.waiting import run, until
from towerd import textfile as textfile_module
from towerd.accounts.records import EventRecord
from towerd.config import Config, MetricsConfig
from towerd.metrics import Metrics
from towerd.textfile import Textfile

NOW = 1_790_000_000.0


class Supervisor:
    """No accounts."""

    keepers: tuple[Any, ...] = ()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Supervisor(), NOW)  # type: ignore[arg-type]


def an_event(event_type: str, time: float = NOW, **data: Any) -> EventRecord:
    return EventRecord(
        id=1,
        time=time,
        type=event_type,
        account_id="a-secretaccount",
        account_name="secretname",
        owner_uid=0,
        data=data,
    )


def state(old: str, new: str, time: float = NOW, reason: str | None = None) -> EventRecord:
    return an_event("session.state", time, old=old, new=new, reason=reason)


def values(metrics: Metrics) -> dict[str, float]:
    """Return every sample by name and labels, as Prometheus's parser reads them."""
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text())
        for sample in family.samples
        if sample.value
    }


def test_a_pairing_is_timed_from_its_beginning_to_the_login(metrics: Metrics) -> None:
    metrics.take(
        [
            state("unpaired", "pairing", NOW),
            an_event("session.qr", NOW + 1.2),
            an_event("session.qr", NOW + 60),
            state("pairing", "authenticated", NOW + 70),
            state("authenticated", "connected", NOW + 71.5),
            an_event("session.connected", NOW + 71.5, phone="+491701234567"),
        ]
    )
    found = values(metrics)
    assert found["tower_scan_to_phone_seconds_sum"] == pytest.approx(1.5, abs=1e-3)
    assert found["tower_qrs_total"] == 2
    assert (found["tower_time_to_qr_seconds_count"], found["tower_time_to_qr_seconds_sum"]) == (
        1,
        pytest.approx(1.2, abs=1e-3),
    )
    assert found["tower_scan_to_connected_seconds_sum"] == pytest.approx(1.5, abs=1e-3)
    assert found["tower_pairings_total outcome=linked"] == 1


def test_a_login_later_on_is_no_pairing(metrics: Metrics) -> None:
    metrics.take([state("connecting", "connected"), an_event("session.connected", phone=None)])
    metrics.take([state("connected", "reconnecting"), state("reconnecting", "connected")])
    found = values(metrics)
    assert "tower_scan_to_connected_seconds_count" not in found
    assert found["tower_reconnects_total"] == 1


@pytest.mark.parametrize("old", ["pairing", "authenticated"])
def test_pairings_that_come_to_nothing_are_counted_by_why(metrics: Metrics, old: str) -> None:
    metrics.take([state("unpaired", "pairing"), state(old, "unpaired", reason="pairing-timeout")])
    assert values(metrics)["tower_pairings_total outcome=pairing-timeout"] == 1


def test_a_clock_that_was_set_back_gives_no_negative_time(metrics: Metrics) -> None:
    metrics.take([state("unpaired", "pairing", NOW), an_event("session.qr", NOW - 100)])
    assert "tower_time_to_qr_seconds_count" not in values(metrics)


def test_answers_are_timed_and_errors_counted(metrics: Metrics) -> None:
    metrics.answered("account.list", 0.002, None)
    metrics.answered("account.get", 0.2, "account-not-found")
    found = values(metrics)
    assert found["tower_rpc_seconds_count method=account.get"] == 1
    assert found["tower_rpc_errors_total slug=account-not-found"] == 1


def test_no_label_names_anybody(metrics: Metrics) -> None:
    metrics.take([an_event("worker.exited", cause="worker-lost"), an_event("message.received")])
    assert "secret" not in metrics.text()
    assert values(metrics)["tower_messages_total what=message-received"] == 1


def test_reasons_with_numbers_and_of_strangers_are_one_series_each(metrics: Metrics) -> None:
    for number in range(500, 510):
        metrics.take([state("pairing", "failed", reason=f"connect-failure-{number}")])
        metrics.take([an_event("worker.exited", cause=f"somebody said {number}")])
    found = values(metrics)
    assert found["tower_pairings_total outcome=connect-failure"] == 10
    assert found["tower_worker_exits_total cause=other"] == 10


def test_there_is_nothing_against_the_figures_at_any_time(metrics: Metrics) -> None:
    assert problems(metrics.text()) == []
    metrics.take([an_event("message.sent"), state("pairing", "unpaired", reason="pairing-timeout")])
    metrics.answered("account.get", 0.2, "account-not-found")
    metrics.attempted("crm", "dead")
    assert problems(metrics.text()) == []
    assert values(metrics)["tower_webhook_deliveries_total endpoint=crm outcome=dead"] == 1


def test_the_manual_lists_every_figure_with_its_labels(metrics: Metrics) -> None:
    metrics.take([an_event("worker.exited", cause="worker-lost")])
    metrics.answered("account.get", 0.2, "account-not-found")
    metrics.attempted("crm", "dead")
    section = roff("towerd.8").partition(".SH METRICS")[2].partition(".SH")[0]
    rows = re.findall(r'^\.BR? (tower_\w+)(?: "{(.*)}")?$', section, re.MULTILINE)
    assert {name: set(filter(None, labels.split(", "))) for name, labels in rows} == {
        family.name: {label for _, labels, _ in family.samples for label in labels} - {"le"}
        for family in parse(metrics.text())
    }


def test_an_event_that_cannot_be_counted_stops_nothing(
    metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    metrics.take([an_event("worker.exited"), an_event("session.qr")])
    assert "could not be counted" in caplog.text


def test_textfile_is_replaced_at_once_and_readable_by_all(tmp_path: Path, metrics: Metrics) -> None:
    path = tmp_path / "tower.prom"
    path.write_text("old")
    textfile_module.replace(path, metrics.text)
    assert path.read_text() == metrics.text()
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_textfile_that_cannot_be_written_is_a_problem_until_it_can(tmp_path: Path, metrics: Metrics) -> None:
    config = MetricsConfig(textfile=str(tmp_path / "later" / "tower.prom"), interval_seconds=1)
    textfile = Textfile(metrics, settings_of(Config(metrics=config)))

    async def scene() -> None:
        task = asyncio.create_task(textfile.run())
        await until(lambda: textfile.problem)
        (tmp_path / "later").mkdir()
        await until(lambda: textfile.problem is None)
        assert (tmp_path / "later" / "tower.prom").exists()
        task.cancel()

    run(scene())
