"""kill -9 of the daemon at random moments: what was acknowledged is there, and both ends agree.

Four daemons at once on one simulator, a fixed seed, 50 kills each; TOWER_TEST_KILLS asks for more of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.bystander import comes_back
from tests.e2e.tower import RpcError, Tower
from tests.whatsapp.simulator import SimulatorError, wait_for

if TYPE_CHECKING:
    from tests.whatsapp.simulator import Simulator

SEED = 20261121
DAEMONS = 4
KILLS_EACH = int(os.environ.get("TOWER_TEST_KILLS", "200")) // DAEMONS
ACCOUNTS = 3
VERBS = ["stop", "start", "restart", "scan", "scan", "logout", "remove"]
CONFIG = """
[reconnect]
base_seconds = 0.1
cap_seconds = 1
[fleet]
wave_accounts = 100
"""


class Expectation:
    """What one account must be, from what the daemon has acknowledged.

    While a command is under way either outcome is right; `unsure` names the command.
    """

    def __init__(self, name: str, phone: str) -> None:
        self.name = name
        self.phone = phone
        self.exists = False
        self.desired = "running"
        self.unsure: str | None = None


class Victim:
    """One daemon, its accounts, and the life they lead."""

    def __init__(self, tower: Tower, simulator: Simulator, number: int) -> None:
        self.tower = tower
        self.simulator = simulator
        self.dice = random.Random(SEED + number)
        self.accounts = [
            Expectation(f"account-{n}", f"4916{number}000000{n}") for n in range(1, ACCOUNTS + 1)
        ]

    def run(self, kills: int) -> None:
        for _ in range(kills):
            # The kill falls somewhere into this life; where is the experiment.
            killer = threading.Timer(self.dice.uniform(0, 0.8), self.kill)
            killer.start()
            with contextlib.suppress(OSError, json.JSONDecodeError):
                while True:
                    self.live(self.dice.choice(self.accounts))
            killer.join()
            self.tower.kill()
            self.tower.start()
            for account in self.accounts:
                self.check(account)

    def kill(self) -> None:
        assert self.tower.process is not None
        self.tower.process.kill()

    def live(self, account: Expectation) -> None:
        """Do one thing to an account, and note what was acknowledged."""
        if not account.exists:
            account.unsure = "add"
            self.call("account.add", name=account.name, if_absent=True)
            account.exists, account.desired, account.unsure = True, "running", None
            self.scan(account)
            return
        verb = self.dice.choice(VERBS)
        if verb == "scan":
            self.scan(account)
            return
        account.unsure = verb
        self.call(f"account.{verb}", account=account.name)
        if verb == "remove":
            account.exists = False
        elif verb != "logout":
            account.desired = "stopped" if verb == "stop" else "running"
        account.unsure = None

    def scan(self, account: Expectation) -> None:
        try:
            answer = self.tower.rpc("account.qr", account=account.name, wait_seconds=5)
        except RpcError:
            return
        if answer["qr"] is not None:
            with contextlib.suppress(SimulatorError):
                self.simulator.scan(answer["qr"]["data"], account.phone)

    def call(self, method: str, **params: Any) -> None:
        try:
            self.tower.rpc(method, **params)
        except RpcError as error:
            # A logout in the moment of a pairing may fail; nothing else may.
            if error.slug != "logout-failed":
                raise

    def check(self, account: Expectation) -> None:
        """Hold what the daemon shows after its death against what it had acknowledged."""
        self.settle(self.is_started, account, "the start is over")
        shown = {one["name"]: one for one in self.tower.rpc("account.list")["accounts"]}.get(account.name)
        if account.unsure in ("add", "remove"):
            # A removal whose intent was recorded is carried to its end by the start; else nothing happened.
            account.exists = shown is not None
        if shown is not None and account.unsure in ("add", "stop", "start", "restart"):
            account.desired = shown["desired"]
        account.unsure = None
        assert self.has(account) == account.exists, (account.name, self.tower.log())
        if account.exists:
            assert self.tower.account(account.name)["desired"] == account.desired
        self.settle(lambda: self.agrees(account), account, "both ends agree")

    def is_started(self) -> bool:
        starting = self.tower.rpc("daemon.status")["starting"]
        return bool(starting["done"] == starting["total"])

    def has(self, account: Expectation) -> bool:
        return account.name in [one["name"] for one in self.tower.rpc("account.list")["accounts"]]

    def agrees(self, account: Expectation) -> bool:
        devices = self.simulator.devices(account.phone)
        if not account.exists:
            return devices == []
        shown = self.tower.account(account.name)
        if shown["desired"] == "stopped":
            is_linked = shown["jid"] is not None
            return shown["state"] in ("stopped", "unpaired") and len(devices) == is_linked
        if devices:
            return shown["state"] == "connected" and [one["is_online"] for one in devices] == [True]
        return shown["state"] in ("pairing", "unpaired")

    def settle(self, probe: Any, account: Expectation, what: str) -> None:
        try:
            wait_for(probe, seconds=60, what=f"{account.name}: {what}")
        except TimeoutError as error:
            shown = self.tower.rpc("account.list")["accounts"]
            devices = self.simulator.devices(account.phone)
            raise AssertionError((str(error), shown, devices, self.tower.log()[-6000:])) from None


@pytest.mark.timeout(3600 if KILLS_EACH > 50 else 420)
def test_kills_of_the_daemon_lose_nothing_that_was_acknowledged(simulator: Simulator) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            phone = f"4930000000{number}"
            with Tower(simulator, config=CONFIG) as tower, comes_back(tower, simulator, phone):
                Victim(tower, simulator, number).run(KILLS_EACH)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(DAEMONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
