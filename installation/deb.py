"""`python -m installation.deb`: the Debian package, of a tree below /usr.

The one rule: it asks for exactly what it was made for: one minor version of Python, a libc new enough.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path

from installation.components import Component, read_components
from installation.layout import CONFIG, Layout
from installation.problem import run, told
from installation.tree import SOURCE, Tree

LAYOUT = Layout(Path("/usr"))
SCRIPTS = ("postinst", "prerm", "postrm")
TEMPLATES = SOURCE / "installation/debian"

_COMPRESSION = ("-Zzstd", "-z12")
"""A fortieth of the time of xz for a fifth more bytes; any Debian with a Python new enough reads it."""


class Package:
    """The package, built in a directory.

    Args:
        directory: emptied first; the package ends up in it.
        revision: tells packages of one version apart, rising.
        maintainer: name and address of whoever builds it.
    """

    def __init__(self, directory: Path, *, revision: str, maintainer: str) -> None:
        self._directory = directory
        self._root = directory / "root"
        self._tree = Tree(LAYOUT, self._root)
        self._revision = revision
        self._maintainer = maintainer

    def build(self, wheels: Path) -> Path:
        """Build it and return the file.

        Raises:
            Problem: a wheel or a tool is missing.
        """
        architecture = run(["dpkg", "--print-architecture"], "packages are built on Debian").strip()
        shutil.rmtree(self._directory, ignore_errors=True)
        self._root.mkdir(parents=True)
        self._tree.grow(wheels)
        self._tree.real(LAYOUT.manifest).unlink()
        components = read_components(self._tree.real(LAYOUT.home))
        version = debian_version(components["tower"].version, self._revision)
        self._move_to_debians_places()
        self._document(components, version)
        self._control(components, version, architecture)
        file = self._directory / f"tower_{version}_{architecture}.deb"
        run(
            ["dpkg-deb", "--root-owner-group", *_COMPRESSION, "--build", self._root, file], "see what it said"
        )
        return file

    def _move_to_debians_places(self) -> None:
        zsh = self._tree.real(LAYOUT.completions["zsh"])
        vendor = zsh.parents[1] / "vendor-completions"
        zsh.parent.rename(vendor)
        for page in sorted(self._tree.real(LAYOUT.manuals).rglob("*.[1-8]")):
            compress(page)

    def _document(self, components: Mapping[str, Component], version: str) -> None:
        documents = self._tree.real(LAYOUT.documents)
        (documents / "CHANGELOG.md").rename(documents / "changelog")
        entry = f"tower ({version}) unstable; urgency=medium\n\n  * See changelog.gz.\n\n"
        write(documents / "changelog.Debian", f"{entry} -- {self._maintainer}  {formatdate()}\n")
        for name in ("changelog", "changelog.Debian"):
            compress(documents / name)
        write(documents / "copyright", copyright_of(components))

    def _control(self, components: Mapping[str, Component], version: str, architecture: str) -> None:
        """Write what dpkg reads."""
        paths = sorted(self._root.rglob("*"))
        files = [path for path in paths if path.is_file() and not path.is_symlink()]
        minor = sys.version_info.minor
        control = (
            (TEMPLATES / "control")
            .read_text(encoding="utf-8")
            .format(
                version=version,
                architecture=architecture,
                maintainer=self._maintainer,
                installed_kib=sum(-(-file.stat().st_size // 1024) for file in files)
                + len(paths)
                - len(files),
                python=f"3.{minor}",
                next_python=f"3.{minor + 1}",
                libc="{}.{}".format(*max(one.libc for one in components.values())),
            )
        )
        place = self._root / "DEBIAN"
        place.mkdir()
        write(place / "control", control)
        write(place / "conffiles", f"{CONFIG}\n")
        checked = [file for file in files if file != self._tree.real(CONFIG)]
        write(
            place / "md5sums", "".join(f"{md5(file)}  {file.relative_to(self._root)}\n" for file in checked)
        )
        for script in SCRIPTS:
            shutil.copyfile(TEMPLATES / script, place / script)
            (place / script).chmod(0o755)


def debian_version(version: str, revision: str) -> str:
    """Return a Python version as Debian orders it: 1.0rc1, 1.0.dev2 come before 1.0."""
    return re.sub(r"\.?(a|b|rc|dev)(?=\d)", r"~\1", version) + f"-{revision}"


def copyright_of(components: Mapping[str, Component]) -> str:
    """Return the file `copyright`: who made what is inside, and on which terms, as it says itself."""
    others = [one for one in components.values() if one.name != "tower"]
    lines = [f"{one.name} {one.version}: {one.licence}\n" for one in others]
    return (TEMPLATES / "copyright").read_text(encoding="utf-8") + "".join(lines)


def compress(file: Path) -> None:
    """Put a file's compressed form in its place."""
    packed = file.with_name(f"{file.name}.gz")
    packed.write_bytes(gzip.compress(file.read_bytes(), 9, mtime=0))
    packed.chmod(0o644)
    file.unlink()


def md5(file: Path) -> str:
    """Return a file's checksum, for `dpkg --verify`."""
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def write(file: Path, text: str) -> None:
    """Write a text file."""
    file.write_text(text, encoding="utf-8")


def main() -> int:
    """Build the package; return the exit status."""
    options = argparse.ArgumentParser(
        prog="python -m installation.deb", description="Build the Debian package."
    )
    options.add_argument("directory", type=Path)
    options.add_argument("--wheels", type=Path, required=True)
    options.add_argument("--revision", default="1")
    options.add_argument("--maintainer", default="TOWER <tower@localhost>")
    given = options.parse_args()
    os.umask(0o022)

    def build() -> None:
        package = Package(given.directory.absolute(), revision=given.revision, maintainer=given.maintainer)
        sys.stdout.write(f"{package.build(given.wheels.absolute())}\n")

    return told(build)


if __name__ == "__main__":
    sys.exit(main())
