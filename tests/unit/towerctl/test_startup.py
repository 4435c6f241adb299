"""Start-up is light: what `towerctl list` in a pipe does not load."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.unit.towerctl.fake_daemon import DEADLINE_SECONDS, FakeDaemon, account, accounts

HEAVY = (
    "neonize",
    "peewee",
    "asyncio",
    "segno",
    "rich",
    "msgspec",
    "sessions",
    "dataclasses",
    "pathlib",
    "urllib",
    "tempfile",
    "subprocess",
    "importlib.metadata",
    "towerctl.scan",
    "towerd.protocol.errors",
)

SCRIPT = """
import sys
from towerctl.cli import run
status = run(sys.argv[1:])
print("\\n".join(sys.modules), file=sys.stderr)
sys.exit(status)
"""


def loaded_by(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def bare() -> set[str]:
    """What the interpreter loads for itself, .pth files of the environment included."""
    code = "import sys; print(' '.join(sys.modules))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_list_in_a_pipe_loads_nothing_heavy(daemon: FakeDaemon) -> None:
    daemon.prepare("account.list", accounts([account()]))
    loaded = loaded_by("--socket", str(daemon.path), "list") - bare()
    assert not {name for name in HEAVY if name in loaded}


def test_no_command_loads_what_belongs_to_the_daemon() -> None:
    loaded = loaded_by("--help")
    assert not {
        name for name in ("neonize", "peewee", "asyncio", "segno", "msgspec", "rich") if name in loaded
    }


COMPLETION = """
import sys
from towerctl.cli import cli
try:
    cli.main([])
finally:
    print("\\n".join(sys.modules), file=sys.stderr)
"""


def loaded_by_completion(words: str, **environment: str) -> set[str]:
    asked = {
        **os.environ,
        **environment,
        "_TOWERCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = subprocess.run(
        [sys.executable, "-c", COMPLETION],
        env=asked,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=True,
    )
    return set(done.stderr.split())


def test_completing_a_command_loads_no_command_and_asks_nobody() -> None:
    loaded = loaded_by_completion("towerctl re") - bare()
    assert "towerctl.cli" in loaded
    assert not {name for name in loaded if name.startswith("towerctl.commands.")}
    assert not {name for name in (*HEAVY, "towerctl.client", "towerctl.sockets") if name in loaded}


def test_completing_an_account_loads_nothing_heavy(daemon: FakeDaemon) -> None:
    daemon.prepare("account.list", accounts([account()]))
    loaded = loaded_by_completion("towerctl show sh", TOWER_SOCKET=str(daemon.path)) - bare()
    assert {name for name in loaded if name.startswith("towerctl.commands.")} == {
        "towerctl.commands.accounts"
    }
    assert not {name for name in HEAVY if name in loaded}
