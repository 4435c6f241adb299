"""Secrets that requests are signed with: where they are read, and when one may be used.

The one rule: a secret is read when it is needed and kept by nobody; no error repeats any of it.
"""

from __future__ import annotations

import base64
import binascii
import stat
from pathlib import Path

from towerd.paths import find_credentials

SHORTEST_CHARACTERS = 32
_LONGEST_BYTES = 4096
_PREFIX = "whsec_"
_SHORTEST_KEY_BYTES = 24
"""Standard Webhooks 1.0.0, "Signature scheme": at least 24 bytes."""


class SecretError(Exception):
    """The secret cannot be used; the message says why and what would be right."""


def read_secret(source: str) -> str:
    """Return a secret.

    Args:
        source: the path of a file, or the name of a credential of the service.

    Raises:
        SecretError: it is not there, others can read it, or it is none.
    """
    path = Path(source)
    is_credential = not path.is_absolute()
    if is_credential:
        path = _credential(source)
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            content = file.read(_LONGEST_BYTES + 1)
    except OSError as error:
        msg = f"cannot be read: {error.strerror}"
        raise SecretError(msg) from None
    # systemd lets nobody else at a credential, and shows that by other means than the mode.
    if not is_credential and mode & (stat.S_IRWXO | stat.S_IWGRP):
        msg = f"can be read by others, or written by its group: chmod 0600 {path}"
        raise SecretError(msg)
    secret = _text(content)
    standard_key(secret)
    return secret


def standard_key(secret: str) -> bytes:
    """Return the key for Standard Webhooks: the secret as given, or what follows `whsec_` in base64.

    Raises:
        SecretError: it begins with `whsec_` and is none of that kind.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    encoded = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        msg = f"what follows {_PREFIX} must be base64"
        raise SecretError(msg) from None
    if len(key) < _SHORTEST_KEY_BYTES:
        msg = f"what follows {_PREFIX} must be base64 of at least {_SHORTEST_KEY_BYTES} bytes"
        raise SecretError(msg)
    return key


def _credential(name: str) -> Path:
    directory = find_credentials()
    if directory is None or "/" in name or name in (".", ".."):
        msg = (
            "must be the absolute path of a file, or the name of a credential of the service: "
            f"LoadCredential={Path(name).name}:/path in the unit of towerd"
        )
        raise SecretError(msg)
    return directory / name


def _text(content: bytes) -> str:
    try:
        secret = content.decode("ascii").rstrip("\r\n")
    except UnicodeDecodeError:
        secret = ""
    if not secret.isprintable() or " " in secret or len(content) > _LONGEST_BYTES:
        msg = "must hold one line of printable ASCII without spaces; make one with: openssl rand -hex 32"
        raise SecretError(msg)
    if len(secret) < SHORTEST_CHARACTERS:
        msg = (
            f"must hold a secret of at least {SHORTEST_CHARACTERS} characters; "
            "make one with: openssl rand -hex 32"
        )
        raise SecretError(msg)
    return secret
