"""Verify that a webhook request was sent by towerd: for receivers, to import, to copy, or to run.

The one rule: this file needs nothing but itself and Python; what it does not refuse is proven.

    from towerctl.webhook_verifier import Refused, verify

    try:
        verify(secret, headers, body)
    except Refused as refused:
        ...  # answer with 400; str(refused) says why

`body` are the bytes as they came, before anything was parsed. The secret is the one of the sender, as it
stands in its file. A request that is proven may still be one that came before: remember `webhook-id`.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

MAX_AGE_SECONDS = 300
_PREFIX = "whsec_"
_LONGEST_BYTES = 16 * 1024 * 1024


class Refused(Exception):
    """The request is not proven to be the sender's."""


class HeaderMissing(Refused):
    """A header that proves something is not there, or is none."""


class TooOld(Refused):
    """The request was signed too long ago, or in the future."""


class BadSignature(Refused):
    """The signature is not the sender's."""


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float | None = None,
    max_age_seconds: float = MAX_AGE_SECONDS,
) -> None:
    """Verify a request by `X-Timestamp` and `X-HMAC-Signature`.

    Args:
        secret: what both sides know.
        headers: of the request; upper and lower case in their names do not matter.
        body: of the request, byte for byte.
        now: the time, in seconds since the epoch; the machine's when left out.
        max_age_seconds: how old a request may be, and how far in the future.

    Raises:
        HeaderMissing: a header is missing or malformed.
        TooOld: the time in it is too far away.
        BadSignature: it was not signed with this secret, or was changed on the way.
    """
    stamp, signature = _named(headers, "X-Timestamp", "X-HMAC-Signature")
    _require_recent("X-Timestamp", stamp, now, max_age_seconds)
    expected = hmac.new(secret.encode(), stamp.encode() + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise BadSignature("X-HMAC-Signature is not what this secret makes of this request")


def verify_standard(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float | None = None,
    max_age_seconds: float = MAX_AGE_SECONDS,
) -> None:
    """Verify a request as Standard Webhooks has it; parameters and errors as for `verify`."""
    message_id, stamp, signatures = _named(headers, "webhook-id", "webhook-timestamp", "webhook-signature")
    _require_recent("webhook-timestamp", stamp, now, max_age_seconds)
    signed = f"{message_id}.{stamp}.".encode() + body
    digest = hmac.new(_standard_key(secret), signed, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(digest)
    # All are compared, whichever fits.
    fits = [hmac.compare_digest(expected, one.encode()) for one in signatures.split(" ")]
    if not any(fits):
        raise BadSignature("webhook-signature is not what this secret makes of this request")


def parse_request(request: bytes) -> tuple[dict[str, str], bytes]:
    """Return headers and body of a request as it came over the wire.

    Raises:
        Refused: it is none.
    """
    head, blank, body = request.partition(b"\r\n\r\n")
    if not blank:
        head, blank, body = request.partition(b"\n\n")
    if not blank:
        raise Refused("this is no request: no empty line ends its headers")
    headers: dict[str, str] = {}
    for line in head.decode("latin-1").splitlines()[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise Refused("this is no request: a line among its headers is none")
        headers[name.strip()] = value.strip()
    return headers, body


def _named(headers: Mapping[str, str], *names: str) -> list[str]:
    lowered = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in names if not lowered.get(name.lower())]
    if missing:
        msg = f"missing: {', '.join(missing)}"
        raise HeaderMissing(msg)
    return [lowered[name.lower()] for name in names]


def _require_recent(name: str, stamp: str, now: float | None, max_age_seconds: float) -> None:
    if not re.fullmatch("[0-9]{1,15}", stamp):
        msg = f"{name} is no time in seconds since the epoch"
        raise HeaderMissing(msg)
    age = (time.time() if now is None else now) - int(stamp)
    if age > max_age_seconds:
        msg = f"{name} is {age:.0f} s old; at most {max_age_seconds:g} s are taken"
        raise TooOld(msg)
    if age < -max_age_seconds:
        msg = f"{name} is {-age:.0f} s in the future; look at the clocks"
        raise TooOld(msg)


def _standard_key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    encoded = secret[len(_PREFIX) :]
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        msg = f"what follows {_PREFIX} in the secret is not base64"
        raise BadSignature(msg) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify the request on standard input: 0 proven, 1 refused, 2 wrongly used."""
    options = argparse.ArgumentParser(
        prog="webhook_verifier",
        description="Verify a webhook request of towerd, read from standard input with its headers.",
    )
    options.add_argument("--secret-file", required=True, metavar="FILE", help="holds the secret")
    options.add_argument("--standard", action="store_true", help="as Standard Webhooks has it")
    options.add_argument(
        "--max-age", type=float, default=MAX_AGE_SECONDS, metavar="SECONDS", help="how old it may be (300)"
    )
    given = options.parse_args(arguments)
    try:
        secret = Path(given.secret_file).read_text(encoding="ascii").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not ASCII"
        sys.stderr.write(f"webhook_verifier: {given.secret_file}: {why}\n")
        return 2
    try:
        headers, body = parse_request(sys.stdin.buffer.read(_LONGEST_BYTES))
        check = verify_standard if given.standard else verify
        check(secret, headers, body, max_age_seconds=given.max_age)
    except Refused as refused:
        sys.stderr.write(f"webhook_verifier: {refused}\n")
        return 1
    sys.stdout.write("proven\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
