"""Takes secrets and personal data out of text on its way to a log.

The one rule: what is not needed to understand a fault does not get through: QR payloads, pairing codes, keys,
JIDs, phone numbers, passwords of proxies.
"""

from __future__ import annotations

import re

_SERVERS = r"s\.whatsapp\.net|c\.us|lid|g\.us|hosted(?:\.lid)?|newsletter|interop|msgr"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # Who logs in at a proxy, and with what.
    (re.compile(r"(?<=://)[^/\s\"'<>]*@"), "[login]@"),
    # The pairing QR: ref, noise key, identity key, adv secret, separated by commas.
    (re.compile(r"https://wa\.me/settings/linked_devices\S*"), "[qr]"),
    (re.compile(r"\b\d@[A-Za-z0-9+/=,]{40,}"), "[qr]"),
    # Keys and signatures in base64 or hexadecimal; 32 bytes are 43 or 64 characters.
    # Without a capital it is a path: not one key in a thousand million is.
    (re.compile(r"(?<![A-Za-z0-9+/_-])(?=[a-z0-9+/_-]*[A-Z])[A-Za-z0-9+/_-]{40,}={0,2}"), "[key]"),
    (re.compile(r"(?<![A-Za-z0-9])[0-9a-f]{40,}(?![A-Za-z0-9])"), "[key]"),
    # A pairing code, ABCD-1234.
    (re.compile(r"\b[1-9A-Z]{4}-[1-9A-Z]{4}\b"), "[code]"),
    # Old groups are named founder's number, dash, time.
    (re.compile(rf"\b\d+(?:[.:_-]\d+)*@(?:{_SERVERS})\b"), "[jid]"),
    # libsignal's addresses: user, perhaps an agent, and the device.
    (re.compile(r"(?<![\w.-])\+?\d{7,15}(?:[._]\d{1,2})?:\d{1,3}(?!\w|[.:]\d)"), "[jid]"),
    # Not what stands in a time, a version or an address: there digits go on behind a dot, colon or dash.
    (re.compile(r"(?<![\w.-])(?<!\d:)\+?\d{7,15}(?!\w|[.:-]\w)"), "[phone]"),
)
# Half blocks: the library draws the QR when it has nobody to give it to.
_BLOCKS = re.compile("[\u2580\u2584\u2588]")
_CONTROLS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def redact(text: str) -> str:
    """Return the text without secrets, JIDs, phone numbers, terminal codes and drawn QRs."""
    if _BLOCKS.search(text):
        return "[qr]"
    text = _CONTROLS.sub("", text)
    for pattern, word in _RULES:
        text = pattern.sub(word, text)
    return text
