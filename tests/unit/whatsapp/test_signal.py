"""The Signal protocol by itself: two phones that write to each other, in any order, with losses."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.whatsapp.contents import padded, text, unpadded
from tests.whatsapp.correspondent import Correspondent
from tests.whatsapp.database import Database
from tests.whatsapp.handset import Handset
from tests.whatsapp.signal import senderkey, wire
from tests.whatsapp.signal.curve import KeyPair, SignalError
from tests.whatsapp.signal.ratchet import MAX_AHEAD, Chain
from tests.whatsapp.signal.senderkey import OwnKey, TheirKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADA, GRACE, GROUP = "491701234567", "491511111111", "120363000000000000@g.us"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    kept = Database(tmp_path)
    yield kept
    kept.close()


@pytest.fixture
def pair(database: Database) -> tuple[Correspondent, Correspondent]:
    ada, grace = (Correspondent(Handset(phone=phone), database) for phone in (ADA, GRACE))
    return ada, grace


def write(writer: Correspondent, reader: Correspondent, words: bytes) -> tuple[str, bytes]:
    identity = KeyPair(reader.handset.account_private).public
    return writer.write(f"{reader.handset.phone}:0", words, identity=identity, bundle=reader.bundle)


def read(reader: Correspondent, writer: Correspondent, message: tuple[str, bytes]) -> bytes:
    return reader.read(f"{writer.handset.phone}:0", *message)


def refusal(reader: Correspondent, writer: Correspondent, message: tuple[str, bytes]) -> str:
    with pytest.raises(SignalError) as refused:
        read(reader, writer, message)
    return refused.value.reason


def test_session_begins_with_keys_and_goes_on_without(pair: tuple[Correspondent, Correspondent]) -> None:
    ada, grace = pair
    kinds = []
    for number in range(3):
        message = write(ada, grace, b"%d" % number)
        kinds.append(message[0])
        assert read(grace, ada, message) == b"%d" % number
    answer = write(grace, ada, b"answer")
    assert (answer[0], b"answer") == ("msg", read(ada, grace, answer))
    kinds.append(write(ada, grace, b"3")[0])
    assert kinds == ["pkmsg", "pkmsg", "pkmsg", "msg"]


def test_both_may_begin_at_once(pair: tuple[Correspondent, Correspondent]) -> None:
    ada, grace = pair
    crossing = write(ada, grace, b"from ada"), write(grace, ada, b"from grace")
    assert read(grace, ada, crossing[0]) == b"from ada"
    assert read(ada, grace, crossing[1]) == b"from grace"
    for number in range(6):
        writer, reader = (ada, grace) if number % 2 else (grace, ada)
        assert read(reader, writer, write(writer, reader, b"%d" % number)) == b"%d" % number


def test_messages_in_any_order_with_turns_are_read_once(pair: tuple[Correspondent, Correspondent]) -> None:
    ada, grace = pair
    read(grace, ada, write(ada, grace, b"begin"))
    under_way: list[tuple[Correspondent, Correspondent, bytes, tuple[str, bytes]]] = []
    chance = random.Random(7)
    for number in range(200):
        writer, reader = chance.choice([(ada, grace), (grace, ada)])
        words = b"%d" % number
        under_way.append((writer, reader, words, write(writer, reader, words)))
        # As many turns as libsignal keeps keys for.
        if len(under_way) > 4:
            came = under_way.pop(chance.randrange(len(under_way)))
            assert came[2] == read(came[1], came[0], came[3])
    chance.shuffle(under_way)
    for writer, reader, words, message in under_way:
        assert words == read(reader, writer, message)
        assert refusal(reader, writer, message) == "old"


def test_changed_message_is_not_read_and_spoils_nothing(pair: tuple[Correspondent, Correspondent]) -> None:
    ada, grace = pair
    read(grace, ada, write(ada, grace, b"begin"))
    read(ada, grace, write(grace, ada, b"answer"))
    kind, data = write(ada, grace, b"usual")
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(SignalError):
            grace.read(f"{ADA}:0", kind, changed)
    assert (kind, b"usual") == ("msg", read(grace, ada, (kind, data)))


def test_what_is_missing_is_named(pair: tuple[Correspondent, Correspondent]) -> None:
    ada, grace = pair
    first = write(ada, grace, b"the first")
    read(grace, ada, first)
    read(ada, grace, write(grace, ada, b"answer"))
    usual = write(ada, grace, b"usual")
    grace.forget_sessions()
    assert refusal(grace, ada, usual) == "no-session"
    assert refusal(grace, ada, first) == "no-prekey"
    ada.begin_anew(f"{GRACE}:0", grace.bundle())
    assert read(grace, ada, write(ada, grace, b"anew")) == b"anew"


def test_bundle_that_its_identity_did_not_sign_is_refused(pair: tuple[Correspondent, Correspondent]) -> None:
    ada, grace = pair
    stranger = KeyPair()
    with pytest.raises(SignalError):
        ada.write(f"{GRACE}:0", b"x", identity=stranger.public, bundle=lambda: forged(grace, stranger))


def forged(owner: Correspondent, stranger: KeyPair) -> object:
    bundle = owner.bundle()
    return type(bundle)(
        **{name: getattr(bundle, name) for name in bundle.__slots__} | {"identity": stranger.public}
    )


def test_chain_gives_each_key_once_and_not_from_too_far_ahead() -> None:
    chain, same = Chain(b"k" * 32), Chain(b"k" * 32)
    seeds = [same.step()[1] for _ in range(10)]
    assert [chain.seed_of(place) for place in (3, 0, 9, 1)] == [seeds[place] for place in (3, 0, 9, 1)]
    for place, reason in ((3, "old"), (chain.index + MAX_AHEAD + 1, "future")):
        with pytest.raises(SignalError) as refused:
            chain.seed_of(place)
        assert reason == refused.value.reason


def test_member_reads_a_group_from_when_it_was_told(pair: tuple[Correspondent, Correspondent]) -> None:
    ada, grace = pair
    early = ada.write_group(GROUP, b"early")
    grace.hear(GROUP, f"{ADA}:0", ada.distribution(GROUP))
    later = [ada.write_group(GROUP, b"%d" % number) for number in range(5)]
    for number in (4, 0, 2):
        assert grace.read_group(GROUP, f"{ADA}:0", later[number]) == b"%d" % number
    for message, reason in ((early, "old"), (later[0], "old")):
        with pytest.raises(SignalError) as refused:
            grace.read_group(GROUP, f"{ADA}:0", message)
        assert reason == refused.value.reason
    ada.renew_key(GROUP)
    with pytest.raises(SignalError) as refused:
        grace.read_group(GROUP, f"{ADA}:0", ada.write_group(GROUP, b"without telling"))
    assert refused.value.reason == "no-key"


def test_group_message_is_signed_by_its_sender() -> None:
    key = OwnKey()
    told = TheirKey.told(key.distribution())
    message = key.write(b"words")
    body = message[: -wire.SIGNATURE_BYTES]
    with pytest.raises(SignalError) as refused:
        senderkey.read([told], body + OwnKey().write(b"words")[-wire.SIGNATURE_BYTES :])
    assert refused.value.reason == "undecryptable"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_signal_error(data: bytes) -> None:
    for kind, behind in ((wire.SignalMessage, 8), (wire.PreKeySignalMessage, 0), (wire.SenderKeyMessage, 64)):
        with contextlib.suppress(SignalError):
            wire.read(kind, b"\x33" + data, behind=behind)


@given(st.text())
def test_padding_comes_off_again(words: str) -> None:
    assert words == unpadded(padded(text(words))).conversation
    for wrong in (b"", b"\0", b"\x05\x05"):
        with pytest.raises(SignalError):
            unpadded(wrong)
