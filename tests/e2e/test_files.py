"""What lies on the disk is what towerd(8) says, for nobody else's eyes."""

from __future__ import annotations

import contextlib
import re
import stat
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
    files, directories = modes(tower.state)
    patterns = told()
    assert len(patterns) >= 6
    unknown = [
        str(path.relative_to(tower.state)) for path in files if not any_fits(path, tower.state, patterns)
    ]
    assert unknown == []
    assert {oct(mode) for mode in files.values()} == {"0o600"}
    assert {oct(mode) for mode in directories.values()} == {"0o700"}


def modes(state: Path) -> tuple[dict[Path, int], dict[Path, int]]:
    """Return the permissions of all files and of all directories; a journal may go while we look."""
    files, directories = {}, {}
    for path in state.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            found = directories if stat.S_ISDIR(status.st_mode) else files
            found[path] = stat.S_IMODE(status.st_mode)
    return files, directories


def any_fits(path: Path, state: Path, patterns: list[re.Pattern[str]]) -> bool:
    return any(pattern.fullmatch(str(path.relative_to(state))) for pattern in patterns)
