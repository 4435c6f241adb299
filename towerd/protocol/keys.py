"""Parameters and results of the methods `key.*`.

The one rule: a key goes in and never comes out; results name keys by their ids.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from towerd.protocol.parameters import Params
from towerd.protocol.types import Wire


class RotateKey(Params, frozen=True, kw_only=True):
    """What `key.rotate` takes: 32 bytes in base64; without, the key is read from where a start would."""

    key: Annotated[str, msgspec.Meta(max_length=100)] | None = None


class KeptStore(Wire, frozen=True, kw_only=True):
    """A store that still needs another key, and why."""

    account: str
    why: str


class RotateResult(Wire, frozen=True, kw_only=True):
    """The key that seals now, how many stores it sealed, which it did not, and whether a start finds it."""

    key: str
    sealed: int
    kept: list[KeptStore]
    found_at_start: bool
