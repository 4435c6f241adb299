"""Sessions between two devices: X3DH to begin, the double ratchet from then on.

One rule: a message that cannot be read changes nothing; what is returned is a new record to keep instead.
"""

from __future__ import annotations

import copy
import hmac
from dataclasses import dataclass, field

from tests.whatsapp import xeddsa
from tests.whatsapp.signal import wire
from tests.whatsapp.signal.curve import KeyPair, SignalError, typed, untyped
from tests.whatsapp.signal.ratchet import Chain, decrypt, derive, encrypt

# As many as libsignal keeps.
_MAX_PREVIOUS = 40
_MAX_RECEIVING = 5
_DISCONTINUITY = b"\xff" * 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """What a server hands out of a device, so that others can write to it without it being there."""

    registration_id: int
    identity: bytes
    signed_prekey_id: int
    signed_prekey: bytes
    signature: bytes
    prekey_id: int | None = None
    prekey: bytes | None = None


@dataclass(kw_only=True, slots=True)
class Begun:
    """What goes with every message until the other end has answered."""

    base_key: bytes
    signed_prekey_id: int
    prekey_id: int | None


@dataclass(kw_only=True, slots=True)
class State:
    """One session: root key, the chain for sending and the chains for receiving by ratchet key."""

    remote_identity: bytes
    base_key: bytes
    root_key: bytes
    ratchet_private: bytes
    sending: Chain
    previous_counter: int = 0
    receiving: list[tuple[bytes, Chain]] = field(default_factory=list)
    begun: Begun | None = None


@dataclass(kw_only=True, slots=True)
class Record:
    """The present session with a device, and older ones that late messages may need."""

    current: State
    previous: list[State] = field(default_factory=list)

    def put_aside_for(self, state: State) -> None:
        """Make another session the present one."""
        self.previous = [self.current, *(one for one in self.previous if one is not state)][:_MAX_PREVIOUS]
        self.current = state


@dataclass(frozen=True, kw_only=True, slots=True)
class Own:
    """What a device needs of itself to encrypt."""

    identity: KeyPair
    registration_id: int


def begin(own: Own, bundle: Bundle, record: Record | None) -> Record:
    """Begin a session with the owner of a bundle, whatever session there was before.

    Raises:
        SignalError: the bundle is not signed by its identity.
    """
    if not xeddsa.is_valid(bundle.identity, typed(bundle.signed_prekey), bundle.signature):
        raise SignalError("malformed", "the signed prekey is not signed by its identity")
    base = KeyPair()
    secrets = [own.identity.agree(bundle.signed_prekey), base.agree(bundle.identity)]
    secrets.append(base.agree(bundle.signed_prekey))
    if bundle.prekey is not None:
        secrets.append(base.agree(bundle.prekey))
    root_key, chain_key = _first_keys(secrets)
    ratchet = KeyPair()
    next_root, sending = _next_keys(root_key, ratchet.agree(bundle.signed_prekey))
    state = State(
        remote_identity=bundle.identity,
        base_key=base.public,
        root_key=next_root,
        ratchet_private=ratchet.private,
        sending=Chain(sending),
        receiving=[(bundle.signed_prekey, Chain(chain_key))],
        begun=Begun(
            base_key=base.public, signed_prekey_id=bundle.signed_prekey_id, prekey_id=bundle.prekey_id
        ),
    )
    return _recorded(record, state)


def accept(
    own: Own, message: Opening, record: Record | None, *, signed: KeyPair, prekey: KeyPair | None
) -> Record:
    """Take a session that the other end began, unless it is known already."""
    for known in [record.current, *record.previous] if record else []:
        if known.base_key == message.base_key:
            assert record is not None
            return record
    secrets = [signed.agree(message.identity), own.identity.agree(message.base_key)]
    secrets.append(signed.agree(message.base_key))
    if prekey is not None:
        secrets.append(prekey.agree(message.base_key))
    root_key, chain_key = _first_keys(secrets)
    state = State(
        remote_identity=message.identity,
        base_key=message.base_key,
        root_key=root_key,
        ratchet_private=signed.private,
        sending=Chain(chain_key),
    )
    return _recorded(record, state)


def _recorded(record: Record | None, state: State) -> Record:
    if record is None:
        return Record(current=state)
    changed = copy.deepcopy(record)
    changed.put_aside_for(state)
    return changed


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """The first kind of message: it tells how its session began, and holds a usual one."""

    identity: bytes
    base_key: bytes
    registration_id: int
    signed_prekey_id: int
    prekey_id: int | None
    message: bytes

    @classmethod
    def read(cls, data: bytes) -> Opening:
        """Read a `pkmsg`.

        Raises:
            SignalError: it is none.
        """
        read = wire.read(wire.PreKeySignalMessage, data, "base_key", "identity_key", "message")
        return cls(
            identity=untyped(read.identity_key),
            base_key=untyped(read.base_key),
            registration_id=read.registration_id,
            signed_prekey_id=read.signed_prekey_id,
            prekey_id=read.prekey_id if read.HasField("prekey_id") else None,
            message=read.message,
        )


def write(own: Own, record: Record, plaintext: bytes) -> tuple[str, bytes]:
    """Encrypt for the other end; returns `pkmsg` or `msg` with the bytes. The record moves on."""
    state = record.current
    counter, seed = state.sending.step()
    key, mac_key, iv = _message_keys(seed)
    message = wire.written(
        wire.SignalMessage(
            ratchet_key=typed(KeyPair(state.ratchet_private).public),
            counter=counter,
            previous_counter=state.previous_counter,
            ciphertext=encrypt(plaintext, key=key, iv=iv),
        )
    )
    message += _mac(mac_key, own.identity.public, state.remote_identity, message)
    if state.begun is None:
        return "msg", message
    opening = wire.PreKeySignalMessage(
        base_key=typed(state.begun.base_key),
        identity_key=typed(own.identity.public),
        message=message,
        registration_id=own.registration_id,
        signed_prekey_id=state.begun.signed_prekey_id,
    )
    if state.begun.prekey_id is not None:
        opening.prekey_id = state.begun.prekey_id
    return "pkmsg", wire.written(opening)


def read(own: Own, record: Record, data: bytes) -> tuple[bytes, Record]:
    """Decrypt a usual message; returns the plaintext and the record to keep from now on.

    Raises:
        SignalError: `old` when it was read before, else `malformed`, `future` or `undecryptable`.
    """
    message = wire.read(wire.SignalMessage, data, "ratchet_key", "ciphertext", behind=wire.MAC_BYTES)
    failure: SignalError | None = None
    for number in range(1 + len(record.previous)):
        changed = copy.deepcopy(record)
        state = [changed.current, *changed.previous][number]
        try:
            plaintext = _read_with(own, state, message, data)
        except SignalError as error:
            failure = failure if failure and failure.reason == "old" else error
            continue
        if number:
            changed.put_aside_for(state)
        return plaintext, changed
    assert failure is not None
    raise failure


def _read_with(own: Own, state: State, message: wire.SignalMessage, data: bytes) -> bytes:
    chain = _receiving(state, untyped(message.ratchet_key))
    key, mac_key, iv = _message_keys(chain.seed_of(message.counter))
    body, mac = data[: -wire.MAC_BYTES], data[-wire.MAC_BYTES :]
    if not hmac.compare_digest(mac, _mac(mac_key, state.remote_identity, own.identity.public, body)):
        raise SignalError("undecryptable", "the message's check is wrong")
    plaintext = decrypt(message.ciphertext, key=key, iv=iv)
    state.begun = None
    return plaintext


def _receiving(state: State, ratchet_key: bytes) -> Chain:
    for known, chain in state.receiving:
        if known == ratchet_key:
            return chain
    ours = KeyPair(state.ratchet_private)
    root_key, receiving = _next_keys(state.root_key, ours.agree(ratchet_key))
    fresh = KeyPair()
    state.root_key, sending = _next_keys(root_key, fresh.agree(ratchet_key))
    state.receiving = [(ratchet_key, Chain(receiving)), *state.receiving][:_MAX_RECEIVING]
    state.previous_counter = max(state.sending.index - 1, 0)
    state.ratchet_private = fresh.private
    state.sending = Chain(sending)
    return state.receiving[0][1]


def _first_keys(secrets: list[bytes]) -> tuple[bytes, bytes]:
    derived = derive(_DISCONTINUITY + b"".join(secrets), b"WhisperText", 64)
    return derived[:32], derived[32:]


def _next_keys(root_key: bytes, secret: bytes) -> tuple[bytes, bytes]:
    derived = derive(secret, b"WhisperRatchet", 64, salt=root_key)
    return derived[:32], derived[32:]


def _message_keys(seed: bytes) -> tuple[bytes, bytes, bytes]:
    derived = derive(seed, b"WhisperMessageKeys", 80)
    return derived[:32], derived[32:64], derived[64:]


def _mac(key: bytes, sender: bytes, receiver: bytes, body: bytes) -> bytes:
    return hmac.digest(key, typed(sender) + typed(receiver) + body, "sha256")[: wire.MAC_BYTES]
