"""Servers that stand in for WhatsApp and for proxies, each wrong in the way that a test wants."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Handle = Callable[[socket.socket], None]
DEADLINE_SECONDS = 20.0
_DAY = dt.timedelta(days=1)


@contextlib.contextmanager
def listening(handle: Handle) -> Iterator[int]:
    """Serve connections on a port of this machine, each on a thread; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(line,), daemon=True).start()

        def serve(line: socket.socket) -> None:
            line.settimeout(DEADLINE_SECONDS)
            with line, contextlib.suppress(OSError):
                handle(line)

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        # close() alone leaves accept() waiting.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def refusing() -> Iterator[int]:
    """Hold a port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def read_head(line: socket.socket) -> str:
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = line.recv(4096)
        if not chunk:
            break
        head += chunk
    return head.decode()


class Authority:
    """A certificate authority in a directory; it signs what a test asks for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "ca.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        certificate = (
            self._builder(self._name, self._key.public_key(), starts=-3650, ends=3650)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def context(self, *, host: str = "localhost", starts: float = -1, ends: float = 365) -> ssl.SSLContext:
        """Return a server's context with a certificate for a host, good between days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = (
            self._builder(subject, key.public_key(), starts=starts, ends=ends)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        chain = self.directory / "leaf.pem"
        chain.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, starts: float, ends: float
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + starts * _DAY)
            .not_valid_after(now + ends * _DAY)
        )


def whatsapp(context: ssl.SSLContext, *, date: str | None = "") -> Handle:
    """Answer as WhatsApp's server would: TLS, then a page; `date` is its time, the true one by default."""

    def handle(line: socket.socket) -> None:
        with context.wrap_socket(line, server_side=True) as secure:
            if not read_head(secure):
                return
            told = formatdate(usegmt=True) if date == "" else date
            header = f"Date: {told}\r\n" if told is not None else ""
            secure.sendall(f"HTTP/1.1 200 OK\r\n{header}Content-Length: 0\r\n\r\n".encode())

    return handle


def http_proxy(port: int, seen: list[str] | None = None, *, wants: str | None = None) -> Handle:
    """Be a proxy that leads every CONNECT to a port here; `wants` are the credentials that it insists on."""

    def handle(line: socket.socket) -> None:
        head = read_head(line)
        if seen is not None:
            seen.append(head)
        if wants is not None and f"Proxy-Authorization: Basic {wants}" not in head:
            line.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        join(line, port)

    return handle


def says(answer: bytes) -> Handle:
    """Wait for a request and answer it always alike."""

    def handle(line: socket.socket) -> None:
        line.recv(4096)
        line.sendall(answer)

    return handle


def socks_proxy(port: int, *, password: tuple[str, str] | None = None, status: int = 0) -> Handle:
    """Be a SOCKS5 proxy that leads to a port of this machine."""

    def handle(line: socket.socket) -> None:
        line.recv(3)
        if password is not None:
            line.sendall(b"\x05\x02")
            user, word = (one.encode() for one in password)
            given = line.recv(512)
            right = bytes([1, len(user)]) + user + bytes([len(word)]) + word
            line.sendall(b"\x01\x00" if given == right else b"\x01\x01")
            if given != right:
                return
        else:
            line.sendall(b"\x05\x00")
        line.recv(512)
        line.sendall(bytes([5, status, 0, 1, 0, 0, 0, 0, 0, 0]))
        if status == 0:
            join(line, port)

    return handle


def silent(line: socket.socket) -> None:
    """Take everything and say nothing."""
    while line.recv(4096):
        pass


def join(line: socket.socket, port: int) -> None:
    """Carry bytes between a line and a port until both have ended."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS) as other:

        def carry(source: socket.socket, target: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while chunk := source.recv(4096):
                    target.sendall(chunk)
                target.shutdown(socket.SHUT_WR)

        back = threading.Thread(target=carry, args=(other, line), daemon=True)
        back.start()
        carry(line, other)
        back.join(DEADLINE_SECONDS)
