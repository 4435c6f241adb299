"""What the method `account.health` takes and answers.

The one rule: the status of several accounts is that of the one that is worst off.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from towerd.protocol.parameters import Params, Selector
from towerd.protocol.types import Account, Wire

HealthStatus = Literal["ok", "warning", "critical", "unknown"]
"""In the words of monitoring plugins; `unknown`: there is nothing to look at."""


class AskHealth(Params, frozen=True, kw_only=True):
    """What `account.health` takes: some accounts; left out it means all that the caller may read."""

    accounts: Annotated[list[Selector], msgspec.Meta(min_length=1, max_length=1000)] | None = None


class HealthResult(Wire, frozen=True, kw_only=True):
    """How accounts are, each with its health and the reasons for it."""

    status: HealthStatus
    accounts: list[Account]
