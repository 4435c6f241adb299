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
from tests.whatsapp.appstate import AppState
from tests.whatsapp.binary_xml import Node, StanzaError
from tests.whatsapp.connection import Connection
from tests.whatsapp.exchange import Exchange, acknowledgement
from tests.whatsapp.groups import Groups
from tests.whatsapp.handset import Ban, Handset, LinkedDevice, Refused
from tests.whatsapp.mail import Mail
from tests.whatsapp.noise import NoiseError, Responder
from tests.whatsapp.outbox import Outbox
from tests.whatsapp.pairing import Pairing, Phone, QrClock
from tests.whatsapp.phones import Phones
from tests.whatsapp.prekeys import Prekeys, running_low
from tests.whatsapp.protobufs import ClientPayload
from tests.whatsapp.record import Record, describe_payload
from tests.whatsapp.websocket import WebSocket, WebSocketError

if TYPE_CHECKING:
    from tests.whatsapp.authority import NoiseAuthority
    from tests.whatsapp.database import Database
    from tests.whatsapp.faults import Faults
    from tests.whatsapp.ledger import Ledger
    from tests.whatsapp.signal.session import Bundle

log = logging.getLogger(__name__)

LOGGED_OUT, TEMPORARILY_BANNED, LOCKED, OUTDATED, BANNED = 401, 402, 403, 405, 406
# A client that asked to be unlinked closes by itself when it has the answer.
_LOGOUT_SECONDS = 1.0
# When whatsmeow uploads new prekeys by itself.
_FEW_PREKEYS = 5
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

    def __init__(
        self, ledger: Ledger, database: Database, noise: NoiseAuthority, faults: Faults, clock: QrClock
    ) -> None:
        self.ledger = ledger
        self.database = database
        self.faults = faults
        self.record = Record()
        self.connections: dict[int, Connection] = {}
        self.sessions: dict[tuple[str, int], Connection] = {}
        self.pairing = Pairing(self, clock)
        self.prekeys = Prekeys(database)
        self.mail = Mail(database, lambda phone, device: self.sessions.get((phone, device)))
        self.outbox = Outbox(database)
        self.groups = Groups(self)
        self.phones = Phones(self)
        self.exchange = Exchange(self)
        self.app_state = AppState(self)
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
        """Begin to deliver once the query that asked for it is answered: first what waited for the client."""
        asyncio.get_running_loop().call_soon(self._begin_to_deliver, connection)

    def _begin_to_deliver(self, connection: Connection) -> None:
        if not connection.is_active and self.device_of(connection) is not None:
            connection.is_active = True
            self.mail.deliver_backlog(connection)

    def hand_out(self, handset: Handset, device: LinkedDevice) -> Bundle | None:
        """Hand out a linked device's keys, and tell the device when they run low; None when it has none."""
        bundle = self.prekeys.bundle(handset.phone, device.number, device.identity_key)
        left = self.prekeys.count(handset.phone, device.number)
        if bundle is not None and left < _FEW_PREKEYS:
            self.mail.post(handset.phone, device.number, running_low(left))
        return bundle

    def unlink(self, handset: Handset, number: int, *, closing_seconds: float = 0.25) -> None:
        """Remove a device from its handset and end its session."""
        handset.device(number)
        self._remove(handset, number)
        session = self.sessions.pop((handset.phone, number), None)
        if session is not None:
            session.end(device_removed(), "device_removed", after_seconds=closing_seconds)

    def client_logs_out(self, connection: Connection) -> None:
        """Do what a client asks that unlinks itself."""
        handset = self.ledger.handsets.get(connection.phone or "")
        if handset is None or connection.device not in handset.devices:
            return
        self.record.count("logouts", connection.key)
        self._remove(handset, connection.device)
        self.sessions.pop((handset.phone, connection.device), None)
        connection.entry["outcome"] = "logged out"
        loop = asyncio.get_running_loop()
        loop.call_later(_LOGOUT_SECONDS, connection.end, device_removed(), "logged out")

    def _remove(self, handset: Handset, number: int) -> None:
        del handset.devices[number]
        self.ledger.save()
        self.prekeys.forget(handset.phone, number)
        self.mail.forget(handset.phone, number)

    def forget(self, handset: Handset) -> None:
        """Forget a handset and all that its phone and its devices said and were told."""
        self.phones.forget(handset)
        self.app_state.forget(handset)
        self.prekeys.forget(handset.phone)
        self.mail.forget(handset.phone)
        self.outbox.forget(handset.phone)
        self.ledger.forget(handset.phone)

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
                self.app_state.tell_push_name(handset)
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
        connection.send(self.mail.preview(connection))
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
        elif self.device_of(connection) is None or self.faults.is_mute:
            return
        elif node.tag == "message":
            self.exchange.take_message(connection, node)
        elif node.tag == "receipt":
            self.exchange.take_receipt(connection, node)
        elif node.tag == "ack":
            self.mail.take_ack(connection, node)
        elif node.tag in ("call", "notification"):
            connection.send(acknowledgement(node))

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
