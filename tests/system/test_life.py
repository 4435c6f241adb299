"""An installation lives as the transcript in the documents says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.life import live
from tests.system.machine import Machine
from tests.system.terminal import commands_in
from tests.system.whatsapp import CHECKOUT

# Packages are built first, from the package index.
pytestmark = pytest.mark.timeout(900)


def test_it_is_installed_linked_rebooted_upgraded_removed_and_purged(
    machine: Machine, package: Path, newer_package: Path
) -> None:
    terminal = live(machine, package, newer_package)
    assert commands_in((CHECKOUT / "docs/transcript.md").read_text()) == terminal.typed
