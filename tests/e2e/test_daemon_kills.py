"""kill -9 of the daemon at random moments: what was acknowledged is there, and both ends agree.

Four daemons at once on one simulator, a fixed seed, 50 kills each; TOWER_TEST_KILLS asks for more of them,
and TOWER_TEST_SEED for other ones.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.e2e.bystander import comes_back
from tests.e2e.tower import Tower
from tests.e2e.victim import CONFIG, Victim

if TYPE_CHECKING:
    from tests.whatsapp.simulator import Simulator

SEED = int(os.environ.get("TOWER_TEST_SEED", "20261121"))
DAEMONS = 4
KILLS_EACH = int(os.environ.get("TOWER_TEST_KILLS", "200")) // DAEMONS
# What a run is about: each is done many times in 200 lives.
DEEDS = {f"account.{verb}" for verb in ("add", "logout", "pair", "remove", "restart", "set", "start", "stop")}
DEEDS |= {"account.unpair", "scan", "code", "unlink", "drop"}


@pytest.mark.timeout(7200 if KILLS_EACH > 50 else 900)
def test_kills_of_the_daemon_lose_nothing_that_was_acknowledged(simulator: Simulator) -> None:
    failures: list[BaseException] = []
    acknowledged: Counter[str] = Counter()

    def run(number: int) -> None:
        try:
            with (
                Tower(simulator, config=CONFIG) as tower,
                comes_back(tower, simulator, f"4930000000{number}"),
            ):
                victim = Victim(tower, simulator, number, seed=SEED)
                victim.run(KILLS_EACH)
                acknowledged.update(victim.acknowledged)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(DAEMONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    # Fewer kills are for trying something out.
    assert KILLS_EACH < 50 or DEEDS - acknowledged.keys() == set(), acknowledged
