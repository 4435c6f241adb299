"""`towerctl doctor` on a real daemon: each thing is broken by itself, seen, and mended by its command."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.tower import BIN
from tests.integration.callers import OWNER, STRANGER, Caller, let_everybody_in, needs_root
from tests.integration.towerd import DEADLINE_SECONDS, Towerd, environment
from tests.unit.sessions.stores import make_store
from tests.unit.towerd.builders import account_id
from tests.whatsapp.simulator import wait_for

Finding = dict[str, Any]


def examine(towerd: Towerd, *options: str) -> tuple[int, list[Finding]]:
    """Return exit status and findings."""
    done = subprocess.run(
        [BIN / "towerctl", "--socket", str(towerd.socket), "doctor", "--json", *options],
        env=environment(towerd.directory),
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_SECONDS,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)["findings"]


def of(towerd: Towerd, check: str) -> list[Finding]:
    """Return what a check found."""
    return [one for one in examine(towerd)[1] if one["check"] == check]


def levels(towerd: Towerd, check: str) -> list[str]:
    return [one["level"] for one in of(towerd, check)]


def mend(towerd: Towerd, finding: Finding) -> None:
    """Do what a finding says, with this daemon for the one of the system."""
    subprocess.run(
        ["sh", "-c", finding["command"]],
        env=environment(towerd.directory, TOWER_SOCKET=str(towerd.socket))
        | {"PATH": f"{BIN}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
        timeout=DEADLINE_SECONDS,
    )


def behind(towerd: Towerd, **variables: str) -> None:
    """Start the daemon with other variables."""
    towerd.prefix = ["env", *(f"{name}={value}" for name, value in variables.items())]
    towerd.start()


def test_a_daemon_that_lacks_only_whatsapp_says_just_that(towerd: Towerd) -> None:
    towerd.start()
    status, findings = examine(towerd)
    wrong = {one["check"]: one["level"] for one in findings if one["level"] in ("warning", "failure")}
    # Its proxy is the discard port.
    assert wrong == {"reach": "failure", "key": "warning"}
    assert status == 2


# --- files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["state/tower.db", "state", "tower.toml"])
def test_a_file_that_is_open_to_others_is_seen_and_mended(towerd: Towerd, name: str) -> None:
    towerd.config.touch()
    towerd.start()
    assert set(levels(towerd, "permissions")) == {"ok"}
    path = towerd.directory / name
    path.chmod(path.stat().st_mode | 0o066)
    (finding,) = [one for one in of(towerd, "permissions") if one["level"] == "failure"]
    assert str(path) in finding["line"]
    mend(towerd, finding)
    assert set(levels(towerd, "permissions")) == {"ok"}


@pytest.fixture
def small_disk(towerd: Towerd) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    towerd.state.mkdir(mode=0o700)
    options = "size=64m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", towerd.state], check=True)
    try:
        yield towerd.state
    finally:
        towerd.close()
        subprocess.run(["umount", "--lazy", towerd.state], check=True)


def fill(file: Path) -> None:
    """Write until there is no room."""
    with file.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(65536))


def test_a_disk_that_fills_is_a_warning_then_a_failure_and_a_full_one_is_named(
    towerd: Towerd, small_disk: Path
) -> None:
    towerd.start()
    assert levels(towerd, "disk") == ["warning"]
    (small_disk / "most").write_bytes(bytes(40 * 1024 * 1024))
    (disk,) = of(towerd, "disk")
    assert (disk["level"], disk["command"]) == ("failure", f"df -h {small_disk}")
    fill(small_disk / "filler")
    towerd.exchange("account.add", name="sales", pair=False)
    (disk,) = of(towerd, "disk")
    assert disk["line"] == f"{small_disk} cannot be written: No space left on device"
    for name in ("filler", "most"):
        (small_disk / name).unlink()
    assert levels(towerd, "disk") == ["warning"]


def test_a_database_that_is_damaged_while_it_runs_is_seen_and_mended_by_a_restart(towerd: Towerd) -> None:
    towerd.start()
    towerd.add("sales")
    towerd.restart()
    assert levels(towerd, "database") == ["ok"]
    with towerd.database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    (finding,) = of(towerd, "database")
    assert finding["level"] == "failure"
    # By hand there is nobody else who would start it again.
    assert towerd.process is not None
    mend(towerd, finding)
    assert towerd.process.wait(DEADLINE_SECONDS) == 0
    towerd.start()
    assert levels(towerd, "database") == ["ok"]
    # And the daemon complains of what it had to do.
    (problem,) = of(towerd, "problems")
    assert (problem["level"], "was damaged" in problem["line"]) == ("warning", True)


def test_a_store_that_is_damaged_while_nobody_uses_it_is_seen(towerd: Towerd) -> None:
    # Without an account: the start takes it up.
    one = account_id(7)
    store = make_store(towerd.state / "sessions", one)
    for directory in (towerd.state, towerd.state / "sessions", store.parent):
        directory.chmod(0o700)
    towerd.start()
    towerd.ask("account.stop", account=one)
    assert levels(towerd, "stores") == ["ok"]
    store.write_bytes(b"no database" * 1000)
    damaged, _ = of(towerd, "stores")
    assert damaged["level"] == "failure"
    assert "the store is damaged" in damaged["line"]
    towerd.ask("account.unpair", account=one)
    assert levels(towerd, "stores") == ["ok"]


# --- the way to WhatsApp ---------------------------------------------------------------------------------


def test_a_proxy_whose_name_nobody_has_is_seen(towerd: Towerd) -> None:
    behind(towerd, HTTPS_PROXY="http://ann:secret@proxy.invalid:3128")
    status, findings = examine(towerd)
    seen = {one["check"]: one for one in findings}
    assert status == 2
    assert "proxy.invalid cannot be resolved" in seen["dns"]["line"]
    assert seen["dns"]["command"] == "getent ahosts proxy.invalid"
    assert seen["reach"]["level"] == "failure"
    assert "secret" not in json.dumps(findings)


def test_a_proxy_that_refuses_is_seen_and_one_that_hangs_holds_nobody_up(towerd: Towerd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        behind(towerd, HTTPS_PROXY=f"http://127.0.0.1:{port}")
        answer: list[tuple[int, list[Finding]]] = []
        asking = threading.Thread(target=lambda: answer.append(examine(towerd)))
        asking.start()
        # A line of the doctor's is there, and nobody answers it; the daemon goes on meanwhile.
        silent.settimeout(DEADLINE_SECONDS)
        line, _ = silent.accept()
        towerd.add("sales")
        asking.join(DEADLINE_SECONDS)
        line.close()
    (_, findings), *_ = answer
    (reach,) = [one for one in findings if one["check"] == "reach"]
    assert reach["line"].endswith(f"the proxy 127.0.0.1:{port} does not answer")
    assert "connection refused" in of(towerd, "reach")[0]["line"]


def test_roots_that_are_not_there_are_seen(towerd: Towerd) -> None:
    behind(towerd, SSL_CERT_FILE="/nowhere/roots.pem")
    (finding,) = of(towerd, "certificates")
    assert finding["level"] == "failure"
    assert "/nowhere/roots.pem cannot be read" in finding["line"]


# --- the daemon ------------------------------------------------------------------------------------------


def test_a_configuration_that_waits_is_seen_and_mended_and_a_broken_one_is_seen(towerd: Towerd) -> None:
    towerd.config.write_text("")
    towerd.start()
    assert levels(towerd, "configuration") == ["ok"]
    towerd.config.write_text("[truth]\nprobe_seconds = 5\n")
    finding = wait_for_level(towerd, "configuration", "warning")
    assert finding["command"] == "towerctl reload"
    mend(towerd, finding)
    assert levels(towerd, "configuration") == ["ok"]
    towerd.config.write_text("[truth]\nnonsense = 5\n")
    finding = wait_for_level(towerd, "configuration", "failure")
    assert finding["command"] == f"towerd --check-config --config {towerd.config}"
    assert "truth.nonsense: unknown key" in finding["line"]


def test_a_declared_account_that_is_not_right_is_seen_and_its_command_says_what_is_wrong(
    towerd: Towerd,
) -> None:
    towerd.config.touch(mode=0o600)
    declared = towerd.directory / "accounts.d"
    declared.mkdir()
    (declared / "shop.toml").write_text("ownr = 3\n")
    towerd.start()
    finding = wait_for_level(towerd, "problems", "warning")
    assert finding["line"].startswith(f"{declared}/shop.toml: ownr: unknown key")
    done = subprocess.run(
        ["sh", "-c", finding["command"]],
        env=environment(towerd.directory) | {"PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=True,
    )
    assert finding["line"] in done.stderr
    (declared / "shop.toml").write_text('display_name = "Shop"\n')
    wait_for_level(towerd, "problems", "ok")
    assert towerd.names() == ["shop"]


def wait_for_level(towerd: Towerd, check: str, level: str) -> Finding:
    """Wait until the daemon has seen what was changed, and return the finding."""

    def look() -> Finding | None:
        return next((one for one in of(towerd, check) if one["level"] == level), None)

    found = wait_for(look, seconds=DEADLINE_SECONDS, what=f"{check}: {level}")
    assert found is not None
    return found


def test_people_who_cannot_be_told_are_seen(towerd: Towerd) -> None:
    towerd.config.write_text('[notify]\ncommand = ["/nowhere/alert"]\n')
    towerd.start()
    (finding,) = of(towerd, "notify")
    assert (finding["level"], finding["command"]) == ("failure", "ls -lL /nowhere/alert")


def test_a_daemon_that_is_mute_or_dead_is_seen_from_outside(towerd: Towerd) -> None:
    towerd.start()
    assert towerd.process is not None
    towerd.process.send_signal(signal.SIGSTOP)
    status, findings = examine(towerd, "--timeout", "1")
    towerd.process.send_signal(signal.SIGCONT)
    assert status == 2
    assert any("is mute" in one["line"] for one in findings if one["level"] == "failure")
    assert levels(towerd, "daemon") == ["ok"]
    towerd.end(signal.SIGKILL)
    (finding,) = of(towerd, "socket")
    assert finding["line"].endswith("is refused: no daemon listens there")
    assert finding["command"] == f"towerd --socket {towerd.socket}"


# --- versions, keys, workers -----------------------------------------------------------------------------


def test_a_daemon_of_another_version_is_seen_and_mended_by_a_restart(towerd: Towerd) -> None:
    # As after an upgrade: what runs is older than what lies on the disk.
    older = towerd.directory / "older"
    older.mkdir()
    (older / "sitecustomize.py").write_text("import towerd\ntowerd.__version__ = '0.0.9'\n")
    behind(towerd, PYTHONPATH=str(older))
    (finding,) = of(towerd, "version")
    assert (finding["level"], finding["line"].startswith("towerd 0.0.9 runs, ")) == ("warning", True)
    assert towerd.process is not None
    mend(towerd, finding)
    assert towerd.process.wait(DEADLINE_SECONDS) == 0
    towerd.prefix = []
    towerd.start()
    assert levels(towerd, "version") == ["ok"]


def test_a_key_that_is_not_there_is_a_warning_until_one_is_given(towerd: Towerd) -> None:
    # What is sealed lies plain in memory, which has to be one.
    with tempfile.TemporaryDirectory(prefix="tower-memory-", dir="/dev/shm") as memory:
        give_a_key(towerd, memory)


def give_a_key(towerd: Towerd, memory: str) -> None:
    behind(towerd, XDG_RUNTIME_DIR=memory)
    (finding,) = of(towerd, "key")
    assert (finding["level"], finding["command"]) == ("warning", "man 8 towerd")
    key = towerd.directory / "store.key"
    generate = [BIN / "towerctl", "key", "generate", "-o", key]
    subprocess.run(generate, check=True, capture_output=True, timeout=DEADLINE_SECONDS)
    towerd.config.write_text(f'[stores]\nkey_file = "{key}"\n')
    towerd.restart()
    assert levels(towerd, "key") == ["ok"]
    key.unlink()
    assert towerd.end() == 0
    refused = towerd.refuse()
    assert refused.returncode == 78
    assert str(key) in refused.stderr


# --- other callers ---------------------------------------------------------------------------------------


@needs_root
def test_an_owner_who_is_no_user_any_more_is_seen(towerd: Towerd) -> None:
    towerd.start()
    let_everybody_in(towerd)
    towerd.add("mine")
    assert levels(towerd, "owners") == ["ok"]
    Caller(towerd, OWNER).add("sales")
    (finding,) = of(towerd, "owners")
    assert (finding["level"], finding["line"]) == (
        "warning",
        f"no user has the number {OWNER}, which owns {OWNER}/sales",
    )


@needs_root
def test_a_caller_who_is_no_admin_is_told_of_the_accounts_that_are_seen_and_of_nothing_else(
    towerd: Towerd,
) -> None:
    towerd.start()
    let_everybody_in(towerd)
    Caller(towerd, OWNER).add("sales")
    stranger = Caller(towerd, STRANGER)
    stranger.add("own")
    answer = stranger.ask("daemon.doctor")
    assert answer["complete"] is False
    assert {one["check"] for one in answer["findings"]} == {"workers", "qr", "account"}
    assert [one["account"] for one in answer["findings"] if one["check"] == "account"] == ["own"]
    assert "sales" not in json.dumps(answer)
    assert towerd.ask("daemon.doctor")["complete"] is True
