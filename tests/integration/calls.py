"""How every method is called when the question is whether it may be called."""

from __future__ import annotations

from typing import Any

import msgspec

from towerd.protocol.methods import METHODS

# What a call needs besides an account to get as far as the question whether it may.
PARAMS: dict[str, dict[str, Any]] = {
    "account.add": {"pair": False},
    "account.adopt": {"transfer": "none", "key": "A" * 43 + "="},
    "account.export": {"key": "A" * 43 + "="},
    "account.import": {"accounts": [{"table": {"name": "nobodys"}}], "dry_run": True},
    "account.wait": {"states": ["unpaired"]},
    "event.unsubscribe": {"subscription": "none"},
    "message.send": {"to": "+491701234567", "text": "hello"},
    "transfer.read": {"transfer": "none"},
    "transfer.write": {"transfer": "none", "data": ""},
    "webhook.retry": {"endpoint": "none"},
    "webhook.test": {"endpoint": "none"},
}


def takes_account(method: str) -> bool:
    """Tell whether a method is about an account."""
    return any(field.name == "account" for field in msgspec.structs.fields(METHODS[method].params))


def params_of(method: str, account: str) -> dict[str, Any]:
    """Return parameters that are in order, about an account where the method takes one."""
    params = PARAMS.get(method, {}) | ({"account": account} if takes_account(method) else {})
    missing = {
        field.name for field in msgspec.structs.fields(METHODS[method].params) if field.required
    } - params.keys()
    assert not missing, f"say in PARAMS with which {', '.join(missing)} {method} is to be called here"
    return params
