"""Parameters and result of `account.import`.

The one rule: a row says where it stood, so that what is wrong with it can be found.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from towerd.protocol.parameters import Params, Text
from towerd.protocol.types import Wire


class ImportRow(Params, frozen=True, kw_only=True):
    """One account of `account.import`: its table, and where that stands, for what is wrong with it.

    `name` is what the account is called if the table does not say.
    """

    table: dict[str, Any]
    file: Annotated[str, msgspec.Meta(max_length=4096)] = "-"
    key: Text = ""
    name: Text | None = None


class Import(Params, frozen=True, kw_only=True):
    """What `account.import` takes; with `dry_run` it only says what would be done."""

    accounts: Annotated[list[ImportRow], msgspec.Meta(min_length=1, max_length=10_000)]
    dry_run: bool = False


class ImportedAccount(Wire, frozen=True, kw_only=True):
    """One account of an import; `id` is null when it would be created only."""

    name: str
    owner: str
    outcome: Literal["created", "existing"]
    id: str | None


class ImportResult(Wire, frozen=True, kw_only=True):
    """The accounts of an import, in its order."""

    accounts: list[ImportedAccount]
    dry_run: bool
