"""Every table is complete: methods, errors, triggers, reasons, and the manuals that repeat them."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest

from sessions.states import State, Trigger
from tests.rules.source import ROOT, calls, inside, modules, strings, tree
from towerd.__main__ import parser
from towerd.config import Config, Section
from towerd.declarations import AccountTable, LimitsTable
from towerd.protocol.errors import ERRORS
from towerd.protocol.methods import METHODS, Right
from towerd.reasons import REASONS
from towerd.rpc.handlers.table import HANDLERS

# Errors of the contract that nothing raises yet, and with what they come.
RESERVED = {
    "passkey-required": "a failed pairing says it in its reason",
    "worker-lost": "sending messages",
    "shutting-down": "requests while the daemon stops",
}


def slugs_raised() -> dict[str, set[str]]:
    """Return every slug that the source gives to an error, with the modules that do."""
    found: dict[str, set[str]] = {}
    for module in modules():
        if not inside(module, "towerd"):
            continue
        for name in ("TowerError", "_refuse"):
            for call in calls(module, name):
                first = call.args[0] if call.args else None
                if isinstance(first, ast.Constant):
                    found.setdefault(str(first.value), set()).add(module)
    return found


def test_every_method_has_a_handler_and_every_handler_a_method() -> None:
    assert set(HANDLERS) == set(METHODS)
    assert list(HANDLERS) == sorted(HANDLERS)


def test_handler_says_what_its_method_says() -> None:
    assert {method for method, handler in HANDLERS.items() if not (handler.__doc__ or "").strip()} == set()


def test_every_slug_that_is_raised_is_in_the_table() -> None:
    raised = slugs_raised()
    assert raised
    assert {slug: where for slug, where in raised.items() if slug not in ERRORS} == {}


@pytest.mark.parametrize("slug", list(ERRORS))
def test_every_error_is_raised_or_reserved(slug: str) -> None:
    assert (slug in slugs_raised()) is (slug not in RESERVED)


def test_only_errors_of_the_table_are_reserved() -> None:
    assert set(RESERVED) <= set(ERRORS)


def triggers_used() -> set[str]:
    return {
        node.attr
        for module in modules()
        if inside(module, "towerd")
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Trigger"
    }


@pytest.mark.parametrize("trigger", list(Trigger))
def test_every_trigger_of_the_machine_is_pulled_somewhere(trigger: Trigger) -> None:
    assert trigger.name in triggers_used()


@pytest.mark.parametrize("reason", list(REASONS))
def test_every_reason_is_given_somewhere(reason: str) -> None:
    givers = {module for module in modules() if module != "towerd.reasons" and reason in strings(module)}
    assert any(inside(module, "towerd", "sessions") for module in givers)


# --- the manuals -----------------------------------------------------------------------------------------


def manual(name: str) -> str:
    """Return a manual page's text without its fonts and escapes."""
    source = (ROOT / "man" / name).read_text(encoding="utf-8")
    return re.sub(r"\\f.|\\&", "", source).replace(r"\-", "-")


def stands_in(word: str, text: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", text) is not None


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_stands_in_the_manual_with_its_parameters(method: str) -> None:
    text = manual("tower-rpc.7")
    assert stands_in(method, text)
    for field in msgspec.structs.fields(METHODS[method].params):
        assert stands_in(field.name, text), field.name


def test_manual_lists_every_method_under_its_right() -> None:
    section = manual("tower-rpc.7").partition(".SS Who may call")[2].partition(".SS")[0]
    listed = {
        right: set(re.findall(r"\b[a-z]+\.[a-z]+\b", words.partition(".P\n")[0]))
        for right, words in re.findall(r"\.TP\n\.B (\w+)\n(.*?)(?=\.TP|$)", section, re.DOTALL)
    }
    assert listed == {
        right: {name for name, method in METHODS.items() if method.right == right}
        for right in get_args(Right)
    }


@pytest.mark.parametrize("slug", list(ERRORS))
@pytest.mark.parametrize("page", ["towerctl.1", "tower-rpc.7"])
def test_every_error_stands_in_both_manuals(slug: str, page: str) -> None:
    assert stands_in(slug, manual(page))


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("page", ["towerctl.1", "tower-rpc.7"])
def test_every_state_stands_in_both_manuals(state: State, page: str) -> None:
    assert stands_in(state.value, manual(page))


@pytest.mark.parametrize("section", [field.name for field in msgspec.structs.fields(Config)])
def test_every_key_of_the_configuration_stands_in_its_manual_with_its_default(section: str) -> None:
    text = manual("tower.toml.5")
    assert f"[{section}]" in text
    kinds = [type(getattr(Config(), section))]
    for kind in kinds:
        for name, inner in get_type_hints(kind).items():
            assert stands_in(name, text), name
            # A key that is an array of tables has keys of its own.
            kinds += [row for row in get_args(inner) if isinstance(row, type) and issubclass(row, Section)]


def test_every_key_of_a_declared_account_stands_in_its_manual() -> None:
    section = manual("tower.toml.5").partition(".SH ACCOUNTS")[2].partition("\n.SH")[0]
    for table in (AccountTable, LimitsTable):
        for field in msgspec.structs.fields(table):
            assert stands_in(field.name, section), field.name


@pytest.mark.parametrize(
    "option", [option for action in parser()._actions for option in action.option_strings if option != "-h"]
)
def test_every_option_of_towerd_stands_in_its_manual(option: str) -> None:
    assert option in manual("towerd.8")


@pytest.mark.parametrize("variable", ["TOWER_SOCKET", "TOWER_STATE_DIR", "TOWER_CONFIG", "XDG_RUNTIME_DIR"])
def test_every_variable_of_the_environment_stands_in_the_manual_of_towerd(variable: str) -> None:
    assert variable in manual("towerd.8")


@pytest.mark.parametrize("status", ["0", "1", "2", "75", "78"])
def test_every_exit_status_of_towerd_stands_in_its_manual(status: str) -> None:
    section = manual("towerd.8").partition("EXIT STATUS")[2].partition(".SH")[0]
    assert re.search(rf"\b{status}\b", section)


def test_manuals_name_no_path_of_a_checkout() -> None:
    for page in (ROOT / "man").iterdir():
        assert str(Path.home()) not in page.read_text(encoding="utf-8")
