"""towerctl(1) says what is so: commands, options, errors."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from towerctl.cli import cli
from towerctl.commands import COMMANDS
from towerctl.exits import CLIENT_ERRORS
from towerd.protocol.errors import ERRORS, Exit
from towerd.protocol.states import STATES

SOURCE = Path(__file__).parents[3] / "man" / "towerctl.1"
MANUAL = re.sub(r"\\f.", "", SOURCE.read_text()).replace(r"\-", "-").replace(r"\&", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_it_with_its_options(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert re.search(rf"^(\.B )?{name}\b", MANUAL, re.MULTILINE)
    for param in command.params:
        if isinstance(param, click.Option):
            for option in param.opts:
                assert re.search(rf"(?<![\w-]){option}(?![\w-])", MANUAL), f"{name} {option}"


def test_every_error_stands_in_it_with_its_exit_status() -> None:
    listed = dict(re.findall(r'^\.BR ([a-z-]+) " \((\d+)\)"$', MANUAL, re.MULTILINE))
    expected = {slug: str(int(kind.exit)) for slug, kind in ERRORS.items()}
    expected |= {slug: str(status) for slug, (status, _) in CLIENT_ERRORS.items()}
    assert listed == expected


def test_every_exit_status_and_state_stands_in_it() -> None:
    table = MANUAL.split(".SH EXIT STATUS")[1].split(".TE")[0]
    assert all(re.search(rf"^{int(status)}\t", table, re.MULTILINE) for status in Exit)
    assert all(state in MANUAL for state in STATES)


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_it_formats_without_a_warning() -> None:
    done = subprocess.run(
        ["groff", "-t", "-man", "-Tutf8", "-ww", SOURCE], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
