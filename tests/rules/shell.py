"""Shell commands in documents: where a call of a program begins and ends, and what is wrong with one of ours.

The one rule: a block is read as a shell would split it, as far as that needs no variables.
"""

from __future__ import annotations

import itertools
import re
import shlex

import click

from towerctl.app import App
from towerctl.cli import cli
from towerctl.exits import Failure

_ENDS = {"|", "||", "&&", ";", ";;", "&", ")", "|&"}
_REDIRECTION = re.compile(r"[<>&]*[<>][<>&]*")


def commands(block: str, *, program: str = "towerctl") -> list[list[str]]:
    """Return the arguments of every call of a program in a block of shell.

    Raises:
        ValueError: the quotes do not match.
    """
    unprompted = re.sub(r"^[$#>] ", "", block, flags=re.MULTILINE)
    tokens = _tokens(re.sub(r"\\\n\s*", " ", unprompted))
    found = [
        _arguments(tokens, place)
        for place, token in enumerate(tokens)
        if token == program or token.endswith(f"/{program}")
    ]
    substituted = [part for token in tokens for part in re.findall(r"\$\(([^()]*)\)", token)]
    return found + [call for part in substituted for call in commands(part, program=program)]


def _tokens(text: str) -> list[str]:
    lexer = shlex.shlex(text.replace("\n", " ;\n"), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def _arguments(tokens: list[str], place: int) -> list[str]:
    found: list[str] = []
    rest = itertools.takewhile(lambda token: token not in _ENDS, tokens[place + 1 :])
    for token in rest:
        if _REDIRECTION.fullmatch(token):
            next(rest, None)
            if found and found[-1] in ("1", "2"):
                found.pop()  # the lexer makes two words of 2>
        else:
            found.append(token)
    before = itertools.takewhile(lambda token: token not in _ENDS, reversed(tokens[:place]))
    return [*found, "an-account"] if "xargs" in before else found


def mistake(arguments: list[str]) -> str | None:
    """Return what towerctl has against a command line, without running it; None when nothing."""
    try:
        with cli.make_context("towerctl", list(arguments), obj=App({})) as context:
            _, command, rest = cli.resolve_command(context, [*context._protected_args, *context.args])
            assert command is not None
            command.make_context(command.name, rest, parent=context).close()
    except (click.ClickException, Failure) as error:
        return str(error) or type(error).__name__
    except click.exceptions.Exit:
        return None  # --help, --version
    return None
