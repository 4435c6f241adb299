"""What the library's words mean; they were seen with the library in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

DIAL = (
    "failed to dial whatsapp web websocket: failed to WebSocket dial: failed to send handshake request: "
    'Get "https://web.whatsapp.com/ws/chat": '
)
SAID = [
    ("Forbidden", "proxy"),
    ("Proxy Authentication Required", "proxy"),
    ("proxyconnect tcp: dial tcp 127.0.0.1:9: connect: connection refused", "proxy"),
    ("proxyconnect tcp: dial tcp: lookup nowhere.invalid: no such host", "dns"),
    ("socks connect tcp 127.0.0.1:1->web.whatsapp.com:443: username/password authentication failed", "proxy"),
    ("socks connect tcp 127.0.0.1:1->web.whatsapp.com:443: unknown error host unreachable", "proxy"),
    ("dial tcp: lookup web.whatsapp.com: no such host", "dns"),
    ("dial tcp 157.240.0.60:443: connect: connection refused", "refused"),
    ("EOF", "client-error"),
    ("unexpected EOF", "client-error"),
    ("context deadline exceeded", "timeout"),
]


@pytest.fixture(scope="module")
def causes() -> dict[str, str]:
    code = (
        "import json, sys; from sessions.neonize_client import cause_of; "
        "print(json.dumps({said: cause_of(sys.argv[1] + said) for said in sys.argv[2:]}))"
    )
    command = [sys.executable, "-c", code, DIAL, *(said for said, _ in SAID)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(("said", "cause"), SAID)
def test_what_keeps_us_from_whatsapp_has_a_name(causes: dict[str, str], said: str, cause: str) -> None:
    assert causes[said] == cause
