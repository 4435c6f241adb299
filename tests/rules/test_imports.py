"""Dependencies point one way, and each foreign library has one door."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.rules.source import ROOT, importers, imports, inside, modules

OURS = ("sessions", "towerd", "towerctl")


def foreign(module: str, *allowed: str) -> set[str]:
    """Return what a module imports of our packages beyond what is allowed."""
    return {
        name
        for name in imports(module)
        if inside(name, *OURS)
        and not inside(name, *allowed)
        and any(inside(one, name) for one in modules())
        # `import a.b` names the packages on the way too.
        and not any(one.startswith(f"{name}.") for one in allowed)
    }


@pytest.mark.parametrize("module", [name for name in modules() if inside(name, "towerctl")])
def test_command_line_knows_the_protocol_only(module: str) -> None:
    assert foreign(module, "towerctl", "towerd.protocol") == set()


@pytest.mark.parametrize("module", [name for name in modules() if inside(name, "sessions")])
def test_sessions_know_nothing_of_the_others(module: str) -> None:
    assert foreign(module, "sessions") == set()


@pytest.mark.parametrize("module", [name for name in modules() if inside(name, "towerd.protocol")])
def test_protocol_knows_itself_and_the_states(module: str) -> None:
    assert foreign(module, "towerd.protocol", "sessions.states") == set()


@pytest.mark.parametrize("module", [name for name in modules() if inside(name, "towerd")])
def test_daemon_knows_the_messages_and_never_the_engine(module: str) -> None:
    light = (
        *("births", "incoming", "messages", "states", "store", "redactor", "library"),
        *("fence", "image", "keyring", "keys", "parcel", "seal", "sealed_store"),
    )
    assert foreign(module, "towerd", *(f"sessions.{name}" for name in light)) == set()


# A package below another that no module above may know.
LAYERS = [
    ("towerd.accounts", ("towerd.supervision", "towerd.rpc", "towerd.daemon", "towerd.events")),
    ("towerd.supervision", ("towerd.rpc", "towerd.daemon", "towerd.events")),
    ("towerd.rpc", ("towerd.daemon",)),
]


@pytest.mark.parametrize(("below", "above"), LAYERS)
def test_lower_package_does_not_know_the_higher(below: str, above: tuple[str, ...]) -> None:
    wrong = {
        module: sorted(name for name in imports(module) if inside(name, *above))
        for module in modules()
        if inside(module, below)
    }
    assert {module: names for module, names in wrong.items() if names} == {}


DOORS = [
    (("neonize",), {"sessions.neonize_client"}),
    (
        ("peewee", "playhouse"),
        {
            "towerd.accounts.models",
            "towerd.accounts.postbox",
            "towerd.accounts.registry",
            "towerd.accounts.transactions",
        },
    ),
    (("segno",), {"towerd.qr"}),
    (("platformdirs",), {"towerd.paths"}),
    (("cryptography",), {"sessions.seal", "sessions.image", "sessions.keyring"}),
    (("watchdog",), {"towerd.watch"}),
]


@pytest.mark.parametrize(("library", "doors"), DOORS)
def test_library_has_one_door(library: tuple[str, ...], doors: set[str]) -> None:
    assert importers(*library) == doors


@pytest.mark.parametrize("library", ["click", "rich"])
def test_library_belongs_to_the_command_line(library: str) -> None:
    found = importers(library)
    assert found
    assert {module for module in found if not inside(module, "towerctl")} == set()


@pytest.mark.parametrize("library", ["msgspec", "asyncio"])
def test_library_is_not_for_the_command_line(library: str) -> None:
    assert {module for module in importers(library) if inside(module, "towerctl")} == set()


def loaded_by(module: str) -> set[str]:
    """Return what a fresh interpreter has loaded after importing a module."""
    code = f"import {module}, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    )
    return set(done.stdout.split())


# The library's own heavy parts stand for it: neonize is the Go runtime, 64 MB and half a second.
HEAVY = [
    (
        "towerctl.cli",
        {"neonize", "peewee", "msgspec", "asyncio", "segno", "rich", "platformdirs", "watchdog"},
    ),
    (
        "towerd.daemon",
        {
            *("neonize", "pylibmagic", "magic", "click", "rich", "sessions.session", "sessions.worker"),
            # 8 MB, which only a daemon with a key pays.
            "cryptography",
        },
    ),
    ("towerd.__main__", {"neonize", "pylibmagic", "magic", "click", "rich", "cryptography"}),
    ("sessions.session", {"neonize", "peewee", "click", "towerd"}),
    ("towerd.protocol.errors", {"msgspec", "peewee", "asyncio", "click"}),
    ("towerd.protocol.states", {"msgspec", "peewee", "asyncio"}),
]


@pytest.mark.parametrize(("module", "heavy"), HEAVY)
def test_import_is_light(module: str, heavy: set[str]) -> None:
    loaded = loaded_by(module)
    assert module in loaded
    assert loaded & heavy == set()
