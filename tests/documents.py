"""Fenced blocks of our documents.

The one rule: a block is known by its name, the second word behind the fence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCED = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block."""

    language: str
    name: str
    text: str


def blocks(document: str) -> dict[str, Block]:
    """Return the blocks of a document that have a language, by name.

    Raises:
        ValueError: two have one name.
    """
    found: dict[str, Block] = {}
    text = (ROOT / document).read_text(encoding="utf-8")
    for language, name, content in _FENCED.findall(text):
        if name in found:
            raise ValueError(name)
        found[name] = Block(language=language, name=name, text=content)
    return found
