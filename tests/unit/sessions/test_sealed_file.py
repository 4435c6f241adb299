"""What is read from a sealed file is what a seal had completed, or an error; whatever happens to the file."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from sessions import sealed_file as sealed_file_module
from sessions.image import Fingerprints
from sessions.seal import BLOCK_BYTES, PIECE_BYTES, Mark, SealDamagedError, WrongKeyError
from sessions.sealed_file import Draft, SealedFile
from tests.unit.sessions.sealing import (
    CONTEXT,
    KEY,
    OTHER_KEY,
    append_to,
    image_of,
    opened,
    pieces_of,
    seal_image,
)

A, B, C = (bytes([letter]) * BLOCK_BYTES for letter in b"abc")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sealed"


def append(sealed: SealedFile, image: bytes, *blocks: int) -> None:
    """Append blocks of an image as the next seal."""
    runs = [(number * BLOCK_BYTES, image[number * BLOCK_BYTES :][:BLOCK_BYTES]) for number in blocks]
    sealed.append(Mark(sequence=sealed.mark.sequence + 1), len(image), runs)


# --- ordinary life ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, PIECE_BYTES, 3 * PIECE_BYTES + 5 * BLOCK_BYTES + 7])
def test_what_was_sealed_is_read(path: Path, size: int) -> None:
    image = random.Random(size).randbytes(size)
    seal_image(path, image, sequence=7).close()
    assert image_of(path) == (7, image)


def test_appended_blocks_take_the_place_of_the_old_ones(path: Path) -> None:
    sealed = seal_image(path, A + A + A)
    append(sealed, A + B + A, 1)
    append(sealed, A + B + C + C, 2, 3)
    sealed.close()
    assert image_of(path) == (3, A + B + C + C)


def test_image_may_shrink_and_grow_again(path: Path) -> None:
    sealed = seal_image(path, A + B + C)
    append(sealed, A)
    append(sealed, A + A + B, 1, 2)
    sealed.close()
    assert image_of(path) == (3, A + A + B)


def test_a_seal_of_many_pieces_is_one_seal(path: Path) -> None:
    image = random.Random(1).randbytes(3 * PIECE_BYTES)
    sealed = seal_image(path, bytes(len(image)))
    append(sealed, image, *range(len(image) // BLOCK_BYTES))
    sealed.close()
    assert image_of(path) == (2, image)


def test_a_file_that_was_opened_is_appended_to(path: Path) -> None:
    seal_image(path, A).close()
    for number, image in enumerate((B, C, A), 2):
        sealed, _ = opened(path)
        append(sealed, image, 0)
        sealed.close()
        assert image_of(path) == (number, image)


def test_base_and_log_are_told_apart(path: Path) -> None:
    sealed = seal_image(path, A + B)
    assert (sealed.log_bytes, sealed.base_bytes) == (0, path.stat().st_size)
    append(sealed, A + C, 1)
    assert sealed.base_bytes + sealed.log_bytes == path.stat().st_size
    sealed.close()
    again, _ = opened(path)
    assert (again.base_bytes, again.log_bytes) == (sealed.base_bytes, sealed.log_bytes)
    again.close()


def test_a_new_file_takes_the_place_of_the_old_one(path: Path) -> None:
    seal_image(path, A, sequence=1).close()
    seal_image(path, B, sequence=2).close()
    assert image_of(path) == (2, B)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_draft_that_is_given_up_leaves_the_old_file(path: Path) -> None:
    seal_image(path, A).close()
    draft = Draft(path, KEY, CONTEXT)
    draft.write(pieces_of(B), mark=Mark(sequence=2), size_bytes=len(B))
    draft.drop()
    assert image_of(path) == (1, A)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_draft_that_a_crash_left_is_written_over(path: Path) -> None:
    path.with_name("store.sealed.new").write_bytes(b"left" * 100_000)
    seal_image(path, A).close()
    assert image_of(path) == (1, A)


def test_note_is_kept_beside_the_image(path: Path) -> None:
    draft = Draft(path, KEY, CONTEXT)
    draft.write(pieces_of(A), mark=Mark(sequence=1), size_bytes=len(A), note=b"about it")
    draft.finish().close()
    sealed, image = opened(path)
    assert (sealed.note, image) == (b"about it", A)
    sealed.close()


def test_file_is_for_its_owner_alone(path: Path) -> None:
    seal_image(path, A).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_of_the_image_and_the_key_can_be_seen(path: Path) -> None:
    image = b"noise key" * 1000
    sealed = seal_image(path, image)
    sealed.append(Mark(sequence=2), len(image), [(0, b"another key" * 100)])
    sealed.close()
    content = path.read_bytes()
    for secret in (b"noise key", b"another key", KEY.secret, CONTEXT):
        assert secret not in content


def test_the_same_image_is_never_sealed_to_the_same_bytes(path: Path) -> None:
    contents = []
    for _ in range(3):
        seal_image(path, A).close()
        contents.append(path.read_bytes())
    frames = [content[len(content) - 4000 :] for content in contents]
    assert len(set(frames)) == 3


# --- another key, another purpose -------------------------------------------------------------------------


def test_another_key_is_named_and_nothing_else_happens(path: Path) -> None:
    seal_image(path, A).close()
    before = path.read_bytes()
    with pytest.raises(WrongKeyError, match=KEY.name):
        opened(path, OTHER_KEY)
    assert path.read_bytes() == before


def test_of_several_keys_the_right_one_is_taken(path: Path) -> None:
    seal_image(path, A, key=OTHER_KEY).close()
    sealed, image = opened(path, KEY, OTHER_KEY)
    assert (sealed.header.key_id, image) == (OTHER_KEY.id, A)
    sealed.close()


def test_store_of_another_account_does_not_open(path: Path) -> None:
    seal_image(path, A).close()
    with pytest.raises(SealDamagedError):
        opened(path, context=b"a-bbbbbbbbbb")


# --- crashes ---------------------------------------------------------------------------------------------


def cut_to(path: Path, content: bytes, size: int) -> None:
    path.write_bytes(content[:size])


def test_a_file_cut_anywhere_holds_the_last_complete_seal(path: Path) -> None:
    sealed = seal_image(path, A)
    ends = {sealed.end: (1, A)}
    for image in (B, A + B, C):
        append(sealed, image, *range(len(image) // BLOCK_BYTES))
        ends[sealed.end] = (sealed.mark.sequence, image)
    sealed.close()
    content = path.read_bytes()
    for size in (*range(0, len(content), 97), *(end + off for end in ends for off in (-1, 0, 1, 19, 20))):
        cut_to(path, content, size)
        complete = [end for end in ends if end <= size]
        if complete:
            number, image = ends[max(complete)]
            assert image_of(path) == (number, image)
            assert path.stat().st_size == min(size, len(content))
            # One can go on, as if what was cut short had never been.
            append_to(path, B + C)
            assert image_of(path) == (number + 1, B + C)
        else:
            with pytest.raises(SealDamagedError):
                image_of(path)


def test_zeros_behind_the_last_seal_are_a_write_that_was_cut_short(path: Path) -> None:
    sealed = seal_image(path, A)
    append(sealed, B, 0)
    os.truncate(path, sealed.end + 3 * PIECE_BYTES)
    sealed.close()
    assert image_of(path) == (2, B)
    append_to(path, C)
    assert image_of(path) == (3, C)
    assert path.stat().st_size < PIECE_BYTES


def test_zeros_with_something_behind_are_damage(path: Path) -> None:
    seal_image(path, A).close()
    with path.open("ab") as file:
        file.write(bytes(1000) + b"\x01")
    with pytest.raises(SealDamagedError):
        image_of(path)


def test_first_of_two_frames_of_a_seal_alone_is_no_seal(path: Path) -> None:
    image = random.Random(2).randbytes(PIECE_BYTES + BLOCK_BYTES)
    sealed = seal_image(path, bytes(len(image)))
    append(sealed, image, *range(len(image) // BLOCK_BYTES))
    sealed.close()
    os.truncate(path, sealed.end - 100)
    assert image_of(path) == (1, bytes(len(image)))


@pytest.mark.parametrize("failing", ["pwrite", "fdatasync"])
def test_an_append_that_fails_leaves_the_seal_before(
    path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    sealed = seal_image(path, A)

    def fail(descriptor: int, *_: object) -> int:
        os.truncate(path, path.stat().st_size + 10)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sealed_file_module.os, failing, fail)
        with pytest.raises(OSError, match="No space"):
            append(sealed, B, 0)
    assert sealed.is_broken
    sealed.close()
    assert image_of(path) == (1, A)


def test_a_kernel_that_writes_little_at_a_time_is_no_fault(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.pwrite
    monkeypatch.setattr(
        sealed_file_module.os, "pwrite", lambda fd, data, offset: whole(fd, data[:1000], offset)
    )
    sealed = seal_image(path, A)
    append(sealed, B, 0)
    sealed.close()
    assert image_of(path) == (2, B)


# --- tampering -------------------------------------------------------------------------------------------


def frames_of(path: Path) -> list[bytes]:
    """Return the header of a file and its frames."""
    content = path.read_bytes()
    parts, at = [content[:52]], 52
    while at < len(content):
        length = 20 + int.from_bytes(content[at : at + 4], "big")
        parts.append(content[at : at + length])
        at += length
    return parts


@pytest.fixture
def five(path: Path) -> list[bytes]:
    """A file of a base of two frames and four further seals."""
    sealed = seal_image(path, A)
    for image in (B, C, A, B):
        append(sealed, image, 0)
    sealed.close()
    return frames_of(path)


@pytest.mark.parametrize(
    "order",
    [
        (0, 1, 2, 4, 5, 6),
        (0, 1, 2, 3, 5),
        (0, 1, 2, 4, 3, 5, 6),
        (0, 1, 2, 3, 3, 4),
        (0, 2, 3),
        (0, 2, 1),
        (0, 3, 4, 5, 6),
        (1, 2, 3),
    ],
)
def test_frames_that_lack_or_stand_elsewhere_are_damage(
    path: Path, five: list[bytes], order: tuple[int]
) -> None:
    path.write_bytes(b"".join(five[number] for number in order))
    with pytest.raises(SealDamagedError):
        image_of(path)


def test_frames_of_an_older_file_of_the_same_account_are_damage(path: Path, five: list[bytes]) -> None:
    sealed = seal_image(path, A)
    for image in (B, C, A, B):
        append(sealed, image, 0)
    sealed.close()
    newer = frames_of(path)
    for number in range(len(five)):
        path.write_bytes(b"".join([*newer[:number], five[number], *newer[number + 1 :]]))
        with pytest.raises(SealDamagedError):
            image_of(path)


def test_a_seal_that_was_given_up_does_not_fit_before_the_one_that_replaced_it(path: Path) -> None:
    sealed = seal_image(path, A)
    append(sealed, B, 0)
    sealed.close()
    given_up = frames_of(path)[-1]
    os.truncate(path, sealed.base_bytes)
    sealed, _ = opened(path)
    append(sealed, C, 0)
    append(sealed, A, 0)
    sealed.close()
    parts = frames_of(path)
    path.write_bytes(b"".join([*parts[:-2], given_up, parts[-1]]))
    with pytest.raises(SealDamagedError):
        image_of(path)


def test_file_of_a_later_version_is_named(path: Path) -> None:
    seal_image(path, A).close()
    with path.open("r+b") as file:
        file.seek(8)
        file.write(b"\x00\x02")
    with pytest.raises(SealDamagedError, match="version 2"):
        image_of(path)


def test_what_is_no_sealed_file_is_named(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\x00" * 100)
    with pytest.raises(SealDamagedError, match="not a sealed file"):
        image_of(path)


# --- any history, any fault ------------------------------------------------------------------------------

blocks = st.integers(min_value=0, max_value=40)


@st.composite
def histories(draw: st.DrawFn) -> list[bytes]:
    """Return images of a store over time: blocks change, and it grows and shrinks, not always by blocks."""
    image = bytearray()
    history = []
    for _ in range(draw(st.integers(1, 6))):
        size = draw(blocks) * BLOCK_BYTES + draw(st.sampled_from([0, 0, 0, 1, 511]))
        image = image[:size] + bytes(max(0, size - len(image)))
        for number in draw(st.lists(blocks, max_size=4)):
            at = number * BLOCK_BYTES
            if at < size:
                image[at : at + 8] = draw(st.binary(min_size=8, max_size=8))[: size - at]
        history.append(bytes(image))
    return history


def seal_history(path: Path, history: list[bytes]) -> dict[int, tuple[int, bytes]]:
    """Seal images one after the other, each by what has changed; return what holds from which size on."""
    sealed = seal_image(path, history[0])
    known = Fingerprints()
    for offset, piece in enumerate(pieces_of(history[0])):
        known.write(offset * PIECE_BYTES, piece)
    known.resize(len(history[0]))
    ends = {sealed.end: (1, history[0])}
    for image in history[1:]:
        runs = [
            run for at, piece in enumerate(pieces_of(image)) for run in known.changes(at * PIECE_BYTES, piece)
        ]
        sealed.append(Mark(sequence=sealed.mark.sequence + 1), len(image), runs)
        for run in runs:
            known.write(*run)
        known.resize(len(image))
        ends[sealed.end] = (sealed.mark.sequence, image)
    sealed.close()
    return ends


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tower-", dir="/dev/shm") as name:
        yield Path(name) / "store.sealed"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories(), data=st.data())
def test_any_history_cut_anywhere_gives_the_last_complete_image_or_an_error(
    scratch: Path, history: list[bytes], data: st.DataObject
) -> None:
    ends = seal_history(scratch, history)
    assert image_of(scratch) == ends[max(ends)]
    content = scratch.read_bytes()
    cut_to(scratch, content, size := data.draw(st.integers(0, len(content))))
    complete = [end for end in ends if end <= size]
    if complete:
        assert image_of(scratch) == ends[max(complete)]
    else:
        with pytest.raises(SealDamagedError):
            image_of(scratch)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories(), data=st.data())
def test_no_changed_bit_anywhere_goes_unnoticed(
    scratch: Path, history: list[bytes], data: st.DataObject
) -> None:
    seal_history(scratch, history)
    content = bytearray(scratch.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    scratch.write_bytes(content)
    with pytest.raises((SealDamagedError, WrongKeyError)):
        image_of(scratch)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories(), garbage=st.binary(min_size=1, max_size=200))
def test_garbage_behind_the_end_is_dropped_as_a_cut_or_noticed(
    scratch: Path, history: list[bytes], garbage: bytes
) -> None:
    ends = seal_history(scratch, history)
    with scratch.open("ab") as file:
        file.write(garbage)
    try:
        number, image = ends[max(ends)]
        assert image_of(scratch) == (number, image)
        append_to(scratch, A)
        assert image_of(scratch) == (number + 1, A)
    except SealDamagedError:
        assert len(garbage) >= 20
