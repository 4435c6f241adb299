"""What the server answers to a client's queries (iq): one row for each that a client waits for.

One rule: every query gets an answer; what stands in no row gets an empty result.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from tests.whatsapp import linkcode
from tests.whatsapp.binary_xml import SERVER, Attributes, Jid, Node
from tests.whatsapp.handset import Refused
from tests.whatsapp.pairing import passkey_options
from tests.whatsapp.prekeys import bundle_nodes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.whatsapp.connection import Connection
    from tests.whatsapp.server import Server

_PRIVACY = ("readreceipts", "last", "online", "profile", "status", "groupadd", "calladd")


class QueryError(Exception):
    """The query is answered with an error: code and text as WhatsApp writes them."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.node = Node("error", {"code": str(code), "text": text})


def answer(server: Server, connection: Connection, iq: Node) -> Node:
    """Return the answer to an iq of type get or set."""
    first = iq.children[0].tag if iq.children else ""
    key = (iq.get("xmlns"), iq.get("type"))
    handler = _ANSWERS.get((*key, first)) or _ANSWERS.get((*key, "*"))
    attrs = {"from": iq.attrs.get("to", SERVER), "id": iq.get("id")}
    try:
        content = handler(server, connection, iq) if handler else []
    except QueryError as error:
        return Node("iq", {**attrs, "type": "error"}, [error.node])
    return Node("iq", {**attrs, "type": "result"}, content or None)


def _keepalive(server: Server, connection: Connection, iq: Node) -> list[Node]:
    connection.keepalive_at = time.time()
    server.record.count("keepalives", connection.key)
    return []


def _active(server: Server, connection: Connection, iq: Node) -> list[Node]:
    server.activate(connection)
    return []


def _passive(server: Server, connection: Connection, iq: Node) -> list[Node]:
    connection.is_active = False
    return []


def _prekey_count(server: Server, connection: Connection, iq: Node) -> list[Node]:
    return [Node("count", {"value": str(_prekeys_left(server, connection))})]


def _prekeys_left(server: Server, connection: Connection) -> int:
    return server.prekeys.count(connection.phone or "", connection.device or 0)


def _prekey_upload(server: Server, connection: Connection, iq: Node) -> list[Node]:
    device = server.device_of(connection)
    if device is not None:
        uploaded = server.prekeys.take(connection.phone or "", device.number, iq)
        server.record.count("prekeys", connection.key, uploaded)
        server.app_state.share_key(server.ledger.handsets[connection.phone or ""], device)
    return []


def _digest(server: Server, connection: Connection, iq: Node) -> list[Node]:
    device = server.device_of(connection)
    if device is None or not _prekeys_left(server, connection):
        raise QueryError(404, "item-not-found")
    return [Node("digest", {}, [Node("identity", {}, device.identity_key), Node("list", {}, [])])]


def _prekey_fetch(server: Server, connection: Connection, iq: Node) -> list[Node]:
    wanted = iq.child("key") or Node("key")
    users = [_keys_of(server, user.attrs["jid"]) for user in wanted.children if "jid" in user.attrs]
    return [Node("list", {}, users)]


def _keys_of(server: Server, jid: Jid | str) -> Node:
    bundle, handset = None, server.ledger.owner(jid) if isinstance(jid, Jid) else None
    if handset is not None and isinstance(jid, Jid):
        if jid.device == 0:
            bundle = server.phones.of(handset).bundle()
        elif jid.device in handset.devices:
            bundle = server.hand_out(handset, handset.devices[jid.device])
    if bundle is None:
        return Node("user", {"jid": jid}, [Node("error", {"code": "404", "text": "item-not-found"})])
    return Node("user", {"jid": jid}, bundle_nodes(bundle))


def _app_state(server: Server, connection: Connection, iq: Node) -> list[Node]:
    asked = iq.child("sync") or Node("sync")
    handset = server.ledger.handsets.get(connection.phone or "")
    if handset is None:
        raise QueryError(404, "item-not-found")
    return [Node("sync", {}, [server.app_state.collection(handset, node) for node in asked.children])]


def _usync(server: Server, connection: Connection, iq: Node) -> list[Node]:
    asked = iq.child("usync", "list") or Node("list")
    query = iq.child("usync", "query", "contact")
    is_lid = query is not None and query.get("addressing_mode") == "lid"
    users = [_usync_user(server, user, is_lid=is_lid) for user in asked.children]
    attrs = {
        name: (iq.child("usync") or Node("usync")).get(name) for name in ("sid", "index", "last", "context")
    }
    return [Node("usync", dict(attrs), [Node("result"), Node("list", {}, users)])]


def _usync_user(server: Server, user: Node, *, is_lid: bool) -> Node:
    jid = user.attrs.get("jid")
    contact = user.child("contact")
    asked = contact.data if contact else b""
    if not isinstance(jid, Jid) and asked:
        jid = Jid(asked.decode("utf-8", "replace").lstrip("+").partition("@")[0])
    if not isinstance(jid, Jid):
        return Node("user")
    handset = server.ledger.owner(jid)
    if handset is None:
        return Node("user", {"jid": jid}, [Node("contact", {"type": "out"}, asked)])
    attrs: Attributes = {"jid": jid}
    if asked and is_lid:
        attrs = {"jid": handset.lid_jid(), "pn_jid": handset.jid()}
    devices = [Node("device", {"id": "0"})]
    for number, device in sorted(handset.devices.items()):
        devices.append(Node("device", {"id": str(number), "key-index": str(device.key_index)}))
    content = [
        Node("contact", {"type": "in"}, asked),
        Node("devices", {}, [Node("device-list", {}, devices)]),
        Node("lid", {"val": handset.lid_jid()}),
    ]
    return Node("user", attrs, content)


def _media_connection(server: Server, connection: Connection, iq: Node) -> list[Node]:
    attrs: Attributes = {
        "auth": secrets.token_urlsafe(32),
        "ttl": "300",
        "auth_ttl": "21600",
        "max_buckets": "12",
    }
    return [Node("media_conn", attrs, [Node("host", {"hostname": "mmg.whatsapp.net"})])]


def _privacy(server: Server, connection: Connection, iq: Node) -> list[Node]:
    return [Node("privacy", {}, [Node("category", {"name": name, "value": "all"}) for name in _PRIVACY])]


def _blocklist(server: Server, connection: Connection, iq: Node) -> list[Node]:
    return [Node("list", {"dhash": "1"}, [])]


def _groups(server: Server, connection: Connection, iq: Node) -> list[Node]:
    groups = server.groups.of(connection.phone or "")
    return [Node("groups", {}, [server.groups.node(group) for group in groups])]


def _group(server: Server, connection: Connection, iq: Node) -> list[Node]:
    group = server.groups.find(iq.get("to"))
    if group is None:
        raise QueryError(404, "item-not-found")
    if connection.phone not in group.members:
        raise QueryError(403, "forbidden")
    return [server.groups.node(group)]


def _props(server: Server, connection: Connection, iq: Node) -> list[Node]:
    return [Node("props", {"protocol": "1", "hash": "", "refresh": "86400"}, [])]


def _remove_device(server: Server, connection: Connection, iq: Node) -> list[Node]:
    server.client_logs_out(connection)
    return []


def _link_code(server: Server, connection: Connection, iq: Node) -> list[Node]:
    request = iq.children[0]
    take = {"companion_hello": linkcode.take_hello, "companion_finish": linkcode.take_finish}.get(
        request.get("stage")
    )
    if take is None:
        raise QueryError(400, "bad-request")
    try:
        return take(connection, request)
    except Refused as error:
        raise QueryError(400, str(error)) from None


def _ref(server: Server, connection: Connection, iq: Node) -> list[Node]:
    return [Node("ref", {}, f"2@{secrets.token_urlsafe(75)}".encode())]


def _passkey(server: Server, connection: Connection, iq: Node) -> list[Node]:
    return [passkey_options()]


# Namespace, type and first child ("*": any) of the query.
_ANSWERS: dict[tuple[str, str, str], Callable[[Server, Connection, Node], list[Node]]] = {
    ("w:p", "get", "*"): _keepalive,
    ("urn:xmpp:ping", "get", "*"): _keepalive,
    ("passive", "set", "active"): _active,
    ("passive", "set", "passive"): _passive,
    ("encrypt", "get", "count"): _prekey_count,
    ("encrypt", "get", "digest"): _digest,
    ("encrypt", "get", "key"): _prekey_fetch,
    ("encrypt", "get", "identity"): _prekey_fetch,
    ("encrypt", "set", "registration"): _prekey_upload,
    ("w:sync:app:state", "set", "*"): _app_state,
    ("usync", "get", "*"): _usync,
    ("w:m", "set", "*"): _media_connection,
    ("privacy", "get", "*"): _privacy,
    ("blocklist", "get", "*"): _blocklist,
    ("blocklist", "set", "*"): _blocklist,
    ("w:g2", "get", "participating"): _groups,
    ("w:g2", "get", "*"): _group,
    ("abt", "get", "*"): _props,
    ("w", "get", "*"): _props,
    ("md", "set", "remove-companion-device"): _remove_device,
    ("md", "set", "link_code_companion_reg"): _link_code,
    ("md", "get", "ref"): _ref,
    ("md", "get", "passkey_request_options"): _passkey,
}
