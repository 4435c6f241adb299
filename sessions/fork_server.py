"""The fork server: `python -m sessions.fork_server FD`, which loads what workers need and forks them.

The one rule: its end harms no worker. A worker speaks with towerd alone, and is watched and ended by its
pidfd; the fork server only says how it ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import msgspec

from sessions import births
from sessions.births import Born, Died, Ready, Refused, Unready
from sessions.preload import preload

EXIT_DONE = 0
EXIT_UNREADY = 1
EXIT_USAGE = 2

COMM = "tower-worker"
"""What `ps -o comm` and `top` show of a worker."""


class ForkServer:
    """Forks a worker for each request, and waits for each.

    Args:
        control: the socket to towerd; its end is the end of the fork server.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._pids: dict[int, int] = {}
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        """Serve until towerd is gone."""
        while True:
            ready = [descriptor for descriptor, _ in self._poll.poll()]
            # Who ended first: their numbers may be given again.
            for descriptor in ready:
                if descriptor in self._pids:
                    self._bury(descriptor)
            if self._control.fileno() in ready and not self._take():
                return

    def _take(self) -> bool:
        """Carry out one request; return False when there are no more."""
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, births.MAX_PACKET_BYTES, 2)
            request = births.decode_fork(packet)
        except (OSError, msgspec.DecodeError):
            return False
        wire, output = descriptors
        try:
            self._fork(request.id, wire, output)
        finally:
            os.close(wire)
            os.close(output)
        return True

    def _fork(self, request_id: int, wire: int, output: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._control.send(births.encode(Refused(id=request_id, errno=error.errno or 0)))
            return
        if pid == 0:
            self._become_worker(wire, output)
        # Nobody but this process waits for it, so the number is still its own.
        pidfd = os.pidfd_open(pid)
        self._pids[pidfd] = pid
        self._poll.register(pidfd, select.POLLIN)
        socket.send_fds(self._control, [births.encode(Born(id=request_id, pid=pid))], [pidfd])

    def _bury(self, pidfd: int) -> None:
        pid = self._pids.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._control.send(births.encode(Died(pid=pid, status=os.waitstatus_to_exitcode(status))))

    def _become_worker(self, wire: int, output: int) -> NoReturn:
        """Leave everything of the fork server behind and be a worker; this never returns."""
        status = EXIT_UNREADY
        try:
            self._control.close()
            for pidfd in self._pids:
                os.close(pidfd)
            # A session of its own: Ctrl-C at the daemon's terminal is not for workers.
            os.setsid()
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
            with contextlib.suppress(OSError):
                Path("/proc/self/comm").write_text(COMM)
            from sessions.worker import carry

            status = carry(wire)
        except BaseException:  # noqa: BLE001 - nothing may get back into the fork server's loop
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            # Not sys.exit: what the fork server had to clean up is not the worker's.
            os._exit(status)


def main() -> int:
    """Entry of the process."""
    control = _inherited_socket()
    if control is None:
        sys.stderr.write("sessions.fork_server is started by towerd\n")
        return EXIT_USAGE
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        try:
            preload()
        except Exception as error:  # noqa: BLE001 - an import may raise anything
            control.send(births.encode(Unready(detail=f"{type(error).__name__}: {error}"[:1000])))
            return EXIT_UNREADY
        control.send(births.encode(Ready()))
        ForkServer(control).serve()
    return EXIT_DONE


def _inherited_socket() -> socket.socket | None:
    """Return the socket to towerd, None when this was not started by a daemon."""
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        return None
    try:
        return socket.socket(fileno=int(sys.argv[1]))
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main())
