"""Every error a client can meet: slug, RPC code and exit status in one table.

The one rule: an error is named by its slug, and only this table knows code and exit status. The same table
stands in towerctl(1) and tower-rpc(7); a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from towerd.protocol.characters import printable


class Exit(IntEnum):
    """Exit statuses of towerctl."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_PERMITTED = 4
    NO_SUCH_ACCOUNT = 5
    WRONG_STATE = 6
    TIMED_OUT = 7
    NEEDS_HUMAN = 8
    LIMIT_REACHED = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorKind:
    """What one slug means on the wire and in a shell."""

    code: int
    exit: Exit
    meaning: str


# JSON-RPC 2.0, section 5.1: these five codes are fixed by the specification.
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

ERRORS: dict[str, ErrorKind] = {
    "parse-error": ErrorKind(code=PARSE_ERROR, exit=Exit.ERROR, meaning="the request is not JSON"),
    "request-too-long": ErrorKind(
        code=INVALID_REQUEST, exit=Exit.ERROR, meaning="the request line is longer than 1 MiB"
    ),
    "invalid-request": ErrorKind(
        code=INVALID_REQUEST, exit=Exit.ERROR, meaning="the request is not a JSON-RPC 2.0 request"
    ),
    "method-not-found": ErrorKind(code=METHOD_NOT_FOUND, exit=Exit.ERROR, meaning="no such method"),
    "invalid-params": ErrorKind(
        code=INVALID_PARAMS, exit=Exit.USAGE, meaning="parameters are missing, unknown or of the wrong type"
    ),
    "internal-error": ErrorKind(
        code=INTERNAL_ERROR, exit=Exit.ERROR, meaning="a bug in towerd; the journal has the details"
    ),
    "account-not-found": ErrorKind(
        code=100, exit=Exit.NO_SUCH_ACCOUNT, meaning="no such account, or none that the caller may see"
    ),
    "account-exists": ErrorKind(code=101, exit=Exit.WRONG_STATE, meaning="the name is taken"),
    "invalid-field": ErrorKind(code=102, exit=Exit.USAGE, meaning="a field breaks its rule"),
    "limit-reached": ErrorKind(code=103, exit=Exit.LIMIT_REACHED, meaning="a limit is reached"),
    "account-ambiguous": ErrorKind(
        code=104, exit=Exit.USAGE, meaning="more than one account fits; name it by its id"
    ),
    "queue-full": ErrorKind(code=105, exit=Exit.LIMIT_REACHED, meaning="too many texts wait to be sent"),
    "text-too-long": ErrorKind(
        code=106, exit=Exit.LIMIT_REACHED, meaning="the text is longer than WhatsApp takes"
    ),
    "wrong-state": ErrorKind(code=200, exit=Exit.WRONG_STATE, meaning="not possible in this state"),
    "not-connected": ErrorKind(code=201, exit=Exit.WRONG_STATE, meaning="the account is not connected"),
    "needs-human": ErrorKind(code=202, exit=Exit.NEEDS_HUMAN, meaning="somebody has to act first"),
    "pairing-timeout": ErrorKind(code=300, exit=Exit.TIMED_OUT, meaning="nobody scanned the code in time"),
    "passkey-required": ErrorKind(
        code=301, exit=Exit.NEEDS_HUMAN, meaning="WhatsApp asks for a passkey on the phone"
    ),
    "duplicate-phone": ErrorKind(
        code=302, exit=Exit.WRONG_STATE, meaning="the phone is linked to another account of the same owner"
    ),
    "not-permitted": ErrorKind(code=400, exit=Exit.NOT_PERMITTED, meaning="the caller may not do this"),
    "worker-lost": ErrorKind(code=500, exit=Exit.ERROR, meaning="the worker process ended or did not answer"),
    "store-damaged": ErrorKind(code=501, exit=Exit.NEEDS_HUMAN, meaning="the account's store cannot be used"),
    "logout-failed": ErrorKind(code=502, exit=Exit.ERROR, meaning="WhatsApp did not confirm the logout"),
    "events-expired": ErrorKind(code=503, exit=Exit.ERROR, meaning="events that old are no longer kept"),
    "registry-unavailable": ErrorKind(
        code=504, exit=Exit.ERROR, meaning="the account database cannot be written; nothing was changed"
    ),
    "config-invalid": ErrorKind(
        code=507, exit=Exit.USAGE, meaning="the configuration files are not valid; nothing was changed"
    ),
    "notify-failed": ErrorKind(
        code=508, exit=Exit.ERROR, meaning="a message to people could not be delivered"
    ),
    "too-busy": ErrorKind(
        code=505, exit=Exit.ERROR, meaning="too many requests, subscriptions or connections"
    ),
    "webhook-failed": ErrorKind(code=509, exit=Exit.ERROR, meaning="a webhook did not take a test event"),
    "export-invalid": ErrorKind(
        code=510,
        exit=Exit.USAGE,
        meaning="the file of an exported account cannot be used; nothing was changed",
    ),
    "shutting-down": ErrorKind(code=506, exit=Exit.UNREACHABLE, meaning="towerd is stopping"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One bad field of a request, with why it is bad."""

    field: str
    why: str


ACCOUNT = "{account}"
"""Stands in hints for the account, which its owner names otherwise than others do; see `name_account`."""


class TowerError(Exception):
    """An error meant for a human: the fact, then the next step.

    Args:
        slug: a key of `ERRORS`.
        message: the fact, one sentence, no full stop needed.
        hint: what to do next, usually a command.
        fields: every bad field, when the request was at fault.
    """

    def __init__(
        self, slug: str, message: str, *, hint: str | None = None, fields: tuple[Field, ...] = ()
    ) -> None:
        super().__init__(message)
        self.slug = slug
        self.message = message
        self.hint = hint
        self.fields = fields

    def name_account(self, name: str) -> None:
        """Fill in how the caller names the account that the hint is about."""
        if self.hint is not None:
            self.hint = self.hint.replace(ACCOUNT, name)

    @property
    def kind(self) -> ErrorKind:
        """Code and exit status of this error."""
        return ERRORS[self.slug]

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON-RPC error object; what it repeats of a request is one line and harmless."""
        data: dict[str, Any] = {"slug": self.slug, "exit": int(self.kind.exit)}
        if self.hint:
            data["hint"] = printable(self.hint)
        if self.fields:
            data["fields"] = [
                {"field": printable(bad.field), "why": printable(bad.why)} for bad in self.fields
            ]
        return {"code": self.kind.code, "message": printable(self.message), "data": data}
