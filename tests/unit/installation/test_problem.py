"""What stops an installation is one line with a remedy."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from installation import environment
from installation.problem import Problem, run, told


def stopped_by(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Problem("no venv: apt install it"), "no venv: apt install it"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/usr/local/lib/tower"),
            "/usr/local/lib/tower: not permitted: run it with sudo, or name a DESTDIR of yours",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "/usr/x"), "/usr/x: No space left on device"),
    ],
)
def test_what_stops_it_is_one_line(capsys: pytest.CaptureFixture[str], error: Exception, line: str) -> None:
    assert told(lambda: stopped_by(error)) == 1
    assert capsys.readouterr().err == f"{line}\n"


def test_command_that_fails_and_one_that_is_missing_name_the_remedy() -> None:
    with pytest.raises(Problem, match="ended with status 3: do this"):
        run([sys.executable, "-c", "raise SystemExit(3)"], "do this")
    with pytest.raises(Problem, match="no-such-command is not there: do that"):
        run(["no-such-command"], "do that")


@pytest.mark.parametrize("prefix", ["/home/ada/tower", "/root/tower", "/tmp/tower"])
def test_environment_that_the_service_could_not_see_is_refused_before_anything_is_made(
    tmp_path: Path, prefix: str
) -> None:
    with pytest.raises(Problem, match="cannot see it"):
        environment.build(tmp_path / "new", Path(prefix), tmp_path)
    assert not (tmp_path / "new").exists()
