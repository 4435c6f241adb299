"""What one invocation shares: the settings, the screen, the connection.

The one rule: the connection is opened when a command first asks for it, so a wrong command line never
touches the daemon.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from towerctl.exits import Failure
from towerctl.options import DEFAULT_TIMEOUT_SECONDS, Settings
from towerctl.output import Line, Result, Screen, is_terminal
from towerctl.progress import Patience

if TYPE_CHECKING:
    from towerctl.client import Client


class App:
    """One invocation of towerctl.

    Args:
        environment: the process's environment variables.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.settings = Settings()
        self.screen = Screen(self.settings, environment)
        self._clients: list[Client] = []

    def timeout_seconds(self, default: float = DEFAULT_TIMEOUT_SECONDS) -> float:
        """Return what --timeout says, or the command's own default; 0 is for ever."""
        given = self.settings.timeout_seconds
        return default if given is None else given

    def end_at(self) -> float | None:
        """Return when --timeout ends what would go on for ever, on the monotonic clock; None: never."""
        given = self.settings.timeout_seconds
        return time.monotonic() + given if given else None

    def connect(self, *, default_timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Client:
        """Open a connection to the daemon.

        Raises:
            Failure: it cannot be reached.
        """
        from towerctl.client import Client
        from towerctl.sockets import open_socket

        timeout_seconds = self.timeout_seconds(default_timeout_seconds) or None
        connection, path = open_socket(
            path=self.settings.socket,
            scope=self.settings.scope,
            environment=self.environment,
            timeout_seconds=timeout_seconds,
            note=self.screen.note,
        )
        self.screen.trace(f"socket: {path}")
        client = Client(
            connection,
            path=path,
            timeout_seconds=timeout_seconds,
            warn=self.screen.warn,
            trace=self.screen.trace,
        )
        self._clients.append(client)
        return client

    @contextmanager
    def waiting(self, client: Client, text: str) -> Iterator[None]:
        """Let the person see that something is waited for, as long as the block lasts."""
        with self.screen.progress(text) as progress:
            client.tick = progress.tick
            try:
                yield
            finally:
                client.tick = None

    def patience(self, text: str) -> Patience:
        """Let the person see that something takes longer than a second, as long as the block lasts."""
        return Patience(self.screen.progress(text))

    def close(self) -> None:
        """Close what was opened."""
        for client in self._clients:
            client.close()

    def may_ask(self) -> bool:
        """Return whether there is somebody to answer a question."""
        return not self.settings.as_json and is_terminal(sys.stdin) and is_terminal(sys.stderr)

    def require_yes(self, verb: str, *, yes: bool) -> bool:
        """Return whether the person has to be asked.

        Raises:
            Failure: --yes is missing and there is nobody to ask.
        """
        if yes:
            return False
        if not self.may_ask():
            raise Failure("usage", f"{verb} needs --yes where nobody can be asked; nothing was done")
        return True

    def ask(self, question: str) -> None:
        """Ask on the terminal.

        Raises:
            Failure: the answer was no.
        """
        import click

        from towerd.protocol.characters import printable

        try:
            agreed = click.confirm(printable(question), default=False, err=True)
        except click.Abort:
            self.screen.note("")  # the cursor stands behind the question
            raise
        if not agreed:
            raise Failure("not-confirmed", "nothing was done")

    def print_version(self) -> None:
        """Print the version of the command line alone."""
        from towerctl import version

        self.screen.render(
            Result({"version": version()}, lambda document: [Line(f"towerctl {document['version']}")])
        )
