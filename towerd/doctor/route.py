"""The way from here to WhatsApp: directly or through a proxy, with the certificates that the workers trust.

The one rule: it goes the way that the client library in a worker goes, by the same variables, read as Go
reads them; and it ends within its deadline, wherever it gets stuck.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

Stage = Literal["name", "connect", "proxy", "tls"]

_HEAD_BYTES = 16 * 1024
# The files that Go tries, first to last (crypto/x509/root_linux.go), and its directories.
_ROOT_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_ROOT_DIRECTORIES = ("/etc/ssl/certs", "/etc/pki/tls/certs")
_SOCKS_ERRORS = {
    1: "fails",
    2: "does not allow it",
    3: "finds the network unreachable",
    4: "finds the host unreachable",
    5: "is refused by the host",
    6: "gives up in time",
    7: "does not know how",
    8: "does not know such addresses",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where WhatsApp answers."""

    host: str = "web.whatsapp.com"
    port: int = 443

    def __str__(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy; user and password stay out of everything that is shown."""

    scheme: str
    host: str
    port: int
    credentials: tuple[str, str] | None = None

    def __str__(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        """As it is shown."""
        return f"Proxy({self})"


class RouteError(Exception):
    """There is no way through; the message says in a few words why, `stage` where it ended."""

    def __init__(self, stage: Stage, message: str) -> None:
        super().__init__(message)
        self.stage = stage


def proxy_of(url: str) -> Proxy:
    """Read the URL of a proxy; without a scheme it is http.

    Raises:
        RouteError: it cannot be one.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 1080)
    except ValueError:
        parts = None
    if parts is None or not parts.hostname or parts.scheme not in ("http", "https", "socks5", "socks5h"):
        # The URL itself may hold a password.
        raise RouteError("proxy", "the proxy is not a URL like http://host:port")
    credentials = None
    if parts.username is not None:
        credentials = (unquote(parts.username), unquote(parts.password or ""))
    return Proxy(scheme=parts.scheme, host=parts.hostname, port=port, credentials=credentials)


def environment_proxy(environment: Mapping[str, str], target: Target) -> Proxy | None:
    """Return the proxy that the environment names for WhatsApp, None when the way is direct.

    Raises:
        RouteError: what it names is none.
    """
    url = environment.get("HTTPS_PROXY") or environment.get("https_proxy")
    exempt = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    if not url or _is_exempt(target, exempt):
        return None
    return proxy_of(url)


def _is_exempt(target: Target, exempt: str) -> bool:
    for entry in (one.strip().lower() for one in exempt.split(",")):
        name, _, port = entry.partition(":")
        if port and port != str(target.port):
            continue
        bare = name.removeprefix("*").removeprefix(".")
        if name == "*" or (bare and (target.host == bare or target.host.endswith(f".{bare}"))):
            return True
    return False


def roots(environment: Mapping[str, str]) -> ssl.SSLContext:
    """Return a context that trusts whom the workers trust.

    Raises:
        RouteError: what the environment names cannot be read, or nothing is there to trust.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    named = environment.get("SSL_CERT_FILE")
    directories = environment.get("SSL_CERT_DIR")
    file = named or next((one for one in _ROOT_FILES if Path(one).exists()), None)
    if file is not None:
        try:
            context.load_verify_locations(cafile=file)
        except (OSError, ssl.SSLError) as error:
            reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise RouteError("tls", f"{file} cannot be read: {reason}") from error
    elsewhere = directories.split(":") if directories else ([] if file else list(_ROOT_DIRECTORIES))
    for directory in elsewhere:
        _trust_all_in(context, Path(directory))
    if not context.cert_store_stats()["x509"]:
        raise RouteError("tls", "this machine has no root certificates")
    return context


def _trust_all_in(context: ssl.SSLContext, directory: Path) -> None:
    """Trust every certificate in a directory, whatever the files are called: so does Go."""
    with contextlib.suppress(OSError):
        for file in directory.iterdir():
            with contextlib.suppress(OSError, ssl.SSLError):
                context.load_verify_locations(cafile=file)


def unverified() -> ssl.SSLContext:
    """Return a context that trusts anybody: for looking who is there, not for saying anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def secured(
    target: Target, proxy: Proxy | None, context: ssl.SSLContext, *, deadline_seconds: float
) -> Iterator[ssl.SSLSocket]:
    """Connect to WhatsApp and yield the line, after the TLS handshake.

    Raises:
        RouteError: there is no way through.
        ssl.SSLCertVerificationError: there is, and the certificate is not trusted.
    """
    end_at = time.monotonic() + deadline_seconds
    with contextlib.closing(_line(target, proxy, end_at)) as line:
        line.settimeout(_left(end_at))
        try:
            with context.wrap_socket(line, server_hostname=target.host) as secure:
                yield secure
        except ssl.SSLCertVerificationError:
            raise
        except TimeoutError:
            raise RouteError("tls", "does not answer") from None
        except (ssl.SSLError, ConnectionError) as error:
            reason = getattr(error, "reason", None) or error.strerror or "the line breaks"
            raise RouteError("tls", f"TLS fails: {str(reason).lower().replace('_', ' ')}") from None


def server_time(line: ssl.SSLSocket, target: Target) -> str | None:
    """Ask the server for its time: return the header Date of its answer, None without one."""
    line.sendall(
        f"HEAD / HTTP/1.1\r\nHost: {target.host}\r\nUser-Agent: towerd\r\nConnection: close\r\n\r\n".encode()
    )
    head = _read_head(line)
    for one in head.split("\r\n")[1:]:
        name, _, value = one.partition(":")
        if name.strip().lower() == "date":
            return value.strip()
    return None


def resolve(host: str, port: int) -> list[tuple[int, str]]:
    """Return the addresses of a name, with their family.

    Raises:
        RouteError: it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise RouteError("name", f"{host} cannot be resolved: {error.strerror or error}") from None
    return [(family, str(address[0])) for family, _kind, _protocol, _name, address in found]


def _left(end_at: float) -> float:
    return max(0.001, end_at - time.monotonic())


def _line(target: Target, proxy: Proxy | None, end_at: float) -> socket.socket:
    if proxy is None:
        return _connect(target.host, target.port, end_at)
    line = _connect(proxy.host, proxy.port, end_at)
    try:
        if proxy.scheme == "https":
            # The library verifies it; here the question is only whether there is a way.
            line = unverified().wrap_socket(line, server_hostname=proxy.host)
        line.settimeout(_left(end_at))
        if proxy.scheme.startswith("socks5"):
            _socks(line, proxy, target)
        else:
            _tunnel(line, proxy, target)
    except TimeoutError:
        line.close()
        raise RouteError("proxy", f"the proxy {proxy} does not answer") from None
    except (ssl.SSLError, ConnectionError):
        line.close()
        raise RouteError("proxy", f"the proxy {proxy} hangs up") from None
    except BaseException:
        line.close()
        raise
    return line


def _connect(host: str, port: int, end_at: float) -> socket.socket:
    """Connect to the first address that answers."""
    failures = []
    for family, address in resolve(host, port):
        line = socket.socket(family, socket.SOCK_STREAM)
        line.settimeout(_left(end_at))
        try:
            line.connect((address, port))
        except OSError as error:
            line.close()
            words = "does not answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
            failures.append(words)
        else:
            return line
    raise RouteError("connect", f"{host}:{port}: {failures[0].lower()}")


def _tunnel(line: socket.socket, proxy: Proxy, target: Target) -> None:
    request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if proxy.credentials is not None:
        secret = base64.b64encode(":".join(proxy.credentials).encode()).decode()
        request += f"Proxy-Authorization: Basic {secret}\r\n"
    line.sendall(f"{request}\r\n".encode())
    status = _read_head(line).partition("\r\n")[0].split(" ")[1:2]
    match status:
        case [code] if code.startswith("2"):
            return
        case ["407"]:
            wants = "does not take user and password" if proxy.credentials else "wants a user and a password"
            raise RouteError("proxy", f"the proxy {proxy} {wants}")
        case [code] if code.isdigit():
            raise RouteError("proxy", f"the proxy {proxy} refuses {target}, status {code}")
    raise RouteError("proxy", f"what answers at {proxy} is no HTTP proxy")


def _read_head(line: socket.socket) -> str:
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _HEAD_BYTES:
        chunk = line.recv(4096)
        if not chunk:
            break
        head += chunk
    return head.decode("latin-1")


def _socks(line: socket.socket, proxy: Proxy, target: Target) -> None:
    """Ask a SOCKS5 proxy for the way (RFC 1928, RFC 1929)."""
    line.sendall(b"\x05\x01\x02" if proxy.credentials else b"\x05\x01\x00")
    version, method = _exactly(line, 2, proxy)
    if version != 5:
        raise RouteError("proxy", f"what answers at {proxy} is no SOCKS5 proxy")
    if method == 2 and proxy.credentials:
        user, password = (one.encode()[:255] for one in proxy.credentials)
        line.sendall(b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password)
        if _exactly(line, 2, proxy)[1] != 0:
            raise RouteError("proxy", f"the proxy {proxy} does not take user and password")
    elif method != 0:
        raise RouteError("proxy", f"the proxy {proxy} wants a user and a password")
    host = target.host.encode()
    line.sendall(b"\x05\x01\x00\x03" + bytes([len(host)]) + host + struct.pack(">H", target.port))
    _, status, _, kind = _exactly(line, 4, proxy)
    if status != 0:
        raise RouteError("proxy", f"the proxy {proxy} {_SOCKS_ERRORS.get(status, 'refuses')}: {target}")
    length = {1: 4, 4: 16}.get(kind) or _exactly(line, 1, proxy)[0]
    _exactly(line, length + 2, proxy)


def _exactly(line: socket.socket, count: int, proxy: Proxy) -> bytes:
    received = b""
    while len(received) < count:
        chunk = line.recv(count - len(received))
        if not chunk:
            raise RouteError("proxy", f"the proxy {proxy} hangs up")
        received += chunk
    return received
