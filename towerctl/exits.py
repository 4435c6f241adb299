"""Failures of the command line and the exit status of each.

The one rule: whatever goes wrong becomes a `Failure` with a slug, and the slug decides the exit status. The
daemon's slugs stand in `towerd.protocol.errors`; the ones that only a client can meet stand here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DONE = 0
ERROR = 1
USAGE = 2
UNREACHABLE = 3
WRONG_STATE = 6
TIMED_OUT = 7

INTERRUPTED = 130
"""128 + SIGINT, as shells count."""

BROKEN_PIPE = 141
"""128 + SIGPIPE: what cat and grep end with when the reader of their output goes away."""

CLIENT_ERRORS: dict[str, tuple[int, str]] = {
    "usage": (USAGE, "the command line is wrong; nothing was done"),
    "unreachable": (UNREACHABLE, "towerd is absent, refuses, may not be reached, or does not answer"),
    "bad-answer": (ERROR, "what answers on the socket does not speak the protocol of towerd"),
    "cannot-write": (ERROR, "a file or standard output cannot be written"),
    "not-confirmed": (ERROR, "the question was answered with no; nothing was done"),
    "not-on-whatsapp": (WRONG_STATE, "nobody at WhatsApp has this number; nothing was sent"),
    "send-failed": (ERROR, "a text was not sent, or nobody can say whether it was"),
    "timed-out": (TIMED_OUT, "what was waited for did not come in time"),
}
"""Slug → exit status and meaning, for what never comes over the wire."""


class Failure(Exception):
    """What a command ends with when it cannot do its work; meant for a human.

    Args:
        slug: a key of `CLIENT_ERRORS` or of `towerd.protocol.errors.ERRORS`, or one that a newer daemon sent.
        message: the fact, in one line.
        hint: what to do next, usually a command.
        fields: every bad field of the request as `{"field", "why"}`.
        exit_status: for a slug of a newer daemon; otherwise the tables decide.
        details: further keys of the JSON envelope.
    """

    def __init__(
        self,
        slug: str,
        message: str,
        *,
        hint: str | None = None,
        fields: Sequence[Mapping[str, str]] = (),
        exit_status: int | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.slug = slug
        self.message = message
        self.hint = hint
        self.fields = fields
        self.exit_status = exit_status_of(slug, otherwise=exit_status)
        self.details = details or {}

    def to_json(self) -> dict[str, Any]:
        """Return the envelope's inner object."""
        inner: dict[str, Any] = {
            "slug": self.slug,
            "message": self.message,
            "hint": self.hint,
            "exit": self.exit_status,
        }
        if self.fields:
            inner["fields"] = [dict(bad) for bad in self.fields]
        inner.update(self.details)
        return inner


class Signalled(BaseException):
    """A signal asked the process to end; what was begun is cleaned up on the way out.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.exit_status = 128 + number


def exit_status_of(slug: str, *, otherwise: int | None = None) -> int:
    """Return the exit status of a slug; `otherwise`, or 1, when neither table knows it."""
    if slug in CLIENT_ERRORS:
        return CLIENT_ERRORS[slug][0]
    # Not at the top: a command that succeeds needs no table of errors.
    from towerd.protocol.errors import ERRORS

    if slug in ERRORS:
        return int(ERRORS[slug].exit)
    return otherwise or ERROR


def cannot_write(target: str, why: str) -> Failure:
    """Return the failure for a file or a stream that does not take what is written to it."""
    return Failure("cannot-write", f"cannot write {target}: {why}")


def from_wire(error: Mapping[str, Any]) -> Failure:
    """Turn the error object of a JSON-RPC answer into a failure."""
    from towerd.protocol.errors import ERRORS

    data = error.get("data")
    if not isinstance(data, dict):
        data = {}
    code = error.get("code")
    slug = data.get("slug")
    if not isinstance(slug, str):
        slug = next((known for known, kind in ERRORS.items() if kind.code == code), f"rpc-error-{code}")
    status = data.get("exit")
    hint = data.get("hint")
    return Failure(
        slug,
        str(error.get("message") or slug),
        hint=hint if isinstance(hint, str) else None,
        fields=[
            {"field": str(bad.get("field")), "why": str(bad.get("why"))}
            for bad in data.get("fields") or ()
            if isinstance(bad, dict)
        ],
        exit_status=status if isinstance(status, int) and 0 < status < 256 else None,
    )
