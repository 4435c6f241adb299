"""docs/faults.md names tests that exist and every test of the fault matrix, and no row forgets the others.

The one rule: what the page says of the other accounts is what the named test holds to, at the simulator.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
E2E = ROOT / "tests/e2e"
ROWS = re.findall(r"\| ([\w ]+) \| (test_\w+) \|$", (ROOT / "docs/faults.md").read_text(), re.MULTILINE)
# What the page may say of the other accounts, and what of tests/e2e/bystander.py holds it.
HELD_BY = {"stay": "stays_connected", "come back": "comes_back"}

Functions = dict[str, ast.FunctionDef]


def functions_of(path: Path) -> Functions:
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


SHARED = functions_of(E2E / "conftest.py")
BY_FILE = {path.name: functions_of(path) for path in E2E.glob("test_*.py")}


def used_by(name: str, functions: Functions, seen: set[str]) -> set[str]:
    """Return the names of all fixtures that a test asks for and of all that they and it call."""
    seen.add(name)
    function = functions.get(name)
    if function is not None:
        asked = [argument.arg for argument in function.args.args]
        called = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
        named = [one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", "") for one in called]
        for other in {*asked, *named} - seen:
            used_by(other, functions, seen)
    return seen


def test_every_row_names_a_test_that_exists_and_every_fault_test_has_a_row() -> None:
    named = {test for _, test in ROWS}
    rows = re.findall(r"^\| .* \|$", (ROOT / "docs/faults.md").read_text(), re.MULTILINE)
    assert len(ROWS) == len([row for row in rows if not row.startswith("| fault |")])
    assert named - {name for functions in BY_FILE.values() for name in functions} == set()
    # Not faults: what holds all the time, and how to end a hold by hand.
    ordinary = {
        "test_last_seen_moves_while_the_session_lives",
        "test_the_breaker_is_closed_by_command",
        "test_the_version_presented_to_whatsapp_is_the_one_that_we_tell",
    }
    faults = {name for name in BY_FILE["test_faults.py"] if name.startswith("test_")}
    assert faults - ordinary - named == set()


@pytest.mark.parametrize(("others", "test"), ROWS, ids=[test for _, test in ROWS])
def test_every_row_holds_what_it_says_of_the_other_accounts(others: str, test: str) -> None:
    functions = SHARED | next(known for known in BY_FILE.values() if test in known)
    used = used_by(test, functions, set())
    assert {way for way in HELD_BY.values() if way in used} == {HELD_BY[others]}
