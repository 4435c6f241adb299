"""The worker process, forked by the fork server, with one end of a socketpair to its daemon.

The one rule: it lives no longer than its daemon. End of file on the socketpair ends it at once, whatever the
library is doing, and so does everything that makes its client useless.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import queue
import signal
import socket
import threading
from pathlib import Path

import msgspec

from sessions import messages
from sessions.messages import OrderEnvelope, ReportEnvelope, Reports
from sessions.session import Session
from sessions.spool import Spool
from sessions.store import Store, StoreLockedError

EXIT_DONE = 0
EXIT_STORE_LOCKED = 3
EXIT_STORE_UNUSABLE = 4
EXIT_USAGE = 2

OOM_SCORE = 500
"""oom_score_adj of proc(5): when memory is short the kernel ends a worker, which is replaced, not towerd."""


class Wire:
    """The worker's end of the socketpair: lines in, and reports out on a thread of their own.

    Args:
        descriptor: the inherited socket.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lines = self._socket.makefile("rb")
        self._reports: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="reports", daemon=True)
        self._writer.start()

    def receive(self) -> OrderEnvelope | None:
        """Return the next order, None when the daemon is gone or no longer makes sense."""
        try:
            line = self._lines.readline()
            return messages.decode_order(line) if line.endswith(b"\n") else None
        except (OSError, msgspec.DecodeError):
            return None

    def send(self, envelope: ReportEnvelope) -> None:
        """Send a report, without waiting."""
        self._reports.put(messages.encode(envelope))

    def drain(self) -> None:
        """Wait until everything is sent, at most a second."""
        self._reports.put(None)
        self._writer.join(1.0)

    def _write(self) -> None:
        while (line := self._reports.get()) is not None:
            try:
                self._socket.sendall(line)
            except OSError:
                return


def run(wire: Wire) -> int:
    """Carry one session until the daemon ends it; return the exit status."""
    first = wire.receive()
    if first is None or not isinstance(first.body, messages.Begin):
        return EXIT_USAGE

    def report(body: Reports) -> None:
        wire.send(ReportEnvelope(account=first.account, generation=first.generation, body=body))

    def end() -> None:
        wire.drain()
        # Not sys.exit: an unpaired client cannot be stopped, its thread would keep the process.
        os._exit(EXIT_DONE)

    if first.body.wire != messages.WIRE_VERSION:
        detail = f"towerd speaks version {first.body.wire}, the worker {messages.WIRE_VERSION}"
        report(messages.ClientEnded(cause="worker-mismatch", detail=detail))
        wire.drain()
        return EXIT_USAGE
    store = Store(Path(first.body.sessions_dir), first.account, locks=Path(first.body.locks_dir))
    try:
        with store.lock(killable=True):
            store.ensure()
            # Only now: half a second that a worker refused its store need not spend.
            from sessions.neonize_client import NeonizeClient

            session = Session(
                store.database,
                first.body.device_name,
                factory=functools.partial(NeonizeClient, proxy=first.body.proxy),
                outbox=report,
                spool=Spool(store.directory),
                end=end,
            )
            session.begin()
            while (envelope := wire.receive()) is not None:
                session.obey(envelope.body)
            os._exit(EXIT_DONE)
    except StoreLockedError as error:
        report(messages.StoreLocked(holder_pid=error.holder_pid))
        wire.drain()
        return EXIT_STORE_LOCKED
    except OSError as error:
        cause = "disk-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "store-unusable"
        report(messages.ClientEnded(cause=cause, detail=f"the store cannot be used: {error.strerror}"))
        wire.drain()
        return EXIT_STORE_UNUSABLE


def carry(descriptor: int) -> int:
    """Be the worker whose socket to the daemon is at this descriptor; return the exit status.

    Args:
        descriptor: this end of the socketpair.
    """
    os.umask(0o077)
    offer_to_the_kernel()
    # Ctrl-C at a terminal is for the daemon, which then ends its workers in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The library asks `uname` by a shell that it never waits for; the kernel buries that.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    return run(Wire(descriptor))


def offer_to_the_kernel(file: Path = Path("/proc/self/oom_score_adj")) -> None:
    """Be ended before towerd when the machine runs out of memory; more than `OOM_SCORE` stays as it is."""
    with contextlib.suppress(OSError):
        if int(file.read_text()) < OOM_SCORE:
            file.write_text(str(OOM_SCORE))
