"""Where things lie: an option, else TOWER_*, else systemd's directories, else the user's own."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from towerd.paths import Paths, PathsError, find_paths

RUNTIME = {"XDG_RUNTIME_DIR": "/run/user/1000"}
SERVICE = {"STATE_DIRECTORY": "/var/lib/tower"}
NAMED = {"TOWER_SOCKET": "/e/s.sock", "TOWER_STATE_DIR": "/e/state", "TOWER_CONFIG": "/e/t.toml"}


def find(environment: dict[str, str], **options: str | None) -> Paths:
    return find_paths(
        **({"socket": None, "state_dir": None, "config": None} | options), environment=environment
    )


def test_run_by_hand_everything_is_the_users_own() -> None:
    paths = find(RUNTIME)
    assert paths.socket == Path("/run/user/1000/tower/tower.sock")
    assert paths.state_dir == platformdirs.user_state_path("tower")
    assert paths.config == platformdirs.user_config_path("tower") / "tower.toml"
    assert (paths.socket_mode, paths.is_config_named) == (0o600, False)


def test_as_a_service_everything_is_the_systems() -> None:
    paths = find(SERVICE)
    assert paths.socket == Path("/run/tower/tower.sock")
    assert paths.state_dir == Path("/var/lib/tower")
    assert paths.config == Path("/etc/tower/tower.toml")
    assert (paths.socket_mode, paths.is_config_named) == (0o660, False)


def test_first_of_several_state_directories_counts() -> None:
    assert find({"STATE_DIRECTORY": "/var/lib/tower:/var/lib/more"}).state_dir == Path("/var/lib/tower")


@pytest.mark.parametrize("below", [RUNTIME, SERVICE, {}])
def test_environment_names_win_over_places(below: dict[str, str]) -> None:
    paths = find(below | NAMED)
    assert (paths.socket, paths.state_dir, paths.config) == (
        Path("/e/s.sock"),
        Path("/e/state"),
        Path("/e/t.toml"),
    )
    assert paths.is_config_named


def test_options_win_over_everything() -> None:
    paths = find(SERVICE | NAMED, socket="/o/s.sock", state_dir="/o/state", config="/o/t.toml")
    assert (paths.socket, paths.state_dir, paths.config) == (
        Path("/o/s.sock"),
        Path("/o/state"),
        Path("/o/t.toml"),
    )


@pytest.mark.parametrize("environment", [{}, {"XDG_RUNTIME_DIR": ""}])
def test_without_a_runtime_directory_the_socket_is_asked_for(environment: dict[str, str]) -> None:
    with pytest.raises(PathsError, match="--socket"):
        find(environment)
    assert find(environment, socket="/o/s.sock").socket == Path("/o/s.sock")


def test_relative_state_directory_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find(RUNTIME, state_dir="state").state_dir == tmp_path / "state"


@pytest.mark.parametrize(("length", "fits"), [(107, True), (108, False)])
def test_socket_path_is_measured_in_bytes(length: int, fits: bool) -> None:
    path = "/" + "ä" * ((length - 1) // 2) + "x" * ((length - 1) % 2)
    if fits:
        assert find({}, socket=path).socket == Path(path)
        return
    with pytest.raises(PathsError) as caught:
        find({}, socket=path)
    assert path in str(caught.value)
    assert "107" in str(caught.value)


@pytest.mark.parametrize("character", ["?", "%", "#"])
def test_state_directory_that_a_database_address_would_misread_is_refused(character: str) -> None:
    with pytest.raises(PathsError, match="must not contain"):
        find(RUNTIME, state_dir=f"/srv/a{character}b")


def test_places_inside_the_state_directory() -> None:
    paths = find(SERVICE)
    assert paths.database == Path("/var/lib/tower/tower.db")
    assert paths.sessions_dir == Path("/var/lib/tower/sessions")
    assert paths.lock.parent == paths.state_dir


# --- plain copies of sealed stores -----------------------------------------------------------------------


def test_as_a_service_plain_copies_lie_in_the_runtime_directory_of_that_name() -> None:
    for given in ("/run/tower-stores", "/run/tower:/run/tower-stores", "/run/tower-stores:/run/tower"):
        assert find(SERVICE | {"RUNTIME_DIRECTORY": given}).plain_dir == Path("/run/tower-stores")
    assert find(SERVICE | {"RUNTIME_DIRECTORY": "/run/other"}).plain_dir == Path("/run/other")


def test_by_hand_each_state_directory_has_a_place_of_its_own() -> None:
    one, other = (find(RUNTIME, state_dir=path).plain_dir for path in ("/a", "/b"))
    assert one is not None
    assert one.parent == Path("/run/user/1000/tower-stores")
    assert one != other
    assert find(RUNTIME, state_dir="/a").plain_dir == one


def test_without_memory_there_is_no_place_for_plain_copies() -> None:
    assert find(SERVICE).plain_dir is None


def test_credentials_lie_where_systemd_says() -> None:
    assert find(SERVICE | {"CREDENTIALS_DIRECTORY": "/run/credentials/x"}).credentials == Path(
        "/run/credentials/x"
    )
    assert find(SERVICE).credentials is None
