"""A worker process that does what the test tells it over a socket of its own; standard library only.

Run as `scripted_worker.py WIRE_FD CONTROL_SOCKET`. It says each order on the control socket and takes lines
there: {"report": BODY}, {"raw": TEXT}, {"say": TEXT}, {"exit": STATUS}, {"close": true}. It ends at Quit,
unless it was told {"stubborn": true}, and when the daemon or the test is gone.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time


class Ended(Exception):
    """It is time to end.

    Args:
        status: the exit status.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Worker:
    """The two sockets, and what stands in every report."""

    def __init__(self, descriptor: int, control: str) -> None:
        self.wire = socket.socket(fileno=descriptor)
        self.control = socket.socket(socket.AF_UNIX)
        self.control.connect(control)
        self.envelope: dict = {}
        self.is_stubborn = False
        self.unread = {self.wire: b"", self.control: b""}

    def run(self) -> None:
        """Do as told until it is over."""
        while True:
            ready, _, _ = select.select(list(self.unread), [], [])
            for connection in ready:
                for message in self.receive(connection):
                    if connection is self.wire:
                        self.take_order(message)
                    else:
                        self.obey(message)

    def receive(self, connection: socket.socket) -> list[dict]:
        data = connection.recv(65536)
        if not data:
            raise Ended(0)
        *lines, self.unread[connection] = (self.unread[connection] + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def tell(self, fact: dict) -> None:
        self.control.sendall(json.dumps(fact).encode() + b"\n")

    def take_order(self, message: dict) -> None:
        body = message["body"]
        if not self.envelope:
            self.envelope = {"account": message["account"], "generation": message["generation"]}
            self.tell({"started": self.envelope, "pid": os.getpid(), "begin": body})
            return
        self.tell({"order": body})
        if body["type"] == "quit" and not self.is_stubborn:
            raise Ended(0)

    def obey(self, command: dict) -> None:
        match command:
            case {"report": body, **changes}:
                self.wire.sendall(json.dumps(self.envelope | changes | {"body": body}).encode() + b"\n")
            case {"raw": text}:
                self.wire.sendall(text.encode())
            case {"say": text}:
                sys.stdout.write(text)
                sys.stdout.flush()
            case {"close": _}:
                self.wire.shutdown(socket.SHUT_RDWR)
                # Deaf and dumb, and only a kill ends it.
                time.sleep(60)
            case {"stubborn": value}:
                self.is_stubborn = value
            case {"exit": status}:
                raise Ended(status)


def main(worker: Worker) -> int:
    try:
        worker.run()
    except Ended as end:
        return end.status
    except ConnectionError:
        return 0
    return 1


if __name__ == "__main__":
    # Held to the end: the wire closes with the process, as the real worker's does.
    ours = Worker(int(sys.argv[1]), sys.argv[2])
    os._exit(main(ours))
