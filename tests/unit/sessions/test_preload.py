"""What the fork server loads: all that a worker needs of others, and nothing of Go."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sessions import fork_server

LOOK = """
import json, os, sys, threading
from sessions.preload import preload
preload()
before = set(sys.modules)
mapped = open("/proc/self/maps").read()
threads = len(os.listdir("/proc/self/task"))
import sessions.neonize_client
json.dump({
    "before": sorted(before), "after": sorted(sys.modules), "threads": threads,
    "go": "neonize-linux" in mapped,
    "go_after": "neonize-linux" in open("/proc/self/maps").read(),
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def seen() -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOOK], capture_output=True, check=True, timeout=60, text=True
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_library_itself_is_not_loaded_and_there_is_one_thread(seen: dict[str, object]) -> None:
    before = seen["before"]
    assert isinstance(before, list)
    assert "neonize" not in before
    assert "sessions.neonize_client" not in before
    assert (seen["go"], seen["threads"]) == (False, 1)
    assert seen["go_after"] is True


def test_a_worker_loads_nothing_but_the_library_after_that(seen: dict[str, object]) -> None:
    before, after = seen["before"], seen["after"]
    assert isinstance(before, list)
    assert isinstance(after, list)
    own = set(after) - set(before)
    strangers = {name for name in own if not name.startswith("neonize") or name.startswith("neonize.proto")}
    assert strangers == {"sessions.neonize_client"}


@pytest.mark.parametrize("arguments", [[], ["x"], ["-1"], ["3", "4"], ["999"], ["0"], ["²"]])
def test_fork_server_refuses_to_run_from_a_shell(arguments: list[str]) -> None:
    outcome = subprocess.run(
        [sys.executable, "-P", "-m", "sessions.fork_server", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert outcome.returncode == fork_server.EXIT_USAGE
    assert outcome.stderr == "sessions.fork_server is started by towerd\n"
    assert outcome.stdout == ""
