"""One run of the simulator: puts the parts together in a directory and serves until it is told to stop.

One rule: one simulator per directory, held by a lock; when it ends nothing of it is left but the directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.whatsapp.authority import NoiseAuthority, TlsAuthority
from tests.whatsapp.control import SOCKET, Control
from tests.whatsapp.database import Database
from tests.whatsapp.faults import Faults
from tests.whatsapp.ledger import Ledger
from tests.whatsapp.proxy import ADDRESS, Proxy
from tests.whatsapp.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.whatsapp.pairing import QrClock

INJECT = Path(__file__).parent / "inject"


class AlreadyServing(Exception):
    """Another simulator serves this directory."""


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyServing(f"a simulator already serves {directory}") from None
        yield
    finally:
        os.close(descriptor)


def client_environment(directory: Path, *, port: int, root_public: bytes) -> dict[str, str]:
    """Return the variables that make a client process talk to the simulator."""
    return {
        "HTTPS_PROXY": f"http://{ADDRESS}:{port}",
        "SSL_CERT_FILE": str(directory / "ca.pem"),
        "SSL_CERT_DIR": str(directory / "none"),
        "PYTHONPATH": str(INJECT),
        "TOWER_SIMULATOR_ROOT_KEY": root_public.hex(),
    }


async def _serve(directory: Path, database: Database, clock: QrClock, *, ends_with_input: bool) -> None:
    ledger = Ledger(directory)
    noise = NoiseAuthority(ledger.root_private)
    faults = Faults()
    server = Server(ledger, database, noise, faults, clock)
    proxy = Proxy(TlsAuthority(directory).server_context(), faults, server.serve)
    await proxy.open(ledger.port)
    ledger.keep_port(proxy.port)
    environment = client_environment(directory, port=proxy.port, root_public=noise.root_public)
    control = Control(server, proxy, environment)
    listener = await control.listen(directory)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, control.is_over.set)
    print(json.dumps({"ready": True, "port": proxy.port, "pid": os.getpid()}), flush=True)
    if ends_with_input:
        loop.add_reader(0, _input_arrived, control.is_over)
    await control.is_over.wait()
    listener.close()
    proxy.close()


def _input_arrived(is_over: asyncio.Event) -> None:
    if not os.read(0, 4096):
        is_over.set()


def serve(directory: Path, clock: QrClock, *, ends_with_input: bool = False) -> None:
    """Serve in `directory` until a signal, the verb `shutdown` or, if wanted, the end of the standard input.

    Raises:
        AlreadyServing: another simulator does.
        OSError: the port is taken, or the directory cannot be used.
    """
    os.umask(0o077)
    directory = directory.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    with _locked(directory), contextlib.closing(Database(directory)) as database:
        try:
            asyncio.run(_serve(directory, database, clock, ends_with_input=ends_with_input))
        finally:
            (directory / SOCKET).unlink(missing_ok=True)
    sys.stdout.flush()
