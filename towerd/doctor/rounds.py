"""Carrying out the checks: all at once, each within its deadline.

The one rule: no check can hold up the daemon, another check, or the answer. One that hangs keeps its thread
and nothing else, and as long as it does no second one is begun.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from towerd.doctor.findings import Finding, failure
from towerd.doctor.patient import Patient
from towerd.doctor.table import CHECKS, Check
from towerd.thread import on_own_thread

log = logging.getLogger(__name__)

_JOURNAL = "journalctl --unit=towerd --lines=50"


class Rounds:
    """Examines patients.

    Args:
        checks: in the order in which they are told.
    """

    def __init__(self, checks: Sequence[Check] = CHECKS) -> None:
        self._checks = checks
        self._turn = asyncio.Lock()
        self._under_way: dict[str, asyncio.Task[list[Finding]]] = {}

    async def examine(self, patient: Patient, *, is_about_accounts: bool = False) -> list[Finding]:
        """Return what all checks found.

        Args:
            patient: what they look at.
            is_about_accounts: make only the checks that tell of the patient's accounts alone.
        """
        chosen = [one for one in self._checks if one.is_about_accounts or not is_about_accounts]
        async with self._turn:
            found = await asyncio.gather(*(self._make(check, patient) for check in chosen))
        return [
            replace(one, check=check.name) for check, all_ in zip(chosen, found, strict=True) for one in all_
        ]

    async def _make(self, check: Check, patient: Patient) -> list[Finding]:
        # Somebody may have hung up in the middle of an earlier one.
        if not await self._is_over(check):
            return [failure("an earlier look still hangs", check.late_command)]
        look = on_own_thread(lambda: list(check.look(patient)), name=f"doctor {check.name}")
        task = asyncio.create_task(look, name=f"doctor {check.name}")
        self._under_way[check.name] = task
        if not await self._is_over(check):
            return [failure(f"no answer within {check.deadline_seconds:g} s", check.late_command)]
        if (error := task.exception()) is not None:
            log.error("the check %s failed", check.name, exc_info=error)
            return [failure("internal error, see the journal of towerd", _JOURNAL)]
        return task.result()

    async def _is_over(self, check: Check) -> bool:
        """Wait for what runs for a check, if anything does; tell whether it has ended within the deadline."""
        task = self._under_way.get(check.name)
        if task is not None:
            await asyncio.wait({task}, timeout=check.deadline_seconds)
            if not task.done():
                return False
            del self._under_way[check.name]
        return True
