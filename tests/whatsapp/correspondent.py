"""The Signal side of a simulated phone: its keys, its sessions with devices, its and others' sender keys.

One rule: what a phone needs to read the next message is kept before anything of this one is passed on.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.whatsapp import xeddsa
from tests.whatsapp.database import Chest, Kept
from tests.whatsapp.signal import senderkey, session
from tests.whatsapp.signal.curve import KeyPair, SignalError, typed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.whatsapp.database import Database
    from tests.whatsapp.handset import Handset
    from tests.whatsapp.signal.session import Bundle

_SIGNED_PREKEY_ID = 1
_MAX_SENDER_KEYS = 5


@dataclass(kw_only=True, slots=True)
class _Keys:
    registration_id: int
    signed_private: bytes
    signature: bytes
    next_prekey_id: int = 1


class Correspondent:
    """The primary device of a handset, as others write to it and hear from it.

    Its identity key is the account's key, which also signs the account's linked devices.
    """

    def __init__(self, handset: Handset, database: Database) -> None:
        self.handset = handset
        self._chest = Chest(database, f"{handset.phone}:0")
        identity = KeyPair(handset.account_private)
        keys = self._chest.get("keys", "", _Keys)
        if keys is None:
            signed = KeyPair()
            keys = _Keys(
                registration_id=secrets.randbelow(1 << 14) + 1,
                signed_private=signed.private,
                signature=xeddsa.sign(identity.private, typed(signed.public)),
            )
            self._chest.put("keys", "", keys)
        self._keys = keys
        self._own = session.Own(identity=identity, registration_id=keys.registration_id)

    @property
    def registration_id(self) -> int:
        return self._keys.registration_id

    def bundle(self) -> Bundle:
        """Hand out keys with a fresh one-time prekey."""
        prekey, number = KeyPair(), self._keys.next_prekey_id
        self._keys.next_prekey_id += 1
        self._chest.put("keys", "", self._keys)
        self._chest.put("prekey", str(number), prekey.private)
        return session.Bundle(
            registration_id=self._keys.registration_id,
            identity=self._own.identity.public,
            signed_prekey_id=_SIGNED_PREKEY_ID,
            signed_prekey=KeyPair(self._keys.signed_private).public,
            signature=self._keys.signature,
            prekey_id=number,
            prekey=prekey.public,
        )

    def write(
        self, address: str, plaintext: bytes, *, identity: bytes, bundle: Callable[[], Bundle | None]
    ) -> tuple[str, bytes]:
        """Encrypt for a device; `bundle` is asked when there is no session with this identity.

        Raises:
            SignalError: `no-keys` when nothing can be had to begin a session with.
        """
        record = self._chest.get("session", address, session.Record)
        if record is None or record.current.remote_identity != identity:
            handed_out = bundle()
            if handed_out is None:
                raise SignalError("no-keys", f"{address} has uploaded no keys")
            record = session.begin(self._own, handed_out, None)
        written = session.write(self._own, record, plaintext)
        self._chest.put("session", address, record)
        return written

    def begin_anew(self, address: str, bundle: Bundle) -> None:
        """Begin another session with a device, which said that it cannot read the present one."""
        record = self._chest.get("session", address, session.Record)
        self._chest.put("session", address, session.begin(self._own, bundle, record))

    def read(self, address: str, kind: str, data: bytes) -> bytes:
        """Decrypt a `pkmsg` or `msg` of a device.

        Raises:
            SignalError: `old`, `no-session`, `no-prekey`, `undecryptable`, `malformed`, ….
        """
        record = self._chest.get("session", address, session.Record)
        used: int | None = None
        if kind == "pkmsg":
            opening = session.Opening.read(data)
            record, used = self._accepted(opening, record)
            data = opening.message
        if record is None:
            raise SignalError("no-session", f"there is no session with {address}")
        plaintext, record = session.read(self._own, record, data)
        self._chest.put("session", address, record)
        if used is not None:
            self._chest.drop("prekey", str(used))
        return plaintext

    def forget_sessions(self, address: str | None = None) -> None:
        """Lose the session with a device, or all, as a phone does that was set up anew from an old backup."""
        if address is None:
            self._chest.empty("session")
        else:
            self._chest.drop("session", address)

    # Groups

    def has_told(self, group: str, device: str) -> bool:
        """Tell whether a device was told of the own sender key."""
        return device in self._own_key(group).told

    def note_told(self, group: str, device: str) -> None:
        key = self._own_key(group)
        key.told.add(device)
        self._chest.put("own key", group, key)

    def write_group(self, group: str, plaintext: bytes) -> bytes:
        """Encrypt for all devices that were told of the sender key."""
        key = self._own_key(group)
        written = key.write(plaintext)
        self._chest.put("own key", group, key)
        return written

    def distribution(self, group: str) -> bytes:
        """Return what tells of the own sender key: it opens the messages from now on."""
        key = self._own_key(group)
        self._chest.put("own key", group, key)
        return key.distribution()

    def renew_key(self, group: str) -> None:
        """Take another sender key from now on: somebody who knows this one has left."""
        self._chest.drop("own key", group)

    def hear(self, group: str, address: str, distribution: bytes) -> None:
        """Take what tells of a device's sender key.

        Raises:
            SignalError: it tells of none.
        """
        key = senderkey.TheirKey.told(distribution)
        known = [one for one in self._their_keys(group, address) if one.id != key.id]
        self._chest.put("their keys", f"{group} {address}", [key, *known][:_MAX_SENDER_KEYS])

    def read_group(self, group: str, address: str, data: bytes) -> bytes:
        """Decrypt a `skmsg` of a device.

        Raises:
            SignalError: `no-key`, `old`, `undecryptable`, `malformed`, ….
        """
        plaintext, keys = senderkey.read(self._their_keys(group, address), data)
        self._chest.put("their keys", f"{group} {address}", keys)
        return plaintext

    # What was sent, for those who ask again

    def remember(self, message_id: str, sent: object) -> None:
        self._chest.put("sent", message_id, sent)

    def remembered(self, message_id: str, type_: type[Kept]) -> Kept | None:
        return self._chest.get("sent", message_id, type_)

    def count_retry(self, message_id: str) -> int:
        """Count that a message could not be read; returns how often that was."""
        count = 1 + (self._chest.get("retries", message_id, int) or 0)
        self._chest.put("retries", message_id, count)
        return count

    def forget_everything(self) -> None:
        self._chest.empty()

    def _own_key(self, group: str) -> senderkey.OwnKey:
        return self._chest.get("own key", group, senderkey.OwnKey) or senderkey.OwnKey()

    def _their_keys(self, group: str, address: str) -> list[senderkey.TheirKey]:
        return self._chest.get("their keys", f"{group} {address}", list[senderkey.TheirKey]) or []

    def _accepted(
        self, opening: session.Opening, record: session.Record | None
    ) -> tuple[session.Record, int | None]:
        prekey: KeyPair | None = None
        known = [record.current, *record.previous] if record else []
        if opening.prekey_id is not None and opening.base_key not in [state.base_key for state in known]:
            private = self._chest.get("prekey", str(opening.prekey_id), bytes)
            if private is None:
                raise SignalError("no-prekey", f"there is no prekey {opening.prekey_id}")
            prekey = KeyPair(private)
        signed = KeyPair(self._keys.signed_private)
        accepted = session.accept(self._own, opening, record, signed=signed, prekey=prekey)
        return accepted, opening.prekey_id
