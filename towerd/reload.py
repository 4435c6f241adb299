"""Taking over what lies on the disk while towerd runs: by command, by SIGHUP, or by itself.

The one rule: the service manager is told before and after, whatever comes of it; who did it is in the audit
log.
"""

from __future__ import annotations

import asyncio
import logging

from towerd.audit import Auditor
from towerd.clock import Clock
from towerd.config_files import ConfigError, Mistake, fields_of
from towerd.configuration import Configuration
from towerd.dropins import Applied, DropIns
from towerd.protocol.errors import TowerError
from towerd.settings import Change
from towerd.systemd import Systemd

log = logging.getLogger(__name__)

_SETTLED_SECONDS = 0.5
"""What is taken over by itself must have been so for this long."""


class Reload:
    """Carries out reloads.

    Args:
        configuration: the files and what runs.
        drop_ins: accounts that files declare.
        auditor: notes reloads that nobody asked for through the socket.
        systemd: told that towerd reloads.
        clock: gives the time that systemd wants with it.
    """

    def __init__(
        self,
        configuration: Configuration,
        drop_ins: DropIns,
        *,
        auditor: Auditor,
        systemd: Systemd,
        clock: Clock,
    ) -> None:
        self._configuration = configuration
        self._drop_ins = drop_ins
        self._auditor = auditor
        self._systemd = systemd
        self._clock = clock

    async def run(self) -> tuple[list[Change], Applied]:
        """Take over the configuration files, then those that declare accounts.

        Returns:
            What is another in the configuration, now or with the next start; and what became of the accounts.

        Raises:
            TowerError: `config-invalid`, with every mistake; nothing was changed.
        """
        # sd_notify(3): the time lets systemd tell this reload's READY=1 from an earlier one.
        self._systemd.tell(RELOADING="1", MONOTONIC_USEC=str(int(self._clock.monotonic() * 1e6)))
        try:
            changes = await self._configuration.reload()
            return changes, await self._drop_ins.apply()
        except ConfigError as error:
            raise config_invalid(error.mistakes) from None
        finally:
            self._systemd.tell(READY="1")

    async def look(self) -> None:
        """Look at the files; accounts follow at once, the configuration if it says so."""
        await self._configuration.look()
        await self._drop_ins.apply()
        if self._configuration.is_to_be_taken and await self._is_settled():
            await self.run_unasked("the configuration files changed")

    async def _is_settled(self) -> bool:
        """Tell whether the files hold still: half of what somebody is writing is not to be taken over."""
        seen = self._configuration.difference
        await asyncio.sleep(_SETTLED_SECONDS)
        await self._configuration.look()
        return self._configuration.difference == seen

    async def run_unasked(self, why: str) -> None:
        """Reload because of a signal or a setting: what comes of it goes to the log."""
        log.info("reloading: %s", why)
        result = "done"
        try:
            await self.run()
        except TowerError as error:
            result = error.slug
            log.error("%s", error.message)
            for bad in error.fields:
                log.error("%s: %s", bad.field, bad.why)
        self._auditor.by_itself("daemon.reload", None, result=result, detail=why)


def config_invalid(mistakes: list[Mistake]) -> TowerError:
    """Return the error that names every mistake with its file and key."""
    return TowerError(
        "config-invalid",
        "the configuration on the disk is not valid, so nothing was changed",
        hint="correct it, look at it with `towerd --check-config`, and reload again",
        fields=fields_of(mistakes),
    )
