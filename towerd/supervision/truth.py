"""Whether a connected session is really alive.

The one rule: `connected` rests on evidence. The library says nothing of answered keepalives, so after a quiet
while the worker makes a round trip of its own; when the answer does not come in time, the worker is replaced.
"""

from __future__ import annotations

import asyncio
import logging

from sessions import messages
from sessions.states import State
from towerd.config import TruthConfig
from towerd.settings import Settings
from towerd.supervision.account_state import AccountState
from towerd.supervision.carrier import Carrier
from towerd.supervision.process import OrderFailedError, WorkerEndedError
from towerd.supervision.timers import Timers

log = logging.getLogger(__name__)


class Pulse:
    """Looks after one connected session.

    Args:
        account: gets `last_seen_at`.
        carrier: asked for the round trip, and killed when it does not answer.
        settings: has how long quiet may last, and how long a round trip may take.
    """

    def __init__(self, account: AccountState, carrier: Carrier, *, settings: Settings) -> None:
        self._account = account
        self._carrier = carrier
        self._settings = settings
        self._timers = Timers()
        self._probe: asyncio.Task[None] | None = None
        self.is_doubtful = False

    @property
    def _config(self) -> TruthConfig:
        return self._settings.current.truth

    def begin(self) -> None:
        """The session is logged in."""
        self.is_doubtful = False
        self.feel()

    def feel(self) -> None:
        """There is evidence of life."""
        if self._account.state is not State.CONNECTED:
            return
        if self.is_doubtful:
            self.is_doubtful = False
            self._account.changed()
        self._account.touch()
        self._timers.start("quiet", self._config.quiet_seconds, self.check)

    def doubt(self) -> None:
        """A keepalive went unanswered: look at once."""
        if self._account.state is not State.CONNECTED:
            return
        if not self.is_doubtful:
            self.is_doubtful = True
            self._account.changed()
        self.check()

    def check(self) -> None:
        """Begin a round trip, unless one is under way."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._round_trip(self._carrier.generation), name="probe")

    def end(self) -> None:
        """The session is not connected any more."""
        self._timers.clear()
        if self._probe is not None:
            self._probe.cancel()
        self.is_doubtful = False

    async def _round_trip(self, generation: int) -> None:
        try:
            await self._carrier.ask(lambda order_id: messages.Probe(id=order_id), self._config.probe_seconds)
        except WorkerEndedError:
            return
        except OrderFailedError as error:
            if generation == self._carrier.generation:
                log.warning("%s: no sign of life from the server: %s", self._account.name, error)
                self._carrier.kill("server-silent")
        else:
            if generation == self._carrier.generation:
                self.feel()
