"""Telling people of incidents: by a command, by mail, or both.

The one rule: each channel tells each incident once and its end once, however often it had to try and however
often the daemon was restarted. What does not get through is kept and tried again; nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from towerd.accounts.ledger import Ledger
from towerd.clock import Clock
from towerd.config import NotifyConfig
from towerd.errand import Errand, ErrandFailedError
from towerd.incidents import Incidents
from towerd.notices import Notice, notice, trial
from towerd.protocol.errors import TowerError
from towerd.settings import Settings

log = logging.getLogger(__name__)

_SETTLE_SECONDS = 2.0
_LONGEST_RETRY_SECONDS = 3600.0

Deliver = Callable[[Notice], Awaitable[None]]


class Bucket:
    """How many messages may go now.

    Args:
        size: so many at once, after a quiet while.
        refill_seconds: one more each time that this has passed.
        clock: measures it.
    """

    def __init__(self, *, size: Callable[[], int], refill_seconds: Callable[[], float], clock: Clock) -> None:
        self._size = size
        self._refill_seconds = refill_seconds
        self._clock = clock
        self._level = float(size())
        self._at = clock.monotonic()

    def tokens(self) -> int:
        """Return how many messages may go now."""
        now = self._clock.monotonic()
        self._level = min(self._size(), self._level + (now - self._at) / self._refill_seconds())
        self._at = now
        return int(self._level)

    def take(self) -> None:
        """One message has gone."""
        self._level -= 1

    def wait_seconds(self) -> float:
        """Return how long it is until the next message may go."""
        return max(0.0, (1 - self._level) * self._refill_seconds())


@dataclass(slots=True, kw_only=True)
class Channel:
    """One way to tell people.

    Attributes:
        name: `command` or `mail`.
        program: returns what is run, None while the configuration does not want this channel.
        deliver: hands a message over; raises ErrandFailedError.
        trouble: why the last message could not be delivered, None when it was.
        failures: how many tries in a row have failed.
        delivered_at: when the last message was delivered, seconds since the epoch.
    """

    name: str
    program: Callable[[], str | None]
    deliver: Deliver
    bucket: Bucket
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    works: asyncio.Event = field(default_factory=asyncio.Event)
    trouble: str | None = None
    failures: int = 0
    delivered_at: float | None = None


def wanted(ways: Sequence[Channel]) -> list[Channel]:
    """Return the channels that the configuration wants now."""
    return [way for way in ways if way.program() is not None]


class Programs:
    """What is run to tell people.

    Args:
        settings: `[notify]` names the programs.
        environment: what they may know of ours.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._environment = environment

    def channels(self, clock: Clock) -> list[Channel]:
        """Return a channel for each kind of program, whether it is wanted now or not."""
        kinds = (("command", self._command, self._by_command), ("mail", self._sendmail, self._by_mail))
        return [
            Channel(name=name, program=program, deliver=deliver, bucket=self._bucket(clock))
            for name, program, deliver in kinds
        ]

    @property
    def _config(self) -> NotifyConfig:
        return self._settings.current.notify

    def _bucket(self, clock: Clock) -> Bucket:
        return Bucket(
            size=lambda: self._config.burst,
            refill_seconds=lambda: self._config.refill_seconds,
            clock=clock,
        )

    def _command(self) -> str | None:
        return self._config.command[0] if self._config.command else None

    def _sendmail(self) -> str | None:
        return self._config.sendmail if self._config.mail_to else None

    async def _by_command(self, message: Notice) -> None:
        variables = {**self._environment, **message.variables()}
        await self._run(self._config.command, message.to_json(), variables)

    async def _by_mail(self, message: Notice) -> None:
        recipients = self._config.mail_to
        # -i: a line that is a dot does not end the mail.
        program = [self._config.sendmail, "-i", *recipients]
        await self._run(program, message.to_mail(recipients), self._environment)

    async def _run(self, program: Sequence[str], text: bytes, variables: Mapping[str, str]) -> None:
        deadline = self._config.deadline_seconds
        await Errand(program, text=text, environment=variables, deadline_seconds=deadline).run()


class Notifier:
    """Tells what there is to tell, each channel by itself.

    Args:
        ways: the channels.
        incidents: says what a channel has not told yet.
        ledger: what is told is on the disk first, as far as the disk lets.
        clock: gives times.
        retry_seconds: delay after a first failure; doubled at each further one, up to an hour.
    """

    def __init__(
        self,
        ways: Sequence[Channel],
        incidents: Incidents,
        *,
        ledger: Ledger,
        clock: Clock,
        retry_seconds: Callable[[], float],
    ) -> None:
        self._ways = ways
        self._incidents = incidents
        self._ledger = ledger
        self._clock = clock
        self._retry_seconds = retry_seconds
        incidents.watch(self._wake)

    @property
    def channels(self) -> list[Channel]:
        """The channels that the configuration wants now."""
        return wanted(self._ways)

    @property
    def problems(self) -> list[str]:
        """What keeps messages from being delivered, a line each."""
        return [
            f"people cannot be told of incidents by {way.name}: {way.program()} {way.trouble}"
            for way in self.channels
            if way.trouble is not None
        ]

    async def run(self) -> None:
        """Serve all channels; it ends when it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for way in self._ways:
                group.create_task(self._serve(way), name=f"notify by {way.name}")

    async def test(self) -> dict[str, str | None]:
        """Send a test message by every channel at once; return by name why it failed, else None."""
        ways = self.channels
        outcomes = await asyncio.gather(*(self._try(way, trial()) for way in ways))
        return dict(zip((way.name for way in ways), outcomes, strict=True))

    def _wake(self) -> None:
        for way in self._ways:
            way.wake.set()

    async def _serve(self, way: Channel) -> NoReturn:
        while True:
            try:
                await self._tell(way)
            except Exception:
                # A message that cannot be made must not end the telling for good.
                log.exception("internal error while telling people by %s", way.name)
                await self._pause(way)

    async def _tell(self, way: Channel) -> None:
        """Tell the next thing that there is to tell, or wait for what keeps it from being told."""
        if way.program() is None or not self._incidents.due(way.name):
            way.wake.clear()
            await way.wake.wait()
            return
        if way.bucket.tokens() < 1:
            await asyncio.sleep(way.bucket.wait_seconds())
            return
        await self._settle()
        due = self._incidents.due(way.name)
        # The last message that may go tells all that is left.
        told = due if len(due) > way.bucket.tokens() else due[:1]
        if not told or way.program() is None:
            return
        if await self._try(way, notice(told, way.name)) is None:
            way.bucket.take()
            self._incidents.note_told(way.name, told)
        else:
            await self._pause(way)

    async def _settle(self) -> None:
        """Let what is to be told get onto the disk first: after a kill it is still known by its id."""
        with contextlib.suppress(TowerError, TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                await self._ledger.settle()

    async def _try(self, way: Channel, message: Notice) -> str | None:
        """Deliver a message; return why that failed, None when it did not."""
        try:
            await way.deliver(message)
        except ErrandFailedError as error:
            if way.trouble is None:
                log.error("people cannot be told by %s, trying again: %s %s", way.name, way.program(), error)
            way.trouble = str(error)
            way.failures += 1
            return way.trouble
        if way.trouble is not None:
            log.warning("people are told by %s again", way.name)
        way.trouble, way.failures = None, 0
        way.delivered_at = self._clock.now()
        way.works.set()
        return None

    async def _pause(self, way: Channel) -> None:
        """Wait before the next try, or until a message got through meanwhile."""
        delay = min(self._retry_seconds() * 2.0 ** max(0, way.failures - 1), _LONGEST_RETRY_SECONDS)
        way.works.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await way.works.wait()
