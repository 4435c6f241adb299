"""How the code is laid out: small files with a noun for a name, one rule each, and no side doors."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.rules.source import ROOT, calls, imports, inside, modules, tree

LINES = 500
NAMES = {"utils", "util", "helpers", "helper", "common", "core", "manager", "managers", "misc"}

# Modules without logic of their own: data, tables, or functions that do what their signature says.
WITHOUT_RULE = {
    "towerd.accounts.models",
    "towerd.accounts.migrations.0001_initial",
    "towerd.accounts.migrations.0002_claims_and_audit",
    "towerd.accounts.migrations.0011_seals",
    "towerd.accounts.migrations.0003_owners_of_what_happened",
    "towerd.accounts.migrations.0004_proxies",
    "towerd.accounts.migrations.0006_incidents",
    "towerd.accounts.migrations.0008_declarations",
    "towerd.protocol.framing",
    "towerd.protocol.states",
    "towerd.protocol.version",
    "towerd.rpc.handlers.accounts",
    "towerd.rpc.handlers.audit",
    "towerd.rpc.handlers.daemon",
    "towerd.rpc.handlers.events",
    "towerd.rpc.handlers.notify",
    "towerd.rpc.handlers.table",
    "towerd.rpc.handlers.keys",
    "towerd.rpc.handlers.webhook",
    "towerd.rpc.openrpc",
}
DAEMON = [name for name in modules() if inside(name, "towerd", "sessions")]


@pytest.mark.parametrize("module", list(modules()))
def test_file_is_short_enough_to_be_read(module: str) -> None:
    assert len(modules()[module].read_text().splitlines()) <= LINES


@pytest.mark.parametrize("module", list(modules()))
def test_name_is_a_noun_of_the_thing_and_no_drawer(module: str) -> None:
    assert not NAMES & set(module.split("."))


@pytest.mark.parametrize("module", [name for name in modules() if not modules()[name].name.startswith("000")])
def test_module_says_what_it_owns(module: str) -> None:
    docstring = ast.get_docstring(tree(module)) or ""
    assert docstring


@pytest.mark.parametrize("module", DAEMON)
def test_module_with_logic_says_its_one_rule(module: str) -> None:
    has_logic = any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree(module).body
    )
    has_rule = "The one rule:" in (ast.get_docstring(tree(module)) or "")
    assert has_rule is (has_logic and module not in WITHOUT_RULE)


def test_list_of_modules_without_a_rule_is_no_longer_than_it_must_be() -> None:
    assert set(modules()) >= WITHOUT_RULE


def environment_reads(module: str) -> Iterator[ast.AST]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv"):
            yield node
    yield from (node for name in ("getenv",) for node in calls(module, name))


def test_environment_is_read_where_it_is_said_to_be() -> None:
    readers = {module for module in DAEMON if any(environment_reads(module))}
    assert readers == {"towerd.paths", "towerd.logs", "towerd.systemd"}


def users_of(library: str, *names: str) -> set[str]:
    """Return the modules of the daemon that use an attribute of a library."""
    found = set()
    for module in DAEMON:
        for node in ast.walk(tree(module)):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == library
                and node.attr in names
            ):
                found.add(module)
    return found


def test_time_is_asked_of_the_clock() -> None:
    users = users_of("time", "time", "monotonic", "time_ns", "sleep")
    assert users <= {
        "towerd.clock",
        # These do not decide by it: a file's name, and how long a process lived.
        "towerd.accounts.rescue",
        "towerd.supervision.carrier",
        # How long a line to WhatsApp may take, on a thread that nobody's clock reaches.
        "towerd.doctor.route",
        # In the worker and on the way to it there is no daemon and no clock of it.
        "sessions.store",
        "sessions.image",
        "sessions.neonize_client",
        "sessions.library",
    }


def kept_configuration(module: str) -> Iterator[str]:
    """Yield what a module's objects keep of the configuration: `self.x = ….config.y` or `….current`."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Assign) and any(isinstance(target, ast.Attribute) for target in node.targets):
            value = node.value
            while isinstance(value, ast.Attribute):
                if value.attr in ("config", "current"):
                    yield ast.unparse(node)
                value = value.value


def test_nobody_keeps_a_piece_of_the_configuration_that_a_reload_would_not_reach() -> None:
    keepers = {module: list(kept_configuration(module)) for module in DAEMON if module != "towerd.settings"}
    assert {module: found for module, found in keepers.items() if found} == {}
    assert list(kept_configuration("towerd.settings"))


def test_processes_are_started_behind_the_seam() -> None:
    starters = {module for module in DAEMON if imports(module) & {"subprocess", "multiprocessing"}}
    # One starts our own workers, the other what somebody else wrote.
    assert starters <= {"towerd.supervision.nursery", "towerd.errand"}


def test_nothing_is_written_to_standard_output_by_the_daemon() -> None:
    assert {module for module in DAEMON if any(calls(module, "print"))} == set()


@pytest.mark.parametrize("module", list(modules()))
def test_every_package_is_one_that_is_installed(module: str) -> None:
    directory = modules()[module].parent
    while directory != ROOT:
        # Migrations are files that the library reads by their path.
        assert (directory / "__init__.py").exists() or directory.name == "migrations"
        directory = directory.parent
