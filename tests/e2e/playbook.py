"""Tasks of Ansible run without Ansible: as much of it as our document uses.

The one rule: a key of a task that is not known here is an error, never passed over.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jinja2
import yaml

_KEYS = {
    "name",
    "register",
    "when",
    "changed_when",
    "failed_when",
    "ansible.builtin.command",
    "ansible.builtin.debug",
}


@dataclass(slots=True, kw_only=True)
class Play:
    """What came of it: the names of the tasks that changed something, and what was said."""

    changed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


_JINJA = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
_JINJA.filters |= {"from_json": json.loads, "to_json": json.dumps}


def tasks(text: str) -> list[dict[str, Any]]:
    """Read a file of tasks."""
    found: list[dict[str, Any]] = yaml.safe_load(text)
    for task in found:
        unknown = set(task) - _KEYS
        assert not unknown, unknown
    return found


def play(text: str, *, variables: Mapping[str, Any], environment: Mapping[str, str]) -> Play:
    """Run tasks one after the other.

    Raises:
        AssertionError: a task failed.
    """
    known = dict(variables)
    came = Play()
    for task in tasks(text):
        if "when" in task and not _holds(task["when"], known):
            came.skipped.append(task["name"])
        elif "ansible.builtin.debug" in task:
            came.said.append(_rendered(task["ansible.builtin.debug"]["msg"], known))
        else:
            _command(task, known, came, environment)
    return came


def _command(task: dict[str, Any], known: dict[str, Any], came: Play, environment: Mapping[str, str]) -> None:
    arguments = [_rendered(str(one), known) for one in task["ansible.builtin.command"]["argv"]]
    done = subprocess.run(
        arguments, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    known[task.get("register", "_")] = {
        "rc": done.returncode,
        "stdout": done.stdout,
        "stderr": done.stderr,
        "stderr_lines": done.stderr.splitlines(),
    }
    has_failed = _holds(task["failed_when"], known) if "failed_when" in task else done.returncode != 0
    assert not has_failed, (task["name"], done)
    if _holds(task["changed_when"], known):
        came.changed.append(task["name"])


def _holds(condition: object, known: Mapping[str, Any]) -> bool:
    if isinstance(condition, bool):
        return condition
    return bool(_JINJA.compile_expression(str(condition), undefined_to_none=False)(**known))


def _rendered(text: str, known: Mapping[str, Any]) -> str:
    return _JINJA.from_string(text).render(known)
