"""The options that every command takes, before and after its name.

The one rule: an option given after the command wins over the same one before it; what is not given changes
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from towerctl.exits import Failure

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]

_F = TypeVar("_F", bound=Callable[..., Any])

_WHICH_DAEMON = frozenset({"socket", "user", "system"})
DEFAULT_TIMEOUT_SECONDS = 60.0
MAX_TIMEOUT_SECONDS = 86400.0
"""The longest that `account.wait` and `account.qr` take; 0 is for ever."""


FOLLOW_TIMEOUT_HELP = "with --follow: end after this long (exit 0); otherwise give up  [default: 60]"


class Settings:
    """The shared options of one invocation."""

    def __init__(self) -> None:
        self.socket: str | None = None
        self.scope: str | None = None
        self.as_json = False
        self.timeout_seconds: float | None = None
        self.no_color = False
        self.quiet = False
        self.verbose = 0


class Command(click.Command):
    """A command that takes the shared options too.

    Args:
        examples: command lines for the help.
        timeout_help: what --timeout means for this command, when not the usual.
    """

    def __init__(
        self, *args: Any, examples: Sequence[str] = (), timeout_help: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.params.extend(shared_options(timeout_help))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, the shared ones, and the examples."""
        write_options(self, ctx, formatter)
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


class SharedOption(click.Option):
    """An option that every command takes; kept apart in the help."""


def command(
    name: str, *, examples: Sequence[str], timeout_help: str | None = None
) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command with the shared options."""
    return click.command(name, cls=Command, examples=examples, timeout_help=timeout_help)


def offers(what: str) -> Complete:
    """Return what completes a parameter: a function of `towerctl.completing`, loaded when a shell asks."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        from towerctl import completing

        offered: list[CompletionItem[str]] = getattr(completing, what)(ctx, param, incomplete)
        return offered

    return complete


def account_argument(*, required: bool = False) -> Callable[[_F], _F]:
    """Add ACCOUNT; left out, the daemon takes the only account there is."""
    return click.argument(
        "account",
        metavar="ACCOUNT" if required else "[ACCOUNT]",
        required=required,
        shell_complete=offers("accounts"),
    )


def since_option() -> Callable[[_F], _F]:
    """Add --since: where a list of what happened begins."""
    return click.option(
        "--since",
        metavar="TIME|ID",
        callback=_read_moment,
        help="only later ones: an id, a time, or 10m, 2h, 3d",
    )


def until_option() -> Callable[[_F], _F]:
    """Add --until: where a list of what happened ends."""
    return click.option(
        "--until", metavar="TIME|ID", callback=_read_moment, help="only up to then, or to this id"
    )


def _read_moment(_ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    if value is None:
        return None
    from towerctl.text import now, parse_since

    try:
        return parse_since(value, at=now())
    except ValueError:
        hint = "an id (4711), how long ago (10m, 2h, 3d), or a time (2026-01-31T12:00:00Z)"
        raise Failure("usage", f"{param.opts[0]} cannot be {value!r}", hint=hint) from None


def write_options(owner: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the help of a command's options in two sections."""
    help_option = owner.get_help_option(ctx)
    own: list[tuple[str, str]] = []
    shared: list[tuple[str, str]] = []
    for param in owner.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None and isinstance(param, click.Option):
            is_shared = isinstance(param, SharedOption) or param is help_option
            (shared if is_shared else own).append(record)
    for title, records in (("Options", own), ("Global options", shared)):
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def shared_options(timeout_help: str | None = None) -> list[click.Parameter]:
    """Return the shared options."""
    usual = f"give up after this long; 0 waits for ever  [default: {DEFAULT_TIMEOUT_SECONDS:g}]"
    return [
        _option(
            "--socket",
            metavar="PATH",
            shell_complete=offers("files"),
            help="the daemon's socket  [env: TOWER_SOCKET]",
        ),
        _option("--user", "user", is_flag=True, help="only the daemon of your own user"),
        _option("--system", "system", is_flag=True, help="only the daemon of the system"),
        _option("--json", "as_json", is_flag=True, help="print the daemon's answer as JSON"),
        _option(
            "--timeout",
            "timeout_seconds",
            metavar="SECONDS",
            type=float,
            help=timeout_help or usual,
        ),
        _option("--no-color", "no_color", is_flag=True, help="no colours  [env: NO_COLOR]"),
        _option("-q", "--quiet", "quiet", is_flag=True, help="no notes on standard error"),
        _option(
            "-v", "--verbose", "verbose", count=True, help="say which socket and how long; -vv for tracebacks"
        ),
        _option("--version", "version", is_flag=True, is_eager=True, help="print the version of towerctl"),
    ]


def _option(*names: str, **attributes: Any) -> SharedOption:
    return SharedOption(names, expose_value=False, callback=_store, **attributes)


def _store(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is None or value is False:
        return
    if ctx.resilient_parsing and param.name not in _WHICH_DAEMON:
        return  # for a completion it matters which daemon is asked, and nothing else
    settings: Settings = ctx.obj.settings
    match param.name:
        case "user" | "system":
            if settings.scope not in {None, param.name}:
                raise Failure("usage", "--user and --system exclude each other")
            settings.scope = param.name
        case "verbose":
            settings.verbose += value
        case "timeout_seconds" if not 0 <= value <= MAX_TIMEOUT_SECONDS:
            raise Failure("usage", f"--timeout takes 0 to {MAX_TIMEOUT_SECONDS:.0f} seconds")
        case "version":
            ctx.obj.print_version()
            ctx.exit()
        case str() as name:
            setattr(settings, name, value)
