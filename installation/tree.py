"""Everything that is installed, as a tree of files below a prefix.

The one rule: what an older version left is taken away, what a human wrote is not touched.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from installation import environment
from installation.layout import CONFIG, Layout
from installation.problem import run

SOURCE = Path(__file__).resolve().parents[1]
DEFAULT_PREFIX = Path("/usr")
"""The prefix that units and examples are written for."""


class Tree:
    """An installation at `destination`, an empty root that is packed or moved later, or `/`."""

    def __init__(self, layout: Layout, destination: Path) -> None:
        self._layout = layout
        self._destination = destination
        self._installed: list[Path] = []

    def grow(self, wheels: Path) -> None:
        """Put everything there, over an older version if there is one.

        Raises:
            Problem: the environment cannot be made.
        """
        before = self.manifest()
        self._environment(wheels)
        self._links()
        self._systemd()
        self._documents()
        self._completions()
        self._configuration()
        self.real(self._layout.manifest).write_text("".join(f"{path}\n" for path in self._installed))
        for path in set(before) - set(self._installed):
            self._remove(path)

    def is_there(self) -> bool:
        """Tell whether something is installed."""
        return self.real(self._layout.manifest).exists()

    def clear(self) -> None:
        """Take away what was put there."""
        for path in self.manifest():
            self._remove(path)
        shutil.rmtree(self.real(self._layout.home))

    def real(self, path: Path) -> Path:
        """Return where a final path lies now."""
        return self._destination / path.relative_to("/")

    def manifest(self) -> list[Path]:
        """Return what the installation that is there consists of, without its environment."""
        manifest = self.real(self._layout.manifest)
        return [Path(line) for line in manifest.read_text().splitlines()] if manifest.exists() else []

    def _environment(self, wheels: Path) -> None:
        """Make it beside the old one and put it in its place, so that nobody sees half of it."""
        home = self.real(self._layout.home)
        fresh, old = (home.with_name(f".tower.{word}") for word in ("new", "old"))
        for left_over in (fresh, old):
            shutil.rmtree(left_over, ignore_errors=True)
        # Who may not write there is told so by this, rather than by what would fail on the way.
        fresh.mkdir(parents=True)
        environment.build(fresh, self._layout.home, wheels)
        if home.exists():
            home.rename(old)
        fresh.rename(home)
        shutil.rmtree(old, ignore_errors=True)

    def _links(self) -> None:
        for command in environment.COMMANDS:
            link = self.real(self._note(self._layout.bin / command))
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(self._layout.home / "bin" / command, self._layout.bin))

    def _systemd(self) -> None:
        source = SOURCE / "systemd"
        for unit in ("towerd.service", "towerd.socket"):
            self._copy(source / unit, self._layout.units / unit)
        for example in sorted((source / "examples").iterdir()):
            self._copy(example, self._layout.documents / "examples" / example.name)
        self._copy(source / "tower.sysusers.conf", self._layout.sysusers)
        self._copy(source / "tower.tmpfiles.conf", self._layout.tmpfiles)

    def _documents(self) -> None:
        for page in sorted((SOURCE / "man").iterdir()):
            self._copy(page, self._layout.manuals / f"man{page.suffix[1:]}" / page.name)
        for name in ("README.md", "CHANGELOG.md"):
            self._copy(SOURCE / name, self._layout.documents / name)
        # Where README.md looks for them.
        for page in sorted((SOURCE / "docs").glob("*.md")):
            self._copy(page, self._layout.documents / "docs" / page.name)

    def _completions(self) -> None:
        interpreter = self.real(self._layout.home) / "bin/python3"
        for shell, path in self._layout.completions.items():
            script = run([interpreter, "-m", "towerctl", "completion", shell], "see what it said")
            self._write(self._note(path), script)

    def _configuration(self) -> None:
        """Put an empty configuration there; it is the machine's from then on."""
        if not self.real(CONFIG).exists():
            self._write(CONFIG, (SOURCE / "installation/tower.toml").read_text(encoding="utf-8"))

    def _copy(self, source: Path, path: Path) -> None:
        text = source.read_text(encoding="utf-8")
        text = text.replace(f"={DEFAULT_PREFIX}/bin/", f"={self._layout.prefix}/bin/")
        self._write(self._note(path), text)

    def _write(self, path: Path, text: str) -> None:
        file = self.real(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(0o644)

    def _note(self, path: Path) -> Path:
        self._installed.append(path)
        return path

    def _remove(self, path: Path) -> None:
        """Remove a file, and the directories of ours that it leaves empty."""
        file = self.real(path)
        file.unlink(missing_ok=True)
        for directory in (file.parent, file.parent.parent):
            if directory.is_relative_to(self.real(self._layout.documents)) and not any(directory.iterdir()):
                directory.rmdir()
