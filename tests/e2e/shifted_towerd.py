"""A towerd whose wall clock can be set by a test: seconds to add stand in the file TOWER_TEST_CLOCK_SHIFT."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from towerd import __main__ as entry
from towerd.clock import SystemClock


class ShiftedClock(SystemClock):
    """The machine's clocks, the wall clock off by what the file says."""

    def now(self) -> float:
        """Return seconds since the epoch, shifted."""
        return super().now() + float(Path(os.environ["TOWER_TEST_CLOCK_SHIFT"]).read_text() or 0)


if __name__ == "__main__":
    entry.SystemClock = ShiftedClock  # type: ignore[misc]
    sys.exit(entry.main())
