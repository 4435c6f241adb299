"""What benchmarks share: the full form only on demand, and one table at the end.

The one rule: a plain `pytest` runs the quick forms, which only show that the benchmarks still run;
`-m benchmark` runs the full ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.measure import Figure, machine, table
from tests.whatsapp.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_FIGURES = pytest.StashKey[list[Figure]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the full forms out unless they are asked for."""
    if "benchmark" in config.getoption("markexpr"):
        return
    full = [item for item in items if item.get_closest_marker("benchmark")]
    if full:
        config.hook.pytest_deselected(items=full)
        items[:] = [item for item in items if item not in full]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of the full forms."""
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section("benchmarks")
        terminalreporter.write_line(machine())
        terminalreporter.write_line(table(figures))


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[[Figure], Figure]:
    """Take a figure into the table and hand it back."""
    figures = request.config.stash.setdefault(_FIGURES, [])

    def take(figure: Figure) -> Figure:
        figures.append(figure)
        return figure

    return take


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    with Simulator.start(tmp_path / "simulator") as started:
        yield started
