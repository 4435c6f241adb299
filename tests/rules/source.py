"""The project's own source, as syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("sessions", "towerd", "towerctl")


@cache
def modules() -> dict[str, Path]:
    """Return all modules of the packages by their dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def imports(module: str) -> set[str]:
    """Return the dotted names that a module imports, at its top or anywhere inside."""
    found: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            # `from a import b` may import the module a.b.
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def importers(*names: str) -> set[str]:
    """Return the modules that import one of these names or anything inside it."""
    return {
        module
        for module in modules()
        if any(one == name or one.startswith(f"{name}.") for one in imports(module) for name in names)
    }


def calls(module: str, function: str) -> Iterator[ast.Call]:
    """Yield the calls of a function or method of a name in a module."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
            if name == function:
                yield node


def strings(module: str) -> set[str]:
    """Return the string constants of a module."""
    return {
        node.value
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def inside(module: str, *packages: str) -> bool:
    """Tell whether a module lies in one of the packages, or is one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)
