"""Lets an unmodified neonize believe the simulator: replaces WhatsApp's pinned key in its memory.

For tests and rehearsals only. One rule: exactly one place may hold the pinned key, else the process ends
here, so that nobody ever takes a client that talks to the wrong server for a working one.
"""

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from types import ModuleType

# WACertPubKey in whatsmeow's handshake.go: the root of WhatsApp's Noise certificates.
PINNED_KEY = bytes.fromhex("142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b")
VARIABLE = "TOWER_SIMULATOR_ROOT_KEY"
_MODULE = "neonize._binder"
_LIBRARY = "neonize-linux-"


def _refuse(reason: str) -> None:
    sys.stderr.write(f"simulator: {reason}\n")
    sys.stderr.flush()
    os._exit(70)


def _root_key(setting: str) -> bytes:
    text = setting
    if "/" in setting:
        with open(setting, encoding="ascii") as file:  # noqa: PTH123 - every Python process pays for pathlib here
            text = file.read().strip()
    key = bytes.fromhex(text)
    if len(key) != 32:
        raise ValueError("not 32 bytes")
    return key


def _writable_ranges() -> list[tuple[int, int]]:
    """Return the addresses of the library's writable data: its file's, and the anonymous right behind."""
    ranges = []
    with open("/proc/self/maps", encoding="utf-8") as maps:  # noqa: PTH123
        end_of_library = -1
        for line in maps:
            addresses, permissions, _, _, inode, *path = line.split(maxsplit=5)
            start, end = (int(part, 16) for part in addresses.split("-"))
            is_library = bool(path) and _LIBRARY in path[0].rpartition("/")[2]
            if is_library or (start == end_of_library and inode == "0" and not path):
                end_of_library = end
                if permissions.startswith("rw"):
                    ranges.append((start, end))
    return ranges


def _replace_pinned_key(key: bytes) -> None:
    found = []
    with open("/proc/self/mem", "r+b", buffering=0) as memory:  # noqa: PTH123
        for start, end in _writable_ranges():
            memory.seek(start)
            data = memory.read(end - start)
            at = data.find(PINNED_KEY)
            while at >= 0:
                found.append(start + at)
                at = data.find(PINNED_KEY, at + 1)
        if len(found) != 1:
            _refuse(
                f"WhatsApp's pinned key stands {len(found)} times in the writable memory of neonize, not once"
            )
        memory.seek(found[0])
        memory.write(key)


class _Loader(importlib.abc.Loader):
    def __init__(self, inner: importlib.abc.Loader, key: bytes) -> None:
        self._inner = inner
        self._key = key

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        try:
            _replace_pinned_key(self._key)
        except OSError as error:
            _refuse(f"the memory of this process cannot be changed: {error}")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, key: bytes) -> None:
        self._key = key

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._key)
        return spec


_setting = os.environ.get(VARIABLE)
if _setting:
    try:
        _key = _root_key(_setting)
    except (OSError, ValueError) as _error:
        _refuse(f"{VARIABLE} holds no key: {_error}")
    else:
        sys.meta_path.insert(0, _Finder(_key))
