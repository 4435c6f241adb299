"""`python -m installation.wheels DIRECTORY`: TOWER and all it needs, as wheels, from the package index.

The one rule: everything after this works without a network; a set of wheels is complete or not there.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from installation.problem import Problem, run, told

OLDEST_PYTHON = (3, 11)
SOURCE = Path(__file__).resolve().parents[1]


def gather(directory: Path) -> None:
    """Make a set of wheels in a directory, and beside it the pip that made them.

    Raises:
        Problem: this Python does not do, or the index has not what is needed.
    """
    if sys.version_info < OLDEST_PYTHON:
        msg = (
            f"{sys.executable} is older than Python {'.'.join(map(str, OLDEST_PYTHON))}, which TOWER needs; "
            "name another one: make SYSTEM_PYTHON=/usr/bin/python3.12 …"
        )
        raise Problem(msg)
    pip = make_pip(directory)
    fresh = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    run(
        [*pip, "wheel", "--quiet", "--wheel-dir", fresh, SOURCE],
        "is the package index within reach?",
    )
    shutil.rmtree(directory, ignore_errors=True)
    fresh.rename(directory)


def make_pip(directory: Path) -> list[Path | str]:
    """Return the command of the pip beside a set of wheels; make it if need be.

    Raises:
        Problem: this Python cannot make virtual environments.
    """
    place = directory.with_name(f"{directory.name}.pip")
    if not (place / "bin" / "pip").exists():
        shutil.rmtree(place, ignore_errors=True)
        directory.parent.mkdir(parents=True, exist_ok=True)
        run([sys.executable, "-m", "venv", place], "does it have venv? On Debian: apt install python3-venv")
    # Not bin/pip: its first line names the place where it was made.
    return [place / "bin" / "python3", "-m", "pip", "--disable-pip-version-check"]


if __name__ == "__main__":
    sys.exit(told(lambda: gather(Path(sys.argv[1]))))
