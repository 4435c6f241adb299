"""Takes secrets and personal data out of text on its way to a log.

The one rule: what is not needed to understand a fault does not get through: QR payloads, pairing codes, keys,
JIDs, phone numbers.
"""

from __future__ import annotations

import re

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # The pairing QR: ref, noise key, identity key, adv secret, separated by commas.
    (re.compile(r"https://wa\.me/settings/linked_devices\S*"), "[qr]"),
    (re.compile(r"\b\d@[A-Za-z0-9+/=,]{40,}"), "[qr]"),
    # Keys and signatures in base64 or hexadecimal; 32 bytes are 43 or 64 characters.
    (re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{40,}={0,2}"), "[key]"),
    # A pairing code, ABCD-1234.
    (re.compile(r"\b[1-9A-Z]{4}-[1-9A-Z]{4}\b"), "[code]"),
    (re.compile(r"\b\d+(?:[.:_]\d+)*@(?:s\.whatsapp\.net|c\.us|lid|g\.us|hosted(?:\.lid)?)\b"), "[jid]"),
    (re.compile(r"(?<![\w.:-])\+?\d{7,15}(?![\w.:-])"), "[phone]"),
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
