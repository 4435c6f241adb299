"""What an environment consists of, as the wheels in it say.

The one rule: a licence is quoted, never guessed.
"""

from __future__ import annotations

import email.parser
import re
from email.message import Message
from pathlib import Path

from installation.problem import Problem

_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
"""PEP 600: what the old names mean."""


class Component:
    """One distribution that is installed.

    Args:
        information: its directory `*.dist-info`.
    """

    def __init__(self, information: Path) -> None:
        self._information = information
        self._metadata = _headers(information / "METADATA")
        self.name = str(self._metadata["Name"])
        self.version = str(self._metadata["Version"])

    @property
    def licence(self) -> str:
        """What it says of its licence, in one line."""
        said = self._metadata["License-Expression"] or self._metadata["License"]
        if said and said != "UNKNOWN":
            return str(said).strip().splitlines()[0]
        classifiers = [str(one) for one in self._metadata.get_all("Classifier", [])]
        named = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License ::")]
        return ", ".join(named) or "not stated"

    @property
    def libc(self) -> tuple[int, int]:
        """The oldest GNU libc that it works with; (0, 0) when it has nothing compiled."""
        tags = _headers(self._information / "WHEEL").get_all("Tag", [])
        return min((_libc_of(str(tag)) for tag in tags), default=(0, 0))


def read_components(home: Path) -> dict[str, Component]:
    """Return everything in an environment by its name, in order."""
    found = (Component(path) for path in home.glob("lib/python3.*/site-packages/*.dist-info"))
    return {one.name: one for one in sorted(found, key=lambda one: one.name.lower())}


def _headers(file: Path) -> Message:
    return email.parser.HeaderParser().parsestr(file.read_text(encoding="utf-8"))


def _libc_of(tag: str) -> tuple[int, int]:
    platform = tag.rpartition("-")[2]
    named = re.match(r"manylinux_(\d+)_(\d+)_", platform)
    if named:
        return int(named[1]), int(named[2])
    legacy = _LEGACY.get(platform.partition("_")[0])
    if legacy is None and platform != "any":
        msg = (
            f"a wheel for {platform} does not go into a package for Debian; make the wheels anew: make clean"
        )
        raise Problem(msg)
    return legacy or (0, 0)
