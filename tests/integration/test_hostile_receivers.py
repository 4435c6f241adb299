"""Receivers of webhooks that fail in every way: nothing is lost, and nobody else waits."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.receiver import (
    Behaviour,
    Receiver,
    a_receiver,
    answering,
    certificate,
    dripping,
    flooding,
    hanging,
    status,
)
from tests.integration.towerd import Towerd
from tests.integration.webhooks import configure, deliveries, until, webhook


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with a_receiver() as one:
        yield one


def closing(connection: socket.socket) -> None:
    """Close in the middle of an answer that begins well."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")


FAILURES: dict[str, tuple[Behaviour, str]] = {
    "error": (status(500), "answered with status 500"),
    "redirect": (status(307, "Location: /elsewhere"), "answered with status 307"),
    "hangs": (hanging, "no answer within 0.5 s"),
    "drips": (dripping, "no answer within 0.5 s"),
    "closes at once": (lambda _: None, "the connection was closed before the answer was complete"),
    "closes in the middle": (closing, "the connection was closed before the answer was complete"),
    "floods": (flooding, "the head of the answer is longer than 16 KiB"),
    "another protocol": (answering(b"SSH-2.0-OpenSSH\r\n\r\n"), "what answered does not speak HTTP/1.1"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_named_and_tried_again_until_it_is_over(
    towerd: Towerd, receiver: Receiver, failure: str
) -> None:
    receiver.behaviour, why = FAILURES[failure]
    endpoint = {"name": "crm", "url": receiver.url, "events": ["account.added"], "timeout_seconds": 0.5}
    configure(towerd, endpoint)
    towerd.start()
    towerd.add("sales")
    until(lambda: deliveries(towerd)[0]["attempts"] >= 2, "a second attempt")
    assert why in (webhook(towerd, "crm")["trouble"] or "")
    receiver.behaviour = receiver.usual
    until(lambda: deliveries(towerd)[0]["state"] == "delivered", "the delivery")
    assert {one.head for one in receiver.requests} == {"POST /hook?x=1 HTTP/1.1"}
    assert len({one.body for one in receiver.requests}) == 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_nobody_is_followed_to_another_address(towerd: Towerd, receiver: Receiver, code: int) -> None:
    with a_receiver() as elsewhere:
        receiver.behaviour = status(code, f"Location: {elsewhere.url}")
        configure(towerd, {"name": "crm", "url": receiver.url, "events": ["account.added"]})
        towerd.start()
        towerd.add("sales")
        until(lambda: deliveries(towerd)[0]["attempts"] >= 2, "a second attempt")
        assert webhook(towerd, "crm")["trouble"] == f"answered with status {code}"
        assert elsewhere.connections == 0


def test_a_name_of_a_private_address_is_refused_when_it_is_resolved(
    towerd: Towerd, receiver: Receiver
) -> None:
    # To the resolver these are names like others; nothing in the URL shows where they lead.
    names = {"hexadecimal": "0x7f000001", "short": "127.1", "number": "2130706433"}
    configure(
        towerd,
        *(
            {"name": name, "url": f"https://{host}:{receiver.port}/", "allow_private": False}
            for name, host in names.items()
        ),
    )
    towerd.start()
    towerd.add("sales")
    for name, host in names.items():
        until(lambda name=name: webhook(towerd, name)["trouble"], "an attempt")
        assert webhook(towerd, name)["trouble"] == f"the address of {host} is not public: 127.0.0.1"
    assert receiver.connections == 0


def test_an_answer_that_goes_on_behind_its_head_is_taken_at_once(towerd: Towerd, receiver: Receiver) -> None:
    def goes_on(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        dripping(connection)

    receiver.behaviour = goes_on
    configure(
        towerd, {"name": "crm", "url": receiver.url, "events": ["account.added"], "timeout_seconds": 60}
    )
    towerd.start()
    towerd.add("sales")
    until(lambda: deliveries(towerd)[0]["state"] == "delivered", "the delivery")
    assert deliveries(towerd)[0]["attempts"] == 1


def test_gone_is_given_up_at_once_and_holds_nothing_back(towerd: Towerd, receiver: Receiver) -> None:
    receiver.behaviour = status(410)
    configure(towerd, {"name": "crm", "url": receiver.url, "events": ["account.*"]})
    towerd.start()
    account = towerd.add("sales")
    until(lambda: webhook(towerd, "crm")["dead"] == 1, "the end")
    receiver.behaviour = receiver.usual
    towerd.ask("account.set", account=account["id"], name="shop")
    until(lambda: receiver.taken, "the next event")
    assert [one["state"] for one in deliveries(towerd)] == ["dead", "delivered"]
    assert len(receiver.requests) == 2


def test_an_endpoint_that_hangs_delays_no_other(towerd: Towerd, receiver: Receiver) -> None:
    with a_receiver() as slow:
        slow.behaviour = hanging
        configure(
            towerd,
            {"name": "slow", "url": slow.url, "timeout_seconds": 60},
            {"name": "crm", "url": receiver.url, "events": ["account.added"]},
        )
        towerd.start()
        for number in range(5):
            towerd.add(f"account{number}")
        until(lambda: len(receiver.taken) == 5, "the events")
        assert slow.taken == []
        assert webhook(towerd, "slow")["queued"] >= 5


def test_who_refuses_connections_is_tried_again(towerd: Towerd) -> None:
    with a_receiver() as gone:
        url = gone.url
    configure(towerd, {"name": "crm", "url": url, "events": ["account.added"]})
    towerd.start()
    towerd.add("sales")
    until(lambda: deliveries(towerd)[0]["attempts"] >= 2, "a second attempt")
    assert "cannot be reached" in webhook(towerd, "crm")["trouble"]


@pytest.mark.parametrize(
    ("name", "days", "is_trusted"), [("localhost", 1, False), ("elsewhere", 1, True), ("localhost", -1, True)]
)
def test_a_certificate_that_is_not_valid_gets_nothing(
    towerd: Towerd, tmp_path: Path, name: str, days: int, is_trusted: bool
) -> None:
    context, trusted = certificate(tmp_path, name=name, days=days)
    other = certificate(tmp_path, name="other")[1]
    towerd.prefix = ["env", f"SSL_CERT_FILE={trusted if is_trusted else other}"]
    with a_receiver(context=context) as receiver:
        configure(towerd, {"name": "crm", "url": receiver.url, "events": ["account.added"]})
        towerd.start()
        towerd.add("sales")
        until(lambda: deliveries(towerd)[0]["attempts"] >= 1, "an attempt")
        assert "the certificate is not valid" in deliveries(towerd)[0]["error"]
        assert receiver.requests == []


def test_a_certificate_that_is_valid_is_delivered_to(towerd: Towerd, tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path)
    towerd.prefix = ["env", f"SSL_CERT_FILE={trusted}"]
    with a_receiver(context=context) as receiver:
        configure(towerd, {"name": "crm", "url": receiver.url, "events": ["account.added"]})
        towerd.start()
        towerd.add("sales")
        until(lambda: receiver.taken, "the event")
