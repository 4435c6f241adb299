"""A real HTTP receiver of webhooks, which does what the test says."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OK = b"HTTP/1.1 204 No Content\r\n\r\n"

Behaviour = Callable[[socket.socket], None]


@dataclass
class Request:
    """One request as it came."""

    raw: bytes
    head: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


def answering(answer: bytes) -> Behaviour:
    """Return a behaviour that sends an answer and closes."""
    return lambda connection: connection.sendall(answer)


def status(code: int, *lines: str) -> Behaviour:
    """Return a behaviour that answers with a status."""
    return answering("\r\n".join([f"HTTP/1.1 {code} x", *lines, "", ""]).encode())


def dripping(connection: socket.socket) -> None:
    """Send an answer a byte at a time, for ever."""
    with contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)


def hanging(connection: socket.socket) -> None:
    """Say nothing until the other side goes."""
    with contextlib.suppress(OSError):
        while connection.recv(1024):
            pass


def flooding(connection: socket.socket) -> None:
    """Send a head without end."""
    with contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-More: " + b"x" * 65536 + b"\r\n")


@dataclass
class Receiver:
    """Listens on a port of this machine.

    Attributes:
        behaviour: what is done when a request has come, before the connection is closed.
        requests: what came, whatever was answered.
        taken: what was answered with a status of success by the usual behaviour.
        context: for TLS.
        connections: how many were made, whatever came over them.
    """

    behaviour: Behaviour = field(default_factory=lambda: answering(OK))
    requests: list[Request] = field(default_factory=list)
    taken: list[Request] = field(default_factory=list)
    context: ssl.SSLContext | None = None
    connections: int = 0

    def __post_init__(self) -> None:
        self.usual = self.behaviour
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        scheme = "https" if self.context else "http"
        return f"{scheme}://localhost:{self.port}/hook?x=1"

    def close(self) -> None:
        """Refuse connections from now on."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain:
            connection = self.context.wrap_socket(plain, server_side=True) if self.context else plain
            request = _read(connection)
            behaviour = self.behaviour
            self.requests.append(request)
            if behaviour is self.usual:
                self.taken.append(request)
            behaviour(connection)
            connection.close()


def _read(connection: socket.socket) -> Request:
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += _some(connection)
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    while len(body) < int(headers["Content-Length"]):
        body += _some(connection)
    return Request(raw=head + b"\r\n\r\n" + body, head=first, headers=headers, body=body)


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError
    return data


@contextlib.contextmanager
def a_receiver(**fields: Any) -> Iterator[Receiver]:
    """Return a receiver, closed at the end."""
    one = Receiver(**fields)
    try:
        yield one
    finally:
        one.close()


def certificate(directory: Path, *, name: str = "localhost", days: int = 1) -> tuple[ssl.SSLContext, Path]:
    """Make a self-signed certificate; return a server's context, and the file that clients have to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address("192.0.2.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    trusted = directory / f"{name}.{days}.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    both = directory / f"{name}.{days}.both.pem"
    both.write_bytes(
        trusted.read_bytes()
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, trusted
