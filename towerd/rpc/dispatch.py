"""From a request object to a response object, and every error to its place on the wire.

The one rule: no exception leaves here. What is not a `TowerError` is a bug: its traceback goes to the log,
and the client is told no more than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from itertools import islice
from typing import Any, get_type_hints

import msgspec

from towerd.protocol.errors import Field, TowerError
from towerd.protocol.methods import METHODS, Method
from towerd.protocol.parameters import Params
from towerd.rpc.call import Call
from towerd.rpc.handlers.table import HANDLERS
from towerd.wording import choices_of, in_words

log = logging.getLogger(__name__)

_MOST_UNKNOWN = 20
"""Unknown parameters that an answer names: what a client gets back is no multiple of what it sent."""
_HINTS = {name: get_type_hints(method.params, include_extras=True) for name, method in METHODS.items()}
_REQUIRED = {
    name: [field.name for field in msgspec.structs.fields(method.params) if field.required]
    for name, method in METHODS.items()
}


async def dispatch(request: object, call: Call) -> dict[str, Any] | None:
    """Answer one request object.

    Returns:
        The response, or None for a notification, which is never answered.
    """
    try:
        method, raw = _envelope(request)
        answer: dict[str, Any] = {"result": await _handle(method, decode_params(method, raw), call)}
    except TowerError as error:
        answer = {"error": error.to_wire()}
    except OSError as error:
        log.exception("a request failed")
        answer = {"error": _disk_error(error).to_wire()}
    except Exception:
        log.exception("internal error while answering a request")
        answer = {
            "error": TowerError("internal-error", "internal error, see the journal of towerd").to_wire()
        }
    if isinstance(request, dict) and _is_request(request) and "id" not in request:
        return None
    return {"jsonrpc": "2.0", "id": id_of(request), **answer}


def id_of(request: object) -> object:
    """Return the id that the answer to a request carries; None when it has none that can be given back."""
    request_id: object = request.get("id") if isinstance(request, dict) else None
    return request_id if _is_id(request_id) else None


async def _handle(method: str, params: Params, call: Call) -> object:
    """Have a request handled, and note in the audit log who changed what."""
    own = call.for_request(method)
    outcome = "internal-error"
    began = call.services.clock.monotonic()
    try:
        if METHODS[method].right == "admin":
            own.caller.require_daemon("admin")
        result = await HANDLERS[method](own, params)
        outcome = "done"
    except TowerError as error:
        outcome = error.slug
        own.notes.append(error.message)
        if own.about:
            error.name_account(own.address(own.about[0]))
        raise
    except asyncio.CancelledError:
        # The command goes on; how it ends is in the account's own rows.
        outcome = "client-gone"
        raise
    finally:
        seconds = call.services.clock.monotonic() - began
        call.services.metrics.answered(method, seconds, None if outcome == "done" else outcome)
        if outcome == "not-permitted" or _is_audited(METHODS[method]):
            await _audit(method, own, outcome)
    return result


def _is_audited(method: Method) -> bool:
    return method.is_audited and method.right not in ("everybody", "read")


async def _audit(method: str, call: Call, outcome: str) -> None:
    record = call.about[0] if call.about else None
    call.services.auditor.by_peer(
        call.peer.uid, call.peer.pid, method, record, result=outcome, detail="; ".join(call.notes) or None
    )
    # A failing audit write stops nothing; the ledger says so and tries again.
    with contextlib.suppress(TowerError):
        await call.services.ledger.settle()


def _is_id(value: object) -> bool:
    return value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))


def _is_request(request: dict[str, Any]) -> bool:
    return request.get("jsonrpc") == "2.0" and isinstance(request.get("method"), str)


def _envelope(request: object) -> tuple[str, dict[str, Any]]:
    """Take a request apart.

    Raises:
        TowerError: `invalid-request`, `method-not-found`, `invalid-params`.
    """
    if not isinstance(request, dict) or not _is_request(request) or not _is_id(request.get("id")):
        raise TowerError(
            "invalid-request", "not a JSON-RPC 2.0 request: jsonrpc, method and id are looked at"
        )
    method = request["method"]
    if method not in METHODS:
        raise TowerError("method-not-found", f"no method {method[:100]}", hint="rpc.discover lists them all")
    params = request.get("params", {})
    if not isinstance(params, dict):
        raise TowerError("invalid-params", "params must be an object: parameters go by name")
    return method, params


def decode_params(method: str, raw: dict[str, Any]) -> Params:
    """Check all parameters and return them typed.

    Raises:
        TowerError: `invalid-params`, with every field that is wrong.
    """
    hints = _HINTS[method]
    unknown = (name for name in raw if name not in hints)
    mistakes = [
        Field(field=name[:100], why=f"unknown; known are {', '.join(hints) or 'none'}")
        for name in islice(unknown, _MOST_UNKNOWN)
    ]
    for name, hint in hints.items():
        if name not in raw:
            continue
        try:
            msgspec.convert(raw[name], hint)
        except msgspec.ValidationError as error:
            mistakes.append(Field(field=name, why=in_words(str(error), choices=choices_of(hint))))
    mistakes += [Field(field=name, why="is missing") for name in _REQUIRED[method] if name not in raw]
    if mistakes:
        words = "; ".join(f"{bad.field}: {bad.why}" for bad in mistakes)
        raise TowerError("invalid-params", words, fields=tuple(mistakes))
    return msgspec.convert(raw, METHODS[method].params)


def _disk_error(error: OSError) -> TowerError:
    return TowerError(
        "registry-unavailable",
        f"the state directory cannot be used: {error.strerror or error}",
        hint="look at the disk and the permissions of the state directory, then try again",
    )
