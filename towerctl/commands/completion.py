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
    from click.shell_completion import get_completion_class

    chosen = get_completion_class(shell)
    assert chosen is not None
    root = click.get_current_context().find_root().command
    script = chosen(root, {}, "towerctl", "_TOWERCTL_COMPLETE").source()
    return Result({"shell": shell, "script": script}, lambda document: [Raw(f"{document['script']}\n")])
