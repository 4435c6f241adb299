"""What a shell offers after a Tab: accounts, states, types of events, methods, files.

The one rule: a completion is quick or nothing: it waits a second for the daemon, and whatever goes wrong it
says nothing and offers nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from towerctl.app import App
from towerctl.exits import ERROR, Failure

if TYPE_CHECKING:
    from towerctl.client import Client

Items = list["CompletionItem[str]"]
Answer = TypeVar("Answer")

VARIABLE = "_TOWERCTL_COMPLETE"
_ANSWER_SECONDS = 1.0


class Bash(BashComplete):
    """Completion for bash, which makes three words of `--state=failed`."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one under the cursor, and that one."""
        words, incomplete = super().get_completion_args()
        if incomplete == "=":
            incomplete = ""
        elif words and words[-1] == "=":
            words.pop()
        return words, incomplete

    def source(self) -> str:
        """Return the script; it is made for machines where no bash may be at hand to tell its version."""
        return ShellComplete.source(self)


class Zsh(ZshComplete):
    """Completion for zsh, which calls the file that it has loaded from `fpath` again at the next Tab."""

    # click looks whether it is being loaded: the second Tab would only define what the third one uses.
    source_template = ZshComplete.source_template.replace(
        "$zsh_eval_context[-1] == loadautofunc", "$funcstack[1] == _towerctl"
    )


def complete(command: click.Command) -> NoReturn:
    """Answer the question of the shell's script in the environment, and exit."""
    from click.shell_completion import shell_complete

    add_completion_class(Bash)
    add_completion_class(Zsh)
    try:
        sys.exit(
            shell_complete(command, {"obj": App(os.environ)}, "towerctl", VARIABLE, os.environ[VARIABLE])
        )
    except Exception:
        if os.environ.get("TOWER_DEBUG"):
            raise
        sys.exit(ERROR)


def script(command: click.Command, shell: str) -> str:
    """Return the script that a shell asks with."""
    from click.shell_completion import get_completion_class

    add_completion_class(Bash)
    add_completion_class(Zsh)
    chosen = get_completion_class(shell)
    assert chosen is not None
    return chosen(command, {}, "towerctl", VARIABLE).source()


# -- what is offered, by the name that `options.offers` is given -------------------------------------------


def accounts(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer accounts as they are named with every verb, those left out that the line has already."""
    given = ctx.params.get(param.name or "")
    taken = set(given) if isinstance(given, tuple) else set()
    return _beginning(incomplete, (name for name in _account_names(ctx, incomplete) if name not in taken))


def renamed_account(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer accounts for the first word; the second is a new name."""
    return [] if ctx.params.get(param.name or "") else accounts(ctx, param, incomplete)


def states(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Offer states."""
    from towerd.protocol.states import STATES

    return _beginning(incomplete, STATES)


def several_states(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Offer states behind those that the list has already."""
    from towerd.protocol.states import STATES

    before, comma, last = incomplete.rpartition(",")
    left = (state for state in STATES if state not in before.split(","))
    return _beginning(incomplete, (f"{before}{comma}{state}" for state in left if state.startswith(last)))


def event_types(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Offer types of events."""
    from towerd.protocol.events import EVENT_TYPES

    return _beginning(incomplete, EVENT_TYPES)


def methods(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Offer the methods of the daemon."""
    return _beginning(incomplete, (method["name"] for method in _methods(ctx)))


def actions(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Offer what the audit log notes: methods that change something, and the QRs handed out."""
    noted = (one["name"] for one in _methods(ctx) if one.get("x-right") not in {"everybody", "read"})
    return _beginning(incomplete, noted)


def files(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Let the shell offer files."""
    return [CompletionItem(incomplete, type="file")]


def _beginning(incomplete: str, words: Iterable[str]) -> Items:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _account_names(ctx: click.Context, incomplete: str) -> Sequence[str]:
    answer = _ask(ctx, lambda client: client.account_list())
    if answer is None:
        return []
    if "/" in incomplete:
        return [f"{account['owner']}/{account['name']}" for account in answer["accounts"]]
    from towerctl.views import address

    return [address(account) for account in answer["accounts"]]


def _methods(ctx: click.Context) -> Sequence[Any]:
    answer = _ask(ctx, lambda client: client.call("rpc.discover"))
    return answer["methods"] if answer else []


def _ask(ctx: click.Context, question: Callable[[Client], Answer]) -> Answer | None:
    app = ctx.find_object(App)
    assert app is not None
    app.settings.timeout_seconds = _ANSWER_SECONDS
    try:
        with app.screen.silence():
            return question(app.connect())
    except Failure:
        return None
    finally:
        app.close()
