"""Addresses and URLs of webhooks: what is public, what stands for something else, what may be configured."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from tests.unit.towerd.waiting import run
from towerd.webhooks import addresses
from towerd.webhooks.addresses import AddressError, innermost, is_public, resolve
from towerd.webhooks.urls import wrong_url


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "240.0.0.1"),
        *("::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::ffff:10.0.0.1"),
    ],
)
def test_address_that_is_not_public_is_known(text: str) -> None:
    assert not is_public(innermost(ipaddress.ip_address(text)))


@pytest.mark.parametrize("text", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"])
def test_address_that_is_public_is_known(text: str) -> None:
    assert is_public(innermost(ipaddress.ip_address(text)))


def resolved(monkeypatch: pytest.MonkeyPatch, *found: str, **options: bool) -> list[str]:
    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(addresses.socket, "getaddrinfo", getaddrinfo)
    given = {"allow_private": False, "loopback_only": False} | options
    return run(resolve("example.org", 443, **given))


def test_private_ones_among_the_addresses_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolved(monkeypatch, "10.0.0.1", "1.1.1.1", "1.1.1.1") == ["1.1.1.1"]
    assert resolved(monkeypatch, "10.0.0.1", allow_private=True) == ["10.0.0.1"]
    with pytest.raises(AddressError, match=r"is not public: 10\.0\.0\.1"):
        resolved(monkeypatch, "10.0.0.1")


def test_without_tls_only_this_machine_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AddressError, match="is not of this machine"):
        resolved(monkeypatch, "10.0.0.1", allow_private=True, loopback_only=True)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.org/", "http:// is for localhost alone"),
        ("http://10.0.0.1/", "http:// is for localhost alone"),
        ("https://10.0.0.1/", "needs allow_private"),
        ("http://localhost/", "needs allow_private"),
        ("https://[::1]/", "needs allow_private"),
        ("https://user:word@example.org/", "no user, password"),
        ("https://example.org/#part", "fragment"),
        ("https://example.org/a b", "without spaces"),
        ("https://example.org:99999/", "is no URL"),
        ("ftp://example.org/", "must be an URL"),
        ("https:///path", "must be an URL"),
        ("https://example.org/\r\nX: y", "without spaces"),
    ],
)
def test_url_that_cannot_be_served_is_refused(url: str, why: str) -> None:
    assert why in (wrong_url(url, allow_private=False) or "")


def test_url_of_this_machine_is_taken_where_that_is_allowed() -> None:
    assert wrong_url("http://localhost:8080/x?y", allow_private=True) is None
    assert wrong_url("https://example.org", allow_private=False) is None
