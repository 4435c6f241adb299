"""What workers have in common, loaded once before they are forked.

The one rule: never the client library itself. It brings a Go runtime, which does not survive a fork; what it
is built on, and its descriptors of protocol buffers, are Python and C and do.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
from types import ModuleType

from sessions.late_imports import defer

LIBRARY = "neonize"

# In this order, as the library does: pylibmagic brings the library that magic looks for.
DEPENDENCIES = (
    "pylibmagic",
    "magic",
    "PIL.Image",
    "PIL.ImageSequence",
    "asyncio",
    "concurrent.futures.process",
    "concurrent.futures.thread",
    "ctypes.util",
    "google.protobuf.internal.builder",
    "httpx",
    "importlib.metadata",
    "linkpreview",
    "phonenumbers",
    "requests",
    "segno",
    "shlex",
    "ssl",
    "tqdm",
    "email.parser",
    "http",
    "sessions.incoming",
    "sessions.worker",
)

DESCRIPTORS = (
    "neonize.proto.waE2E.WAWebProtobufsE2E_pb2",
    "neonize.proto.Neonize_pb2",
    "neonize.proto.waCommon.WACommon_pb2",
    "neonize.proto.waAICommon.WAWebProtobufsAICommon_pb2",
    "neonize.proto.waAICommonDeprecated.WAAICommonDeprecated_pb2",
    "neonize.proto.waCompanionReg.WAWebProtobufsCompanionReg_pb2",
    "neonize.proto.waConsumerApplication.WAConsumerApplication_pb2",
    "neonize.proto.waMsgApplication.WAMsgApplication_pb2",
)


def preload() -> None:
    """Load it all, and keep the collector's hands off it: a page that nobody writes to stays shared.

    Raises:
        Exception: whatever an import raises; a worker could not have loaded that either.
    """
    defer()
    for name in DEPENDENCIES:
        importlib.import_module(name)
    _load_descriptors()
    gc.collect()
    gc.freeze()


def _load_descriptors() -> None:
    """Load the library's descriptors without the library: under an empty package of its name."""
    spec = importlib.util.find_spec(LIBRARY)
    if spec is None or spec.submodule_search_locations is None:
        msg = f"{LIBRARY} is not installed"
        raise ModuleNotFoundError(msg)
    package = ModuleType(LIBRARY)
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[LIBRARY] = package
    try:
        for name in DESCRIPTORS:
            importlib.import_module(name)
    finally:
        # The worker that imports the library runs its real package.
        del sys.modules[LIBRARY]
