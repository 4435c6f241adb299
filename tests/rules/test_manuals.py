"""The manual pages: without a fault for their formatters, alike, and true."""

from __future__ import annotations

import re

from tests.rules.manuals import sections
from tests.rules.source import inside, modules, strings
from towerd.protocol.events import EVENT_TYPES


def test_every_type_of_event_is_emitted_somewhere() -> None:
    emitted = {
        word
        for module in modules()
        if inside(module, "towerd") and module != "towerd.protocol.events"
        for word in strings(module)
    }
    assert set(EVENT_TYPES) - emitted == set()


def test_the_types_of_events_are_those_of_the_manual() -> None:
    told = re.findall(r'^\.BR ([a-z._\\]+\.[a-z_\\]+) " \{', sections("tower-rpc.7")["EVENTS"], re.MULTILINE)
    assert told == list(EVENT_TYPES)
