"""The virtual environment of an installation, made in one place to be used in another.

The one rule: nothing in it names the place where it was made.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from installation.problem import Problem, run
from installation.wheels import make_pip

COMMANDS = ("towerctl", "towerd")

HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"), Path("/tmp"), Path("/var/tmp"))  # noqa: S108
"""What the service does not see: ProtectHome= and PrivateTmp= of its unit."""


def build(place: Path, final: Path, wheels: Path) -> None:
    """Make an environment in `place` that works when it lies in `final`.

    Raises:
        Problem: the service could not use it there, or a wheel is missing.
    """
    _check(final)
    interpreter = place / "bin" / "python3"
    run([sys.executable, "-m", "venv", "--without-pip", place], "is its venv complete?")
    run(
        [
            *(*make_pip(wheels), "--python", interpreter, "install", "--quiet", "--no-compile"),
            *("--root-user-action", "ignore", "--no-index", "--find-links", wheels, "tower"),
        ],
        "make the wheels anew: make clean",
    )
    _settle(place, final)
    _compile(place, final)


def _check(final: Path) -> None:
    for what, path in (("the prefix", final), ("this Python", Path(sys.executable).resolve())):
        if any(path.is_relative_to(hidden) for hidden in HIDDEN):
            msg = (
                f"{what} lies where the service cannot see it: {path}; "
                "name another one: make install PREFIX=/usr/local SYSTEM_PYTHON=/usr/bin/python3"
            )
            raise Problem(msg)


def _settle(place: Path, final: Path) -> None:
    """Leave the two commands and what they need, with the final path wherever a path stands."""
    for file in (place / "bin").iterdir():
        if file.name in COMMANDS:
            _readdress(file, place, final)
        elif not file.name.startswith("python"):
            file.unlink()
    _readdress(place / "pyvenv.cfg", place, final)
    for unused in ("include", "share"):
        shutil.rmtree(place / unused, ignore_errors=True)
    for file in (place / "lib").rglob("*"):
        if file.is_file():
            # As wheels have it, many are executable that nobody executes.
            file.chmod(0o644)


def _readdress(file: Path, place: Path, final: Path) -> None:
    file.write_bytes(file.read_bytes().replace(bytes(place), bytes(final)))


def _compile(place: Path, final: Path) -> None:
    """Compile all of it: as a service it could not write what it compiled.

    The files are never looked at for changes, so that their times, which packages alter, do not matter.
    """
    compiling = ("-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash")
    run([place / "bin" / "python3", *compiling, "-s", place, "-p", final, place / "lib"], "see what it said")
