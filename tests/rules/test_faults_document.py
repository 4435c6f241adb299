"""docs/faults.md names tests that exist, and every test of the fault matrix stands in it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_row_names_a_test_that_exists_and_every_fault_test_has_a_row() -> None:
    named = set(re.findall(r"\b(test_\w+) \|$", (ROOT / "docs/faults.md").read_text(), re.MULTILINE))
    sources = {path: path.read_text() for path in (ROOT / "tests/e2e").glob("test_*.py")}
    defined = {
        name for text in sources.values() for name in re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)
    }
    assert named - defined == set()
    faults = names_in(sources[ROOT / "tests/e2e/test_faults.py"])
    # Not faults: what holds all the time, and how to end a hold by hand.
    ordinary = {
        "test_last_seen_moves_while_the_session_lives",
        "test_the_breaker_is_closed_by_command",
        "test_the_version_presented_to_whatsapp_is_the_one_that_we_tell",
    }
    assert faults - ordinary - named == set()


def names_in(source: str) -> set[str]:
    return set(re.findall(r"^def (test_\w+)\(", source, re.MULTILINE))
