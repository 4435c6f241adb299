"""The WhatsApp protobuf messages, read from the files of the installed neonize wheel.

One rule: the package `neonize` itself is never imported here: that would start a Go runtime in this process.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


def _load(folder: str, module: str) -> ModuleType:
    package = importlib.util.find_spec("neonize")
    if package is None or not package.submodule_search_locations:
        raise ImportError("neonize is not installed; the simulator reads its protobuf messages")
    path = Path(package.submodule_search_locations[0]) / "proto" / folder / f"{module}.py"
    spec = importlib.util.spec_from_file_location(f"{__package__}.{module}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    loaded = importlib.util.module_from_spec(spec)
    # The files name each other as if their folder were the root of all modules.
    sys.path.append(str(path.parents[1]))
    try:
        spec.loader.exec_module(loaded)
    finally:
        sys.path.remove(str(path.parents[1]))
    return loaded


_wa6 = _load("waWa6", "WAWebProtobufsWa6_pb2")
_cert = _load("waCert", "WACert_pb2")
_adv = _load("waAdv", "WAAdv_pb2")
_companion = _load("waCompanionReg", "WACompanionReg_pb2")
_e2e = _load("waE2E", "WAWebProtobufsE2E_pb2")

HandshakeMessage: Any = _wa6.HandshakeMessage
ClientPayload: Any = _wa6.ClientPayload
CertChain: Any = _cert.CertChain
ADVDeviceIdentity: Any = _adv.ADVDeviceIdentity
ADVSignedDeviceIdentity: Any = _adv.ADVSignedDeviceIdentity
ADVSignedDeviceIdentityHMAC: Any = _adv.ADVSignedDeviceIdentityHMAC
ADVKeyIndexList: Any = _adv.ADVKeyIndexList
ADVSignedKeyIndexList: Any = _adv.ADVSignedKeyIndexList
DeviceProps: Any = _companion.DeviceProps
ClientPairingProps: Any = _companion.ClientPairingProps
Message: Any = _e2e.Message


@functools.cache
def sync_messages() -> tuple[Any, Any]:
    """Return the messages of app state, what is meant and what is kept; only loaded when needed."""
    return (
        _load("waSyncAction", "WAWebProtobufSyncAction_pb2"),
        _load("waServerSync", "WAWebProtobufsServerSync_pb2"),
    )
