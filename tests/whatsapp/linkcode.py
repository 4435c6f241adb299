"""Linking by a code typed on the phone: the phone's half of the exchange that replaces the QR.

One rule: the code itself never reaches the server; a wrong one shows only when the key bundle does not open.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.whatsapp.binary_xml import SERVER, Attributes, Node
from tests.whatsapp.handset import Handset, Refused

if TYPE_CHECKING:
    from tests.whatsapp.connection import Connection

_ITERATIONS = 2 << 16
_FINISH_SECONDS = 15.0
_DISPLAY = re.compile(
    r"(Chrome|Edge|Firefox|IE|Opera|Safari|Electron|UWP|Android|Desktop) "
    r"\((Linux|Windows|Mac OS|macOS|Mac OS X|Android|Ubuntu|iOS|Chrome OS|Other|Unknown)\)"
)


@dataclass(kw_only=True, slots=True)
class PendingCode:
    """What the client said when it asked for a code, and its last message once it comes."""

    phone: str
    ref: bytes
    wrapped_ephemeral: bytes
    finish: asyncio.Future[Node] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


def take_hello(connection: Connection, request: Node) -> list[Node]:
    """Note a client's wish for a code and return the answer to its iq.

    Raises:
        Refused: WhatsApp would not accept this client name or number.
    """
    companion = connection.companion
    display = request.child("companion_platform_display")
    wrapped = request.child("link_code_pairing_wrapped_companion_ephemeral_pub")
    phone = request.get("jid").partition("@")[0]
    if companion is None or wrapped is None or len(wrapped.data) != 80 or not phone.isdigit():
        raise Refused("malformed", "bad-request")
    if display is None or not _DISPLAY.fullmatch(display.data.decode("utf-8", "replace")):
        raise Refused("malformed", "bad-request")
    ref = secrets.token_urlsafe(32).encode()
    companion.code = PendingCode(phone=phone, ref=ref, wrapped_ephemeral=wrapped.data)
    return [Node("link_code_companion_reg", {}, [Node("link_code_pairing_ref", {}, ref)])]


def take_finish(connection: Connection, request: Node) -> list[Node]:
    """Give the client's key bundle to the phone that waits for it."""
    code = connection.companion.code if connection.companion else None
    if code is None or code.finish.done():
        raise Refused("malformed", "bad-request")
    code.finish.set_result(request)
    return []


async def exchange(connection: Connection, handset: Handset, text: str) -> bytes:
    """Type a code on a handset; returns the secret that the client and the phone share from then on.

    Raises:
        Refused: the code is wrong, or the client does not answer.
    """
    pending = connection.companion.code if connection.companion else None
    if pending is None:
        raise Refused("unknown", f"no client waits for a code of {handset.phone}")
    code = text.replace("-", "").replace(" ", "").upper().encode()
    ephemeral = X25519PrivateKey.generate()
    theirs = await asyncio.to_thread(_unwrap, code, pending.wrapped_ephemeral)
    ours = await asyncio.to_thread(_wrap, code, ephemeral.public_key().public_bytes_raw())
    connection.send(_primary_hello(handset, pending, ours))
    try:
        async with asyncio.timeout(_FINISH_SECONDS):
            finish = await asyncio.shield(pending.finish)
    except TimeoutError:
        raise Refused("unconfirmed", "the client did not answer the code") from None
    bundle = finish.child("link_code_pairing_wrapped_key_bundle")
    identity = finish.child("companion_identity_public")
    if bundle is None or identity is None or len(identity.data) != 32:
        raise Refused("unconfirmed", "the client's answer to the code is incomplete")
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(theirs))
    randomness = _open_bundle(bundle.data, shared, identity.data, handset)
    own = X25519PrivateKey.from_private_bytes(handset.account_private)
    identity_shared = own.exchange(X25519PublicKey.from_public_bytes(identity.data))
    return _derive(shared + identity_shared + randomness, b"", b"adv_secret")


def _primary_hello(handset: Handset, pending: PendingCode, wrapped: bytes) -> Node:
    content = [
        Node("link_code_pairing_wrapped_primary_ephemeral_pub", {}, wrapped),
        Node("primary_identity_pub", {}, handset.account_public),
        Node("link_code_pairing_ref", {}, pending.ref),
    ]
    attrs: Attributes = {"from": SERVER, "type": "link_code_companion_reg", "id": secrets.token_hex(8)}
    return Node("notification", attrs, [Node("link_code_companion_reg", {"stage": "primary_hello"}, content)])


def _open_bundle(bundle: bytes, shared: bytes, identity: bytes, handset: Handset) -> bytes:
    salt, nonce, sealed = bundle[:32], bundle[32:44], bundle[44:]
    key = _derive(shared, salt, b"link_code_pairing_key_bundle_encryption_key")
    try:
        opened = AESGCM(key).decrypt(nonce, sealed, None)
    except (InvalidTag, ValueError):
        raise Refused("wrong-code", "this is not the code the client shows") from None
    if opened[:32] != identity or opened[32:64] != handset.account_public or len(opened) != 96:
        raise Refused("mismatch", "the client's key bundle names other keys")
    return opened[64:]


def _stretched(code: bytes, salt: bytes, iv: bytes, data: bytes) -> bytes:
    key = hashlib.pbkdf2_hmac("sha256", code, salt, _ITERATIONS, 32)
    return Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(data)


def _unwrap(code: bytes, wrapped: bytes) -> bytes:
    return _stretched(code, wrapped[:32], wrapped[32:48], wrapped[48:80])


def _wrap(code: bytes, public: bytes) -> bytes:
    salt, iv = os.urandom(32), os.urandom(16)
    return salt + iv + _stretched(code, salt, iv, public)


def _derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    prk = hmac.digest(salt or bytes(32), secret, "sha256")
    return hmac.digest(prk, info + b"\x01", "sha256")
