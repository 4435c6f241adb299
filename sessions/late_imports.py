"""Packages that the client library imports and a session never uses, loaded only if something does use them.

The one rule: nothing is missing. A placeholder stands in for the package until its first use, which imports
the real one. It saves a quarter of a worker's memory and near half of its start (docs/performance.md).
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

# What neonize 0.5.2 imports at its top for media, link previews, downloads and drawing QRs.
LATE_PACKAGES = frozenset({"httpx", "linkpreview", "phonenumbers", "requests", "segno", "tqdm"})


def defer(packages: frozenset[str] = LATE_PACKAGES) -> None:
    """Let these packages be imported at their first use only; those loaded already stay as they are."""
    sys.meta_path.insert(0, _Finder(packages))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds placeholders for the packages, until one is used."""

    def __init__(self, packages: frozenset[str]) -> None:
        self.packages = set(packages)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a placeholder's spec, None for every other module."""
        del path, target
        if fullname.partition(".")[0] not in self.packages:
            return None
        return importlib.machinery.ModuleSpec(fullname, _Loader(self), is_package=True)

    def load(self, name: str) -> ModuleType:
        """Put the real package in the placeholder's place and return one of its modules."""
        package = name.partition(".")[0]
        if package in self.packages:
            self.packages.discard(package)
            for loaded in [one for one in sys.modules if one.partition(".")[0] == package]:
                del sys.modules[loaded]
        return importlib.import_module(name)


class _Loader(importlib.abc.Loader):
    """Makes placeholders."""

    def __init__(self, finder: _Finder) -> None:
        self._finder = finder

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Return the placeholder."""
        return _Placeholder(spec.name, self._finder)

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing: that is the point."""


class _Placeholder(ModuleType):
    """Stands in for a module; every name in it is a stand-in, too."""

    def __init__(self, name: str, finder: _Finder) -> None:
        super().__init__(name)
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _StandIn(self.__name__, name, self._finder)


class _StandIn:
    """Stands in for one name of a module until it is called or looked into."""

    def __init__(self, module: str, name: str, finder: _Finder) -> None:
        self._module = module
        self._name = name
        self._finder = finder

    def _real(self) -> Any:
        return getattr(self._finder.load(self._module), self._name)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._real()(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)
