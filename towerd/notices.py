"""What people are told of incidents: one message, as JSON, as variables, and as mail.

The one rule: a message holds what anybody may know who is told: no QR, no code, no key, no phone number.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Literal

import msgspec

from towerd import __version__
from towerd.accounts.records import IncidentRecord
from towerd.clock import rfc3339, rfc3339_or_none
from towerd.users import user_name

OVER = "over"
"""The outcome of an incident whose subject is well, and has no better word for it."""

Happening = Literal["opened", "changed", "closed", "summary", "test"]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One incident as a message has it."""

    event: Happening
    incident: str
    kind: str
    account: dict[str, str] | None
    owner: str | None
    line: str
    action: str | None
    opened_at: str
    closed_at: str | None
    outcome: str | None


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One message.

    Attributes:
        event: what happened; `summary` when it is about several incidents.
        subject: all of it in one line.
        text: all of it, for a human.
        incidents: what it is about.
    """

    event: Happening
    host: str
    version: str
    subject: str
    text: str
    incidents: list[Told]

    def to_json(self) -> bytes:
        """Return the message as one JSON document."""
        return msgspec.json.encode(self) + b"\n"

    def variables(self) -> dict[str, str]:
        """Return the message as environment variables; those of an incident only when it is about one."""
        common = {
            "TOWER_EVENT": self.event,
            "TOWER_HOST": self.host,
            "TOWER_SUBJECT": self.subject,
            "TOWER_COUNT": str(len(self.incidents)),
        }
        if len(self.incidents) != 1:
            return common
        one = self.incidents[0]
        account = one.account or {}
        return common | {
            "TOWER_INCIDENT": one.incident,
            "TOWER_KIND": one.kind,
            "TOWER_ACCOUNT": account.get("name", ""),
            "TOWER_ACCOUNT_ID": account.get("id", ""),
            "TOWER_OWNER": one.owner or "",
            "TOWER_LINE": one.line,
            "TOWER_ACTION": one.action or "",
        }

    def to_mail(self, recipients: Sequence[str]) -> bytes:
        """Return the message as a mail, for sendmail(8)."""
        # Not at the top: a daemon that mails nobody does without it.
        from email.message import EmailMessage

        mail = EmailMessage()
        mail["Subject"] = f"[tower {self.host}] {self.subject}"
        mail["To"] = ", ".join(recipients)
        # Whoever answers by itself does not answer this (RFC 3834).
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(self.text)
        return mail.as_bytes()


def notice(incidents: Sequence[IncidentRecord], channel: str) -> Notice:
    """Return the message that tells what a channel has not told yet: one incident, or several in one."""
    told = [_told(one, channel) for one in incidents]
    if len(told) == 1:
        return _notice(told[0].event, _headline(told[0]), told)
    return _notice("summary", _counts(told), told)


def trial() -> Notice:
    """Return a message that says only that messages arrive."""
    return _notice("test", "this is a test: messages of incidents arrive here", [])


def _notice(event: Happening, subject: str, told: list[Told]) -> Notice:
    host = socket.gethostname()
    paragraphs = [_paragraph(one) for one in told] or [subject]
    signature = f"-- \ntowerd {__version__} on {host}\n"
    return Notice(
        event=event,
        host=host,
        version=__version__,
        subject=_one_line(subject),
        text="\n\n".join([*paragraphs, signature]),
        incidents=told,
    )


def _told(incident: IncidentRecord, channel: str) -> Told:
    if incident.closed_at is not None:
        event: Happening = "closed"
    else:
        event = "changed" if incident.told.get(channel) else "opened"
    account = None
    if incident.account_id is not None:
        account = {"id": incident.account_id, "name": incident.account_name or ""}
    return Told(
        event=event,
        incident=incident.id,
        kind=incident.kind,
        account=account,
        owner=user_name(incident.owner_uid) if incident.owner_uid is not None else None,
        line=_one_line(incident.line),
        action=incident.action if event != "closed" else None,
        opened_at=rfc3339(incident.opened_at),
        closed_at=rfc3339_or_none(incident.closed_at),
        outcome=incident.outcome,
    )


def _headline(told: Told) -> str:
    if told.event != "closed":
        return told.line
    how = "" if told.outcome in (None, OVER) else f" ({told.outcome})"
    return f"over{how}: {told.line}"


def _paragraph(told: Told) -> str:
    times = f"since {told.opened_at}"
    if told.closed_at is not None:
        times = f"from {told.opened_at} to {told.closed_at}"
    lines = [_headline(told), f"  {times} (incident {told.incident})"]
    return "\n".join([*lines, f"  {told.action}"] if told.action else lines)


def _counts(told: Sequence[Told]) -> str:
    over = sum(one.event == "closed" for one in told)
    words = [
        f"{count} {what}" for count, what in ((len(told) - over, "need somebody"), (over, "over")) if count
    ]
    return f"{len(told)} incidents: {', '.join(words)}"


def _one_line(text: str) -> str:
    """Return text that is one line and drives no terminal: part of it comes from outside."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
