"""What lies on the disk is what towerd(8) says, for nobody else's eyes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rules.manuals import plain, sections

if TYPE_CHECKING:
    from tests.e2e.tower import Tower
    from tests.whatsapp.simulator import Simulator


def told() -> list[re.Pattern[str]]:
    """Return the files of the state directory in the manual, as patterns."""
    section = plain(sections("towerd.8")["FILES"]).partition("In the state directory:")[2]
    section = section.partition("Of an installation")[0]
    entries = re.findall(r"^\.TP\n\.(?:I|IR|BI) (.*)$", section, re.MULTILINE)
    lists = [re.findall(r"[\w./-]+", entry) for entry in entries]
    # What follows in a list lies beside the first.
    names = [
        str(Path(first).parent / name) for first, *others in lists for name in (Path(first).name, *others)
    ]
    spelt = (re.escape(name).replace("ID", "a-[a-z2-7]{10}").replace("SECONDS", r"\d+") for name in names)
    return [re.compile(one) for one in spelt]


def test_every_file_stands_in_the_manual_and_is_the_daemons_alone(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", "491701234567")
    tower.rpc("account.add", name="support")
    tower.rpc("account.qr", account="support", wait_seconds=30)
    tower.terminate()
    tower.start()
    tower.wait_for_state("sales", "connected")
    files = [path for path in tower.state.rglob("*") if path.is_file()]
    patterns = told()
    assert len(patterns) >= 6
    unknown = [
        str(path.relative_to(tower.state)) for path in files if not any_fits(path, tower.state, patterns)
    ]
    assert unknown == []
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}
    directories = [path for path in tower.state.rglob("*") if path.is_dir()]
    assert {oct(path.stat().st_mode & 0o777) for path in directories} == {"0o700"}


def any_fits(path: Path, state: Path, patterns: list[re.Pattern[str]]) -> bool:
    return any(pattern.fullmatch(str(path.relative_to(state))) for pattern in patterns)
