"""How each answer of the daemon reads as text.

The one rule: a view is a pure function from the answer to blocks; it decides words and columns, never
where or how they are written.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from towerctl.output import STATE_STYLES, Block, Cell, Fields, Line, Note, Table
from towerctl.text import age, duration, now, seconds_until, size

if TYPE_CHECKING:
    from towerctl import results

NONE = "-"
UNPAIRED_PHONE = "the phone still lists the device: on it, WhatsApp > Linked devices, tap the device, Log out"


def title(account: results.Account) -> str:
    """Return what a person calls the account."""
    return account["display_name"] or account["push_name"] or account["phone"] or account["name"]


def is_own(account: results.Account) -> bool:
    """Tell whether an account belongs to whoever runs this."""
    return account["owner_uid"] == os.geteuid()


def address(account: results.Account) -> str:
    """Return how an account is named with every verb: bare when it is one's own, else with its owner."""
    return account["name"] if is_own(account) else f"{account['owner']}/{account['name']}"


def state_words(account: results.Account) -> str:
    """Return the state with its reason, and the detail where the advice does not begin with it."""
    detail = None if account["action"] else account["detail"]
    why = ": ".join(words for words in (account["reason"], detail) if words)
    return f"{account['state']} ({why})" if why else account["state"]


def accounts_table(answer: results.AccountsResult) -> list[Block]:
    """`list`: one row per account, in the order of the answer."""
    accounts = answer["accounts"]
    if not accounts:
        return [Note("no accounts"), Note("hint: towerctl add NAME")]
    at = now()
    # A column of one's own name over and over says nothing.
    has_owners = not all(map(is_own, accounts))
    rows = [
        [
            Cell(name, "bold"),
            state_cell(account["state"]),
            Cell(_detail(account)),
            Cell(age(account["since"], at=at)),
            Cell(account["jid"] or NONE),
            Cell("yes" if account["primary"] else "no"),
            *([Cell(account["owner"])] if has_owners else []),
            Cell(title(account)),
        ]
        for name, account in zip(shown_names(accounts), accounts, strict=True)
    ]
    owner = ["OWNER"] if has_owners else []
    columns = ["NAME", "STATE", "DETAIL", "SINCE", "JID", "PRIMARY", *owner, "TITLE"]
    return [Table(columns, rows, shrinkable=["TITLE", "JID", "DETAIL", *owner, "NAME"])]


def shown_names(accounts: Sequence[results.Account]) -> list[str]:
    """Return the accounts' names; two owners may use one, and owner/name tells them apart."""
    count = Counter(account["name"] for account in accounts)
    return [
        account["name"] if count[account["name"]] == 1 else f"{account['owner']}/{account['name']}"
        for account in accounts
    ]


def state_cell(state: str) -> Cell:
    """Return a state in its colour."""
    return Cell(state, STATE_STYLES.get(state, ""))


def _detail(account: results.Account) -> str:
    """Return in one word why it is so: the reason, else how far the pairing or the reconnecting is."""
    if account["reason"]:
        return account["reason"]
    if (pairing := account["pairing"]) is not None:
        is_code = pairing["method"] == "code"
        return "code" if is_code else f"qr-{pairing['number']}/{pairing['count']}"
    if (reconnect := account["reconnect"]) is not None:
        return f"attempt-{reconnect['attempt']}"
    return NONE


def account_page(answer: results.AccountHistoryResult) -> list[Block]:
    """`show`: every field, then the last transitions."""
    account = answer["account"]
    at = now()
    rows: list[tuple[str, Cell]] = []
    for name, value in account.items():
        label = _label(name)
        if name == "state":
            rows.append((label, state_cell(str(value))))
        elif isinstance(value, dict):
            rows.extend(_inner_fields(label, value, at))
        else:
            rows.append((label, Cell(_value(name, value, at))))
    blocks: list[Block] = [Fields(rows)]
    if answer["history"]:
        blocks += [Line(""), _history_table(answer["history"])]
    return blocks


def _label(name: str) -> str:
    return name.removesuffix("_at").removesuffix("_bytes").removesuffix("_seconds").replace("_", " ")


def _inner_fields(label: str, value: Mapping[str, Any], at: datetime) -> list[tuple[str, Cell]]:
    return [(f"{label} {_label(name)}", Cell(_value(name, inner, at))) for name, inner in value.items()]


def _value(name: str, value: Any, at: datetime) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or NONE
    if isinstance(value, str) and (name == "since" or name.endswith("_at")):
        return _time(value, at)
    if name.endswith("_seconds"):
        return f"{value} s"
    if name.endswith("_bytes") and isinstance(value, int):
        return size(value)
    return str(value)


def _time(value: str, at: datetime) -> str:
    ago = age(value, at=at)
    # A deadline lies ahead: its age reads as nothing.
    return f"{value} ({ago} ago)" if ago not in {NONE, "0s"} else value


def _history_table(history: Sequence[results.Transition]) -> Table:
    rows = [
        [
            Cell(step["time"]),
            state_cell(step["old"] or NONE),
            state_cell(step["new"]),
            Cell(step["reason"] or NONE),
        ]
        for step in history
    ]
    return Table(["TIME", "OLD", "NEW", "REASON"], rows)


def account_line(answer: results.AccountResult) -> list[Block]:
    """`start`, `stop`, `restart`, `wait`: where the account stands now."""
    return _account_blocks(answer["account"])


def _account_blocks(account: results.Account) -> list[Block]:
    blocks: list[Block] = [Line(f"{address(account)}: {state_words(account)}")]
    # Whoever has just stopped it needs no advice on starting it.
    if account["action"] and account["state"] != "stopped":
        blocks.append(Note(f"hint: {account['action']}"))
    return blocks


def several_accounts(document: Mapping[str, Any]) -> list[Block]:
    """`start`, `stop`, `restart` of several: a line each."""
    blocks = [block for answer in document["results"] for block in account_line(answer)]
    return blocks or [Note("no accounts")]


def renamed(answer: results.AccountResult) -> list[Block]:
    """`rename`: the new name."""
    account = answer["account"]
    return [Line(f"{address(account)}: renamed (id {account['id']})")]


def made_primary(answer: results.AccountResult) -> list[Block]:
    """`primary`: which account it is now."""
    account = answer["account"]
    return [Line(f"{address(account)}: primary account of {account['owner']}")]


def added(answer: results.AddResult, *, phone: str | None = None) -> list[Block]:
    """`add`: the account, and what comes next."""
    account = answer["account"]
    what = "added" if answer["created"] else "exists"
    line = f"{address(account)}: {what} (id {account['id']}), {state_words(account)}"
    blocks: list[Block] = [Line(line)]
    code = answer.get("code")
    if code:
        return blocks + _code_blocks(account, code, answer.get("code_expires_at"), phone)
    if account["state"] in {"pairing", "unpaired"}:
        by_code = f"towerctl pair {address(account)} --phone {phone}"
        blocks.append(Note(f"next: {by_code if phone else _by_qr(account)}"))
    return blocks


def pairing_begun(answer: results.PairResult, *, phone: str | None = None) -> list[Block]:
    """`pair`: the attempt, the code if there is one, and what comes next."""
    account = answer["account"]
    blocks: list[Block] = [Line(f"{address(account)}: {state_words(account)}")]
    code = answer.get("code")
    if code:
        return blocks + _code_blocks(account, code, answer.get("code_expires_at"), phone)
    return [*blocks, Note(f"next: {_by_qr(account)}")]


def _by_qr(account: results.Account) -> str:
    return f"towerctl qr {address(account)} -o qr.png"


def _code_blocks(
    account: results.Account, code: str, expires_at: str | None, phone: str | None
) -> list[Block]:
    again = f"; the current one: towerctl pair {address(account)} --phone {phone}" if phone else ""
    return [
        Line(f"code: {_grouped(code)}"),
        Note(
            "on the phone: WhatsApp > Linked devices > Link a device > Link with phone number instead, "
            "then type the code"
        ),
        *([Note(f"valid until {expires_at}{_left(expires_at)}")] if expires_at else []),
        Note(f"when it expires a new code is asked for by itself{again}"),
        Note(f"next: towerctl wait {address(account)} --for connected"),
    ]


def _grouped(code: str) -> str:
    """Return a pairing code as the phone shows it: ABCD-EFGH."""
    bare = code.replace("-", "")
    return f"{bare[:4]}-{bare[4:]}" if len(bare) == 8 else code


def _left(expires_at: str) -> str:
    seconds = seconds_until(expires_at, at=now())
    return f" ({duration(seconds)} left)" if seconds is not None and seconds > 0 else ""


def unpaired(answer: results.AccountResult) -> list[Block]:
    """`unpair`: that it was forgotten only here."""
    account = answer["account"]
    if account["reason"] != "unpaired-by-operator":
        # Only of a device that went elsewhere there is something to say.
        was_exported = account["reason"] == "never-paired" and account["detail"]
        what = f"forgotten here: {account['detail']}" if was_exported else "no device was linked"
        return [Line(f"{address(account)}: {what}, {account['state']}")]
    return [Line(f"{address(account)}: forgotten here, {account['state']}"), Line(UNPAIRED_PHONE)]


def logged_out(answer: results.LogoutResult) -> list[Block]:
    """`logout`: that WhatsApp knows, or that there was nothing to tell it."""
    account = answer["account"]
    if answer["logout"] == "not-linked":
        return [Line(f"{address(account)}: was not linked, {account['state']}")]
    return [Line(f"{address(account)}: logged out at WhatsApp, {account['state']}")]


def removed(account: str, answer: results.RemoveResult) -> list[Block]:
    """`remove`: whether the phone still lists the device."""
    if not answer["removed"]:
        return [Line(f"{account}: {answer['detail'] or 'no such account, nothing to remove'}")]
    why = f": {answer['detail']}" if answer["detail"] else ""
    match answer["logout"]:
        case "done":
            lines = [f"{account}: removed, logged out at WhatsApp"]
        case "not-linked":
            lines = [f"{account}: removed{why}" if why else f"{account}: removed, it was not linked"]
        case "failed":
            lines = [f"{account}: removed, but the logout at WhatsApp failed{why}", UNPAIRED_PHONE]
        case other:
            lines = [
                f"{account}: removed; whether WhatsApp logged it out is {other}{why}",
                f"if {UNPAIRED_PHONE}",
            ]
    return [Line(line) for line in lines]


def event_line(event: results.Event) -> list[Block]:
    """`events`: one line per event."""
    account = event["account"]["name"] if event["account"] else NONE
    data = " ".join(f"{key}={_word(value)}" for key, value in event["data"].items())
    return [Line(f"{event['time']}  {event['id']:>6}  {event['type']:<20}  {account:<16}  {data}".rstrip())]


def _word(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, str) and value and not any(one.isspace() or one in '"=' for one in value):
        return value
    import json

    return json.dumps(value, ensure_ascii=False)


def events(answer: results.EventsResult) -> list[Block]:
    """`events` without --follow: oldest first."""
    return [block for event in answer["events"] for block in event_line(event)] or [Note("no events")]


def audit_table(answer: results.AuditResult) -> list[Block]:
    """`audit`: a row each, the oldest first."""
    if not answer["audits"]:
        return [Note("nothing was done")]
    rows = [
        [
            Cell(audit["time"]),
            Cell(audit["user"]),
            Cell(audit["source"]),
            Cell(audit["action"]),
            Cell(audit["account"]["name"] if audit["account"] else NONE, "bold"),
            Cell(audit["result"], "green" if audit["result"] == "done" else "red"),
            Cell(audit["detail"] or NONE),
        ]
        for audit in answer["audits"]
    ]
    columns = ["TIME", "USER", "SOURCE", "ACTION", "ACCOUNT", "RESULT", "DETAIL"]
    return [Table(columns, rows, shrinkable=["DETAIL", "ACCOUNT", "USER"])]


def released(fleet: results.FleetStatus) -> list[Block]:
    """`release`: how many go on that were held."""
    if fleet["state"] == "closed":
        return [Line("nothing was held")]
    canary = f"{fleet['canary']} tries now, " if fleet["canary"] else ""
    held = "1 account goes" if fleet["held"] == 1 else f"{fleet['held']} accounts go"
    return [Line(f"released: {canary}{held} on (held because of {fleet['cause']})")]


def tested(answer: results.NotifyResult) -> list[Block]:
    """`notify --test`: who took the message."""
    return [Line(f"{way['name']}: {way['program']} took the message") for way in answer["channels"]]


def fleet_words(fleet: results.FleetStatus) -> str:
    """Return why accounts are held, how many, and who tries for them."""
    waits = "1 account waits" if fleet["held"] == 1 else f"{fleet['held']} accounts wait"
    canary = f", {fleet['canary']} tries first" if fleet["canary"] else ""
    since = f", since {age(fleet['since'], at=now())}" if fleet["since"] else ""
    return f"held back: {fleet['cause'] or fleet['state']}{since}, {waits}{canary}"


def starting_words(starting: results.Starting) -> str | None:
    """Return how far the start is; None when it is over."""
    return f"{starting['done']}/{starting['total']} up" if starting["done"] < starting["total"] else None


def versions(client: str, api: str, answer: results.VersionResult | None) -> list[Block]:
    """`version`: both sides."""
    rows = [("towerctl", Cell(f"{client}, API {api}"))]
    if answer:
        whatsapp = answer["whatsapp_version"]
        rows += [
            ("towerd", Cell(f"{answer['version']}, API {answer['api']['major']}.{answer['api']['minor']}")),
            ("neonize", Cell(answer["neonize"])),
            ("whatsapp", Cell(whatsapp or NONE)),
            ("pid", Cell(f"{answer['pid']}, since {answer['started_at']}")),
        ]
    return [Fields(rows)]
