"""The manual pages, as text and as sections."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from tests.rules.source import ROOT

PAGES = ("towerctl.1", "tower.toml.5", "tower-rpc.7", "towerd.8")
_NAMED = {"aq": "'", "dq": '"', "cq": "'", "lq": '"', "rq": '"', "->": "->", "e": "\\"}


def path(page: str) -> Path:
    """Return where a page lies."""
    return ROOT / "man" / page


def roff(page: str) -> str:
    """Return a page as it is written."""
    return path(page).read_text(encoding="utf-8")


def plain(text: str) -> str:
    """Return text without fonts and escapes; requests stay."""
    text = re.sub(r"\\f(?:\[.*?\]|\(..|.)", "", text)
    text = re.sub(r"\\\((..)", lambda found: _NAMED.get(found[1], found[0]), text)
    return text.replace(r"\-", "-").replace(r"\&", "").replace(r"\|", "").replace(r"\e", "\\")


@cache
def sections(page: str) -> dict[str, str]:
    """Return the sections of a page by their titles, in their order, as they are written."""
    parts = re.split(r'^\.SH "?(.*?)"?$', roff(page), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def words(page: str, title: str) -> set[str]:
    """Return what stands in bold or italics in a section, and tags of its lists."""
    found: set[str] = set()
    for line in sections(page)[title].splitlines():
        if re.match(r"\.(?:B|I|BR|IR|BI|RI|RB|IB|TP|IP)\b", line):
            found |= {word.strip('",.;:()') for word in plain(line).split()[1:]}
    return found


def examples(page: str, section: str | None = None) -> list[str]:
    """Return what stands between .EX and .EE, in one section or all, as it is shown."""
    text = roff(page) if section is None else sections(page)[section]
    return [
        plain(found).strip("\n")
        for found in re.findall(r"^\.EX\n(.*?)^\.EE$", text, re.DOTALL | re.MULTILINE)
    ]
