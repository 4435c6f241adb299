"""What is known of the client library without loading it.

The one rule: a version that is not in the table is unknown, never guessed.
"""

from __future__ import annotations

import importlib.metadata
from functools import cache

# The WhatsApp version that each neonize presents, as a server sees it when it registers; neonize has
# no call that tells it. An end-to-end test holds this against the simulator.
_WHATSAPP_VERSIONS = {"0.5.2": "2.3000.1047769893"}


@cache
def library_version() -> str:
    """Return the version of neonize that was installed when this was asked first."""
    return importlib.metadata.version("neonize")


def whatsapp_version() -> str | None:
    """Return the WhatsApp version that this neonize presents, None when it is not known."""
    return _WHATSAPP_VERSIONS.get(library_version())
