"""The command line against a real daemon: pairing codes, audit, release, watch, events over a kill."""

from __future__ import annotations

import contextlib
import json
import queue
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.tower import Tower
from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"
OTHER_PHONE = "491707654321"
CONFIG = """
[reconnect]
library_seconds = 1
base_seconds = 0.3
cap_seconds = 2
[fleet]
canary_seconds = 60
"""
_LINE_SECONDS = 40.0


@pytest.fixture
def tower(simulator: Simulator) -> Iterator[Tower]:
    with Tower(simulator, config=CONFIG) as started:
        yield started


class Lines:
    """The lines of a towerctl that goes on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen: list[str] = []
        self._queue: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def until(self, found: Callable[[str], object]) -> str:
        """Return the next line that is as wanted."""
        while True:
            try:
                line = self._queue.get(timeout=_LINE_SECONDS)
            except queue.Empty:
                raise AssertionError(self.seen) from None
            self.seen.append(line)
            if found(line):
                return line

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))


@contextlib.contextmanager
def running(tower: Tower, *arguments: str) -> Iterator[Lines]:
    lines = Lines(tower.spawn_ctl(*arguments))
    try:
        yield lines
    finally:
        lines.close()


def printed_code(out: str) -> str:
    found = re.search(r"^code: ([0-9A-Z]{4}-[0-9A-Z]{4})$", out, re.MULTILINE)
    assert found, out
    return found[1]


def audits(tower: Tower, *arguments: str) -> list[dict[str, Any]]:
    return list(json.loads(tower.ctl("audit", "--json", *arguments))["audits"])


def test_an_account_is_linked_by_the_code_that_is_printed(tower: Tower, simulator: Simulator) -> None:
    ran = tower.run("add", "sales", "--phone", f"+{PHONE}")
    assert ran.returncode == 0, ran.stderr
    code = printed_code(ran.stdout)
    assert "Link with phone number instead" in ran.stderr
    assert re.search(r"^valid until 20.*Z \(\d+[sm] left\)$", ran.stderr, re.MULTILINE)
    again = re.search(r"the current one: towerctl (.*)$", ran.stderr, re.MULTILINE)
    assert again, ran.stderr
    assert printed_code(tower.ctl(*again[1].split())) == code
    simulator.link_code(code, PHONE)
    tower.ctl("wait", "sales", "--for", "connected,failed", "--timeout", "30")
    assert tower.account("sales")["phone"] == f"+{PHONE}"
    assert code not in json.dumps(audits(tower))


def test_wait_ends_as_promised(tower: Tower, simulator: Simulator) -> None:
    tower.ctl("add", "sales", "--no-pair")
    tower.ctl("wait", "sales", "--for", "connected,unpaired")
    tower.ctl("wait", "sales", "--for", "connected,connecting", status=8)
    tower.ctl("wait", "nobody", "--for", "connected", status=5)
    tower.ctl("pair", "sales")
    tower.ctl("wait", "sales", "--for", "connected", "--timeout", "0.5", status=7)
    waiting = tower.spawn_ctl("wait", "sales", "--for", "connected")
    tower.ctl("remove", "sales", "--yes")
    waiting.communicate(timeout=30)
    assert waiting.returncode == 5


def test_audit_has_who_did_what(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    tower.ctl("stop", "sales")
    tower.ctl("start", "sales")
    tower.wait_for_state("sales", "connected")
    rows = audits(tower)
    actions = [row["action"] for row in rows]
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert {"account.add", "account.qr", "paired", "account.stop", "account.start"} <= set(actions)
    assert "account.list" not in actions
    (paired,) = [row for row in rows if row["action"] == "paired"]
    assert paired["source"] == "phone"
    (stop,) = audits(tower, "--account", "sales", "--action", "account.stop")
    assert (stop["source"], stop["account"]["name"], stop["result"]) == ("cli", "sales", "done")
    assert [row["id"] for row in audits(tower, "--since", str(stop["id"]))] == [
        row["id"] for row in rows if row["id"] > stop["id"]
    ]
    assert [row["action"] for row in audits(tower, "--limit", "1")] == [actions[-1]]
    header, *lines = tower.ctl("audit").splitlines()
    assert header.split() == ["TIME", "USER", "SOURCE", "ACTION", "ACCOUNT", "RESULT", "DETAIL"]
    assert len(lines) == len(rows)
    account_id = tower.account("sales")["id"]
    tower.ctl("remove", "sales", "--yes")
    assert audits(tower, "--account", account_id)[-1]["action"] == "account.remove"


def test_release_lets_accounts_go_on(tower: Tower, simulator: Simulator) -> None:
    assert tower.ctl("release") == "nothing was held\n"
    for n in (1, 2, 3):
        tower.link(simulator, f"account-{n}", f"49170000000{n}")
    simulator.outdated()
    simulator.drop()
    wait_for(lambda: tower.rpc("daemon.status")["fleet"]["held"] == 2, seconds=30)
    status = tower.run("status")
    assert re.search(
        r"^fleet: +held back: client-outdated, since \d+s, 2 accounts wait, account-\d tries first$",
        status.stdout,
        re.MULTILINE,
    )
    assert "towerctl release" in status.stderr
    simulator.outdated(on=False)
    assert re.search(
        r"^released: account-\d tries now, 2 accounts go on \(held because of client-outdated\)$",
        tower.ctl("release"),
    )
    assert "fleet:" not in tower.ctl("status")
    released = [one["name"] for one in tower.rpc("account.list")["accounts"]]
    assert len(released) == 3
    wait_for(
        lambda: sum(one["state"] == "connected" for one in tower.rpc("account.list")["accounts"]) >= 2,
        seconds=30,
        what="those that were held are connected",
    )
    assert audits(tower, "--action", "daemon.release")[-1]["result"] == "done"


def test_primary_is_shown_and_set(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "first", PHONE)
    tower.link(simulator, "second", OTHER_PHONE)

    def primary() -> dict[str, str]:
        header, *lines = tower.ctl("list").splitlines()
        column = header.split().index("PRIMARY")
        return {line.split()[0]: line.split()[column] for line in lines}

    assert primary() == {"first": "yes", "second": "no"}
    assert tower.ctl("primary", "second").startswith("second: primary account of ")
    assert primary() == {"first": "no", "second": "yes"}


def test_watch_in_a_pipe_sees_a_drop_and_a_reconnect_and_a_restart(
    tower: Tower, simulator: Simulator
) -> None:
    tower.link(simulator, "sales", PHONE)
    with running(tower, "watch") as lines:
        assert lines.until(lambda line: True).endswith("Z sales connected")
        simulator.drop(PHONE)
        lines.until(lambda line: "sales connected → reconnecting (" in line)
        lines.until(lambda line: line.endswith("→ connected"))
        tower.kill()
        tower.start()
        lines.until(lambda line: line.endswith("Z - daemon started"))
        lines.until(lambda line: line.endswith("→ connected"))
        times = [line.split()[0] for line in lines.seen]
        assert times == sorted(times)


def test_watch_in_json_is_the_events(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    with running(tower, "watch", "--json", "-v") as lines:
        assert lines.process.stderr is not None
        while "event.subscribe" not in lines.process.stderr.readline():
            pass
        tower.ctl("stop", "sales")
        stopped = json.loads(lines.until(lambda line: True))
    assert stopped["data"]["new"] == "stopped"
    assert stopped in tower.events("session.state")


def test_following_events_goes_over_kills_without_gap_or_repeat(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    since = tower.events()[2]["id"]
    with running(tower, "events", "--follow", "--json", "--since", str(since)) as lines:
        lines.until(lambda line: json.loads(line)["type"] == "session.connected")
        for _ in range(3):
            simulator.drop(PHONE)
            tower.kill()
            tower.start()
            tower.wait_for_state("sales", "connected")
        last = tower.events()[-1]["id"]
        lines.until(lambda line: json.loads(line)["id"] >= last)
        seen = [json.loads(line) for line in lines.seen]
    assert seen == [one for one in tower.events() if since < one["id"] <= seen[-1]["id"]]
    assert [one["type"] for one in seen].count("daemon.started") == 3


def test_the_page_with_the_qr_loads_itself_anew_and_goes_at_the_end(
    tower: Tower, simulator: Simulator, tmp_path: Path
) -> None:
    page = tmp_path / "link.html"
    tower.ctl("add", "sales")
    with running(tower, "qr", "sales", "-o", str(page), "--follow") as lines:
        wait_for(page.exists, what="the page")
        text = page.read_text()
        assert '<meta http-equiv="refresh"' in text
        assert "<svg" in text
        answer = tower.rpc("account.qr", account="sales", wait_seconds=5)
        assert answer["qr"]["data"] not in text
        simulator.scan(answer["qr"]["data"], PHONE)
        assert lines.process.wait(30) == 0
    assert not page.exists()


def test_a_data_uri_goes_to_a_file_and_to_standard_output(tower: Tower, tmp_path: Path) -> None:
    tower.ctl("add", "sales")
    picture = tmp_path / "qr.uri"
    tower.ctl("qr", "sales", "--format", "datauri", "-o", picture)
    assert picture.read_text().startswith("data:image/png;base64,")
    for arguments in ([], ["-o", "-"]):
        assert tower.ctl("qr", "sales", "--format", "datauri", *arguments).strip() == picture.read_text()
