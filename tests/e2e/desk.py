"""A directory in which somebody runs what a document shows: with towerctl, and with a mail that goes nowhere.

The one rule: what is run is what the document says, to the letter.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.documents import blocks
from tests.e2e.tower import BIN, Tower

DOCUMENT = "docs/automation.md"
BLOCKS = blocks(DOCUMENT)
_SECONDS = 120

# Both keep what they were given: arguments, text, and a copy of what is attached.
_MAILER = """#!/bin/sh
number=$(ls "$MAILBOX" | grep -c arguments)
printf '%s\\n' "$@" > "$MAILBOX/$number.arguments"
while [ $# -gt 0 ]; do
    [ "$1" = -A ] && cp "$2" "$MAILBOX/$number.copy" && mv "$MAILBOX/$number.copy" "$MAILBOX/$number.attached"
    shift
done
cat > "$MAILBOX/$number.part"
mv "$MAILBOX/$number.part" "$MAILBOX/$number.text"
"""
# Asks the test to restart the daemon, and returns when it is there again, as `systemctl restart` does.
_SYSTEMCTL = """#!/bin/sh
echo "$@" > "$MAILBOX/../asked.part"
mv "$MAILBOX/../asked.part" "$MAILBOX/../asked"
while [ -e "$MAILBOX/../asked" ]; do sleep 0.05; done
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What was handed to `mail` or `sendmail`."""

    arguments: list[str]
    text: str


class Desk:
    """A place of work.

    Args:
        directory: empty.
        tower: the daemon that `towerctl` finds there.
    """

    def __init__(self, directory: Path, tower: Tower) -> None:
        self.directory = directory / "work"
        self.mailbox = directory / "mailbox"
        self.asked = directory / "asked"
        self._programs = directory / "programs"
        for one in (self.directory, self.mailbox, self._programs):
            one.mkdir()
        for name, text in (("mail", _MAILER), ("sendmail", _MAILER), ("systemctl", _SYSTEMCTL)):
            self.install(name, text)
        self.environment = {
            **tower.client_environment,
            "PATH": f"{self._programs}:{BIN}:{os.environ['PATH']}",
            "MAILBOX": str(self.mailbox),
        }

    def install(self, name: str, text: str) -> None:
        """Put a program where it is found."""
        path = self._programs / name
        path.write_text(text)
        path.chmod(0o755)

    def text_of(self, name: str) -> str:
        """Return what is run for a block of the document: of a crontab's line the command."""
        block = BLOCKS[name]
        if block.language == "crontab":
            return block.text.split(None, 5)[5].replace(r"\%", "%")
        return block.text

    def command(self, name: str, *arguments: str) -> list[str]:
        """Return the command line that runs a block."""
        return ["sh", "-c", self.text_of(name), name, *arguments]

    def run(self, name: str, *arguments: str, then: str = "") -> subprocess.CompletedProcess[str]:
        """Run a block to its end, and what the test wants to have run behind it in the same shell."""
        return subprocess.run(
            ["sh", "-c", self.text_of(name) + then, name, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def begin(self, name: str) -> subprocess.Popen[str]:
        """Begin to run a block; the caller ends it."""
        return self.start(*self.command(name))

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Begin to run a command; the caller ends it."""
        return subprocess.Popen(
            command,
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def mails(self) -> list[Mail]:
        """Return what was mailed, in order."""
        numbers = sorted(int(one.stem) for one in self.mailbox.glob("*.text"))
        return [
            Mail(
                arguments=(self.mailbox / f"{number}.arguments").read_text().splitlines(),
                text=(self.mailbox / f"{number}.text").read_text(),
            )
            for number in numbers
        ]
