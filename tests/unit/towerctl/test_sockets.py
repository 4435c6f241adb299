"""Which socket is taken, and what is said when none answers."""

from __future__ import annotations

import grp  # noqa: F401 - loaded before the test gives up its rights
import os
import pwd  # noqa: F401
import socket
from pathlib import Path

import pytest

from tests.unit.towerctl.conftest import Tower
from tests.unit.towerctl.fake_daemon import FakeDaemon, Silence, account, accounts, error
from towerctl import sockets
from towerctl.exits import Failure
from towerd.protocol.framing import MAX_SOCKET_PATH_BYTES


@pytest.fixture
def own_path(short_directory: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the caller's own socket."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_directory))
    (short_directory / "tower").mkdir()
    return short_directory / "tower" / "tower.sock"


@pytest.fixture
def system_path(environment: dict[str, str]) -> Path:
    return Path(sockets.SYSTEM_SOCKET)


def named(name: str) -> dict[str, object]:
    return accounts([account(name)])


def stale(path: Path) -> None:
    """Leave a socket behind as a killed daemon does."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def test_the_own_daemon_comes_before_that_of_the_system(
    tower: Tower, own_path: Path, system_path: Path
) -> None:
    with FakeDaemon(own_path) as own, FakeDaemon(system_path) as system:
        own.prepare("account.list", named("own"))
        system.prepare("account.list", named("system"))
        assert "own" in tower("list").out
        assert "own" in tower("--user", "list").out
        assert "system" in tower("--system", "list").out
        assert "system" in tower("--socket", str(system_path), "list").out


def test_the_environment_names_the_only_one(
    tower: Tower, own_path: Path, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOWER_SOCKET", str(short_directory / "named.sock"))
    with FakeDaemon(own_path) as own:
        own.prepare("account.list", named("own"))
        ran = tower("list")
        assert ran.status == 3
        assert "named.sock is absent" in ran.err
        assert "own" in tower("list", "--user").out
        monkeypatch.setenv("TOWER_SOCKET", "")
        assert "own" in tower("list").out


def test_a_stale_socket_is_passed_over_with_a_note(tower: Tower, own_path: Path, system_path: Path) -> None:
    stale(own_path)
    with FakeDaemon(system_path) as system:
        system.prepare("account.list", named("system"))
        ran = tower("list")
        assert "system" in ran.out
        assert ran.err == f"passing over {own_path}: it is refused: no daemon listens there\n"
        assert tower("list", "--json").err == ""
        assert tower("list", "--user").status == 3


def test_no_own_socket_is_nothing_to_speak_of(tower: Tower, own_path: Path, system_path: Path) -> None:
    with FakeDaemon(system_path) as system:
        system.prepare("account.list", named("system"))
        assert tower("list").err == ""


def test_a_socket_of_somebody_else_is_passed_over(
    tower: Tower, own_path: Path, system_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with FakeDaemon(own_path) as own, FakeDaemon(system_path) as system:
        own.prepare("account.list", named("own"))
        system.prepare("account.list", named("system"))
        ran = tower("list")
        assert "system" in ran.out
        assert "not to you" in ran.err
        assert own.requests == []


def test_all_that_was_tried_is_named(tower: Tower, own_path: Path, system_path: Path) -> None:
    stale(own_path)
    ran = tower("list", "-q")
    assert ran.status == 3
    assert ran.err == (
        f"towerctl: towerd cannot be reached: {own_path} is refused: no daemon listens there; "
        f"{system_path} is absent\nhint: systemctl status towerd   (or, by hand: towerd)\n"
    )
    assert {"slug": "unreachable", "exit": 3}.items() <= tower("list", "--json").error.items()


def test_user_without_a_runtime_directory_is_a_usage_error(tower: Tower) -> None:
    ran = tower("--user", "list")
    assert ran.status == 2
    assert "XDG_RUNTIME_DIR" in ran.err


def test_a_path_that_is_too_long_is_named_as_such(
    tower: Tower, own_path: Path, monkeypatch: pytest.MonkeyPatch, system_path: Path
) -> None:
    path = "/" + "\u00fc" * 53 + "x"  # as bytes, not as characters
    assert len(path.encode()) == MAX_SOCKET_PATH_BYTES + 1
    ran = tower("list", "--socket", path)
    assert ran.status == 2
    assert "108 bytes, 107 at most" in ran.err
    assert tower("list", "--socket", path[:-1]).status == 3
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/" + "x" * 120)
    assert tower("list", "--user").status == 2
    with FakeDaemon(system_path) as system:
        system.prepare("account.list", named("system"))
        assert "system" in tower("list").out


def test_what_is_not_a_socket_is_said(tower: Tower, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    ran = tower("list", "--socket", str(file))
    assert (ran.status, "is not a socket" in ran.err) == (3, True)
    assert "is absent" in tower("list", "--socket", str(file / "below")).err


def test_a_forbidden_socket_names_the_group(
    tower: Tower, system_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(self: socket.socket, address: str) -> None:
        raise PermissionError(13, "Permission denied")

    stale(system_path)
    monkeypatch.setattr(socket.socket, "connect", forbid)
    ran = tower("list")
    assert ran.status == 3
    assert f"{system_path} is forbidden to you" in ran.err
    assert "sudo usermod -aG tower $USER" in ran.err
    other = system_path.with_name("other.sock")
    stale(other)
    assert "run towerctl as that user" in tower("list", "--socket", str(other)).err


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become nobody")
def test_a_forbidden_socket_as_another_user(system_path: Path) -> None:
    system_path.parent.chmod(0o755)
    with FakeDaemon(system_path):
        system_path.chmod(0o600)
        os.seteuid(65534)
        try:
            with pytest.raises(Failure, match="is forbidden to you") as failed:
                sockets.open_socket(path=None, scope=None, environment={}, timeout_seconds=1, note=print)
        finally:
            os.seteuid(0)
    assert failed.value.exit_status == 3
    assert failed.value.hint is not None
    assert failed.value.hint.startswith("join group tower")


def test_a_mute_daemon_is_told_from_an_absent_one(tower: Tower, daemon: FakeDaemon) -> None:
    def silent(*_: object) -> None:
        raise Silence

    daemon.prepare("account.list", silent)
    ran = tower("list", "--timeout", "0.2")
    assert ran.status == 3
    assert f"towerd at {daemon.path} is mute: no answer within 0.2 s" in ran.err
    assert "systemctl status towerd" in ran.err


def test_a_daemon_that_never_accepts_is_mute(tower: Tower, short_directory: Path) -> None:
    path = str(short_directory / "full.sock")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(path)
        listener.listen(0)
        waiting.connect(path)
        ran = tower("list", "--socket", path, "--timeout", "0.2")
    assert ran.status == 3
    assert "is mute: the connection was not accepted within 0.2 s" in ran.err


def test_a_daemon_that_ends_meanwhile_is_exit_3(tower: Tower, daemon: FakeDaemon) -> None:
    from tests.unit.towerctl.fake_daemon import HangUp

    def hang_up(*_: object) -> None:
        raise HangUp

    daemon.prepare("account.list", hang_up)
    ran = tower("list")
    assert ran.status == 3
    assert "closed the connection before it answered" in ran.err
    daemon.prepare("account.list", error("shutting-down", "towerd is stopping"))
    assert tower("list").status == 3
