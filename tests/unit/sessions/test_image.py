"""An image is read while nobody can change it, and what has changed since the last one is found."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sessions import image as image_module
from sessions.image import Fingerprints, ImageError, PlainFile, settled
from sessions.seal import BLOCK_BYTES, PIECE_BYTES
from tests.unit.sessions.stores import delete_device, kill_in_transaction, make_store


def known(image: bytes) -> Fingerprints:
    """Return the fingerprints of an image."""
    fingerprints = Fingerprints()
    fingerprints.write(0, image)
    fingerprints.resize(len(image))
    return fingerprints


def changed(fingerprints: Fingerprints, image: bytes) -> list[int]:
    """Return the numbers of the blocks that are another than they were."""
    return [offset // BLOCK_BYTES for offset, _ in fingerprints.changes(0, image)]


# --- fingerprints ----------------------------------------------------------------------------------------


def test_nothing_is_known_at_first() -> None:
    assert changed(Fingerprints(), bytes(3 * BLOCK_BYTES)) == [0, 1, 2]


@pytest.mark.parametrize("size", [1, BLOCK_BYTES, 16 * BLOCK_BYTES, 40 * BLOCK_BYTES + 5])
def test_same_image_has_no_changes_however_often_one_looks(size: int) -> None:
    image = random.Random(size).randbytes(size)
    fingerprints = known(image)
    for _ in range(3):
        assert changed(fingerprints, image) == []


@pytest.mark.parametrize("number", [0, 1, 15, 16, 39])
def test_changed_block_is_found_until_it_is_known(number: int) -> None:
    image = bytearray(random.Random(number).randbytes(40 * BLOCK_BYTES))
    fingerprints = known(bytes(image))
    assert changed(fingerprints, bytes(image)) == []
    image[number * BLOCK_BYTES + 17] ^= 1
    for _ in range(2):
        assert changed(fingerprints, bytes(image)) == [number]
    fingerprints.write(number * BLOCK_BYTES, image[number * BLOCK_BYTES :][:BLOCK_BYTES])
    assert changed(fingerprints, bytes(image)) == []


def test_grown_image_has_new_blocks() -> None:
    image = random.Random(3).randbytes(40 * BLOCK_BYTES)
    assert changed(known(image[: 20 * BLOCK_BYTES]), image) == list(range(20, 40))


def test_image_that_shrank_and_grew_again_is_not_taken_for_the_old_one() -> None:
    image = random.Random(4).randbytes(20 * BLOCK_BYTES)
    fingerprints = known(image)
    fingerprints.resize(3 * BLOCK_BYTES)
    assert changed(fingerprints, image) == list(range(3, 20))


def test_block_that_was_cut_is_another_one() -> None:
    image = random.Random(5).randbytes(2 * BLOCK_BYTES)
    assert changed(known(image), image[:-1]) == [1]


def test_a_hundred_megabytes_need_less_than_half_a_megabyte_to_be_known() -> None:
    fingerprints = Fingerprints()
    piece = bytes(PIECE_BYTES)
    for number in range(4):
        fingerprints.write(number * PIECE_BYTES, piece)
    held = len(fingerprints._blocks) + 16 * len(fingerprints._chunks)
    assert held * 25 < 500_000


def test_two_keep_fingerprints_that_have_nothing_in_common() -> None:
    image = random.Random(6).randbytes(4 * BLOCK_BYTES)
    one, other = known(image)._blocks, known(image)._blocks
    assert one != other


# --- the image -------------------------------------------------------------------------------------------


def test_image_is_the_file(root: Path) -> None:
    path = make_store(root, padding_pages=1000)
    with settled(path) as image:
        assert b"".join(image.pieces()) == path.read_bytes()
        assert image.size_bytes == path.stat().st_size


def test_empty_file_is_an_empty_image(root: Path) -> None:
    path = make_store(root)
    os.truncate(path, 0)
    with settled(path) as image:
        assert (list(image.pieces()), image.size_bytes) == ([], 0)


def test_every_transaction_makes_another_state(root: Path) -> None:
    path = make_store(root, padding_pages=3)
    states = []
    for number in range(3):
        with settled(path) as image:
            states.append(image.state)
        with settled(path) as image:
            assert image.state == states[-1]
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE whatsmeow_pre_keys SET key = ?", (bytes([number]) * 3000,))
    assert len(set(states)) == 3


def test_what_a_kill_left_half_done_is_rolled_back_first(root: Path) -> None:
    path = make_store(root, padding_pages=40)
    before = path.read_bytes()
    kill_in_transaction(path)
    assert path.read_bytes() != before
    with settled(path) as image:
        assert b"".join(image.pieces()) == before


_WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
print("ready", flush=True)
sys.stdin.readline()
connection.execute("UPDATE whatsmeow_pre_keys SET key = zeroblob(3000)")
print("written", flush=True)
"""


def test_a_writer_waits_for_us_and_does_not_fail(root: Path) -> None:
    path = make_store(root, padding_pages=40)
    command = [sys.executable, "-c", _WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        with settled(path) as image:
            before = b"".join(image.pieces())
            writer.stdin.write(b"\n")
            writer.stdin.flush()
            journal = path.with_name(path.name + "-journal")
            # It has begun, and stands before the lock.
            while not journal.exists():
                assert writer.poll() is None
            assert b"".join(image.pieces()) == before
        assert writer.stdout.readline() == b"written\n"
    assert writer.returncode == 0
    assert path.read_bytes() != before


def test_a_transaction_that_takes_too_long_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_store(root)
    monkeypatch.setattr(image_module, "_BUSY_SECONDS", 0.05)
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            locked.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait(30)
    try:
        with pytest.raises(ImageError, match="locked"), settled(path):
            pass
    finally:
        done.set()
        holder.join()


def test_garbage_is_no_image(root: Path) -> None:
    path = make_store(root)
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(ImageError, match="not a database"), settled(path):
        pass


def test_store_with_a_write_ahead_log_is_refused(root: Path) -> None:
    path = make_store(root)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
    with pytest.raises(ImageError, match="write-ahead log"), settled(path):
        pass


def test_missing_file_is_an_error_and_is_not_made(root: Path) -> None:
    path = root / "missing.db"
    with pytest.raises(FileNotFoundError), settled(path):
        pass
    assert not path.exists()


def test_plain_file_takes_an_image(root: Path) -> None:
    path = make_store(root, padding_pages=1000)
    before = path.read_bytes()
    copy = root / "copy"
    with copy.open("wb") as file, settled(path) as image:
        sink = PlainFile(file.fileno())
        for number, piece in enumerate(image.pieces()):
            sink.write(number * PIECE_BYTES, piece)
        sink.resize(image.size_bytes)
    assert copy.read_bytes() == before
    delete_device(copy)
