"""The test-side API: starts a simulator as a process of its own and controls it.

One rule: the simulator never outlives the test that started it; it ends when this process's end of its pipe
closes.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tests.whatsapp.client import SimulatorError, call
from tests.whatsapp.correspondence import Correspondence

if TYPE_CHECKING:
    from collections.abc import Callable

_CHECKOUT = Path(__file__).parents[2]
_START_SECONDS = 20.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.01

Result = TypeVar("Result")


def wait_for(probe: Callable[[], Result], *, seconds: float = 15.0, what: str = "") -> Result:
    """Return what `probe` returns as soon as it is true.

    Raises:
        TimeoutError: it was not within `seconds`; the message tells the last value.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what or probe}; last value: {value!r}")
        time.sleep(_POLL_SECONDS)


class Simulator(Correspondence):
    """A simulator in `directory`. Use `Simulator.start`; as a context manager it stops at the end."""

    def __init__(self, directory: Path, options: list[str]) -> None:
        self.directory = directory.absolute()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        refs: int = 6,
        qr_timeouts: tuple[float, float] | None = None,
        qr_grace: float | None = None,
        verbose: bool = False,
    ) -> Self:
        """Start a simulator and return when it is ready.

        `qr_timeouts` is how long the first QR and each later one are good, in seconds (WhatsApp: 60 and 20);
        `qr_grace` is how late a scan may come. With `verbose` its log goes to this process's standard error.

        Raises:
            SimulatorError: it did not become ready.
        """
        options = ["--refs", str(refs)]
        if qr_timeouts is not None:
            options += ["--qr-first", str(qr_timeouts[0]), "--qr-next", str(qr_timeouts[1])]
        if qr_grace is not None:
            options += ["--qr-grace", str(qr_grace)]
        if verbose:
            options.append("-v")
        simulator = cls(directory, options)
        simulator._spawn()
        return simulator

    def __enter__(self) -> Self:
        """Return the running simulator."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    @property
    def pid(self) -> int | None:
        """Return the process id, None when it does not run."""
        return self._process.pid if self._process else None

    def environment(self) -> dict[str, str]:
        """Return the variables to add to a client process's environment."""
        return dict(self._call("environment"))

    def stop(self) -> None:
        """End it and wait until it is gone; what is linked stays in the directory."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it the hard way."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it unless it is gone, and start it again in the same place: same port, same devices."""
        self.stop()
        self._spawn()

    # What is there

    def sessions(self) -> list[dict[str, Any]]:
        """Return the logged-in connections: phone, device, jid, lid, since, keepalive_age_seconds, ..."""
        return list(self._call("sessions"))

    def connections(self) -> list[dict[str, Any]]:
        """Return all open connections, also those that are not paired."""
        return list(self._call("connections"))

    def devices(self, phone: str) -> list[dict[str, Any]]:
        """Return the linked devices of a phone, none for a number never seen."""
        return list(self._call("devices", phone=phone))

    def phones(self) -> list[dict[str, Any]]:
        """Return the handsets: phone, lid, platform, push_name, business_name, devices, ban."""
        return list(self._call("phones"))

    def log(self) -> dict[str, Any]:
        """Return what the server saw since it started: `connections` (oldest first) and `counters`."""
        return dict(self._call("log"))

    # What the user of the phone does

    def scan(
        self,
        qr_text: str,
        phone: str,
        *,
        push_name: str | None = None,
        platform: str | None = None,
        business_name: str | None = None,
        restart: bool = True,
    ) -> dict[str, Any]:
        """Scan a QR; returns phone, device, jid and lid once the client has confirmed.

        Without `restart` the server never sends the 515 after it.

        Raises:
            SimulatorError: reason malformed, unknown, stale, mismatch, used, full or unconfirmed.
        """
        return dict(
            self._call(
                "scan",
                qr=qr_text,
                phone=phone,
                push_name=push_name,
                platform=platform,
                business_name=business_name,
                restart=restart,
            )
        )

    def link_code(
        self,
        code: str,
        phone: str,
        *,
        push_name: str | None = None,
        platform: str | None = None,
        business_name: str | None = None,
    ) -> dict[str, Any]:
        """Type a pairing code on a phone; returns what `scan` returns.

        Raises:
            SimulatorError: reason unknown, wrong-code, full or unconfirmed.
        """
        return dict(
            self._call(
                "link-code",
                code=code,
                phone=phone,
                push_name=push_name,
                platform=platform,
                business_name=business_name,
            )
        )

    def logout(self, phone: str, device: int | None = None) -> dict[str, Any]:
        """Unlink one device on the phone, or all."""
        return dict(self._call("logout", phone=phone, device=device))

    def reset(self, phone: str) -> dict[str, Any]:
        """Unlink everything and forget the handset, its bans and its failures."""
        return dict(self._call("reset", phone=phone))

    # What goes wrong with an account

    def ban(
        self, phone: str, code: int, *, expire: float | None = None, temporary_code: int = 101
    ) -> dict[str, Any]:
        """Ban an account (402, 403, 406): sessions are cut, logins fail, for `expire` seconds or for good."""
        return dict(self._call("ban", phone=phone, code=code, expire=expire, temporary_code=temporary_code))

    def unban(self, phone: str) -> dict[str, Any]:
        """Lift a ban."""
        return dict(self._call("unban", phone=phone))

    def replace(self, phone: str) -> dict[str, Any]:
        """End the phone's sessions as if the same device had logged in elsewhere."""
        return dict(self._call("replace", phone=phone))

    def failure(self, code: int | None, *, phone: str | None = None) -> dict[str, Any]:
        """Have every login (of one phone) fail with a reason; None ends it."""
        return dict(self._call("failure", code=code, phone=phone))

    def fail_login(self, phone: str, code: int, *, times: int = 1) -> dict[str, Any]:
        """Have the next logins of a phone fail."""
        return dict(self._call("fail-login", phone=phone, code=code, times=times))

    # What goes wrong with the line or the server

    def drop(self, phone: str | None = None) -> dict[str, Any]:
        """Break the phone's connections, or all."""
        return dict(self._call("drop", phone=phone))

    def drop_unpaired(self) -> dict[str, Any]:
        """Break the connections of clients that are not logged in: they pair, or wait for an answer."""
        return dict(self._call("drop-unpaired"))

    def refuse(self, on: bool = True) -> dict[str, Any]:
        """Refuse new connections."""
        return dict(self._call("refuse", on=on))

    def stall(self, stage: str) -> dict[str, Any]:
        """Leave new connections without an answer at `connect`, `upgrade` or `hello`; `off` ends it."""
        return dict(self._call("stall", stage=stage))

    def halfopen(self, phone: str) -> dict[str, Any]:
        """Have the phone's connections swallow everything."""
        return dict(self._call("halfopen", phone=phone))

    def mute(self, on: bool = True) -> dict[str, Any]:
        """Answer no query and no keepalive, but keep the connections."""
        return dict(self._call("mute", on=on))

    def outdated(self, on: bool = True) -> dict[str, Any]:
        """Call every client that registers or logs in outdated (405)."""
        return dict(self._call("outdated", on=on))

    def slow(self, milliseconds: float) -> dict[str, Any]:
        """Delay all the server says; 0 ends it."""
        return dict(self._call("slow", milliseconds=milliseconds))

    def refs(self, count: int) -> dict[str, Any]:
        """Hand this many refs to clients that register from now on."""
        return dict(self._call("refs", count=count))

    def compress(self, on: bool = True) -> dict[str, Any]:
        """Send compressed frames."""
        return dict(self._call("compress", on=on))

    def passkey(self, on: bool = True) -> dict[str, Any]:
        """Ask for a passkey after a scan instead of pairing."""
        return dict(self._call("passkey", on=on))

    def hold_success(self, on: bool = True) -> dict[str, Any]:
        """Hold every login back before its success."""
        return dict(self._call("hold-success", on=on))

    def stanza(self, phone: str, stanza: dict[str, Any]) -> dict[str, Any]:
        """Send the phone's sessions a stanza: {"tag", "attrs", "content"}; text content travels as bytes."""
        return dict(self._call("stanza", phone=phone, stanza=stanza))

    # Waiting

    def wait_for(
        self, probe: Callable[[Simulator], Result], *, seconds: float = 15.0, what: str = ""
    ) -> Result:
        """Return what `probe(simulator)` returns as soon as it is true; TimeoutError after `seconds`."""
        return wait_for(lambda: probe(self), seconds=seconds, what=what)

    def wait_online(self, phone: str, *, seconds: float = 15.0) -> dict[str, Any]:
        """Return the phone's first session as soon as one is logged in."""
        return self.wait_for(
            lambda simulator: [each for each in simulator.sessions() if each["phone"] == phone],
            seconds=seconds,
            what=f"a session of {phone}",
        )[0]

    def wait_offline(self, phone: str, *, seconds: float = 15.0) -> None:
        """Return as soon as no device of the phone is logged in."""
        self.wait_for(
            lambda simulator: all(each["phone"] != phone for each in simulator.sessions()),
            seconds=seconds,
            what=f"no session of {phone}",
        )

    def _call(self, verb: str, **arguments: Any) -> Any:
        return call(self.directory, verb, **arguments)

    def _spawn(self) -> None:
        command = [sys.executable, "-m", "tests.whatsapp", "serve", str(self.directory), "--until-eof"]
        process = subprocess.Popen(
            [*command, *self._options],
            cwd=_CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )
        self._process = process
        said = _first_line(process)
        if not said.get("ready"):
            self.kill()
            raise SimulatorError(said.get("error", "the simulator did not become ready"), "not-running")

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with process:
            process.send_signal(number)
            with contextlib.suppress(OSError):
                if process.stdin is not None:
                    process.stdin.close()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _first_line(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(_START_SECONDS) else b""
    return dict(json.loads(line)) if line else {}
