"""What parameters of RPC methods are made of.

The one rule: parameters go by name, and one that is unknown is an error that names it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Selector = Annotated[
    str, msgspec.Meta(min_length=1, max_length=200, description="id, owner/name, name, phone or JID")
]
OptionalSelector = Selector | None
Text = Annotated[str, msgspec.Meta(max_length=200)]
WaitSeconds = Annotated[float, msgspec.Meta(ge=0, le=86400)]
MAX_ROW_ID = 2**63 - 1
"""What SQLite counts to."""
RowId = Annotated[int, msgspec.Meta(ge=0, le=MAX_ROW_ID)]


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parameters; unknown ones are an error that names them."""
