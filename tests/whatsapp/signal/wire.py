"""libsignal's messages in bytes: a version byte, a protobuf, and a check (MAC or signature) behind it.

One rule: every number is written, zeros too, because the other end checks what it would write itself.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from tests.whatsapp.signal.curve import SignalError

# Version 3, oldest supported 3: libsignal reads the upper half; whatsmeow writes the same byte as a digit.
VERSION = 0x33
MAC_BYTES = 8
SIGNATURE_BYTES = 64

_Field = descriptor_pb2.FieldDescriptorProto
_NUMBER, _BYTES = _Field.TYPE_UINT32, _Field.TYPE_BYTES

# WhisperTextProtocol.proto: the fields of each message by number.
_MESSAGES: dict[str, dict[str, tuple[int, Any]]] = {
    "SignalMessage": {
        "ratchet_key": (1, _BYTES),
        "counter": (2, _NUMBER),
        "previous_counter": (3, _NUMBER),
        "ciphertext": (4, _BYTES),
    },
    "PreKeySignalMessage": {
        "prekey_id": (1, _NUMBER),
        "base_key": (2, _BYTES),
        "identity_key": (3, _BYTES),
        "message": (4, _BYTES),
        "registration_id": (5, _NUMBER),
        "signed_prekey_id": (6, _NUMBER),
    },
    "SenderKeyMessage": {"id": (1, _NUMBER), "iteration": (2, _NUMBER), "ciphertext": (3, _BYTES)},
    "SenderKeyDistributionMessage": {
        "id": (1, _NUMBER),
        "iteration": (2, _NUMBER),
        "chain_key": (3, _BYTES),
        "signing_key": (4, _BYTES),
    },
}


def _described() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="signal.proto", package="signal", syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for label, (number, kind) in fields.items():
            message.field.add(name=label, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_described())


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"signal.{name}"))


SignalMessage: Any = _message("SignalMessage")
PreKeySignalMessage: Any = _message("PreKeySignalMessage")
SenderKeyMessage: Any = _message("SenderKeyMessage")
SenderKeyDistributionMessage: Any = _message("SenderKeyDistributionMessage")


def written(message: Any) -> bytes:
    """Return a message behind its version byte."""
    return bytes([VERSION]) + bytes(message.SerializeToString())


def read(kind: Any, data: bytes, *required: str, behind: int = 0) -> Any:
    """Read a message of a kind; `behind` bytes at its end belong to its check.

    Raises:
        SignalError: it is no such message, of another version, or lacks a required field.
    """
    if len(data) <= 1 + behind or data[0] >> 4 != VERSION >> 4:
        raise SignalError("malformed", "too short, or of an unknown version")
    try:
        message = kind.FromString(data[1 : len(data) - behind])
    except DecodeError as error:
        raise SignalError("malformed", "no protobuf") from error
    missing = [name for name in required if not message.HasField(name)]
    if missing:
        raise SignalError("malformed", f"without {', '.join(missing)}")
    return message
