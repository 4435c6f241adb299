"""`list`, `show`, `add`, `rename`, `primary`, `remove`: the accounts themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from towerctl import views
from towerctl.app import App
from towerctl.exits import Failure
from towerctl.options import account_argument, command, offers
from towerctl.output import Note, Result

if TYPE_CHECKING:
    from towerctl import results
    from towerctl.client import Client


@command(
    "list",
    examples=["towerctl list", "towerctl list --state failed --state logged_out", "towerctl list --json"],
)
@click.option(
    "--state",
    "states",
    metavar="STATE",
    multiple=True,
    shell_complete=offers("states"),
    help="only accounts in this state; repeatable",
)
@click.pass_obj
def list_accounts(app: App, *, states: Sequence[str]) -> Result:
    """List accounts, the oldest first."""
    if not states:
        return Result(app.connect().account_list(), views.accounts_table)
    from towerctl.states import check_states

    wanted = check_states(states)
    answer = app.connect().account_list(states=wanted)
    if not answer["accounts"]:
        return Result(answer, lambda _: [Note(f"no account is {' or '.join(wanted)}")])
    return Result(answer, views.accounts_table)


@command("show", examples=["towerctl show shop"])
@account_argument()
@click.pass_obj
def show(app: App, *, account: str | None) -> Result:
    """Show everything about one account.

    Its last changes of state stand at the end.
    """
    return Result(app.connect().account_get(account), views.account_page)


@command(
    "add",
    examples=[
        'towerctl add shop --display-name "Shop Berlin"',
        "towerctl add shop --qr",
        "towerctl add shop --phone +4915112345678",
        "towerctl add shop --if-absent --no-pair",
    ],
)
@click.argument("name", required=False)
@click.option("--display-name", metavar="TEXT", help="what people call it")
@click.option("--no-pair", is_flag=True, help="do not begin pairing")
@click.option("--phone", metavar="NUMBER", help="pair with a code typed on this phone, instead of a QR")
@click.option("--expect-phone", metavar="NUMBER", help="take no other phone than this")
@click.option("--qr", "show_qr", is_flag=True, help="show the QR in the terminal, as `towerctl qr` does")
@click.option("--if-absent", is_flag=True, help="an account of that name is not an error")
@click.pass_obj
def add(
    app: App,
    *,
    name: str | None,
    display_name: str | None,
    no_pair: bool,
    phone: str | None,
    expect_phone: str | None,
    show_qr: bool,
    if_absent: bool,
) -> Result:
    """Add an account and begin pairing.

    Without NAME it is called account-1, account-2, …
    """
    if show_qr and (no_pair or phone is not None):
        raise Failure("usage", f"--qr and {'--no-pair' if no_pair else '--phone'} exclude each other")
    if show_qr and app.settings.as_json:
        raise Failure(
            "usage", "--qr and --json both want standard output", hint="towerctl add, then towerctl qr --json"
        )
    client = app.connect()
    answer = client.account_add(
        name,
        display_name=display_name,
        pair=not no_pair and phone is None,
        phone=phone,
        expect_phone=expect_phone,
        if_absent=if_absent,
    )
    if phone is not None and answer["created"] and not no_pair:
        answer = _with_code(app, client, answer, phone)
    if not show_qr or answer["account"]["state"] not in {"pairing", "unpaired"}:
        return Result(answer, lambda document: views.added(document, phone=phone))
    from towerctl.scan import Picture, show_once

    app.screen.render(Result(answer, lambda document: views.added(document)[:1]))
    picture = Picture({"format": "terminal"}, is_drawing=True)
    return show_once(app, client, answer["account"]["id"], picture)


def _with_code(app: App, client: Client, added: results.AddResult, phone: str) -> results.AddResult:
    """Begin pairing by code, as a call of its own: the account is there, whatever comes of the code."""
    from towerctl.codes import begin_with_code

    name = views.address(added["account"])
    try:
        answer = begin_with_code(app, client, name, phone=phone)
    except Failure as failure:
        raise Failure(
            failure.slug,
            f"{name} was added; {failure.message}",
            hint=failure.hint,
            fields=failure.fields,
            exit_status=failure.exit_status,
        ) from None
    return {"created": True, **answer}


@command("rename", examples=["towerctl rename shop shop-berlin"])
@click.argument("names", metavar="[ACCOUNT] NAME", nargs=-1, shell_complete=offers("renamed_account"))
@click.pass_obj
def rename(app: App, *, names: tuple[str, ...]) -> Result:
    """Give an account another name.

    Its id and its place in lists stay.
    """
    match names:
        case (account, name):
            return Result(app.connect().account_set(account, name=name), views.renamed)
        case (name,):
            return Result(app.connect().account_set(None, name=name), views.renamed)
        case ():
            raise Failure("usage", "missing argument NAME", hint="towerctl rename --help")
        case _:
            raise Failure(
                "usage", "too many arguments: ACCOUNT and NAME are all", hint="towerctl rename --help"
            )


@command("primary", examples=["towerctl primary shop"])
@account_argument()
@click.pass_obj
def primary(app: App, *, account: str | None) -> Result:
    """Make an account the primary one of its owner.

    The one that was primary before is so no longer.
    """
    return Result(app.connect().account_set(account, primary=True), views.made_primary)


@command("remove", examples=["towerctl remove shop", "towerctl remove shop --yes --if-present"])
@account_argument(required=True)
@click.option(
    "--require-logout", is_flag=True, help="keep everything when WhatsApp does not confirm the logout"
)
@click.option("--if-present", is_flag=True, help="an account that is not there is not an error")
@click.option("-y", "--yes", is_flag=True, help="do not ask")
@click.pass_obj
def remove(app: App, *, account: str, require_logout: bool, if_present: bool, yes: bool) -> Result:
    """Log an account out and delete it.

    Logs out at WhatsApp, then deletes everything about the account. Says whether the logout succeeded, and
    if not, what to do on the phone.
    """
    has_to_ask = app.require_yes("remove", yes=yes)
    client = app.connect()
    meant = account
    if has_to_ask:
        try:
            found = client.account_get(account)["account"]
        except Failure as failure:
            if not (if_present and failure.slug == "account-not-found"):
                raise
        else:
            who = f"{views.address(found)} ({views.title(found)}, {found['state']})"
            app.ask(f"Remove {who}: log out at WhatsApp and delete everything?")
            # What was agreed on, whatever the name means by then.
            meant = found["id"]
    answer = client.account_remove(meant, require_logout=require_logout, if_present=if_present)
    if require_logout and not answer["removed"] and answer["logout"] in {"failed", "unknown"}:
        raise Failure(
            "logout-failed",
            answer["detail"] or f"{account}: WhatsApp did not confirm the logout; nothing was removed",
            hint="without --require-logout it is removed all the same",
        )
    return Result(answer, lambda document: views.removed(account, document))
