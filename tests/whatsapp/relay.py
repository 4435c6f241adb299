"""A proxy of somebody's own between a client and the simulator: HTTP CONNECT or SOCKS5, counted, or refusing.

One rule: it forwards to the simulator and to nowhere else, so nothing ever leaves this machine.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tests.whatsapp.simulator import Simulator

_CHUNK_BYTES = 65536
_SECONDS = 20.0

Kind = Literal["http", "socks5"]


class Relay:
    """A proxy on a free port of this machine; a context manager.

    Attributes:
        targets: where clients wanted to be connected to, in order; refused ones are not among them.
        refused: how many were refused.
        refuses: refuse from now on.
    """

    def __init__(self, simulator: Simulator, kind: Kind = "http", *, login: str | None = None) -> None:
        """Prepare a proxy; with a login (`user:password`) it wants to be shown that."""
        self.kind = kind
        self.targets: list[str] = []
        self.refused = 0
        self.refuses = False
        self._login = login
        simulated = urlsplit(simulator.environment()["HTTPS_PROXY"])
        self._simulator = (str(simulated.hostname), int(simulated.port or 0))
        self._open: set[socket.socket] = set()
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError), relay._held(self.request):
                    relay._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)

    def __enter__(self) -> Self:
        """Begin to serve."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and break what is open."""
        self._server.shutdown()
        self._server.server_close()
        self.drop()

    @property
    def url(self) -> str:
        """What a client is told, its login included."""
        login = f"{self._login}@" if self._login else ""
        return f"{self.kind}://{login}127.0.0.1:{self._server.server_address[1]}"

    def drop(self) -> None:
        """Break all connections."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _held(self, connection: socket.socket) -> Any:
        self._open.add(connection)
        try:
            yield
        finally:
            self._open.discard(connection)
            connection.close()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_SECONDS)
        target = self._http(client) if self.kind == "http" else self._socks(client)
        if target is None:
            self.refused += 1
            return
        self.targets.append(target)
        with socket.create_connection(self._simulator, timeout=_SECONDS) as server, self._held(server):
            if self.kind == "http":
                server.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            client.settimeout(None)
            server.settimeout(None)
            threading.Thread(target=_pump, args=(server, client), daemon=True).start()
            _pump(client, server)

    def _http(self, client: socket.socket) -> str | None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := client.recv(_CHUNK_BYTES)):
                return None
            head += more
        first, *lines = head.decode("latin-1").split("\r\n")
        shown = next((line for line in lines if line.lower().startswith("proxy-authorization:")), "")
        wanted = base64.b64encode((self._login or "").encode()).decode()
        if self._login and not shown.endswith(f"Basic {wanted}"):
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return None
        if self.refuses:
            client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return None
        return first.split(" ")[1]

    def _socks(self, client: socket.socket) -> str | None:
        """RFC 1928 and, for the login, RFC 1929."""
        stream = client.makefile("rb")
        _, count = stream.read(2)
        methods = stream.read(count)
        wants_login = self._login is not None
        if wants_login and 2 not in methods:
            client.sendall(b"\x05\xff")
            return None
        client.sendall(b"\x05\x02" if wants_login else b"\x05\x00")
        if wants_login:
            user = stream.read(stream.read(2)[1])
            password = stream.read(stream.read(1)[0])
            is_right = f"{user.decode()}:{password.decode()}" == self._login
            client.sendall(b"\x01\x00" if is_right else b"\x01\x01")
            if not is_right:
                return None
        kind = stream.read(4)[3]
        if kind == 3:
            host = stream.read(stream.read(1)[0]).decode()
        else:
            host = str(ipaddress.ip_address(stream.read(4 if kind == 1 else 16)))
        port = int.from_bytes(stream.read(2), "big")
        client.sendall(bytes([5, 2 if self.refuses else 0, 0, 1, 0, 0, 0, 0, 0, 0]))
        return None if self.refuses else f"{host}:{port}"


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            target.sendall(data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
