"""The client library's protobuf messages, without the library: importing it would start a Go runtime here."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any


def _load() -> tuple[Any, Any]:
    package = importlib.util.find_spec("neonize")
    assert package is not None
    assert package.submodule_search_locations
    # The files name each other as if their folder were the root of all modules.
    root = f"{package.submodule_search_locations[0]}/proto"
    sys.path.append(root)
    try:
        return importlib.import_module("Neonize_pb2"), importlib.import_module("waE2E.WAWebProtobufsE2E_pb2")
    finally:
        sys.path.remove(root)


pb, e2e = _load()
