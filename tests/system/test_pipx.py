"""`pipx install` from what is published: an sdist, and the wheel that is made of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.tower import Tower
from tests.system.whatsapp import CHECKOUT

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def pipx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where pipx, and nothing else, is installed."""
    place = tmp_path_factory.mktemp("pipx")
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    subprocess.run([place / "bin/python", "-m", "pip", "install", "--quiet", "pipx", "build"], check=True)
    return place


def test_what_pipx_installs_from_an_sdist_runs(pipx: Path, tmp_path: Path) -> None:
    build = [pipx / "bin/python", "-m", "build", "--sdist", "--outdir", tmp_path, CHECKOUT]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    (sdist,) = tmp_path.glob("tower-*.tar.gz")
    homes = {name: str(tmp_path / name) for name in ("PIPX_HOME", "PIPX_BIN_DIR", "PIPX_MAN_DIR")}
    subprocess.run([pipx / "bin/pipx", "install", "--quiet", sdist], env=os.environ | homes, check=True)

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
