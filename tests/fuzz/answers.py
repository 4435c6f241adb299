"""What a line of a client must be answered with, and whether an answer is well formed.

The one rule: nothing is taken from the daemon's own dispatch: this is JSON-RPC 2.0 and tower-rpc(7) once
more, said shortly. Only what JSON is, is left to the decoder.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from towerd.protocol.errors import ERRORS

Key = tuple[str, ...]
"""An answer as it can be told from others: the id that it carries, or those of a batch."""

NO_ID: Key = ("NoneType", "None")
_LONGEST_BATCH = 256
_MAX_ERROR_BYTES = 16 * 1024


def expected(line: bytes) -> Key | None:
    """Return what the answer to a line carries; None when there must be none."""
    if not line.strip():
        return None
    try:
        request = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO_ID
    if not isinstance(request, list):
        return _expected_of_one(request)
    if not request or len(request) > _LONGEST_BATCH:
        return NO_ID
    keys = [key for one in request if (key := _expected_of_one(one)) is not None]
    return ("batch", *sorted("/".join(key) for key in keys)) if keys else None


def _expected_of_one(request: object) -> Key | None:
    if not isinstance(request, dict):
        return NO_ID
    is_call = request.get("jsonrpc") == "2.0" and isinstance(request.get("method"), str)
    if "id" not in request:
        return None if is_call else NO_ID
    return _key(request["id"])


def _key(identifier: object) -> Key:
    is_usable = isinstance(identifier, str | int | float) and not isinstance(identifier, bool)
    return (type(identifier).__name__, repr(identifier)) if is_usable else NO_ID


def carried(answer: Any) -> Key:
    """Return what an answer carries."""
    if isinstance(answer, list):
        return ("batch", *sorted("/".join(_key(one.get("id"))) for one in answer))
    return _key(answer.get("id"))


def faults(answer: Any) -> list[str]:
    """Return what is wrong with an answer."""
    if isinstance(answer, list):
        return ["an empty batch"] if not answer else [fault for one in answer for fault in faults(one)]
    if not isinstance(answer, dict):
        return ["an answer is an object"]
    found = []
    if set(answer) not in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"}):
        found.append(f"its members are {sorted(answer)}")
    if answer.get("jsonrpc") != "2.0":
        found.append("it does not say that it is JSON-RPC 2.0")
    if "result" in answer and not isinstance(answer["result"], dict):
        found.append("a result is an object")
    if "error" in answer:
        found += _faults_of_error(answer["error"])
    return found


def _faults_of_error(error: Any) -> list[str]:
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return ["an error is an object with a message"]
    data = error.get("data")
    slug = data.get("slug") if isinstance(data, dict) else None
    kind = ERRORS.get(slug or "")
    if kind is None or (kind.code, int(kind.exit)) != (error.get("code"), data.get("exit")):
        return [f"the table of errors does not have it: {error}"]
    found = [f"a bug is admitted: {error}"] if slug == "internal-error" else []
    if "\n" in error["message"] or "Traceback" in error["message"]:
        found.append(f"an error is one line: {error['message'][:200]!r}")
    if len(msgspec.json.encode(error)) > _MAX_ERROR_BYTES:
        found.append(f"an error of {len(msgspec.json.encode(error))} bytes: {error['message'][:200]!r}")
    return found


def difference(want: Counter[Key], got: Counter[Key]) -> str:
    """Say which answers are missing and which are too many."""
    return f"missing: {dict(want - got)}; too many: {dict(got - want)}"
