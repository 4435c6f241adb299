"""One account's session inside its worker: carries orders to the client and the client's reports out.

The one rule: it decides nothing. What a report means for the account is decided in the daemon, which outlives
this process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from sessions import messages
from sessions.messages import Orders, Reports
from sessions.redactor import redact
from sessions.spool import Spool
from sessions.whatsapp import ClientError, ClientFactory

Outbox = Callable[[Reports], None]

# The push name comes with the first app-state sync, for which neonize has no event: look again after these.
_PUSH_NAME_LOOKS_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 300.0)
_GOODBYE_SECONDS = 2.0


class Session:
    """A client and its threads.

    Args:
        database: path of the store.
        device_name: what the phone shows for this linked device.
        factory: builds the client.
        outbox: takes reports for the daemon, on any thread, without blocking.
        spool: keeps messages until the daemon has committed them.
        end: ends this worker.
    """

    def __init__(
        self,
        database: Path,
        device_name: str,
        *,
        factory: ClientFactory,
        outbox: Outbox,
        spool: Spool,
        end: Callable[[], None],
    ) -> None:
        self._client = factory(database, device_name, self._on_report)
        self._outbox = outbox
        self._spool = spool
        self._end = end
        self._connected = threading.Event()
        self._is_held = False

    def begin(self) -> None:
        """Connect, on threads of its own."""
        self._outbox(messages.Begun(neonize_version=self._client.version))
        _thread(self._carry, "client")
        _thread(self._learn_push_name, "push-name")

    def obey(self, order: Orders) -> None:
        """Carry out one order without blocking: a call to the library may take a minute."""
        match order:
            case messages.Logout():
                _thread(lambda: self._answer(order.id, self._client.logout), "logout")
            case messages.PairPhone():
                phone = order.phone
                _thread(lambda: self._answer(order.id, lambda: self._client.pair_phone(phone)), "pair-phone")
            case messages.Send():
                to, text = order.to, order.text
                _thread(lambda: self._answer(order.id, lambda: self._client.send(to, text)), "send")
            case messages.ListGroups():
                _thread(lambda: self._answer(order.id, lambda: self._tell_groups(order.id)), "groups")
            case messages.Probe():
                _thread(lambda: self._answer(order.id, self._client.probe), "probe")
            case messages.Committed():
                self._spool.forget(order.number)
            case messages.Hold():
                self._is_held = order.on
            case messages.Quit():
                _thread(self._quit, "quit")
            case messages.Begin():
                # The second of one worker: the daemon never sends it.
                self._end()

    def _on_report(self, report: Reports) -> None:
        if isinstance(report, messages.MessageCame):
            report = self._written_down(report)
        self._outbox(report)
        if isinstance(report, messages.Connected):
            self._connected.set()
        elif isinstance(report, messages.Disconnected) and self._is_held and self._connected.is_set():
            self._outbox(messages.ClientEnded(cause="connection-lost", detail="held: no login by itself"))
            self._end()

    def _written_down(self, report: messages.MessageCame) -> messages.MessageCame:
        """Write a message down before anybody is told of it: WhatsApp has its receipt already."""
        try:
            spooled = self._spool.append(report.message)
        except OSError:
            # The daemon may still have room for it.
            return report
        return messages.MessageCame(number=spooled.number, message=report.message)

    def _carry(self) -> None:
        cause, detail = "client-ended", "the client ended by itself"
        try:
            self._client.connect()
        except ClientError as error:
            cause, detail = error.cause, error.detail
        except Exception as error:  # noqa: BLE001 - a bug must not leave a worker without its client
            cause, detail = "client-error", redact(repr(error))
        self._outbox(messages.ClientEnded(cause=cause, detail=detail))
        self._end()

    def _answer(self, order_id: int, call: Callable[[], str | None]) -> None:
        error, value = None, None
        try:
            value = call()
        except ClientError as failure:
            error = str(failure)
        except Exception as failure:  # noqa: BLE001 - an order is answered, whatever happens
            error = f"client-error: {redact(repr(failure))}"
        self._outbox(messages.Answer(id=order_id, error=error, value=value))

    def _tell_groups(self, order_id: int) -> str:
        groups = self._client.groups()
        for group in groups:
            # One each: all of them may be more than one line of the wire holds.
            self._outbox(messages.GroupTold(order=order_id, group=group))
        return str(len(groups))

    def _quit(self) -> None:
        goodbye = _thread(self._client.disconnect, "disconnect")
        # disconnect() waits for a lock that a dial in progress holds; nobody waits for that.
        goodbye.join(_GOODBYE_SECONDS)
        self._end()

    def _learn_push_name(self) -> None:
        self._connected.wait()
        known = self._client.identity()
        pause = threading.Event()
        for delay_seconds in _PUSH_NAME_LOOKS_SECONDS:
            if known is not None and known.push_name:
                return
            pause.wait(delay_seconds)
            seen = self._client.identity()
            if seen is not None and seen != known:
                self._outbox(messages.IdentityLearned(identity=seen))
                known = seen


def _thread(target: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread
