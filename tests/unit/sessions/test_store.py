"""What a store directory says about itself, and how it is made, renewed, wiped and locked."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sessions import store as store_module
from sessions.messages import Identity
from sessions.store import (
    DATABASE_NAME,
    Store,
    StoreKind,
    StoreLockedError,
    process_start_time,
    split_device,
    sweep,
)
from tests.unit.privileges import as_nobody
from tests.unit.sessions.stores import ACCOUNT_ID, delete_device, kill_in_transaction, make_store

DEVICE = Identity(
    jid="491701234567@s.whatsapp.net",
    device_number=12,
    lid="123456789012345@lid",
    push_name="Alice",
    platform="android",
)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- what it holds ---------------------------------------------------------------------------------------


def test_missing_directory_is_missing(store: Store) -> None:
    assert store.classify().kind is StoreKind.MISSING


def test_missing_file_is_missing(store: Store) -> None:
    store.ensure()
    assert store.classify().kind is StoreKind.MISSING


def test_file_without_a_byte_is_missing_and_not_an_empty_store(store: Store) -> None:
    store.ensure()
    store.database.touch()
    assert store.classify().kind is StoreKind.MISSING


@pytest.mark.parametrize("size", [1, 100, 511, 4096, 300_000])
def test_garbage_is_damaged(store: Store, size: int) -> None:
    store.ensure()
    store.database.write_bytes(b"\xa5" * size)
    assert store.classify().kind is StoreKind.DAMAGED


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_store_is_damaged(store: Store, root: Path, kept: float) -> None:
    path = make_store(root, padding_pages=40)
    os.truncate(path, int(path.stat().st_size * kept) // 512 * 512)
    assert store.classify().kind is StoreKind.DAMAGED


def test_store_cut_off_behind_its_first_page_is_damaged(store: Store, root: Path) -> None:
    os.truncate(make_store(root, padding_pages=40), 4096)
    assert store.classify().kind is StoreKind.DAMAGED


def test_page_overwritten_in_the_middle_is_damaged(store: Store, root: Path) -> None:
    path = make_store(root, padding_pages=40)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    assert store.classify().kind is StoreKind.DAMAGED


def test_directory_instead_of_the_file_is_damaged(store: Store) -> None:
    store.database.mkdir(parents=True)
    assert store.classify().kind is StoreKind.DAMAGED


def test_other_database_holds_no_device(store: Store) -> None:
    store.ensure()
    with contextlib.closing(sqlite3.connect(store.database)) as connection, connection:
        connection.execute("CREATE TABLE other (x)")
    assert store.classify().kind is StoreKind.NO_DEVICE


def test_table_without_a_row_holds_no_device(store: Store, root: Path) -> None:
    make_store(root, jid=None)
    assert store.classify().kind is StoreKind.NO_DEVICE


def test_device_table_of_another_shape_is_damaged(store: Store) -> None:
    store.ensure()
    with contextlib.closing(sqlite3.connect(store.database)) as connection, connection:
        connection.execute("CREATE TABLE whatsmeow_device (something TEXT)")
    assert store.classify().kind is StoreKind.DAMAGED


def test_device_row_is_a_device_with_its_identity(store: Store, root: Path) -> None:
    make_store(root)
    report = store.classify()
    assert (report.kind, report.identity) == (StoreKind.DEVICE, DEVICE)


def test_empty_columns_of_a_device_are_not_known(store: Store, root: Path) -> None:
    path = make_store(root, lid=None)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE whatsmeow_device SET push_name = '', platform = ''")
    assert store.classify().identity == Identity(jid="491701234567@s.whatsapp.net", device_number=12)


@pytest.mark.parametrize("jid", ["", "nonsense", "491701234567:x@s.whatsapp.net", "@s.whatsapp.net"])
def test_device_row_without_a_readable_jid_is_damaged(store: Store, root: Path, jid: str) -> None:
    make_store(root, jid=jid)
    assert store.classify().kind is StoreKind.DAMAGED


def test_device_row_with_a_null_jid_is_damaged(store: Store, root: Path) -> None:
    path = make_store(root)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE whatsmeow_device SET jid = NULL")
    assert store.classify().kind is StoreKind.DAMAGED


def test_hot_journal_after_a_kill_is_rolled_back_and_the_device_is_seen(store: Store, root: Path) -> None:
    path = make_store(root, padding_pages=40)
    kill_in_transaction(path)
    report = store.classify()
    assert (report.kind, report.identity) == (StoreKind.DEVICE, DEVICE)
    assert not path.with_name(path.name + "-journal").exists()


@contextlib.contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    code = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN EXCLUSIVE')\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        yield


def test_store_locked_by_another_process_is_locked(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_store(root)
    monkeypatch.setattr(store_module, "_BUSY_SECONDS", 0.1)
    with locked_by_another_process(path):
        assert store.classify().kind is StoreKind.LOCKED
    assert store.classify().kind is StoreKind.DEVICE


@pytest.fixture
def reachable_root() -> Iterator[Path]:
    """Return a directory of stores that another user can reach too."""
    with tempfile.TemporaryDirectory(prefix="tower-") as name:
        Path(name).chmod(0o755)
        directory = Path(name) / "sessions"
        directory.mkdir(mode=0o700)
        yield directory


@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_file_that_may_not_be_written_is_damaged_and_says_why(reachable_root: Path, mode: int) -> None:
    path = make_store(reachable_root)
    path.chmod(mode)
    with as_nobody(reachable_root):
        report = Store(reachable_root, ACCOUNT_ID).classify()
    assert report.kind is StoreKind.DAMAGED
    assert "Permission denied" in report.detail


def test_directory_that_may_not_be_entered_is_damaged(reachable_root: Path) -> None:
    path = make_store(reachable_root)
    path.parent.chmod(0o000)
    with as_nobody(reachable_root):
        assert Store(reachable_root, ACCOUNT_ID).classify().kind is StoreKind.DAMAGED
        path.parent.chmod(0o700)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("491701234567:12@s.whatsapp.net", ("491701234567@s.whatsapp.net", 12)),
        ("491701234567@s.whatsapp.net", ("491701234567@s.whatsapp.net", 0)),
        ("491701234567.0:12@s.whatsapp.net", ("491701234567@s.whatsapp.net", 12)),
        ("123456789012345:3@lid", ("123456789012345@lid", 3)),
    ],
)
def test_address_splits_into_user_and_device(address: str, expected: tuple[str, int]) -> None:
    assert split_device(address) == expected


# --- making and wiping -----------------------------------------------------------------------------------


def test_directory_and_lock_are_private_whatever_the_umask(store: Store) -> None:
    before = os.umask(0o000)
    try:
        store.ensure()
        with store.lock():
            pass
    finally:
        os.umask(before)
    assert mode_of(store.directory) == 0o700
    assert mode_of(store.lock_path) == 0o600


def test_ensure_keeps_what_is_there(store: Store, root: Path) -> None:
    path = make_store(root)
    store.ensure()
    assert path.exists()


def test_wipe_leaves_nothing_of_the_directory(store: Store, root: Path) -> None:
    path = make_store(root)
    path.with_name(DATABASE_NAME + "-journal").touch()
    store.wipe()
    assert list(root.iterdir()) == []


def test_wipe_of_nothing_is_done(store: Store, root: Path) -> None:
    store.wipe()
    assert list(root.iterdir()) == []


def test_wipe_leaves_the_other_accounts_alone(store: Store, root: Path) -> None:
    make_store(root)
    other = make_store(root, "a-bbbbbbbbbb")
    store.wipe()
    assert other.exists()


def test_wipe_of_a_link_leaves_what_it_points_to(store: Store, root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    store.directory.symlink_to(elsewhere)
    store.wipe()
    assert not store.directory.is_symlink()
    assert (elsewhere / "precious").exists()


def test_renew_gives_a_fresh_private_directory(store: Store, root: Path) -> None:
    make_store(root)
    inode = store.directory.stat().st_ino
    keep = os.open(store.directory, os.O_RDONLY)  # so that the number cannot be given out again
    try:
        store.renew()
        assert store.directory.stat().st_ino != inode
    finally:
        os.close(keep)
    assert list(store.directory.iterdir()) == []
    assert mode_of(store.directory) == 0o700


def test_remove_takes_the_lock_file_too(store: Store, root: Path) -> None:
    make_store(root)
    with store.lock():
        pass
    store.remove()
    assert list(root.iterdir()) == []


def test_sweep_finishes_a_wipe_that_a_crash_interrupted(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(root)
    other = make_store(root, "a-bbbbbbbbbb")
    with monkeypatch.context() as patched:
        patched.setattr(store_module, "delete", lambda doomed: None)
        store.wipe()
    assert len(list(root.iterdir())) == 2
    assert not store.directory.exists()
    sweep(root)
    assert list(root.iterdir()) == [other.parent]


# --- the kept copy ---------------------------------------------------------------------------------------


def test_kept_copy_brings_a_deleted_device_back(store: Store, root: Path) -> None:
    path = make_store(root, padding_pages=40)
    store.snapshot()
    delete_device(path)
    assert store.classify().kind is StoreKind.NO_DEVICE
    store.restore()
    assert store.classify().identity == DEVICE
    assert [entry.name for entry in store.directory.iterdir()] == [DATABASE_NAME]


def test_kept_copy_of_a_store_with_a_hot_journal_holds_the_device(store: Store, root: Path) -> None:
    path = make_store(root, padding_pages=40)
    kill_in_transaction(path)
    store.snapshot()
    path.write_bytes(b"")
    store.restore()
    assert store.classify().identity == DEVICE


def test_kept_copy_is_private_and_replaced_by_the_next(store: Store, root: Path) -> None:
    make_store(root)
    before = os.umask(0o000)
    try:
        store.snapshot()
    finally:
        os.umask(before)
    assert mode_of(store._snapshot) == 0o600
    make_store(root, jid="491709999999:1@s.whatsapp.net")
    store.snapshot()
    store.restore()
    identity = store.classify().identity
    assert identity is not None
    assert identity.jid == "491709999999@s.whatsapp.net"


def test_restore_without_a_kept_copy_changes_nothing(store: Store, root: Path) -> None:
    make_store(root)
    store.restore()
    assert store.classify().kind is StoreKind.DEVICE


@pytest.mark.parametrize("forget", [Store.wipe, Store.renew, Store.remove])
def test_whoever_forgets_the_device_forgets_the_kept_copy_too(
    store: Store, root: Path, forget: Callable[[Store], None]
) -> None:
    make_store(root)
    store.snapshot()
    forget(store)
    assert not [path for path in root.rglob("*") if path.is_file() and path != store.lock_path]
    store.restore()
    assert store.classify().kind is StoreKind.MISSING


# --- the lock --------------------------------------------------------------------------------------------

_HOLDER = """
import sys
from pathlib import Path
from sessions.store import Store
with Store(Path(sys.argv[1]), sys.argv[2]).lock(killable=sys.argv[3] == "killable"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def holder(root: Path, *, killable: bool) -> Iterator[subprocess.Popen[bytes]]:
    word = "killable" if killable else "not"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(root), ACCOUNT_ID, word],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process


def test_lock_records_its_holder(store: Store) -> None:
    with store.lock(killable=True):
        record = json.loads(store.lock_path.read_text())
    assert record == {
        "pid": os.getpid(),
        "start_time": process_start_time(os.getpid()),
        "killable": True,
    }


def test_lock_is_free_again_after_an_error_inside(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.lock():
        _ = 1 / 0
    with store.lock(patience_seconds=0):
        pass


def test_second_holder_waits_for_the_first(store: Store, root: Path) -> None:
    with holder(root, killable=True) as first:
        assert first.stdin is not None
        threading.Timer(0.2, first.stdin.close).start()
        with store.lock(patience_seconds=20):
            pass
        assert first.wait(10) == 0


def test_holder_that_outlives_its_daemon_is_ended(store: Store, root: Path) -> None:
    with holder(root, killable=True) as first:
        with store.lock(patience_seconds=0.05):
            assert json.loads(store.lock_path.read_text())["pid"] == os.getpid()
        assert first.wait(10) == -signal.SIGKILL


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the second wait of a lock, after the kill, be short."""
    acquire = store_module._acquire
    monkeypatch.setattr(store_module, "_acquire", lambda descriptor, _seconds: acquire(descriptor, 0.1))


@pytest.mark.usefixtures("impatient")
def test_holder_that_is_no_worker_is_not_ended_but_named(store: Store, root: Path) -> None:
    with holder(root, killable=False) as first:
        with pytest.raises(StoreLockedError) as caught, store.lock():
            pytest.fail("two held it")
        assert caught.value.holder_pid == first.pid
        assert str(first.pid) in str(caught.value)
        assert first.poll() is None


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "what", ["start time of another process", "no start time", "not JSON", "empty", "no pid", "a list"]
)
def test_process_that_only_has_the_number_is_not_ended(store: Store, root: Path, what: str) -> None:
    """The number may have been given out again since, and the record may be half written."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        started = process_start_time(bystander.pid)
        assert started is not None
        content = {
            "start time of another process": json.dumps(
                {"pid": bystander.pid, "start_time": started - 1, "killable": True}
            ),
            "no start time": json.dumps({"pid": bystander.pid, "killable": True}),
            "not JSON": '{"pid": ' + str(bystander.pid),
            "empty": "",
            "no pid": '{"killable": true}',
            "a list": f"[{bystander.pid}]",
        }[what]
        with holder(root, killable=False) as first:
            store.lock_path.write_text(content)
            with pytest.raises(StoreLockedError) as caught, store.lock():
                pytest.fail("two held it")
            assert caught.value.holder_pid is None
            assert (first.poll(), bystander.poll()) == (None, None)
        assert bystander.stdin is not None
        bystander.stdin.close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("pid", [0, -1])
def test_number_that_means_a_group_of_processes_is_never_signalled(
    store: Store, root: Path, pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(store_module, "process_start_time", lambda _pid: 1)
    monkeypatch.setattr(store_module.os, "kill", lambda *arguments: sent.append(arguments))
    with holder(root, killable=False):
        store.lock_path.write_text(json.dumps({"pid": pid, "start_time": 1, "killable": True}))
        with pytest.raises(StoreLockedError), store.lock():
            pytest.fail("two held it")
    assert sent == []


def test_classify_ends_a_worker_that_was_left_behind(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(root)
    acquire = store_module._acquire
    monkeypatch.setattr(
        store_module, "_acquire", lambda descriptor, seconds: acquire(descriptor, min(seconds, 1))
    )
    with holder(root, killable=True) as left_behind:
        assert store.classify().kind is StoreKind.DEVICE
        assert left_behind.wait(10) == -signal.SIGKILL


def test_lock_is_not_inherited_by_a_program_that_is_started(store: Store) -> None:
    with store.lock():
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with child:
        with store.lock(patience_seconds=0):
            pass
        assert child.stdin is not None
        child.stdin.close()


def test_start_time_of_a_process_that_is_gone_is_unknown() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(10)
    assert process_start_time(gone.pid) is None
