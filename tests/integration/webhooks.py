"""Endpoints in a daemon's configuration, and what one asks it about them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.towerd import DEADLINE_SECONDS, Towerd

SECRET = "0123456789abcdef0123456789abcdef"


def secret_in(directory: Path, secret: str = SECRET) -> Path:
    """Write a secret and return its file."""
    file = directory / "webhook.secret"
    file.write_text(f"{secret}\n")
    file.chmod(0o600)
    return file


def configure(towerd: Towerd, *endpoints: dict[str, Any], **keys: Any) -> None:
    """Write a configuration with these endpoints, which may be on this machine."""
    file = secret_in(towerd.directory) if not (towerd.directory / "webhook.secret").exists() else None
    secret = str(file or towerd.directory / "webhook.secret")
    lines = ["[webhook]", *_lines({"retry_seconds": 0.05, "attempts": 100} | keys)]
    for endpoint in endpoints:
        defaults = {"secret_file": secret, "allow_private": True}
        lines += ["[[webhook.endpoints]]", *_lines(defaults | endpoint)]
    towerd.config.write_text("\n".join(lines) + "\n")


def _lines(keys: dict[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in keys.items()]


def deliveries(towerd: Towerd, **params: Any) -> list[dict[str, Any]]:
    """Return what was and is to be delivered."""
    found: list[dict[str, Any]] = towerd.ask("webhook.deliveries", limit=10000, **params)["deliveries"]
    return found


def webhook(towerd: Towerd, name: str) -> dict[str, Any]:
    """Return how an endpoint does."""
    found: dict[str, Any] = next(one for one in towerd.ask("webhook.list")["webhooks"] if one["name"] == name)
    return found


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds; fail when it does not within the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
