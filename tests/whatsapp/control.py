"""The control socket: one JSON object per line in, one out; each verb is one method.

One rule: a verb answers with {"result": ...} or {"error": ..., "reason": ...}, whatever it was given.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import os
import typing
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tests.whatsapp.binary_xml import Node, StanzaError
from tests.whatsapp.handset import Ban, Refused, phone_number
from tests.whatsapp.messaging import MessageVerbs
from tests.whatsapp.pairing import Phone
from tests.whatsapp.server import replaced

if TYPE_CHECKING:
    from pathlib import Path

    from tests.whatsapp.connection import Connection
    from tests.whatsapp.proxy import Proxy
    from tests.whatsapp.server import Server

log = logging.getLogger(__name__)

SOCKET = "control.sock"
_MAX_LINE_BYTES = 1 << 22
Platform = Literal["android", "iphone"]


@contextlib.contextmanager
def short_path(directory: Path) -> typing.Iterator[str]:
    """Give the path of the control socket in a form that is short enough for a socket's address."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


class Control:
    """The verbs."""

    def __init__(self, server: Server, proxy: Proxy, environment: dict[str, str]) -> None:
        self._server = server
        self._proxy = proxy
        self._environment = environment
        self._faults = server.faults
        self.is_over = asyncio.Event()
        self._verbs = {
            name.replace("_", "-"): method
            for verbs in (self, MessageVerbs(server))
            for name, method in inspect.getmembers(verbs, inspect.ismethod)
            if not name.startswith("_") and name not in ("listen", "answer")
        }

    async def listen(self, directory: Path) -> asyncio.Server:
        """Open the socket in `directory`."""
        with short_path(directory) as path:
            return await asyncio.start_unix_server(self._client, path, limit=_MAX_LINE_BYTES)

    async def answer(self, line: bytes) -> dict[str, Any]:
        """Do what one line asks and return the answer."""
        try:
            request = json.loads(line)
            verb, given = request["verb"], request.get("arguments", {})
            method = self._verbs[verb]
        except (ValueError, KeyError, TypeError, AttributeError):
            known = ", ".join(sorted(self._verbs))
            return {"error": f"the verbs are: {known}", "reason": "malformed"}
        try:
            arguments = _typed(method, given)
            result = method(**arguments)
            return {"result": await result if inspect.isawaitable(result) else result}
        except Refused as error:
            return {"error": str(error), "reason": error.reason}
        except (TypeError, msgspec.ValidationError, StanzaError) as error:
            return {"error": f"{verb}: {error}", "reason": "malformed"}
        except Exception as error:
            log.exception("verb %s failed", verb)
            return {"error": f"{verb}: {type(error).__name__}: {error}", "reason": "internal"}

    # What is there

    def environment(self) -> dict[str, str]:
        return self._environment

    def sessions(self) -> list[dict[str, Any]]:
        shown = []
        for (phone, number), connection in sorted(self._server.sessions.items()):
            handset = self._server.ledger.handsets[phone]
            jids = {"jid": str(handset.jid(number)), "lid": str(handset.lid_jid(number))}
            shown.append(connection.as_json() | jids)
        return shown

    def connections(self) -> list[dict[str, Any]]:
        return [connection.as_json() for connection in self._server.connections.values()]

    def phones(self) -> list[dict[str, Any]]:
        return [handset.as_json() for _, handset in sorted(self._server.ledger.handsets.items())]

    def devices(self, phone: str) -> list[dict[str, Any]]:
        number = phone_number(phone)
        handset = self._server.ledger.handsets.get(number)
        if handset is None:
            return []
        return [
            {
                "device": device.number,
                "jid": str(handset.jid(device.number)),
                "lid": str(handset.lid_jid(device.number)),
                "os": device.os,
                "platform": device.platform,
                "linked_at": device.linked_at,
                "prekeys": self._server.prekeys.count(number, device.number),
                "is_online": (number, device.number) in self._server.sessions,
            }
            for _, device in sorted(handset.devices.items())
        ]

    def log(self) -> dict[str, Any]:
        return self._server.record.as_json()

    # What the user of the phone does

    async def scan(
        self,
        qr: str,
        phone: str,
        push_name: str | None = None,
        platform: Platform | None = None,
        business_name: str | None = None,
        restart: bool = True,
    ) -> dict[str, Any]:
        handset = self._server.ledger.handset(phone)
        setup = Phone(push_name=push_name, platform=platform, business_name=business_name)
        return await self._server.pairing.scan(qr, handset, setup, is_restarting=restart)

    async def link_code(
        self,
        code: str,
        phone: str,
        push_name: str | None = None,
        platform: Platform | None = None,
        business_name: str | None = None,
    ) -> dict[str, Any]:
        handset = self._server.ledger.handset(phone)
        setup = Phone(push_name=push_name, platform=platform, business_name=business_name)
        return await self._server.enter_code(code, handset, setup)

    def logout(self, phone: str, device: int | None = None) -> dict[str, Any]:
        handset = self._server.ledger.known_handset(phone)
        numbers = sorted(handset.devices) if device is None else [device]
        for number in numbers:
            self._server.unlink(handset, number)
        return {"phone": handset.phone, "unlinked": numbers}

    def reset(self, phone: str) -> dict[str, Any]:
        handset = self._server.ledger.known_handset(phone)
        unlinked = self.logout(phone)["unlinked"]
        self._faults.failures_by_phone.pop(handset.phone, None)
        self._faults.next_logins.pop(handset.phone, None)
        self._server.forget(handset)
        return {"phone": handset.phone, "unlinked": unlinked}

    # What goes wrong with an account

    def ban(
        self, phone: str, code: Literal[402, 403, 406], expire: float | None = None, temporary_code: int = 101
    ) -> dict[str, Any]:
        handset = self._server.ledger.handset(phone)
        self._server.ban(handset, Ban.lasting(code, seconds=expire, temporary_code=temporary_code))
        return handset.as_json()

    def unban(self, phone: str) -> dict[str, Any]:
        handset = self._server.ledger.known_handset(phone)
        handset.ban = None
        self._server.ledger.save()
        return handset.as_json()

    def replace(self, phone: str) -> dict[str, Any]:
        return _each(self._sessions_of(phone), lambda session: session.end(replaced(), "replaced"))

    def failure(self, code: int | None = None, phone: str | None = None) -> dict[str, Any]:
        if phone is None:
            self._faults.failure = code
        elif code is None:
            self._faults.failures_by_phone.pop(phone_number(phone), None)
        else:
            self._faults.failures_by_phone[phone_number(phone)] = code
        return {"all": self._faults.failure, "phones": self._faults.failures_by_phone}

    def fail_login(self, phone: str, code: int, times: int = 1) -> dict[str, Any]:
        number = phone_number(phone)
        self._faults.next_logins.pop(number, None)
        if times > 0:
            self._faults.next_logins[number] = (code, times)
        return {"phone": number, "code": code, "times": max(0, times)}

    # What goes wrong with the line or the server

    def drop(self, phone: str | None = None) -> dict[str, Any]:
        if phone is not None:
            return _each(self._sessions_of(phone), lambda session: session.abort())
        return _each(list(self._server.connections.values()), lambda connection: connection.abort())

    def drop_unpaired(self) -> dict[str, Any]:
        known = list(self._server.connections.values())
        return _each([one for one in known if one.phone is None], lambda connection: connection.abort())

    async def refuse(self, on: bool) -> dict[str, Any]:
        await (self._proxy.refuse() if on else self._proxy.accept())
        self._faults.is_refusing = on
        return {"refuse": on}

    def stall(self, stage: Literal["connect", "upgrade", "hello", "off"]) -> dict[str, Any]:
        self._faults.stall(None if stage == "off" else stage)
        return {"stall": stage}

    def halfopen(self, phone: str) -> dict[str, Any]:
        return _each(self._sessions_of(phone), lambda session: session.go_half_open())

    def mute(self, on: bool) -> dict[str, Any]:
        self._faults.is_mute = on
        return {"mute": on}

    def outdated(self, on: bool) -> dict[str, Any]:
        self._faults.is_outdated = on
        return {"outdated": on}

    def slow(self, milliseconds: float) -> dict[str, Any]:
        self._faults.delay_seconds = max(0.0, milliseconds / 1000)
        return {"slow": milliseconds}

    def refs(self, count: int) -> dict[str, Any]:
        if not 1 <= count <= 50:
            raise Refused("malformed", "a client can be handed 1 to 50 refs")
        self._server.pairing.clock.refs = count
        return {"refs": count}

    def compress(self, on: bool) -> dict[str, Any]:
        self._faults.is_compressing = on
        return {"compress": on}

    def passkey(self, on: bool) -> dict[str, Any]:
        self._faults.wants_passkey = on
        return {"passkey": on}

    def hold_success(self, on: bool) -> dict[str, Any]:
        self._faults.hold_success(is_held=on)
        return {"hold-success": on}

    def stanza(self, phone: str, stanza: Any) -> dict[str, Any]:
        node = Node.from_json(stanza)
        return _each(self._sessions_of(phone), lambda session: session.send(node))

    def shutdown(self) -> dict[str, Any]:
        self.is_over.set()
        return {"shutdown": True}

    def _sessions_of(self, phone: str) -> list[Connection]:
        number = phone_number(phone)
        found = self._server.sessions_of(number)
        if not found:
            raise Refused("offline", f"no device of {number} is logged in")
        return found

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self.answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError, asyncio.CancelledError) as error:
            log.info("control: %s", error)
        finally:
            writer.close()


def _each(connections: list[Connection], do: typing.Callable[[Connection], None]) -> dict[str, Any]:
    for connection in connections:
        do(connection)
    return {"connections": [connection.number for connection in connections]}


def _typed(method: typing.Callable[..., Any], given: Any) -> dict[str, Any]:
    """Return the arguments converted to what the method declares."""
    if not isinstance(given, dict):
        raise TypeError("arguments must be an object")
    bound = inspect.signature(method).bind(**given)
    hints = typing.get_type_hints(method)
    return {
        name: msgspec.convert(value, hints[name], strict=False) for name, value in bound.arguments.items()
    }
