"""The typed client: one method per RPC.

The one rule: a method here decides the names and the time limit of a call, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from towerctl.connection import NOTHING, Connection

if TYPE_CHECKING:
    from towerctl import results

_GRACE_SECONDS = 10.0
"""Added to a time limit that the daemon keeps, before the daemon itself is called mute."""


class Client(Connection):
    """A connection to towerd with a method for each of its own."""

    def daemon_version(self) -> results.VersionResult:
        """Ask what runs."""
        answer: results.VersionResult = self.ask("daemon.version", NOTHING)
        return answer

    def daemon_status(self) -> results.StatusResult:
        """Ask how the daemon is."""
        answer: results.StatusResult = self.ask("daemon.status", NOTHING)
        return answer

    def daemon_release(self) -> results.StatusResult:
        """Let accounts that the fleet breaker holds go on."""
        answer: results.StatusResult = self.ask("daemon.release", NOTHING)
        return answer

    def daemon_doctor(self) -> results.DoctorResult:
        """Have the daemon look whether all is well."""
        answer: results.DoctorResult = self.ask("daemon.doctor", NOTHING)
        return answer

    def daemon_config(self) -> results.ConfigResult:
        """Ask for the configuration that runs."""
        answer: results.ConfigResult = self.ask("daemon.config", NOTHING)
        return answer

    def daemon_reload(self) -> results.ReloadResult:
        """Let the daemon take over its configuration files."""
        answer: results.ReloadResult = self.ask("daemon.reload", NOTHING)
        return answer

    def notify_test(self) -> results.NotifyResult:
        """Send a test message by every channel that tells people of incidents."""
        answer: results.NotifyResult = self.ask("notify.test", NOTHING)
        return answer

    def audit_list(
        self,
        *,
        account: str | None = None,
        actions: Sequence[str] | None = None,
        since: int | str | None = None,
        until: int | str | None = None,
        limit: int | None = None,
    ) -> results.AuditResult:
        """List who did what, the last rows, oldest first."""
        answer: results.AuditResult = self.ask(
            "audit.list",
            {
                "account": account,
                "actions": list(actions) if actions else None,
                "since": since,
                "until": until,
                "limit": limit,
            },
        )
        return answer

    def account_list(self, *, states: Sequence[str] | None = None) -> results.AccountsResult:
        """List accounts in order of creation."""
        answer: results.AccountsResult = self.ask("account.list", {"state": list(states) if states else None})
        return answer

    def account_get(self, account: str | None) -> results.AccountHistoryResult:
        """Get one account with its last transitions."""
        answer: results.AccountHistoryResult = self.ask("account.get", {"account": account})
        return answer

    def account_health(self, accounts: Sequence[str] = ()) -> results.HealthResult:
        """Say how well accounts are: some, or all that the caller may read."""
        answer: results.HealthResult = self.ask("account.health", {"accounts": list(accounts) or None})
        return answer

    def account_add(
        self,
        name: str | None,
        *,
        display_name: str | None = None,
        pair: bool = True,
        phone: str | None = None,
        expect_phone: str | None = None,
        if_absent: bool = False,
    ) -> results.AddResult:
        """Add an account."""
        answer: results.AddResult = self.ask(
            "account.add",
            {
                "name": name,
                "display_name": display_name,
                "pair": pair,
                "phone": phone,
                "expect_phone": expect_phone,
                "if_absent": if_absent or None,
            },
        )
        return answer

    def account_import(
        self, accounts: Sequence[Mapping[str, Any]], *, dry_run: bool = False
    ) -> results.ImportResult:
        """Add accounts from a list, all of them or none."""
        answer: results.ImportResult = self.ask(
            "account.import", {"accounts": list(accounts), "dry_run": dry_run or None}
        )
        return answer

    def account_set(
        self, account: str | None, *, name: str | None = None, primary: bool = False
    ) -> results.AccountResult:
        """Give an account another name, or make it its owner's primary one."""
        answer: results.AccountResult = self.ask(
            "account.set", {"account": account, "name": name, "primary": primary or None}
        )
        return answer

    def account_pair(
        self, account: str | None, *, phone: str | None = None, new_phone: bool = False
    ) -> results.PairResult:
        """Begin a new pairing attempt."""
        answer: results.PairResult = self.ask(
            "account.pair", {"account": account, "phone": phone, "new_phone": new_phone or None}
        )
        return answer

    def account_qr(
        self,
        account: str | None,
        *,
        wait_seconds: float,
        newer_than: str | None = None,
        rendering: Mapping[str, Any],
    ) -> results.QrResult:
        """Get the current QR, waiting for it; an unpaired account begins pairing.

        Args:
            account: which.
            wait_seconds: how long the daemon waits before it answers without one.
            newer_than: id of the QR seen last; the answer waits for another.
            rendering: format, scale, border, invert, where not the daemon's defaults.
        """
        answer: results.QrResult = self.ask(
            "account.qr",
            {
                "account": account,
                "wait_seconds": wait_seconds,
                "newer_than": newer_than,
                "start": newer_than is None or None,
                **rendering,
            },
            within_seconds=wait_seconds + _GRACE_SECONDS,
        )
        return answer

    def account_logout(self, account: str) -> results.LogoutResult:
        """Log out at WhatsApp and keep the account."""
        answer: results.LogoutResult = self.ask("account.logout", {"account": account})
        return answer

    def account_unpair(self, account: str) -> results.AccountResult:
        """Forget the linked device here."""
        answer: results.AccountResult = self.ask("account.unpair", {"account": account})
        return answer

    def account_remove(
        self, account: str, *, require_logout: bool = False, if_present: bool = False
    ) -> results.RemoveResult:
        """Log out and delete the account."""
        answer: results.RemoveResult = self.ask(
            "account.remove",
            {"account": account, "require_logout": require_logout or None, "if_present": if_present or None},
        )
        return answer

    def account_wait(
        self, account: str | None, states: Sequence[str], *, timeout_seconds: float
    ) -> results.WaitResult:
        """Wait until the account is in one of the states; a timeout of 0 means for ever."""
        answer: results.WaitResult = self.ask(
            "account.wait",
            {"account": account, "states": list(states), "timeout_seconds": timeout_seconds},
            within_seconds=timeout_seconds + _GRACE_SECONDS if timeout_seconds else 0,
        )
        return answer

    def event_list(
        self,
        *,
        account: str | None = None,
        types: Sequence[str] | None = None,
        since: int | str | None = None,
        until: int | str | None = None,
        limit: int | None = None,
    ) -> results.EventsResult:
        """List past events, oldest first."""
        answer: results.EventsResult = self.ask(
            "event.list",
            {
                "account": account,
                "types": list(types) if types else None,
                "since": since,
                "until": until,
                "limit": limit,
            },
        )
        return answer

    def event_subscribe(
        self,
        *,
        account: str | None = None,
        types: Sequence[str] | None = None,
        since: int | str | None = None,
    ) -> results.SubscribeResult:
        """Ask for events as they happen; `notifications` has them."""
        answer: results.SubscribeResult = self.ask(
            "event.subscribe", {"account": account, "types": list(types) if types else None, "since": since}
        )
        return answer
