"""`pair`, `unpair`, `logout`: linking a device, forgetting it, unlinking it."""

from __future__ import annotations

import click

from towerctl import views
from towerctl.app import App
from towerctl.client import Client
from towerctl.exits import Failure
from towerctl.options import account_argument, command
from towerctl.output import Result


@command(
    "pair",
    examples=[
        "towerctl pair shop",
        "towerctl pair shop --phone +4915112345678",
        "towerctl pair shop --new-phone",
    ],
)
@account_argument()
@click.option("--phone", metavar="NUMBER", help="get a code to type on this phone, instead of a QR")
@click.option("--new-phone", is_flag=True, help="take another phone than the one linked before")
@click.pass_obj
def pair(app: App, *, account: str | None, phone: str | None, new_phone: bool) -> Result:
    """Begin a new pairing attempt.

    `towerctl qr` then shows the QR; with --phone a code to type on the phone is printed instead. A code that
    expires is replaced by itself, and the same command prints the one that is valid.
    """
    client = app.connect()
    if phone is None:
        answer = client.account_pair(account, new_phone=new_phone)
    else:
        from towerctl.codes import begin_with_code

        answer = begin_with_code(app, client, account, phone=phone, new_phone=new_phone)
    return Result(answer, lambda document: views.pairing_begun(document, phone=phone))


@command("unpair", examples=["towerctl unpair shop --yes"])
@account_argument(required=True)
@click.option("-y", "--yes", is_flag=True, help="do not ask")
@click.pass_obj
def unpair(app: App, *, account: str, yes: bool) -> Result:
    """Forget the linked device here only.

    WhatsApp is not told: the phone still lists the device. To unlink it there too, use `towerctl logout`.
    """
    has_to_ask = app.require_yes("unpair", yes=yes)
    client = app.connect()
    if has_to_ask:
        account = _agreed(app, client, account, "Forget the device of {} here, without telling WhatsApp?")
    return Result(client.account_unpair(account), views.unpaired)


@command("logout", examples=["towerctl logout shop --yes"])
@account_argument(required=True)
@click.option("-y", "--yes", is_flag=True, help="do not ask")
@click.pass_obj
def logout(app: App, *, account: str, yes: bool) -> Result:
    """Log out at WhatsApp and keep the account.

    When WhatsApp does not confirm it, nothing is wiped (exit 1).
    """
    has_to_ask = app.require_yes("logout", yes=yes)
    client = app.connect()
    if has_to_ask:
        account = _agreed(app, client, account, "Log {} out at WhatsApp?")
    answer = client.account_logout(account)
    if answer["logout"] in {"failed", "unknown"}:
        name = views.address(answer["account"])
        raise Failure(
            "logout-failed",
            f"{name}: WhatsApp did not confirm the logout ({answer['logout']}); nothing was wiped",
            hint=f"try again, or forget it here only: towerctl unpair {name}",
        )
    return Result(answer, views.logged_out)


def _agreed(app: App, client: Client, account: str, question: str) -> str:
    """Ask; return the id of the account that was agreed on, whatever its name means by then."""
    found = client.account_get(account)["account"]
    app.ask(question.format(f"{views.address(found)} ({views.title(found)}, {found['state']})"))
    return found["id"]
