"""`start`, `stop`, `restart`: whether an account runs; the verbs that take several accounts."""

from __future__ import annotations

from collections.abc import Sequence

import click

from towerctl import views
from towerctl.app import App
from towerctl.exits import Failure
from towerctl.options import command, offers
from towerctl.output import Result

_accounts = click.argument("accounts", metavar="[ACCOUNT]…", nargs=-1, shell_complete=offers("accounts"))
_all = click.option("--all", "is_all", is_flag=True, help="every account")


@command("start", examples=["towerctl start shop", "towerctl start --all"])
@_accounts
@_all
@click.pass_obj
def start(app: App, *, accounts: Sequence[str], is_all: bool) -> Result:
    """Let accounts run.

    They run now and after every restart of the daemon. An account that was never paired does not begin
    pairing; `towerctl qr` and `towerctl pair` do that.
    """
    return _each(app, "account.start", accounts, is_all=is_all)


@command("stop", examples=["towerctl stop shop office", "towerctl stop --all"])
@_accounts
@_all
@click.pass_obj
def stop(app: App, *, accounts: Sequence[str], is_all: bool) -> Result:
    """Take accounts offline.

    They stay so, over restarts of the daemon, until `towerctl start`; nobody is logged out.
    """
    return _each(app, "account.stop", accounts, is_all=is_all)


@command("restart", examples=["towerctl restart shop"])
@_accounts
@_all
@click.pass_obj
def restart(app: App, *, accounts: Sequence[str], is_all: bool) -> Result:
    """Stop accounts and start them again."""
    return _each(app, "account.restart", accounts, is_all=is_all)


def _each(app: App, method: str, accounts: Sequence[str], *, is_all: bool) -> Result:
    """Call a method for each account; every one is tried, and the highest exit status wins."""
    if is_all and accounts:
        raise Failure("usage", "ACCOUNT and --all exclude each other")
    client = app.connect()
    if not is_all and len(accounts) < 2:
        return Result(client.call(method, {"account": accounts[0]} if accounts else {}), views.account_line)
    names = {account: account for account in accounts}
    if is_all:
        names = {account["id"]: views.address(account) for account in client.account_list()["accounts"]}
    results = []
    failures = []
    params = [{"account": account} for account in names]
    for name, outcome in zip(names.values(), client.call_each(method, params), strict=True):
        if isinstance(outcome, Failure):
            failures.append((name, outcome))
        else:
            results.append(outcome)
    return Result(
        {"results": results},
        views.several_accounts,
        failures=[_named(name, failure) for name, failure in failures],
        summary=_summary(len(names), results, failures) if failures else None,
    )


def _named(name: str, failure: Failure) -> Failure:
    """Put the account's name before a message that does not have it."""
    if name in (word.strip("\"':;,()") for word in failure.message.split()):
        return failure
    return Failure(
        failure.slug,
        f"{name}: {failure.message}",
        hint=failure.hint,
        fields=failure.fields,
        exit_status=failure.exit_status,
    )


def _summary(count: int, results: Sequence[object], failures: Sequence[tuple[str, Failure]]) -> Failure:
    worst = max((failure for _, failure in failures), key=lambda failure: failure.exit_status)
    return Failure(
        worst.slug,
        f"{len(failures)} of {count} accounts failed: {', '.join(name for name, _ in failures)}",
        hint=worst.hint,
        exit_status=worst.exit_status,
        details={
            "failures": [{"account": name, **failure.to_json()} for name, failure in failures],
            "results": results,
        },
    )
