"""The examination: the daemon from outside, the machine around it, then what the daemon sees of itself.

The one rule: it ends with findings, whatever does not work; that is what it is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from towerctl import sockets
from towerctl import version as client_version
from towerctl.doctor import machine
from towerctl.doctor.findings import finding, worst
from towerctl.exits import Failure
from towerctl.sockets import Unreachable
from towerd.protocol.version import API_MAJOR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from towerctl.app import App
    from towerctl.client import Client
    from towerctl.results import Finding

CHECKS = ("socket", "daemon", "version", "group", "units", "configuration")
"""The checks made here, in the order in which they are told; the last one only when the daemon is silent."""

TIMEOUT_SECONDS = 30.0
"""All checks of the daemon have deadlines of their own, and end before."""

_JOURNAL = "journalctl --unit=towerd --lines=20"
_RESTART = "systemctl restart towerd"
_FOR_ROOT = frozenset({"chmod", "chown", "dmesg", "journalctl", "kill", "systemctl", "useradd"})


class Examination:
    """One examination.

    Args:
        app: how to reach the daemon.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._findings: list[Finding] = []
        self._is_by_hand = False
        self._is_forbidden = False
        self._pid: int | None = None

    def carry_out(self) -> Mapping[str, Any]:
        """Return what --json prints: the findings, the worst level, and whether they are all there are."""
        client = self._connect()
        seen = self._ask(client) if client is not None else None
        # Not before: who connects may have had the service started.
        shown = machine.shown_units()
        by_hand, forbidden = self._is_by_hand, self._is_forbidden
        self._findings += machine.group(is_by_hand=by_hand, is_forbidden=forbidden)
        self._findings += machine.units(shown, is_by_hand=by_hand)
        is_complete = seen is not None and seen["complete"]
        if not is_complete:
            self._findings += machine.configuration(self._app.environment, shown, is_by_hand=by_hand)
        if seen is not None:
            self._findings += [self._for_caller(one) for one in seen["findings"]]
        return {"findings": self._findings, "level": worst(self._findings), "complete": is_complete}

    def _connect(self) -> Client | None:
        try:
            client = self._app.connect(default_timeout_seconds=TIMEOUT_SECONDS)
        except Unreachable as failure:
            for absent in failure.tried:
                self._is_by_hand = absent.path != sockets.SYSTEM_SOCKET
                self._is_forbidden = absent.is_forbidden
            self._note("socket", "failure", failure.message, self._start_command(failure))
            return None
        self._is_by_hand = client.path != sockets.SYSTEM_SOCKET
        self._note("socket", "ok", f"{client.path} answers")
        return client

    def _start_command(self, failure: Unreachable) -> str:
        if self._is_forbidden:
            return "sudo towerctl doctor"
        if not self._is_by_hand:
            return machine.start_command(machine.shown_units())
        return f"towerd --socket {failure.tried[-1].path}"

    def _ask(self, client: Client) -> Any:
        """Ask the daemon what it sees of itself; None when it does not say."""
        try:
            running = client.daemon_version()
            self._pid = running["pid"]
            self._note(
                "daemon",
                "ok",
                f"towerd {running['version']}, pid {running['pid']}, since {running['started_at']}",
            )
            self._compare(running["version"], running["api"]["major"], running.get("whatsapp_version"))
            seen = client.daemon_doctor()
        except Failure as failure:
            command = _JOURNAL if not self._is_by_hand else f"towerctl --socket {client.path} version"
            if failure.slug == "method-not-found":
                self._note("daemon", "warning", "it is too old to look at itself", _RESTART)
            else:
                self._note("daemon", "failure", failure.message, command)
            return None
        if not seen["complete"]:
            self._note(
                "daemon", "skipped", "what is about the daemon itself is for admins", "sudo towerctl doctor"
            )
        return seen

    def _compare(self, theirs: str, their_major: int, whatsapp: str | None) -> None:
        own = client_version()
        if their_major != API_MAJOR:
            words = f"towerd {theirs} speaks API {their_major}, towerctl {own} API {API_MAJOR}"
            self._note("version", "failure", words, _RESTART)
        elif theirs != own:
            words = f"towerd {theirs} runs, towerctl is {own}"
            self._note("version", "warning", words, _RESTART)
        else:
            self._note(
                "version", "ok", f"both are {own}" + (f"; WhatsApp is told {whatsapp}" if whatsapp else "")
            )

    def _note(self, check: str, level: str, line: str, command: str | None = None) -> None:
        self._findings.append(self._for_caller(finding(check, level, line, command)))

    def _for_caller(self, found: Finding) -> Finding:
        """Return a finding with its command as this caller has to type it for this daemon."""
        command = found["command"]
        if command is None:
            return found
        if self._is_by_hand and command == _RESTART:
            command = f"kill {self._pid}    # then start towerd again"
        elif not self._is_by_hand and command.partition(" ")[0] in _FOR_ROOT:
            command = machine.as_root(command)
        return {**found, "command": command}
