"""Deliveries: each endpoint served by itself, each account in its order, until it is taken or given up.

The one rule: at least once. A delivery is over when that is on the disk, and not before; what a kill cuts off
is sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import msgspec

from towerd import __version__
from towerd.accounts.ledger import Ledger
from towerd.accounts.records import DeliveryRecord, EventRecord
from towerd.clock import Clock
from towerd.config import Endpoint
from towerd.protocol.errors import TowerError
from towerd.settings import Settings
from towerd.webhooks.post import PostError, post
from towerd.webhooks.secrets import SecretError, read_secret
from towerd.webhooks.signing import headers

log = logging.getLogger(__name__)

LANES = 4
"""So many accounts are served at once by each endpoint."""

LONGEST_DELAY_SECONDS = 86400.0
GIVE_UP_SECONDS = 7 * 86400.0
"""What is older is given up at its next failure: an endpoint that was away gets what is no older."""

FORGOTTEN_SECONDS = 30 * 86400.0
"""What waits for an endpoint that is not configured any more is kept for so long."""

_TURN = 100
"""So many deliveries of an account in a row before others have a turn."""
_LOOK_SECONDS = 60.0
_UNWRITABLE_SECONDS = 1.0
_TROUBLE_FROM = 3
_GONE = 410


class Post(Protocol):
    """`post.post`, or what stands for it."""

    def __call__(
        self, url: str, body: bytes, headers: dict[str, str], *, allow_private: bool, timeout_seconds: float
    ) -> Awaitable[int]:
        """Post a body and return the status of the answer."""


@dataclass(slots=True, kw_only=True)
class Standing:
    """How an endpoint has done since the start.

    Attributes:
        trouble: why the last attempt failed, None when it did not.
        failures: how many attempts in a row have failed.
        delivered_at: when the last delivery was taken, seconds since the epoch.
    """

    trouble: str | None = None
    failures: int = 0
    delivered_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one attempt; `error` is None when it was taken."""

    status: int | None
    error: str | None


class Courier:
    """Carries queued events to their endpoints.

    Args:
        settings: has the endpoints.
        ledger: has the deliveries.
        clock: gives times.
        count: told of each attempt: the endpoint, and `delivered`, `failed` or `dead`.
        send: posts.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        ledger: Ledger,
        clock: Clock,
        count: Callable[[str, str], None],
        send: Post = post,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._count = count
        self._send = send
        self._wakes: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()
        self._standings: dict[str, Standing] = {}

    def wake(self, _events: Sequence[EventRecord] = ()) -> None:
        """Look for what there is to do: events were written, or endpoints or deliveries changed."""
        self._changed.set()
        for wake in self._wakes.values():
            wake.set()

    def endpoint(self, name: str) -> Endpoint | None:
        """Return an endpoint as it is configured now."""
        return next((one for one in self._settings.current.webhook.endpoints if one.name == name), None)

    def standing(self, name: str) -> Standing:
        """Return how an endpoint does."""
        return self._standings.setdefault(name, Standing())

    @property
    def problems(self) -> list[str]:
        """Which endpoints do not take events, a line each."""
        return [
            f"the webhook {one.name} takes no events: {self.standing(one.name).trouble}"
            for one in self._settings.current.webhook.endpoints
            if self.standing(one.name).failures >= _TROUBLE_FROM
        ]

    async def run(self) -> None:
        """Serve all endpoints; it ends when it is cancelled."""
        tasks: dict[str, asyncio.Task[None]] = {}
        await self._forget()
        try:
            while True:
                self._changed.clear()
                names = {one.name for one in self._settings.current.webhook.endpoints}
                for name in tasks.keys() - names:
                    tasks.pop(name).cancel()
                    del self._wakes[name]
                for name in names - tasks.keys():
                    self._wakes[name] = asyncio.Event()
                    tasks[name] = asyncio.create_task(self._serve(name), name=f"webhook {name}")
                await self._changed.wait()
        finally:
            for task in tasks.values():
                task.cancel()

    async def attempt(self, endpoint: Endpoint, message_id: str, body: str) -> Outcome:
        """Send something to an endpoint, once."""
        content = body.encode()
        try:
            secret = await asyncio.to_thread(read_secret, endpoint.secret_file)
            signed = headers(secret, message_id=message_id, timestamp=int(self._clock.now()), body=content)
            status = await self._send(
                endpoint.url,
                content,
                {"Content-Type": "application/json", "User-Agent": f"towerd/{__version__}"} | signed,
                allow_private=endpoint.allow_private,
                timeout_seconds=endpoint.timeout_seconds,
            )
        except SecretError as error:
            return Outcome(status=None, error=f"the secret {error}")
        except PostError as error:
            return Outcome(status=None, error=str(error))
        is_taken = 200 <= status < 300
        return Outcome(status=status, error=None if is_taken else f"answered with status {status}")

    async def _forget(self) -> None:
        names = [one.name for one in self._settings.current.webhook.endpoints]
        before = self._clock.now() - FORGOTTEN_SECONDS
        with contextlib.suppress(TowerError):
            await self._ledger.read(lambda registry: registry.postbox.forget(but=names, before=before))

    async def _serve(self, name: str) -> None:
        """Serve one endpoint for ever: what waits there is begun as soon as it is due and there is room."""
        lanes: dict[str, asyncio.Task[None]] = {}
        wake = self._wakes[name]

        def end(lane: str, _task: asyncio.Task[None]) -> None:
            del lanes[lane]
            wake.set()

        try:
            while True:
                wake.clear()
                try:
                    due, pause = await self._due(name, lanes)
                except TowerError:
                    due, pause = [], _UNWRITABLE_SECONDS
                for delivery in due:
                    task = asyncio.create_task(self._carry(delivery), name=f"webhook {name}")
                    lanes[delivery.lane] = task
                    task.add_done_callback(partial(end, delivery.lane))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await wake.wait()
        finally:
            for task in lanes.values():
                task.cancel()

    async def _due(
        self, name: str, lanes: dict[str, asyncio.Task[None]]
    ) -> tuple[list[DeliveryRecord], float]:
        """Return what can be begun now, and after how long it is worth looking again."""
        busy, room = list(lanes), LANES - len(lanes)
        if room <= 0:
            return [], _LOOK_SECONDS
        heads = await self._ledger.read(
            lambda registry: registry.postbox.heads(name, busy=busy, limit=room + 1)
        )
        now = self._clock.now()
        due = [one for one in heads if self._is_due(one, now)]
        waiting = [one.next_attempt_at - now for one in heads if not self._is_due(one, now)]
        return due[:room], min([_LOOK_SECONDS, *waiting])

    @staticmethod
    def _is_due(delivery: DeliveryRecord, now: float) -> bool:
        # Later than any delay of ours: the clock was set back since.
        return delivery.next_attempt_at <= now or delivery.next_attempt_at > now + LONGEST_DELAY_SECONDS

    async def _carry(self, delivery: DeliveryRecord) -> None:
        """Deliver, and what follows of the same account, as long as the endpoint takes it."""
        following: DeliveryRecord | None = delivery
        try:
            for _ in range(_TURN):
                if following is None or not self._is_due(following, self._clock.now()):
                    return
                endpoint = self.endpoint(following.endpoint)
                if endpoint is None:
                    return
                outcome = await self.attempt(endpoint, following.message_id, following.body)
                following = await self._write(self._settled(following, outcome))
        except Exception:
            log.exception("internal error while delivering to the webhook %s", delivery.endpoint)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _write(self, delivery: DeliveryRecord) -> DeliveryRecord | None:
        """Write what came of it, until the disk takes it; return what the account waits with then."""
        while True:
            with contextlib.suppress(TowerError):
                return await self._ledger.read(lambda registry: registry.postbox.write(delivery))
            await asyncio.sleep(_UNWRITABLE_SECONDS)

    def _settled(self, delivery: DeliveryRecord, outcome: Outcome) -> DeliveryRecord:
        """Return a delivery as it stands after an attempt."""
        now = self._clock.now()
        attempts = delivery.attempts + 1
        tried = msgspec.structs.replace(
            delivery, attempts=attempts, attempted_at=now, status=outcome.status, error=outcome.error
        )
        self._note(delivery.endpoint, outcome)
        if outcome.error is None:
            self._count(delivery.endpoint, "delivered")
            return msgspec.structs.replace(tried, state="delivered")
        is_old = now - delivery.created_at > GIVE_UP_SECONDS
        if outcome.status == _GONE or attempts >= self._settings.current.webhook.attempts or is_old:
            self._count(delivery.endpoint, "dead")
            log.error(
                "the webhook %s: event %d (%s) is given up after %d attempts: %s",
                *(delivery.endpoint, delivery.event_id, delivery.event_type, attempts, outcome.error),
            )
            return msgspec.structs.replace(tried, state="dead")
        self._count(delivery.endpoint, "failed")
        return msgspec.structs.replace(tried, next_attempt_at=now + self._delay(attempts))

    def _delay(self, attempts: int) -> float:
        longest = self._settings.current.webhook.retry_seconds * 2.0 ** (attempts - 1)
        return min(longest, LONGEST_DELAY_SECONDS) * random.uniform(0.8, 1)  # noqa: S311

    def _note(self, name: str, outcome: Outcome) -> None:
        standing = self.standing(name)
        if outcome.error is None:
            if standing.trouble is not None:
                log.info("the webhook %s takes events again", name)
            standing.trouble, standing.failures = None, 0
            standing.delivered_at = self._clock.now()
            return
        if standing.trouble is None:
            log.warning("the webhook %s takes no events, trying again: %s", name, outcome.error)
        standing.trouble = outcome.error
        standing.failures += 1
