"""The server's store of public keys: what devices upload, so that others can begin sessions with them.

One rule: a one-time prekey is handed out once; a device whose prekeys are used up is written to without one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from tests.whatsapp.binary_xml import SERVER, Node
from tests.whatsapp.signal.session import Bundle

if TYPE_CHECKING:
    from tests.whatsapp.database import Database

_DJB_TYPE = b"\x05"


@dataclass(kw_only=True, slots=True)
class _Uploaded:
    registration_id: int
    identity: bytes
    signed_prekey_id: int
    signed_prekey: bytes
    signature: bytes


class Prekeys:
    """The keys of all linked devices."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, phone: str, device: int, upload: Node) -> int:
        """Keep what a device uploads; returns how many one-time prekeys came with it."""
        signed = _read_key(upload.child("skey") or Node("skey"))
        uploaded = _Uploaded(
            registration_id=int.from_bytes((upload.child("registration") or Node("")).data, "big"),
            identity=(upload.child("identity") or Node("")).data,
            signed_prekey_id=signed[0],
            signed_prekey=signed[1],
            signature=(upload.child("skey", "signature") or Node("")).data,
        )
        keys = [_read_key(node) for node in (upload.child("list") or Node("list")).children]
        with self._database.transaction():
            self._database.change(
                "INSERT OR REPLACE INTO device (phone, device, bundle) VALUES (?, ?, ?)",
                *(phone, device, msgspec.msgpack.encode(uploaded)),
            )
            for number, public in keys:
                self._database.change(
                    "INSERT OR REPLACE INTO prekey (phone, device, id, public) VALUES (?, ?, ?, ?)",
                    *(phone, device, number, public),
                )
        return len(keys)

    def count(self, phone: str, device: int) -> int:
        """Return how many one-time prekeys of a device are left."""
        rows = self._database.rows(
            "SELECT count(*) FROM prekey WHERE phone = ? AND device = ?", phone, device
        )
        return int(rows[0][0])

    def bundle(self, phone: str, device: int, identity: bytes) -> Bundle | None:
        """Hand out a device's keys; None while it has uploaded none under its present identity."""
        with self._database.transaction():
            rows = self._database.rows(
                "SELECT bundle FROM device WHERE phone = ? AND device = ?", phone, device
            )
            if not rows:
                return None
            uploaded = msgspec.msgpack.decode(rows[0]["bundle"], type=_Uploaded)
            if uploaded.identity != identity:
                return None
            keys = self._database.rows(
                "DELETE FROM prekey WHERE (phone, device, id) = "
                "(SELECT phone, device, id FROM prekey WHERE phone = ? AND device = ? ORDER BY id LIMIT 1) "
                "RETURNING id, public",
                *(phone, device),
            )
        key = (keys[0]["id"], keys[0]["public"]) if keys else (None, None)
        return Bundle(
            registration_id=uploaded.registration_id,
            identity=identity,
            signed_prekey_id=uploaded.signed_prekey_id,
            signed_prekey=uploaded.signed_prekey,
            signature=uploaded.signature,
            prekey_id=key[0],
            prekey=key[1],
        )

    def forget(self, phone: str, device: int | None = None) -> None:
        """Forget the keys of a device that is unlinked, or of all of a phone's."""
        for table in ("prekey", "device"):
            self._database.change(
                f"DELETE FROM {table} WHERE phone = ? AND (? IS NULL OR device = ?)", phone, device, device
            )


def _read_key(node: Node) -> tuple[int, bytes]:
    return (
        int.from_bytes((node.child("id") or Node("")).data, "big"),
        (node.child("value") or Node("")).data,
    )


def read_keys(keys: Node, registration: bytes) -> Bundle:
    """Read the keys that a retry receipt brings with it."""
    number, public = _read_key(keys.child("key") or Node("key"))
    signed_number, signed = _read_key(keys.child("skey") or Node("skey"))
    return Bundle(
        registration_id=int.from_bytes(registration, "big"),
        identity=(keys.child("identity") or Node("")).data,
        signed_prekey_id=signed_number,
        signed_prekey=signed,
        signature=(keys.child("skey", "signature") or Node("")).data,
        prekey_id=number or None,
        prekey=public or None,
    )


def _key_node(tag: str, number: int, public: bytes) -> Node:
    return Node(tag, {}, [Node("id", {}, number.to_bytes(3, "big")), Node("value", {}, public)])


def bundle_nodes(bundle: Bundle) -> list[Node]:
    """Return the elements that hand out a bundle."""
    signed = _key_node("skey", bundle.signed_prekey_id, bundle.signed_prekey)
    signed.children.append(Node("signature", {}, bundle.signature))
    nodes = [
        Node("registration", {}, bundle.registration_id.to_bytes(4, "big")),
        Node("type", {}, _DJB_TYPE),
        Node("identity", {}, bundle.identity),
        signed,
    ]
    if bundle.prekey_id is not None and bundle.prekey is not None:
        nodes.append(_key_node("key", bundle.prekey_id, bundle.prekey))
    return nodes


def running_low(left: int) -> Node:
    """Return what tells a device that its prekeys on the server are running low."""
    now = str(int(time.time()))
    return Node(
        "notification",
        {"from": SERVER, "type": "encrypt", "id": now, "t": now},
        [Node("count", {"value": str(left)})],
    )
