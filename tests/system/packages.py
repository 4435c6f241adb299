"""The packages that the tests install: of this checkout, and of one that is a version ahead.

The one rule: both are built as anybody would build them, by `make deb`.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from installation.wheels import OLDEST_PYTHON
from tests.system.whatsapp import CHECKOUT

_NEEDED = ("python3", "python3-venv", "systemd", "init-system-helpers", "ca-certificates")
_PYTHON = "/usr/bin/python3"
_KEPT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "__pycache__", ".*_cache", "node_modules"
)


def why_not() -> str | None:
    """Return what is missing for building and installing a package, None when nothing is."""
    for program in ("make", "dpkg-deb", "dpkg"):
        if shutil.which(program) is None:
            return f"{program} is not installed: packages are built on Debian"
    if any(Path(prefix, "lib/tower").exists() for prefix in ("/usr", "/usr/local")):
        return "TOWER is installed on this machine, and would be on the other before the test begins"
    for needed in _NEEDED:
        if _said_by("dpkg-query", "--status", needed) is None:
            return f"{needed} is not installed (apt install {needed})"
    version = _said_by(_PYTHON, "-c", "import sys; print(*sys.version_info[:2])")
    if version is None or tuple(map(int, version.split())) < OLDEST_PYTHON:
        return f"{_PYTHON} is older than TOWER needs"
    return None


def _said_by(*command: str) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def gather_wheels() -> None:
    """Gather what `make install` needs, so that a machine without a network finds it there."""
    with _alone_in(CHECKOUT):
        subprocess.run(["make", "--silent", "build/wheels/complete"], cwd=CHECKOUT, check=True)


def build(place: Path, checkout: Path = CHECKOUT) -> Path:
    """Build the package of a checkout and return a copy of it in `place`."""
    with _alone_in(checkout):
        command = ["make", "--silent", "deb"]
        done = subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.PIPE, text=True)
        return Path(shutil.copy(done.stdout.split()[-1], place))


def build_newer(place: Path) -> Path:
    """Build the package of a copy of this checkout that calls itself a later version."""
    with tempfile.TemporaryDirectory(prefix="tower-newer-") as directory:
        copy = Path(directory) / "checkout"
        shutil.copytree(CHECKOUT, copy, ignore=_KEPT_OUT)
        for name, key in (("pyproject.toml", "version"), ("towerd/__init__.py", "__version__")):
            file = copy / name
            pattern = rf'^({key} = "\d+\.\d+\.)(\d+)(")$'
            text, count = re.subn(pattern, _a_version_ahead, file.read_text(), flags=re.MULTILINE)
            assert count == 1, name
            file.write_text(text)
        return build(place, copy)


@contextlib.contextmanager
def _alone_in(checkout: Path) -> Iterator[None]:
    """Keep others of these tests out of the directory `build` of a checkout."""
    (checkout / "build").mkdir(exist_ok=True)
    with (checkout / "build/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def unpack(package: Path, root: Path) -> None:
    """Put a package into a machine that has not booted, much as dpkg would, and faster."""
    for command in (
        ("dpkg-deb", "--extract", package, root),
        ("systemd-sysusers", f"--root={root}", root / "usr/lib/sysusers.d/tower.conf"),
        ("systemctl", f"--root={root}", "--quiet", "enable", "towerd.socket", "towerd.service"),
    ):
        subprocess.run(command, check=True, capture_output=True)


def _a_version_ahead(found: re.Match[str]) -> str:
    return f"{found[1]}{int(found[2]) + 1}{found[3]}"
