"""What the redactor takes out of a log line, and what a fault needs to stay."""

from __future__ import annotations

import base64
import hashlib

import pytest

from sessions.redactor import redact

KEY = base64.b64encode(hashlib.sha256(b"key").digest()).decode()
URL_SAFE_KEY = base64.urlsafe_b64encode(hashlib.sha256(b"url").digest()).decode().rstrip("=")
LONG_KEY = base64.b64encode(hashlib.sha512(b"long").digest()).decode()
HEX_KEY = hashlib.sha256(b"hex").hexdigest()
OLD_QR = f"2@Ab/c+{'x' * 40},{KEY},{KEY},{KEY},1"
NEW_QR = f"https://wa.me/settings/linked_devices#{OLD_QR}"

SECRETS = [
    ("new QR text", NEW_QR),
    ("old QR text", OLD_QR),
    ("base64 key", KEY),
    ("URL-safe base64 key", URL_SAFE_KEY),
    ("long base64 key", LONG_KEY),
    ("hexadecimal key", HEX_KEY),
    ("hexadecimal key in capitals", HEX_KEY.upper()),
    ("pairing code", "K7QX-3MZ9"),
    ("JID", "491701234567@s.whatsapp.net"),
    ("JID with device", "491701234567:12@s.whatsapp.net"),
    ("JID with agent and device", "491701234567.0:12@s.whatsapp.net"),
    ("LID", "123456789012345@lid"),
    ("LID with device", "123456789012345:7@lid"),
    ("hosted LID", "123456789012345@hosted.lid"),
    ("group", "120363012345678901@g.us"),
    ("old group, which holds its founder's number", "491701234567-1401234567@g.us"),
    ("old server", "491701234567@c.us"),
    ("newsletter", "120363012345678901@newsletter"),
    ("signal address", "491701234567:0"),
    ("signal address with agent", "491701234567_1:12"),
    ("login at a proxy", "http://tower:s3cret@"),
    ("login at a proxy without a user", "http://:s3cret-password@"),
    ("login at a proxy with an at", "https://tower:p@ss@"),
    ("phone number", "491701234567"),
    ("phone number with +", "+491701234567"),
]
FRAMES = [
    "{}",
    "before {} after",
    "the end is {}.",
    "in ({}), and",
    'quoted "{}"',
    "to:{} from",
    "phone={}",
    "two {0} and {0}",
]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(("what", "secret"), SECRETS)
def test_secret_does_not_get_through(what: str, secret: str, frame: str) -> None:
    text = redact(frame.format(secret))
    assert secret not in text
    longest = max(secret.replace("@", ",").replace("-", ",").replace(":", ",").split(","), key=len)
    assert longest not in text
    assert "[" in text


def test_secret_that_is_cut_off_does_not_get_through() -> None:
    assert KEY[:40] not in redact(NEW_QR[:90])


SURVIVORS = [
    "2026-09-21T12:34:56.123456Z",
    "2026-09-21 12:34:56,123 INFO connected",
    "12:34:56.123456789",
    "1790000000.123456",
    "pid 419430 ended with status -9",
    "took 0.123456789 s",
    "neonize 0.5.2, whatsmeow v0.0.0-20260921",
    "Go 1.26.1 linux/amd64",
    "10.0.0.12:50123 -> 192.168.100.200:443",
    "[2001:db8::1]:443",
    "dial tcp 157.240.0.60:443: connect: connection refused",
    "wss://web.whatsapp.com/ws/chat",
    "status@broadcast",
    "server@s.whatsapp.net said 401",
    "worker-crash-loop at account-1",
    "/var/lib/tower/sessions/a-abcdefghij/store.db is not a database",
    "/home/somebody/.local/state/tower/sessions/a-abcdefghij/store.db",
    "a-abcdefghij",
    "code 401 on_connect=true",
    "Straße, naïve, 東京",
    "a line\nand another\tone",
]


@pytest.mark.parametrize("text", SURVIVORS)
def test_what_a_fault_needs_gets_through(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("block", ["█", "▀", "▄"])
def test_drawn_qr_does_not_get_through(block: str) -> None:
    assert redact(f" {block}  {block} ") == "[qr]"
    assert redact(f"before\n{block}\nafter") == "[qr]"


def test_terminal_codes_are_taken_out() -> None:
    assert redact("\x1b[1;31mred\x1b[0m\x07 \x08text\r") == "red text"


def test_terminal_codes_do_not_hide_a_secret() -> None:
    assert "491701234567" not in redact("4917\x1b[0m01234567")
    assert redact("+4917\x0001234567") == "[phone]"
