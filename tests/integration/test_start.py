"""How towerd starts, and how it says that it does not."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys

import pytest

from tests.integration.towerd import Towerd, environment
from towerd import __version__

EXIT_FAILED, EXIT_USAGE, EXIT_STATE_HELD, EXIT_CONFIG = 1, 2, 75, 78


def lines_of(text: str) -> list[str]:
    """Return the lines of a refusal; each is the daemon's own, none a traceback's."""
    lines = text.splitlines()
    assert lines
    assert all(line.startswith("towerd: ") for line in lines), text
    return [line.removeprefix("towerd: ") for line in lines]


def test_it_serves_and_everything_it_makes_is_private(towerd: Towerd) -> None:
    before = os.umask(0o000)
    try:
        towerd.start()
    finally:
        os.umask(before)
    version = towerd.ask("daemon.version")
    assert (version["version"], version["pid"]) == (__version__, towerd.process.pid)
    assert stat.S_IMODE(towerd.socket.stat().st_mode) == 0o600
    made = [towerd.state, *towerd.state.rglob("*")]
    assert len(made) > 3
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in made if path.stat().st_mode & 0o077} == {}


def test_second_daemon_on_the_same_state_names_the_first_and_leaves_it_alone(towerd: Towerd) -> None:
    towerd.start()
    second = towerd.refuse("--socket", str(towerd.directory / "other.sock"))
    assert second.returncode == EXIT_STATE_HELD
    (line,) = lines_of(second.stderr)
    assert str(towerd.process.pid) in line
    assert str(towerd.state) in line
    assert not (towerd.directory / "other.sock").exists()
    assert towerd.ask("daemon.version")["pid"] == towerd.process.pid


BAD = """
[pairing]
timeout_seconds = "long"
[reconnect]
jitter = 2.0
[nonsense]
"""


@pytest.mark.parametrize("options", [[], ["--check-config"]])
def test_bad_configuration_is_told_whole_and_nothing_starts(towerd: Towerd, options: list[str]) -> None:
    towerd.config.write_text(BAD)
    refused = towerd.refuse(*options)
    assert refused.returncode == EXIT_CONFIG
    lines = lines_of(refused.stderr)
    assert len(lines) == 3
    assert all(str(towerd.config) in line for line in lines)
    for key in ("pairing.timeout_seconds", "reconnect.jitter", "nonsense"):
        assert any(key in line for line in lines)
    assert not towerd.state.exists()


def test_good_configuration_is_checked_without_starting(towerd: Towerd) -> None:
    towerd.config.write_text("[pairing]\ntimeout_seconds = 60\n")
    checked = towerd.refuse("--check-config")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert str(towerd.config) in checked.stdout
    assert not towerd.state.exists()


def test_named_configuration_that_is_not_there_is_refused(towerd: Towerd) -> None:
    refused = towerd.refuse("--config", "/nonexistent/tower.toml")
    assert refused.returncode == EXIT_CONFIG
    assert "/nonexistent/tower.toml" in refused.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--socket", "/tmp/" + "x" * 200], "longer than 107 bytes"),
        (["--state-dir", "/tmp/a?b"], "must not contain"),
    ],
)
def test_path_that_is_not_possible_is_a_usage_error(towerd: Towerd, options: list[str], words: str) -> None:
    refused = towerd.refuse(*options)
    assert refused.returncode == EXIT_USAGE
    (line,) = lines_of(refused.stderr)
    assert words in line


def test_without_a_runtime_directory_a_socket_is_asked_for(towerd: Towerd) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "towerd", "--state-dir", str(towerd.state)],
        env=environment(towerd.directory),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert refused.returncode == EXIT_USAGE
    (line,) = lines_of(refused.stderr)
    assert "XDG_RUNTIME_DIR" in line
    assert "--socket" in line


@pytest.mark.parametrize("options", [["--unheard-of"], ["--log-level", "loud"], ["extra"]])
def test_option_that_does_not_exist_is_a_usage_error(towerd: Towerd, options: list[str]) -> None:
    refused = towerd.refuse(*options)
    assert refused.returncode == EXIT_USAGE
    assert "usage: towerd" in refused.stderr


def test_version_names_the_library_too(towerd: Towerd) -> None:
    assert towerd.refuse("--version").stdout == f"towerd {__version__} (neonize 0.5.2)\n"


def test_file_in_the_way_of_the_state_directory_is_named(towerd: Towerd) -> None:
    towerd.state.write_text("precious")
    refused = towerd.refuse()
    assert refused.returncode == EXIT_FAILED
    (line,) = lines_of(refused.stderr)
    assert str(towerd.state) in line
    assert towerd.state.read_text() == "precious"


@pytest.mark.parametrize("place", ["/proc/tower", "/dev/null/tower"])
def test_state_directory_that_cannot_be_made_is_named(towerd: Towerd, place: str) -> None:
    refused = towerd.refuse("--state-dir", place)
    assert refused.returncode == EXIT_FAILED
    (line,) = lines_of(refused.stderr)
    assert place in line


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not stop root")
def test_state_directory_that_may_not_be_written_is_named(towerd: Towerd) -> None:
    towerd.state.mkdir(mode=0o500)
    refused = towerd.refuse()
    assert refused.returncode == EXIT_FAILED
    (line,) = lines_of(refused.stderr)
    assert str(towerd.state) in line
    assert "Permission denied" in line


def test_directory_in_place_of_the_database_is_named_and_left_alone(towerd: Towerd) -> None:
    towerd.database.mkdir(parents=True)
    refused = towerd.refuse()
    assert refused.returncode == EXIT_FAILED
    assert "tower.db" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert towerd.database.is_dir()


@pytest.mark.parametrize("what", ["listener", "file", "directory"])
def test_what_is_in_the_way_of_the_socket_is_named_and_left_alone(towerd: Towerd, what: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        match what:
            case "listener":
                listener.bind(str(towerd.socket))
                listener.listen()
            case "file":
                towerd.socket.write_text("precious")
            case "directory":
                towerd.socket.mkdir()
        inode = towerd.socket.stat().st_ino
        refused = towerd.refuse("--log-level", "error")
        assert refused.returncode == EXIT_FAILED
        (line,) = lines_of(refused.stderr)
        assert line.startswith(str(towerd.socket))
        assert towerd.socket.stat().st_ino == inode


def test_socket_in_a_place_that_cannot_be_made_is_named(towerd: Towerd) -> None:
    refused = towerd.refuse("--log-level", "error", "--socket", "/proc/tower/s.sock")
    assert refused.returncode == EXIT_FAILED
    (line,) = lines_of(refused.stderr)
    assert "/proc/tower" in line


def test_other_daemon_with_its_own_state_is_no_hindrance(towerd: Towerd) -> None:
    towerd.start()
    with_own = Towerd(towerd.directory / "b")
    with_own.directory.mkdir()
    try:
        with_own.start()
        with_own.add("alpha")
        assert towerd.names() == []
    finally:
        with_own.close()


def test_paths_come_from_the_environment(towerd: Towerd) -> None:
    state = towerd.directory / "elsewhere"
    with towerd.log.open("ab") as log:
        towerd.process = subprocess.Popen(
            [sys.executable, "-m", "towerd"],
            env=environment(
                towerd.directory,
                TOWER_SOCKET=str(towerd.socket),
                TOWER_STATE_DIR=str(state),
                XDG_RUNTIME_DIR="/x",
            ),
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    towerd.wait()
    assert towerd.ask("daemon.status")["state_dir"] == str(state)
