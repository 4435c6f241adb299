"""What a phone tells its linked devices of itself by encrypted app state: its push name.

One rule: the server keeps patches and cannot read them; their key goes from the phone to each device itself.
"""

from __future__ import annotations

import hmac
import json
import secrets
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.whatsapp.binary_xml import SERVER, Attributes, Node
from tests.whatsapp.database import Chest
from tests.whatsapp.protobufs import Message, sync_messages
from tests.whatsapp.signal.ratchet import derive, encrypt

if TYPE_CHECKING:
    from tests.whatsapp.handset import Handset, LinkedDevice
    from tests.whatsapp.server import Server

# The collection that push names stand in, and what they stand under.
_COLLECTION = "critical_block"
_INDEX = json.dumps(["setting_pushName"]).encode()
_SUM = struct.Struct("<64H")


@dataclass(kw_only=True, slots=True)
class _Kept:
    """A phone's key, the patches made with it, and what the next one has to go on from."""

    key_id: bytes = field(default_factory=lambda: secrets.token_bytes(6))
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    name: str = ""
    patches: list[bytes] = field(default_factory=list)
    sum: bytes = bytes(_SUM.size)
    value_mac: bytes = b""
    told: set[str] = field(default_factory=set)


class AppState:
    """The app state of all handsets of `server`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def tell_push_name(self, handset: Handset) -> None:
        """Make the present push name known to the linked devices, unless it is already."""
        kept = self._of(handset)
        if handset.push_name == kept.name:
            return
        kept.name = handset.push_name
        _add_patch(kept)
        self._keep(handset, kept)
        for device in handset.devices.values():
            self.share_key(handset, device)
            self._server.mail.post(handset.phone, device.number, _changed(len(kept.patches)))

    def share_key(self, handset: Handset, device: LinkedDevice) -> None:
        """Send a device the key of its app state, once there is any and the device can read."""
        kept, name = self._of(handset), device.identity_key.hex()
        if not kept.patches or name in kept.told:
            return
        if self._server.phones.send_peer(handset, device, _key_share(handset, kept)):
            kept.told.add(name)
            self._keep(handset, kept)

    def collection(self, handset: Handset, asked: Node) -> Node:
        """Answer what a device asks of a collection: the patches since the version it has."""
        version = asked.get("version")
        known = int(version) if version.isdecimal() else 0
        attrs: Attributes = {"name": asked.get("name"), "type": "result", "version": str(known)}
        kept = self._of(handset)
        if asked.get("name") != _COLLECTION or known >= len(kept.patches):
            return Node("collection", attrs)
        attrs["version"] = str(len(kept.patches))
        patches = [Node("patch", {}, patch) for patch in kept.patches[known:]]
        return Node("collection", attrs, [Node("patches", {}, patches)])

    def forget(self, handset: Handset) -> None:
        Chest(self._server.database, handset.phone).empty()

    def _of(self, handset: Handset) -> _Kept:
        return Chest(self._server.database, handset.phone).get("app state", _COLLECTION, _Kept) or _Kept()

    def _keep(self, handset: Handset, kept: _Kept) -> None:
        Chest(self._server.database, handset.phone).put("app state", _COLLECTION, kept)


def _key_share(handset: Handset, kept: _Kept) -> Message:
    fingerprint = {"rawID": handset.raw_id, "currentIndex": 0, "deviceIndexes": [0]}
    key = {"keyData": kept.key, "fingerprint": fingerprint, "timestamp": int(time.time())}
    message = Message()
    message.protocolMessage.type = message.protocolMessage.APP_STATE_SYNC_KEY_SHARE
    message.protocolMessage.appStateSyncKeyShare.keys.add(keyID={"keyID": kept.key_id}, keyData=key)
    return message


def _changed(version: int) -> Node:
    attrs: Attributes = {"from": SERVER, "type": "server_sync", "id": secrets.token_hex(8)}
    collection = Node("collection", {"name": _COLLECTION, "version": str(version)})
    return Node("notification", {**attrs, "t": str(int(time.time()))}, [collection])


def _add_patch(kept: _Kept) -> None:
    """Add the patch that sets the name: encrypted, and with the checks over the whole of the collection."""
    actions, patches = sync_messages()
    keys = derive(kept.key, b"WhatsApp Mutation Keys", 160)
    index_key, value_key, value_mac_key, snapshot_key, patch_key = (
        keys[place : place + 32] for place in range(0, 160, 32)
    )
    action = actions.SyncActionData(index=_INDEX, padding=b"", version=1)
    action.value.timestamp = round(time.time() * 1000)
    action.value.pushNameSetting.name = kept.name
    iv = secrets.token_bytes(16)
    content = iv + encrypt(action.SerializeToString(), key=value_key, iv=iv)
    # The operation SET is written as 1; what follows is the length of it with the key's id.
    checked = b"\x01" + kept.key_id + content + _number(1 + len(kept.key_id))
    value_mac = hmac.digest(value_mac_key, checked, "sha512")[:32]
    kept.sum = _summed(kept.sum, minus=kept.value_mac, plus=value_mac)
    kept.value_mac = value_mac
    behind = _number(1 + len(kept.patches)) + _COLLECTION.encode()
    snapshot_mac = hmac.digest(snapshot_key, kept.sum + behind, "sha256")
    patch: Any = patches.SyncdPatch(snapshotMAC=snapshot_mac)
    patch.version.version = 1 + len(kept.patches)
    patch.keyID.ID = kept.key_id
    patch.patchMAC = hmac.digest(patch_key, snapshot_mac + value_mac + behind, "sha256")
    record = patch.mutations.add(operation=patches.SyncdMutation.SET).record
    record.index.blob = hmac.digest(index_key, _INDEX, "sha256")
    record.value.blob = content + value_mac
    record.keyID.ID = kept.key_id
    kept.patches.append(patch.SerializeToString())


def _summed(present: bytes, *, minus: bytes, plus: bytes) -> bytes:
    """Return WhatsApp's LTHash: sums of 16-bit numbers derived from each value that stands there."""
    numbers = _SUM.unpack(present)
    for value, sign in ((minus, -1), (plus, 1)):
        if value:
            added = _SUM.unpack(derive(value, b"WhatsApp Patch Integrity", _SUM.size))
            numbers = tuple(
                (one + sign * other) % (1 << 16) for one, other in zip(numbers, added, strict=True)
            )
    return _SUM.pack(*numbers)


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")
