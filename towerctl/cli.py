"""The command `towerctl`: the group of commands, and the one place where an error becomes an exit status.

The one rule: commands raise, this boundary reports; no traceback reaches a person who did not ask for one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from towerctl.app import App
from towerctl.commands import COMMANDS
from towerctl.exits import BROKEN_PIPE, ERROR, INTERRUPTED, Failure, Signalled
from towerctl.options import shared_options, write_options
from towerctl.output import abandon_output

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Tower(click.Group):
    """The group: loads a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the commands in the order of the manual."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load one command."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, function = place.split(":")
        command = getattr(import_module(f"towerctl.commands.{module}"), function)
        assert isinstance(command, click.Command)
        return command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the shared options."""
        self.format_commands(ctx, formatter)
        write_options(self, ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Offer the commands, without loading any, and the options."""
        from click.shell_completion import CompletionItem

        commands = [CompletionItem(name) for name in COMMANDS if name.startswith(incomplete)]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def main(self, args: Sequence[str] | None = None, *_: Any, **__: Any) -> NoReturn:
        """Run one command line and exit."""
        arguments = sys.argv[1:] if args is None else list(args)
        if "_TOWERCTL_COMPLETE" in os.environ:
            from towerctl.completing import complete

            complete(self)
        sys.exit(run(arguments))


_PLUGIN_UNKNOWN = 3
"""What a monitoring plugin exits with when it is used wrongly."""

cli = Tower(
    "towerctl",
    help="""Link WhatsApp accounts and keep them connected, through the daemon towerd.

    ACCOUNT is a name, an id, a phone number (+49…) or a JID. Where it is optional it may be left out when
    there is exactly one account.

    \b
    Examples:
      towerctl add shop
      towerctl qr shop -o qr.png --follow
      towerctl wait shop --for connected
      towerctl list
    """,
    params=shared_options(),
    subcommand_metavar="COMMAND …",
    no_args_is_help=True,
)


def main() -> NoReturn:
    """Run towerctl."""
    cli.main()


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit status."""
    app = App(os.environ)
    # Known before anything is parsed, so that a wrong command line is reported as asked too.
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    app.settings.as_json = "--json" in options
    try:
        try:
            status = _run_command(app, arguments)
            app.screen.flush()
        except click.ClickException as error:
            raise _usage_failure(error, app) from error
    except Failure as failure:
        status = _report(app, failure)
        if "health" in options and "--check" in options:
            # To a monitoring system every other status would say how the accounts are.
            status = _PLUGIN_UNKNOWN
    except BrokenPipeError:
        abandon_output()
        return BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        app.screen.end_progress()
        status = INTERRUPTED
    except Signalled as signalled:
        app.screen.end_progress()
        status = signalled.exit_status
    except Exception as error:
        if app.settings.verbose > 1 or os.environ.get("TOWER_DEBUG"):
            raise
        status = _report(app, _internal_error(error))
    finally:
        app.close()
    return _finish(app, status)


def _run_command(app: App, arguments: list[str]) -> int:
    try:
        with cli.make_context("towerctl", list(arguments), obj=app) as context:
            outcome = cli.invoke(context)
        return app.screen.render(outcome)
    except click.exceptions.Exit as end:
        return end.exit_code


def _report(app: App, failure: Failure) -> int:
    app.screen.report(failure)
    return failure.exit_status


def _finish(app: App, status: int) -> int:
    """Bring out what is still buffered; what cannot be written is a failure of its own."""
    try:
        app.screen.flush()
    except BrokenPipeError:
        abandon_output()
        return status or BROKEN_PIPE
    except Failure as failure:
        abandon_output()
        return status or _report(app, failure)
    return status


def _usage_failure(error: click.ClickException, app: App) -> Failure:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "towerctl"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        if not app.settings.as_json:
            click.echo(error.format_message(), err=True)
            return Failure("usage", "a command is missing")
        return Failure("usage", "a command is missing", hint=f"{path} --help")
    message = " ".join(error.format_message().split()).rstrip(".")
    return Failure("usage", message[:1].lower() + message[1:], hint=f"{path} --help")


def _internal_error(error: Exception) -> Failure:
    return Failure(
        "internal-error",
        f"internal error in towerctl ({type(error).__name__})",
        hint="run it again with -vv for the traceback, and report it",
        exit_status=ERROR,
    )
