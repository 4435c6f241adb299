"""Command lines of the manual pages, run as they stand there, as far as they harm nothing; and README.md."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.towerd import DEADLINE_SECONDS, Towerd, environment
from tests.rules.manuals import PAGES, examples
from tests.rules.shell import commands

HARMLESS = {"list", "show", "add", "audit", "rpc", "status", "events", "messages"}
# What goes on for ever, or needs a WhatsApp.
NOT_HERE = {"--follow", "--phone", "--qr"}


def calls() -> list[list[str]]:
    found = [call for page in PAGES for block in examples(page) for call in commands(block)]
    return [call for call in found if HARMLESS & set(call) and not NOT_HERE & set(call)]


def without_socket(call: list[str]) -> list[str]:
    return call[2:] if call[0] == "--socket" else call


def test_there_are_some() -> None:
    assert len({call[0] for call in calls()}) >= 4


@pytest.fixture
def house(towerd: Towerd) -> Towerd:
    towerd.start()
    towerd.add("sales")
    return towerd


def test_each_is_done(house: Towerd) -> None:
    ended = {}
    for call in calls():
        done = subprocess.run(
            [sys.executable, "-m", "towerctl", *without_socket(call)],
            env=environment(house.directory, TOWER_SOCKET=str(house.socket)),
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        ended[" ".join(call)] = (done.returncode, done.stderr if done.returncode else "")
    assert {call: how for call, how in ended.items() if how != (0, "")} == {}


README = Path(__file__).parents[2] / "README.md"
# What stands under them depends on the state.
PARTS = ("pairing", "reconnect", "worker")


def labels(shown: str) -> list[str]:
    found = re.findall(r"^([a-z ]+):", shown, re.MULTILINE)
    return [one for one in found if not one.startswith(PARTS)]


def test_an_account_is_shown_as_in_the_readme(house: Towerd) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "towerctl", "show", "sales"],
        env=environment(house.directory, TOWER_SOCKET=str(house.socket)),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=True,
    )
    _, _, session = README.read_text(encoding="utf-8").partition("$ towerctl show sales\n")
    assert labels(done.stdout) == labels(session.partition("\n\n")[0])
