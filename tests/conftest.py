"""What holds for every test.

The one rule: a test sees the same machine whether a person, cron or a job runner started it.
"""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Take signals that the starter of the tests ignores back: what they start would ignore them too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
