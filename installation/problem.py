"""What ends an installation.

The one rule: one clear line on standard error, with the remedy in it, and status 1.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


class Problem(Exception):
    """Something that a human has to put right; the message names it and the remedy."""


def told(work: Callable[[], None]) -> int:
    """Do the work; say what stopped it; return the exit status."""
    try:
        work()
    except Problem as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    except PermissionError as error:
        sys.stderr.write(f"{error.filename}: not permitted: run it with sudo, or name a DESTDIR of yours\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 1
    return 0


def run(command: Sequence[str | Path], remedy: str) -> str:
    """Run a command to its end and return its standard output; what it says on standard error is passed on.

    Raises:
        Problem: it failed or does not exist.
    """
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    except FileNotFoundError:
        msg = f"{command[0]} is not there: {remedy}"
        raise Problem(msg) from None
    except subprocess.CalledProcessError as error:
        msg = f"{command[0]} ended with status {error.returncode}: {remedy}"
        raise Problem(msg) from None
