"""The way to WhatsApp, as the workers go it, and where it ends when it ends."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.towerd.doctor.servers import (
    Authority,
    http_proxy,
    listening,
    refusing,
    says,
    silent,
    socks_proxy,
    whatsapp,
)
from towerd.doctor.route import (
    Proxy,
    RouteError,
    Target,
    environment_proxy,
    proxy_of,
    resolve,
    roots,
    secured,
    unverified,
)

TARGET = Target()


@pytest.mark.parametrize(
    ("url", "scheme", "shown", "credentials"),
    [
        ("http://proxy.example:3128", "http", "proxy.example:3128", None),
        ("http://proxy.example", "http", "proxy.example:80", None),
        ("https://proxy.example", "https", "proxy.example:443", None),
        ("socks5://[::1]", "socks5", "::1:1080", None),
        ("proxy.example:3128", "http", "proxy.example:3128", None),
        ("http://ann:s%40cret@proxy.example:1", "http", "proxy.example:1", ("ann", "s@cret")),
    ],
)
def test_a_proxy_is_read_as_go_reads_it_and_shown_without_its_password(
    url: str, scheme: str, shown: str, credentials: tuple[str, str] | None
) -> None:
    proxy = proxy_of(url)
    assert (proxy.scheme, str(proxy), proxy.credentials) == (scheme, shown, credentials)
    assert "s@cret" not in repr(proxy)


@pytest.mark.parametrize("url", ["ftp://u:secret@h", "http://u:secret@", "http://u:secret@h:port", "http://"])
def test_what_is_no_proxy_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(RouteError) as caught:
        proxy_of(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://a:1"}, "a:1"),
        ({"https_proxy": "http://a:1"}, "a:1"),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1"}, "a:1"),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "example.org, .whatsapp.com"}, None),
        ({"HTTPS_PROXY": "http://a:1", "no_proxy": "whatsapp.com"}, None),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "web.whatsapp.com:443"}, None),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "web.whatsapp.com:80,atsapp.com,,"}, "a:1"),
        ({"HTTP_PROXY": "http://a:1"}, None),
    ],
)
def test_the_environment_names_the_proxy(environment: Mapping[str, str], shown: str | None) -> None:
    proxy = environment_proxy(environment, TARGET)
    assert (str(proxy) if proxy else None) == shown


def why(proxy: Proxy | None, target: Target = TARGET, *, deadline_seconds: float = 20.0) -> str:
    """Go the way and return why it ended."""
    with (
        pytest.raises(RouteError) as caught,
        secured(target, proxy, unverified(), deadline_seconds=deadline_seconds),
    ):
        pytest.fail("there is a way")
    return str(caught.value)


def test_it_leads_to_the_end_of_the_handshake_directly_and_through_each_kind_of_proxy(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    secret = base64.b64encode(b"ann:secret").decode()
    with (
        listening(whatsapp(authority.context())) as server,
        listening(http_proxy(server)) as plain,
        listening(http_proxy(server, wants=secret)) as guarded,
        listening(socks_proxy(server)) as socks,
        listening(socks_proxy(server, password=("ann", "secret"))) as guarded_socks,
    ):
        ways = [
            (Target(host="localhost", port=server), None),
            (TARGET, f"http://127.0.0.1:{plain}"),
            (TARGET, f"http://ann:secret@127.0.0.1:{guarded}"),
            (TARGET, f"socks5://127.0.0.1:{socks}"),
            (TARGET, f"socks5://ann:secret@127.0.0.1:{guarded_socks}"),
        ]
        for target, url in ways:
            proxy = proxy_of(url) if url else None
            with secured(target, proxy, unverified(), deadline_seconds=20) as line:
                assert line.version() is not None


def test_a_proxy_is_told_the_host_and_resolves_it(tmp_path: Path) -> None:
    seen: list[str] = []
    with (
        listening(whatsapp(Authority(tmp_path).context())) as server,
        listening(http_proxy(server, seen)) as port,
        secured(TARGET, proxy_of(f"http://127.0.0.1:{port}"), unverified(), deadline_seconds=20),
    ):
        pass
    assert seen[0].startswith("CONNECT web.whatsapp.com:443 HTTP/1.1\r\nHost: web.whatsapp.com:443\r\n")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "refuses web.whatsapp.com:443, status 403"),
        (b"HTTP/1.1 407 Who are you\r\n\r\n", "wants a user and a password"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "is no HTTP proxy"),
        (b"", "is no HTTP proxy"),
    ],
)
def test_a_proxy_that_does_not_let_us_through_is_named(answer: bytes, words: str) -> None:
    with listening(says(answer)) as port:
        assert words in why(proxy_of(f"http://127.0.0.1:{port}"))


def test_a_wrong_password_is_said_and_not_repeated() -> None:
    with listening(http_proxy(1, wants="right")) as port:
        words = why(proxy_of(f"http://ann:secret@127.0.0.1:{port}"))
    assert words == f"the proxy 127.0.0.1:{port} does not take user and password"


@pytest.mark.parametrize(
    ("options", "url", "words"),
    [
        ({"status": 2}, "socks5://127.0.0.1", "does not allow it: web.whatsapp.com:443"),
        ({"status": 99}, "socks5://127.0.0.1", "refuses: web.whatsapp.com:443"),
        ({"password": ("a", "b")}, "socks5://127.0.0.1", "wants a user and a password"),
        ({"password": ("a", "b")}, "socks5://a:secret@127.0.0.1", "does not take user and password"),
    ],
)
def test_a_socks_proxy_that_does_not_let_us_through_is_named(
    options: dict[str, object], url: str, words: str
) -> None:
    with listening(socks_proxy(1, **options)) as port:  # type: ignore[arg-type]
        assert words in why(proxy_of(f"{url}:{port}"))


def test_what_speaks_no_socks_is_named() -> None:
    with listening(says(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert "is no SOCKS5 proxy" in why(proxy_of(f"socks5://127.0.0.1:{port}"))


def test_a_name_that_nobody_has_a_port_that_refuses_and_a_hang_are_told_apart() -> None:
    with pytest.raises(RouteError, match=r"^proxy\.invalid cannot be resolved: ") as caught:
        resolve("proxy.invalid", 1)
    assert caught.value.stage == "name"
    with refusing() as port:
        assert why(None, Target(host="127.0.0.1", port=port)) == f"127.0.0.1:{port}: connection refused"
        assert why(proxy_of(f"http://127.0.0.1:{port}")) == f"127.0.0.1:{port}: connection refused"
    with listening(silent) as port:
        assert why(None, Target(host="127.0.0.1", port=port), deadline_seconds=0.3) == "does not answer"
        hung = why(proxy_of(f"http://127.0.0.1:{port}"), deadline_seconds=0.3)
        assert hung == f"the proxy 127.0.0.1:{port} does not answer"


def test_what_speaks_no_tls_is_told() -> None:
    with listening(says(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert why(None, Target(host="127.0.0.1", port=port)).startswith("TLS fails: ")


def test_roots_are_those_that_the_environment_names(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    (tmp_path / "none").mkdir()
    by_file = roots({"SSL_CERT_FILE": str(authority.file), "SSL_CERT_DIR": str(tmp_path / "none")})
    assert len(by_file.get_ca_certs()) == 1
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots/any-name").write_bytes(authority.file.read_bytes())
    (tmp_path / "roots/README").write_text("not a certificate")
    subjects = [one["subject"] for one in roots({"SSL_CERT_DIR": str(tmp_path / "roots")}).get_ca_certs()]
    assert ((("commonName", "Test authority"),),) in subjects


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file or directory"), ("x", "it holds no certificate")]
)
def test_a_file_of_roots_that_cannot_be_used_is_named(
    tmp_path: Path, content: str | None, words: str
) -> None:
    file = tmp_path / "roots.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(RouteError, match=f"roots.pem cannot be read: {words}"):
        roots({"SSL_CERT_FILE": str(file)})
