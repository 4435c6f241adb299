"""With a key stores are sealed, without one they are plain, and with half of what it takes nothing starts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessions.keys import KeyFileError, StoreKey
from tests.unit.towerd.builders import FakeClock
from towerd.config import Config, StoresConfig
from towerd.key_source import CREDENTIAL, KeySource
from towerd.paths import Paths
from towerd.sealed import SealingError, open_stores
from towerd.supervision.stores import Stores

SECRET = bytes(range(32))


@pytest.fixture
def memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tower-", dir="/dev/shm") as name:
        yield Path(name)


def key_in(path: Path, secret: bytes = SECRET) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(secret)
    path.chmod(0o600)
    return path


def paths(state_dir: Path, plain_dir: Path | None) -> Paths:
    return Paths(
        socket=state_dir / "s",
        state_dir=state_dir,
        config=state_dir / "c",
        is_config_named=False,
        socket_mode=0o600,
        plain_dir=plain_dir,
    )


def opened(state_dir: Path, source: KeySource, plain_dir: Path | None) -> Stores:
    return open_stores(paths(state_dir, plain_dir), source, clock=FakeClock())


NONE = KeySource(file=None, credentials=None)


def test_without_a_key_stores_are_plain(tmp_path: Path) -> None:
    for plain_dir in (None, Path("/nowhere")):
        stores = opened(tmp_path, NONE, plain_dir)
        assert (stores.key_name, stores.plain_dir, stores.problems) == (None, None, [])
    assert (tmp_path / "sessions").stat().st_mode & 0o777 == 0o700


def test_with_a_key_stores_are_sealed_and_the_id_of_the_key_is_told(tmp_path: Path, memory: Path) -> None:
    source = KeySource(file=key_in(tmp_path / "key"), credentials=None)
    stores = opened(tmp_path, source, memory / "plain")
    assert (stores.key_name, stores.plain_dir) == (StoreKey(SECRET).name, memory / "plain")
    assert stores.trouble is None


def test_half_done_unsealings_of_an_earlier_run_are_dropped(tmp_path: Path, memory: Path) -> None:
    (memory / ".a-abcdefghij.unsealing").mkdir()
    opened(tmp_path, KeySource(file=key_in(tmp_path / "key"), credentials=None), memory)
    assert list(memory.iterdir()) == []


def test_key_without_memory_ends_the_start_with_the_remedy(tmp_path: Path) -> None:
    source = KeySource(file=key_in(tmp_path / "key"), credentials=None)
    with pytest.raises(SealingError, match=r"RuntimeDirectory=tower-stores.*XDG_RUNTIME_DIR"):
        opened(tmp_path, source, None)


def test_key_that_cannot_be_used_ends_the_start(tmp_path: Path, memory: Path) -> None:
    source = KeySource(file=key_in(tmp_path / "key", b"short"), credentials=None)
    with pytest.raises(SealingError, match="exactly 32 bytes"):
        opened(tmp_path, source, memory)


# --- where the key comes from ----------------------------------------------------------------------------


def test_key_of_the_configuration_wins_over_the_credential(tmp_path: Path) -> None:
    other = os.urandom(32)
    config = Config(stores=StoresConfig(key_file=str(key_in(tmp_path / "key"))))
    key_in(tmp_path / "credentials" / CREDENTIAL, other)
    source = KeySource.of(config, tmp_path / "credentials")
    assert source.read() == StoreKey(SECRET)
    assert KeySource.of(Config(), tmp_path / "credentials").read() == StoreKey(other)


def test_credentials_without_a_key_are_no_key(tmp_path: Path) -> None:
    assert KeySource.of(Config(), tmp_path).read() is None
    assert KeySource.of(Config(), None).read() is None


def test_key_file_that_is_named_and_missing_is_an_error_and_not_no_key(tmp_path: Path) -> None:
    config = Config(stores=StoresConfig(key_file=str(tmp_path / "missing")))
    with pytest.raises(KeyFileError) as caught:
        KeySource.of(config, None, named_in=Path("/etc/tower/tower.toml")).read()
    missing = tmp_path / "missing"
    assert str(caught.value) == (
        f"/etc/tower/tower.toml: stores.key_file: the key of the stores cannot be read: {missing}: "
        f"No such file or directory; make one with: towerctl key generate -o {missing}"
    )


def test_source_names_itself_without_what_is_in_it(tmp_path: Path) -> None:
    file = key_in(tmp_path / "key")
    assert str(KeySource(file=file, credentials=None)) == str(file)
    assert CREDENTIAL in str(KeySource(file=None, credentials=tmp_path))
