"""A daemon that is killed at random moments of a busy life, and what must be true of its accounts after each.

The one rule: what the daemon acknowledged is expected; of the one command that a kill cut short either
outcome is right, but not a mixture.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.e2e.tower import RpcError, Tower
from tests.whatsapp.simulator import SimulatorError, wait_for

if TYPE_CHECKING:
    from tests.whatsapp.simulator import Simulator

ACCOUNTS = 3
CONFIG = """
[reconnect]
base_seconds = 0.1
cap_seconds = 1
[fleet]
wave_accounts = 100
"""
# Refusals that the moment explains; nothing else may fail.
MOMENTARY = {
    "account.logout": {"logout-failed"},
    "account.add": {"pairing-timeout"},
    "account.pair": {"pairing-timeout", "wrong-state"},
}


class Expectation:
    """What one account must be, from what the daemon has acknowledged.

    While a command is under way `unsure` names it.
    """

    def __init__(self, name: str, phone: str) -> None:
        self.names = (name, f"{name}-renamed")
        self.phone = phone
        self.exists = False
        self.name = name
        self.label: str | None = None
        self.desired = "running"
        self.unsure: str | None = None
        # The phone has removed devices since it last linked one.
        self.is_unlinked = False

    @property
    def other_name(self) -> str:
        """Return the name that the next renaming gives."""
        return self.names[self.name == self.names[0]]


class Victim:
    """One daemon, its accounts, and the life they lead.

    Args:
        tower: the daemon.
        simulator: the server.
        number: of the daemon among several at one server.
        seed: of the life and of the moments of its ends.

    Attributes:
        acknowledged: how often each method was answered, and each deed of the phone done.
    """

    def __init__(self, tower: Tower, simulator: Simulator, number: int, *, seed: int) -> None:
        self.tower = tower
        self.simulator = simulator
        self.dice = random.Random(seed + number)
        self.accounts = [
            Expectation(f"account-{n}", f"4916{number}000000{n}") for n in range(1, ACCOUNTS + 1)
        ]
        self.acknowledged: Counter[str] = Counter()
        self.deeds: list[Callable[[Expectation], None]] = [
            # Most of what follows is about a linked device.
            *[self.scan] * 3,
            *[self.link_by_code] * 2,
            self.stop,
            self.start,
            self.restart,
            self.logout,
            self.unpair,
            self.remove,
            self.rename,
            self.relabel,
            *[self.unlink_on_the_phone] * 2,
            *[self.lose_the_line] * 2,
        ]

    def run(self, kills: int) -> None:
        """Live and be killed."""
        for _ in range(kills):
            # The kill falls somewhere into this life; where is the experiment.
            killer = threading.Timer(self.dice.uniform(0, 0.8), self.kill)
            killer.start()
            with contextlib.suppress(OSError, json.JSONDecodeError):
                while True:
                    account = self.dice.choice(self.accounts)
                    self.dice.choice(self.deeds if account.exists else [self.add, self.add_by_code])(account)
            killer.join()
            self.tower.kill()
            self.tower.start()
            for account in self.accounts:
                self.check(account)

    def kill(self) -> None:
        """End the daemon as it is."""
        assert self.tower.process is not None
        self.tower.process.kill()

    # What is done to an account

    def add(self, account: Expectation) -> None:
        """Add it and scan its QR."""
        self.create(account)
        self.scan(account)

    def add_by_code(self, account: Expectation) -> None:
        """Add it and type its code on the phone."""
        answer = self.create(account, phone=account.phone)
        if answer is not None:
            self.type_code(account, answer["code"])

    def create(self, account: Expectation, **params: Any) -> dict[str, Any] | None:
        """Add it; without an answer when WhatsApp gave no code, it is there all the same."""
        account.unsure = "add"
        account.name, account.label = account.names[0], None
        answer = self.call("account.add", name=account.name, if_absent=True, **params)
        account.exists, account.desired, account.unsure = True, "running", None
        return answer

    def scan(self, account: Expectation) -> None:
        """Scan its QR, if it has one."""
        try:
            answer = self.tower.rpc("account.qr", account=account.name, wait_seconds=5)
        except RpcError:
            return
        if answer["qr"] is not None:
            with contextlib.suppress(SimulatorError):
                self.simulator.scan(answer["qr"]["data"], account.phone)
                account.is_unlinked = False
                self.acknowledged["scan"] += 1

    def link_by_code(self, account: Expectation) -> None:
        """Begin a pairing by code and type it on the phone, unless a device is linked."""
        account.unsure = "pair"
        answer = self.call("account.pair", account=account.name, phone=account.phone)
        # A refusal may come before or after the account was set running.
        account.desired = "running" if answer else self.tower.account(account.name)["desired"]
        account.unsure = None
        if answer is not None:
            self.type_code(account, answer["code"])

    def type_code(self, account: Expectation, code: str) -> None:
        """Type a pairing code on the phone."""
        with contextlib.suppress(SimulatorError):
            self.simulator.link_code(code, account.phone)
            account.is_unlinked = False
            self.acknowledged["code"] += 1

    def stop(self, account: Expectation) -> None:
        """Take it offline."""
        self.command(account, "stop", desired="stopped")

    def start(self, account: Expectation) -> None:
        """Let it run."""
        self.command(account, "start", desired="running")

    def restart(self, account: Expectation) -> None:
        """End its session and begin another."""
        self.command(account, "restart", desired="running")

    def command(self, account: Expectation, verb: str, *, desired: str) -> None:
        """Give a command that says whether the account is to run."""
        account.unsure = verb
        self.call(f"account.{verb}", account=account.name)
        account.desired, account.unsure = desired, None

    def logout(self, account: Expectation) -> None:
        """Log it out at WhatsApp."""
        account.unsure = "logout"
        self.call("account.logout", account=account.name)
        account.unsure = None

    def unpair(self, account: Expectation) -> None:
        """Forget its device; the phone goes on listing it until its owner removes it there."""
        account.unsure = "unpair"
        self.call("account.unpair", account=account.name)
        account.unsure = None
        self.lay_ghosts(account)

    def remove(self, account: Expectation) -> None:
        """Remove it; a device that could not be logged out is for the owner of the phone."""
        account.unsure = "remove"
        answer = self.call("account.remove", account=account.name)
        account.exists, account.unsure = False, None
        if answer is not None and answer["logout"] in ("failed", "unknown"):
            self.lay_ghosts(account)

    def lay_ghosts(self, account: Expectation) -> None:
        """Remove on the phone what it lists; the account has no device of its own now."""
        if self.simulator.devices(account.phone):
            self.simulator.logout(account.phone)

    def rename(self, account: Expectation) -> None:
        """Give it its other name."""
        account.unsure = "rename"
        self.call("account.set", account=account.name, name=account.other_name)
        account.name, account.unsure = account.other_name, None

    def relabel(self, account: Expectation) -> None:
        """Give it another display name."""
        account.unsure = "relabel"
        label = f"Label {self.dice.randrange(1000)}"
        self.call("account.set", account=account.name, display_name=label)
        account.label, account.unsure = label, None

    def unlink_on_the_phone(self, account: Expectation) -> None:
        """Remove its device on the phone; link one if it has none."""
        if not self.simulator.devices(account.phone):
            self.scan(account)
        with contextlib.suppress(SimulatorError):
            if self.simulator.logout(account.phone)["unlinked"]:
                account.is_unlinked = True
                self.acknowledged["unlink"] += 1

    def lose_the_line(self, account: Expectation) -> None:
        """Break its connection, if it has one."""
        with contextlib.suppress(SimulatorError):
            self.simulator.drop(account.phone)
            self.acknowledged["drop"] += 1

    def call(self, method: str, **params: Any) -> dict[str, Any] | None:
        """Call a method and return its answer, None when the moment did not allow it."""
        try:
            answer = self.tower.rpc(method, **params)
        except RpcError as error:
            if error.slug not in MOMENTARY.get(method, ()):
                raise
            return None
        self.acknowledged[method] += 1
        return answer

    # What must be true after a kill

    def check(self, account: Expectation) -> None:
        """Hold what the daemon shows after its death against what it had acknowledged."""
        self.settle(self.is_started, account, "the start is over")
        self.take_over_what_was_unsure(account)
        shown = self.shown(account)
        assert (shown is not None) == account.exists, (account.name, self.tower.log())
        if shown is not None:
            assert (shown["desired"], shown["display_name"]) == (account.desired, account.label)
        self.settle(lambda: self.agrees(account), account, "both ends agree")

    def take_over_what_was_unsure(self, account: Expectation) -> None:
        """Learn the outcome of the command that the kill cut short."""
        unsure, account.unsure = account.unsure, None
        if unsure == "rename" and self.shown(account) is None:
            account.name = account.other_name
        shown = self.shown(account)
        if unsure in ("add", "remove"):
            # A removal whose intent was recorded is carried to its end by the start; else nothing happened.
            account.exists = shown is not None
        if shown is None:
            return
        if unsure in ("add", "stop", "start", "restart", "pair"):
            account.desired = shown["desired"]
        elif unsure == "relabel":
            account.label = shown["display_name"]
        elif unsure == "unpair":
            self.settle(
                lambda: self.agrees(account) or self.has_forgotten(account), account, "unpair settled"
            )
            if self.has_forgotten(account):
                self.lay_ghosts(account)

    def is_started(self) -> bool:
        """Tell whether the daemon has taken all accounts up."""
        starting = self.tower.rpc("daemon.status")["starting"]
        return bool(starting["done"] == starting["total"])

    def shown(self, account: Expectation) -> dict[str, Any] | None:
        """Return the account as the daemon shows it, None when it has none of this name."""
        accounts = self.tower.rpc("account.list")["accounts"]
        return next((one for one in accounts if one["name"] == account.name), None)

    def has_forgotten(self, account: Expectation) -> bool:
        """Tell whether the account knows no device, and nobody uses those that the phone lists."""
        shown, devices = self.tower.account(account.name), self.simulator.devices(account.phone)
        return (
            shown["jid"] is None
            and shown["state"] in ("unpaired", "stopped")
            and not any(one["is_online"] for one in devices)
        )

    def agrees(self, account: Expectation) -> bool:
        """Tell whether the server's devices and our account agree."""
        devices = self.simulator.devices(account.phone)
        if not account.exists:
            return devices == []
        shown = self.tower.account(account.name)
        if shown["desired"] == "stopped":
            # Who is offline does not hear that the phone removed the device.
            is_linked = shown["jid"] is not None and not (account.is_unlinked and not devices)
            return shown["state"] in ("stopped", "unpaired") and len(devices) == is_linked
        if devices:
            return shown["state"] == "connected" and [one["is_online"] for one in devices] == [True]
        return shown["state"] in ("pairing", "unpaired")

    def settle(self, probe: Callable[[], bool], account: Expectation, what: str) -> None:
        """Wait until something holds.

        Raises:
            AssertionError: it does not come to hold; with all that is known.
        """
        try:
            wait_for(probe, seconds=60, what=f"{account.name}: {what}")
        except TimeoutError as error:
            shown = self.tower.rpc("account.list")["accounts"]
            devices = self.simulator.devices(account.phone)
            raise AssertionError((str(error), shown, devices, self.tower.log()[-6000:])) from None
