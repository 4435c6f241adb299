"""Fixtures: packages, built once, and machines to install them on.

The one rule: where there can be no such machine every test says why, at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import packages
from tests.system.life import PLACE
from tests.system.machine import Machine, why_not
from tests.system.whatsapp import BINDS


@pytest.fixture(scope="session")
def possible() -> None:
    """Skip where there can be no machine, or no package."""
    reason = why_not() or packages.why_not()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def place(possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return where the packages are."""
    directory = tmp_path_factory.mktemp("packages")
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def package(place: Path) -> Path:
    """Return the package of this checkout."""
    return packages.build(place)


@pytest.fixture(scope="session")
def newer_package(place: Path) -> Path:
    """Return the package of the next version."""
    return packages.build_newer(place)


@pytest.fixture
def server(package: Path) -> Iterator[Machine]:
    """Return a machine that has booted with the service of the package."""
    with Machine(BINDS) as booted:
        packages.unpack(package, booted.root)
        booted.boot()
        yield booted


@pytest.fixture
def machine(place: Path) -> Iterator[Machine]:
    """Return a machine that has booted and sees the packages."""
    with Machine(BINDS | {PLACE: place}) as booted:
        booted.boot()
        yield booted
