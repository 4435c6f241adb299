"""`pipx install` from what is published: an sdist, and the wheel that is made of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.tower import Tower
from tests.system.whatsapp import CHECKOUT

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory for two environments, too large to be kept as other tests' are."""
    with tempfile.TemporaryDirectory(prefix="tower-pipx-") as directory:
        yield Path(directory)


@pytest.fixture
def pipx(place: Path) -> Path:
    """Return where pipx, and what makes an sdist, is installed."""
    environment = place / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    command = [environment / "bin/python", "-m", "pip", "install", "--quiet", "pipx", "build"]
    subprocess.run(command, check=True)
    return environment / "bin"


def test_what_pipx_installs_from_an_sdist_runs(pipx: Path, place: Path) -> None:
    build = [pipx / "python", "-m", "build", "--sdist", "--outdir", place, CHECKOUT]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    (sdist,) = place.glob("tower-*.tar.gz")
    homes = {name: str(place / name) for name in ("PIPX_HOME", "PIPX_BIN_DIR", "PIPX_MAN_DIR")}
    subprocess.run([pipx / "pipx", "install", "--quiet", sdist], env=os.environ | homes, check=True)

    binaries = Path(homes["PIPX_BIN_DIR"])
    assert {path.name for path in binaries.iterdir()} == {"towerctl", "towerd"}
    manuals = {path.name for path in Path(homes["PIPX_MAN_DIR"]).rglob("*.[1-8]")}
    assert manuals == {"towerctl.1", "towerd.8", "tower.toml.5", "tower-rpc.7"}
    with Tower(command=(binaries / "towerd",)) as tower:
        tower.rpc("account.add", name="sales", pair=False)
        listed = subprocess.run(
            [binaries / "towerctl", "list"],
            env=tower.client_environment,
            check=True,
            capture_output=True,
            text=True,
        )
    assert listed.stdout.splitlines()[1].split()[:2] == ["sales", "unpaired"]
