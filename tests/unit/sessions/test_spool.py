"""What has come in stays in the spool until it is committed, whatever is killed or full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions import spool
from sessions.incoming import Incoming
from sessions.spool import SPOOL_NAME, Spool


def a_message(number: int = 1, text: str | None = "hello") -> Incoming:
    return Incoming(
        id=f"3EB{number}",
        chat="491701234567@s.whatsapp.net",
        sender="491701234567@s.whatsapp.net",
        sender_lid=None,
        push_name="Älice",
        from_me=False,
        is_group=False,
        kind="text",
        text=text,
        quoted_id=None,
        target_id=None,
        time=1_790_000_000,
    )


def texts(directory: Path) -> list[str | None]:
    return [one.message.text for one in spool.read(directory)]


def test_nothing_was_written(tmp_path: Path) -> None:
    assert spool.read(tmp_path) == []
    spool.clear(tmp_path)


def test_messages_are_read_back_as_they_came_with_rising_numbers(tmp_path: Path) -> None:
    writing = Spool(tmp_path)
    appended = [writing.append(a_message(number, f"n {number}\n")) for number in range(5)]
    assert spool.read(tmp_path) == appended
    assert [one.number for one in appended] == [1, 2, 3, 4, 5]


def test_file_is_for_its_owner_only(tmp_path: Path) -> None:
    Spool(tmp_path).append(a_message())
    assert (tmp_path / SPOOL_NAME).stat().st_mode & 0o777 == 0o600


def test_space_is_freed_when_all_is_committed_and_not_before(tmp_path: Path) -> None:
    writing = Spool(tmp_path)
    for number in range(3):
        writing.append(a_message(number))
    writing.forget(2)
    assert len(spool.read(tmp_path)) == 3
    writing.forget(3)
    assert (tmp_path / SPOOL_NAME).stat().st_size == 0
    assert writing.append(a_message()).number == 4


def test_what_an_earlier_worker_left_is_never_dropped_by_a_later_one(tmp_path: Path) -> None:
    Spool(tmp_path).append(a_message(1, "left"))
    later = Spool(tmp_path)
    assert later.append(a_message(2, "new")).number == 2
    later.forget(2)
    assert texts(tmp_path) == ["left", "new"]


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5), st.data())
def test_a_torn_end_costs_the_last_message_only(
    tmp_path_factory: pytest.TempPathFactory, said: list[str], data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("spool")
    writing = Spool(directory)
    for text in said[:-1]:
        writing.append(a_message(1, text))
    whole = (directory / SPOOL_NAME).stat().st_size
    writing.append(a_message(1, said[-1]))
    size = (directory / SPOOL_NAME).stat().st_size
    os.truncate(directory / SPOOL_NAME, data.draw(st.integers(whole, size - 2)))
    assert texts(directory) == said[:-1]


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = Spool(tmp_path)
    writing.append(a_message(1, "before"))
    real = os.write
    monkeypatch.setattr(spool.os, "write", lambda fd, data: real(fd, bytes(data[:10])))

    def full(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(spool.os, "write", refuse)
        return real(descriptor, bytes(data[:10]))

    def refuse(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        writing.append(a_message(2, "does not fit"))
    monkeypatch.setattr(spool.os, "write", real)
    writing.append(a_message(3, "after"))
    assert texts(tmp_path) == ["before", "after"]


def test_the_spool_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MAX_BYTES", 400)
    writing = Spool(tmp_path)
    writing.append(a_message())
    with pytest.raises(OSError, match="full"):
        writing.append(a_message(2, "x" * 400))
    assert len(spool.read(tmp_path)) == 1
