"""The WhatsApp server: registration and login of every connection, who is online, and what ends a session.

One rule: a device has at most one live session; whoever logs in as the same device replaces the one before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from tests.whatsapp import linkcode, queries
from tests.whatsapp.binary_xml import SERVER, Attributes, Node, StanzaError
from tests.whatsapp.connection import Connection
from tests.whatsapp.handset import Ban, Handset, LinkedDevice, Refused
from tests.whatsapp.noise import NoiseError, Responder
from tests.whatsapp.pairing import Pairing, Phone, QrClock
from tests.whatsapp.protobufs import ClientPayload
from tests.whatsapp.record import Record, describe_payload
from tests.whatsapp.websocket import WebSocket, WebSocketError

if TYPE_CHECKING:
    from tests.whatsapp.authority import NoiseAuthority
    from tests.whatsapp.faults import Faults
    from tests.whatsapp.ledger import Ledger

log = logging.getLogger(__name__)

LOGGED_OUT, TEMPORARILY_BANNED, LOCKED, OUTDATED, BANNED = 401, 402, 403, 405, 406
# A client that asked to be unlinked closes by itself when it has the answer.
_LOGOUT_SECONDS = 1.0
_BROKEN = (NoiseError, StanzaError, WebSocketError, asyncio.IncompleteReadError, OSError)


def device_removed() -> Node:
    return Node("stream:error", {"code": str(LOGGED_OUT)}, [Node("conflict", {"type": "device_removed"})])


def replaced() -> Node:
    return Node("stream:error", {}, [Node("conflict", {"type": "replaced"})])


def failure(reason: int, **more: str) -> Node:
    """Return the refusal of a login; `more` are further attributes."""
    return Node("failure", {"reason": str(reason), "location": "sim", **more})


class Server:
    """All connections, sessions and handsets."""

    def __init__(self, ledger: Ledger, noise: NoiseAuthority, faults: Faults, clock: QrClock) -> None:
        self.ledger = ledger
        self.faults = faults
        self.record = Record()
        self.connections: dict[int, Connection] = {}
        self.sessions: dict[tuple[str, int], Connection] = {}
        self.pairing = Pairing(self, clock)
        self._noise = noise
        self._count = 0

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one upgraded connection until it ends, whatever the client does."""
        self._count += 1
        entry = self.record.open_entry(self._count)
        connection = Connection(self._count, websocket, self.faults, entry)
        self.connections[connection.number] = connection
        try:
            await self._handshake(connection)
            async for node in connection.stanzas():
                self._take(connection, node)
        except _BROKEN as error:
            log.info("connection %d: %s: %s", connection.number, type(error).__name__, error)
            connection.abort()
        finally:
            self._forget(connection)
            connection.lost()

    def device_of(self, connection: Connection) -> LinkedDevice | None:
        """Return the device a session belongs to; None when it is unlinked meanwhile, or no session yet."""
        handset = self.ledger.handsets.get(connection.phone or "")
        return handset.devices.get(connection.device or 0) if handset else None

    def sessions_of(self, phone: str) -> list[Connection]:
        return [connection for (owner, _), connection in self.sessions.items() if owner == phone]

    def activate(self, connection: Connection) -> None:
        """Begin to deliver: tell the client that nothing waited for it while it was offline."""
        if not connection.is_active:
            connection.is_active = True
            connection.send(Node("ib", {"from": SERVER}, [Node("offline", {"count": "0"})]))

    def unlink(self, handset: Handset, number: int, *, closing_seconds: float = 0.25) -> None:
        """Remove a device from its handset and end its session."""
        handset.device(number)
        del handset.devices[number]
        self.ledger.save()
        session = self.sessions.pop((handset.phone, number), None)
        if session is not None:
            session.end(device_removed(), "device_removed", after_seconds=closing_seconds)

    def client_logs_out(self, connection: Connection) -> None:
        """Do what a client asks that unlinks itself."""
        handset = self.ledger.handsets.get(connection.phone or "")
        if handset is None or connection.device not in handset.devices:
            return
        self.record.count("logouts", connection.key)
        del handset.devices[connection.device]
        self.ledger.save()
        self.sessions.pop((handset.phone, connection.device), None)
        connection.entry["outcome"] = "logged out"
        loop = asyncio.get_running_loop()
        loop.call_later(_LOGOUT_SECONDS, connection.end, device_removed(), "logged out")

    def ban(self, handset: Handset, ban: Ban) -> None:
        """Ban an account: its sessions are cut, its logins refused."""
        handset.ban = ban
        self.ledger.save()
        for session in self.sessions_of(handset.phone):
            session.abort()

    async def enter_code(self, code: str, handset: Handset, phone: Phone) -> dict[str, Any]:
        """Type a pairing code on a handset."""
        for connection in reversed(self.connections.values()):
            pending = connection.companion.code if connection.companion else None
            if pending is not None and pending.phone == handset.phone:
                secret = await linkcode.exchange(connection, handset, code)
                phone.apply(handset)
                return await self.pairing.link(connection, handset, secret)
        raise Refused("unknown", f"no client waits for a code of {handset.phone}")

    async def _handshake(self, connection: Connection) -> None:
        responder = Responder(self._noise.static, self._noise.chain)
        hello = await connection.next_frame()
        await self.faults.past("hello")
        connection.send_frame(responder.answer_hello(hello))
        finished = responder.take_finish(await connection.next_frame())
        connection.encrypt_with(finished.transport)
        try:
            payload = ClientPayload.FromString(finished.payload)
        except DecodeError as error:
            raise NoiseError("client payload is not a protobuf") from error
        connection.entry |= describe_payload(payload)
        if self.faults.is_outdated:
            self._refuse(connection, failure(OUTDATED))
        elif payload.HasField("devicePairingData"):
            self.pairing.begin(connection, noise_key=finished.client_static, payload=payload)
        else:
            await self._log_in(connection, payload, finished.client_static)

    async def _log_in(self, connection: Connection, payload: ClientPayload, noise_key: bytes) -> None:
        phone, number = str(payload.username), payload.device
        refusal = self._login_refusal(phone, number, noise_key)
        if refusal is not None:
            self._refuse(connection, refusal)
            return
        await self.faults.until_success()
        if connection.is_closed:
            raise NoiseError("the client gave up while its login was held")
        handset = self.ledger.handsets.get(phone)
        if handset is None or number not in handset.devices:
            self._refuse(connection, failure(LOGGED_OUT))
            return
        older = self.sessions.get((phone, number))
        if older is not None:
            older.end(replaced(), "replaced")
        connection.phone, connection.device = phone, number
        connection.logged_in_at = time.time()
        connection.entry |= {"phone": phone, "outcome": "success"}
        self.sessions[(phone, number)] = connection
        self.record.count("logins", connection.key)
        now = str(int(time.time()))
        connection.send(
            Node("success", {"t": now, "lid": handset.lid_jid(number), "props": "0", "location": "sim"})
        )
        nothing: Attributes = dict.fromkeys(("count", "message", "receipt", "notification", "appdata"), "0")
        connection.send(Node("ib", {"from": SERVER}, [Node("offline_preview", nothing)]))
        if not payload.passive:
            self.activate(connection)

    def _login_refusal(self, phone: str, number: int, noise_key: bytes) -> Node | None:
        code = self.faults.take_failure(phone)
        if code is not None:
            return failure(code)
        handset = self.ledger.handsets.get(phone)
        device = handset.devices.get(number) if handset else None
        if handset is None or device is None or device.noise_key != noise_key:
            return failure(LOGGED_OUT)
        ban = handset.current_ban()
        return ban_failure(ban) if ban else None

    def _refuse(self, connection: Connection, refusal: Node) -> None:
        reason = refusal.get("reason")
        self.record.count("failures", reason)
        connection.end(refusal, f"failure {reason}")

    def _take(self, connection: Connection, node: Node) -> None:
        if connection.is_half_open:
            return
        if node.tag == "iq":
            if node.get("type") in ("result", "error"):
                connection.take_reply(node)
            elif not self.faults.is_mute:
                connection.send(queries.answer(self, connection, node))
        elif node.tag in ("message", "receipt", "call", "notification") and not self.faults.is_mute:
            connection.send(_ack(node))

    def _forget(self, connection: Connection) -> None:
        del self.connections[connection.number]
        if connection.phone is not None and connection.device is not None:
            key = (connection.phone, connection.device)
            if self.sessions.get(key) is connection:
                del self.sessions[key]


def ban_failure(ban: Ban) -> Node:
    """Return the refusal a banned account gets."""
    if ban.code == TEMPORARILY_BANNED:
        left = max(1, round(ban.ends_at - time.time())) if ban.ends_at else 0
        expire = {"expire": str(left)} if left else {}
        return failure(ban.code, code=str(ban.temporary_code), **expire)
    if ban.code == LOCKED:
        return failure(ban.code, logout_message_header="Account locked", logout_message_subtext="Simulated")
    return failure(ban.code)


def _ack(node: Node) -> Node:
    attrs = {
        "class": node.tag,
        "id": node.get("id"),
        "from": node.attrs.get("to", SERVER),
        "t": str(int(time.time())),
    }
    for name in ("type", "participant"):
        if name in node.attrs:
            attrs[name] = node.attrs[name]
    return Node("ack", attrs)
