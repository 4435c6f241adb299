"""`python -m installation install|uninstall`: what `make install` and `make uninstall` run.

The one rule: nothing is touched before it is known that it can be done.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from installation.layout import Layout
from installation.problem import Problem, told
from installation.service import Service
from installation.tree import Tree


def install(given: argparse.Namespace) -> None:
    """Install, or bring an installation up to date."""
    layout = Layout(given.prefix)
    Tree(layout, given.destination).grow(given.wheels)
    Service(layout, is_here=_is_here(given)).begin()


def uninstall(given: argparse.Namespace) -> None:
    """Take an installation away, and leave accounts and configuration."""
    layout = Layout(given.prefix)
    tree = Tree(layout, given.destination)
    if not tree.is_there():
        msg = f"nothing is installed in {layout.home}; name the PREFIX of the installation"
        raise Problem(msg)
    service = Service(layout, is_here=_is_here(given))
    service.end()
    tree.clear()
    service.after_end()


def _is_here(given: argparse.Namespace) -> bool:
    return bool(given.destination == Path("/"))


def main() -> int:
    """Do what the command line says; return the exit status."""
    options = argparse.ArgumentParser(prog="python -m installation", description="Install TOWER.")
    verbs = options.add_subparsers(required=True)
    for work in (install, uninstall):
        verb = verbs.add_parser(work.__name__, help=work.__doc__)
        verb.add_argument("--prefix", type=_absolute, default=Path("/usr/local"))
        verb.add_argument("--destination", type=_absolute, default=Path("/"))
        verb.set_defaults(work=work)
    verbs.choices["install"].add_argument("--wheels", type=_absolute, required=True)
    given = options.parse_args()
    # Whatever umask root has: everybody may run towerctl.
    os.umask(0o022)
    return told(lambda: given.work(given))


def _absolute(text: str) -> Path:
    return Path(text or "/").absolute()


if __name__ == "__main__":
    sys.exit(main())
