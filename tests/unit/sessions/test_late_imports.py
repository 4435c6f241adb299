"""Packages that are loaded at their first use only; each case in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_import_loads_nothing_and_the_first_use_the_real_package() -> None:
    code = """
from sessions.late_imports import defer
defer()
import segno
from segno import make_qr
import sys
before = "segno.encoder" in sys.modules
code = make_qr("hello")
import segno as again
print(before, type(code).__name__, again.make_qr("x").version is not None, "segno.encoder" in sys.modules)
"""
    assert run(code) == "False QRCode True True"


def test_what_is_loaded_already_stays() -> None:
    code = """
import segno
from sessions.late_imports import defer
defer()
import segno as again
print(again is segno, again.make_qr("x").version is not None)
"""
    assert run(code) == "True True"


def test_loading_the_client_loads_none_of_them() -> None:
    code = """
import sys
import sessions.neonize_client
from sessions.late_imports import LATE_PACKAGES
from types import ModuleType
print([name for name in LATE_PACKAGES if type(sys.modules.get(name)) is ModuleType])
"""
    assert run(code) == "[]"


@pytest.mark.parametrize(
    "use", ["httpx.Client().close()", "phonenumbers.parse('+491701234567')", "requests.Session().close()"]
)
def test_each_package_works_when_it_is_used_after_all(use: str) -> None:
    package = use.partition(".")[0]
    assert run(f"import sessions.neonize_client\nimport {package}\n{use}\nprint('works')") == "works"
