"""A terminal of root's in a machine, and what was seen on it.

The one rule: what is written down is what was typed and what came of it, word for word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.system.machine import Machine


class Terminal:
    """One terminal.

    Args:
        machine: where the commands run.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._blocks: list[str] = []
        self.typed: list[str] = []

    def type(self, command: str, *, status: int = 0) -> str:
        """Run a command and return all that it printed.

        Raises:
            AssertionError: its status is another one.
        """
        printed = self._machine.shell(f"exec 2>&1; {command}", status=status)
        self.show(command, printed)
        return printed

    def show(self, command: str, printed: str = "") -> None:
        """Write a command down that was run in another way."""
        self.typed.append(command)
        line = f"# {command}\n{printed}"
        if self._blocks and self._blocks[-1].startswith("```"):
            self._blocks[-1] = self._blocks[-1].removesuffix("```") + f"{line}```"
        else:
            self._blocks.append(f"```\n{line}```")

    def say(self, words: str) -> None:
        """Write down what one sees only beside the terminal."""
        self._blocks.append(words)

    def transcript(self) -> str:
        """Return all of it, as Markdown."""
        return "\n\n".join(self._blocks) + "\n"


def commands_in(transcript: str) -> list[str]:
    """Return the commands of a transcript."""
    lines = [line for block in transcript.split("```")[1::2] for line in block.splitlines()]
    return [line.removeprefix("# ") for line in lines if line.startswith("# ")]
