"""`completion`: the script that lets a shell complete commands, options and accounts."""

from __future__ import annotations

import click

from towerctl.options import command
from towerctl.output import Raw, Result


@command(
    "completion",
    examples=[
        'eval "$(towerctl completion bash)"',
        "towerctl completion fish > ~/.config/fish/completions/towerctl.fish",
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(*, shell: str) -> Result:
    """Print the script for a shell's completion."""
    from towerctl.completing import script

    root = click.get_current_context().find_root().command
    answer = {"shell": shell, "script": script(root, shell)}
    return Result(answer, lambda document: [Raw(f"{document['script']}\n")])
