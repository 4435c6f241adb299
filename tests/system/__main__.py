"""`python -m tests.system > docs/transcript.md`: what is seen in the life of an installation."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.system import packages
from tests.system.life import PLACE, live
from tests.system.machine import Machine, why_not
from tests.system.whatsapp import BINDS

_HEAD = """\
# The life of an installation

Typed in a container with a real systemd; the WhatsApp server and the phone are the simulator's.
`tests/system/test_life.py` does it again and holds this page to the commands; what they print is of one run.

"""


def main() -> int:
    """Print the transcript; return the exit status."""
    reason = why_not() or packages.why_not()
    if reason is not None:
        sys.stderr.write(f"{reason}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="tower-packages-") as directory:
        place = Path(directory)
        first, second = packages.build(place), packages.build_newer(place)
        with Machine(BINDS | {PLACE: place}) as machine:
            machine.boot()
            sys.stdout.write(_HEAD + live(machine, first, second).transcript())
    return 0


if __name__ == "__main__":
    sys.exit(main())
