"""A parcel opens as the whole of one account with the key that sealed it, or not at all."""

from __future__ import annotations

import io

import pytest

from sessions.keys import StoreKey, ring
from sessions.messages import Identity
from sessions.parcel import Facts, Parcel, pack
from sessions.seal import PIECE_BYTES, SealDamagedError, WrongKeyError, new_header
from tests.unit.sessions.sealing import KEY, OTHER_KEY, Memory, pieces_of

FACTS = Facts(
    id="a-abcdefghij",
    name="sales",
    owner="alice",
    exported_at=1_790_000_000.5,
    created_at=1_780_000_000.25,
    identity=Identity(jid="491701234567@s.whatsapp.net", device_number=12, lid="123@lid"),
    display_name="Sales",
    daily_limit=7,
)
IMAGE = bytes(range(256)) * (PIECE_BYTES // 100)


def packed(image: bytes = IMAGE, key: StoreKey = KEY) -> bytes:
    file = io.BytesIO()
    pack(file, key, FACTS, pieces_of(image), len(image))
    return file.getvalue()


def unpacked(content: bytes, *keys: StoreKey) -> tuple[Facts, bytes]:
    parcel, memory = Parcel(io.BytesIO(content), ring(*(keys or (KEY,)))), Memory()
    parcel.unpack(memory)
    return parcel.facts, bytes(memory.image)


@pytest.mark.parametrize("size", [0, 1, 4096, PIECE_BYTES, PIECE_BYTES + 1, len(IMAGE)])
def test_what_was_packed_comes_out(size: int) -> None:
    assert unpacked(packed(IMAGE[:size])) == (FACTS, IMAGE[:size])


def test_nothing_of_it_can_be_read_but_what_it_is() -> None:
    content = packed()
    assert content.startswith(b"TOWER-ACCOUNT 1 a-abcdefghij\n")
    assert b"49170" not in content
    assert b"sales" not in content
    assert IMAGE[:64] not in content


def test_no_two_are_alike() -> None:
    assert packed()[60:] != packed()[60:]


def test_another_key_is_named() -> None:
    with pytest.raises(WrongKeyError, match=KEY.name):
        unpacked(packed(), OTHER_KEY)
    assert unpacked(packed(), OTHER_KEY, KEY)[0] == FACTS


def test_it_is_damaged_wherever_a_bit_is_another() -> None:
    content = packed(IMAGE[:5000])
    for place in range(0, len(content), 37):
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises((SealDamagedError, WrongKeyError)):
            unpacked(bytes(changed))


def test_it_is_damaged_wherever_it_is_cut() -> None:
    content = packed(IMAGE[:5000])
    for length in range(0, len(content), 29):
        with pytest.raises(SealDamagedError):
            unpacked(content[:length])


def test_it_is_damaged_when_something_follows() -> None:
    with pytest.raises(SealDamagedError, match="follows"):
        unpacked(packed() + b"\0")


def test_one_of_another_account_is_no_longer_one_when_it_is_called_otherwise() -> None:
    with pytest.raises(SealDamagedError):
        unpacked(packed().replace(b"a-abcdefghij", b"a-abcdefghik", 1))


def test_later_format_says_that_an_upgrade_helps() -> None:
    with pytest.raises(SealDamagedError, match=r"format 2, .*upgrade"):
        unpacked(packed().replace(b"TOWER-ACCOUNT 1", b"TOWER-ACCOUNT 2", 1))


@pytest.mark.parametrize("content", [b"", b"\n", b"TOWERSTO", b"SQLite format 3\0" * 100])
def test_something_else_is_no_parcel(content: bytes) -> None:
    with pytest.raises(SealDamagedError, match="no exported account"):
        unpacked(content)


def test_sealed_store_is_no_parcel() -> None:
    with pytest.raises(SealDamagedError, match="no exported account"):
        unpacked(b"TOWER-ACCOUNT 1 a-abcdefghij\n" + new_header(KEY).raw)
