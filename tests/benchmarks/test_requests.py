"""Requests per second on the socket, beside a bare asyncio server that answers with the same bytes."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.measure import Figure, as_installed, median
from tests.e2e.tower import Tower
from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GOAL_RATIO = 1 / 0.6
_ECHO = Path(__file__).with_name("echo.py")
LIST = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "account.list", "params": {}}).encode() + b"\n"


@dataclass(slots=True)
class Seen:
    """Requests per second of each turn, the same bytes from both."""

    bytes_each: int = 0
    tower: list[float] = field(default_factory=list)
    echo: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """How much longer an answer of ours takes."""
        return median(self.echo) / median(self.tower)


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect(str(path))
    return client


def ask(path: Path, request: bytes, count: int) -> int:
    """Send a request so many times, each after the answer to the last; return the bytes of an answer."""
    with contextlib.closing(connect(path)) as client, client.makefile("rwb") as stream:
        answer = b""
        for _ in range(count):
            stream.write(request)
            stream.flush()
            answer = stream.readline()
        return len(answer)


def per_second(path: Path, request: bytes, *, clients: int, each: int) -> float:
    """Return how many requests were answered in a second to clients that ask at the same time."""
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda _: ask(path, request, each), range(clients)))
    return clients * each / (time.perf_counter() - began)


@contextlib.contextmanager
def echo(directory: Path, answer: bytes) -> Iterator[Path]:
    """Start the floor."""
    path, content = directory / "echo.sock", directory / "answer"
    content.write_bytes(answer)
    process = subprocess.Popen([sys.executable, str(_ECHO), str(path), str(content)])
    try:
        wait_for(path.exists, what="the floor serves")
        yield path
    finally:
        process.kill()
        process.wait()
        path.unlink()


def fill(tower: Tower, accounts: int) -> None:
    """Have so many accounts, none linked."""
    there = len(tower.rpc("account.list")["accounts"])
    for n in range(there, accounts):
        tower.rpc("account.add", name=f"account-{n:04}", display_name=f"Shop {n}", pair=False)


def measure(directory: Path, accounts: int, *, clients: int, each: int, turns: int) -> Seen:
    """Ask both in turns, so that a busy moment of the machine hits both alike."""
    seen = Seen()
    tower = Tower()
    tower.environment = as_installed(tower.environment)
    with tower:
        fill(tower, accounts)
        with contextlib.closing(connect(tower.socket)) as client, client.makefile("rwb") as stream:
            stream.write(LIST)
            stream.flush()
            answer = stream.readline()
        assert len(json.loads(answer)["result"]["accounts"]) == accounts
        seen.bytes_each = len(answer)
        with echo(directory, answer) as floor:
            for turn in range(-1, turns):
                ours = per_second(tower.socket, LIST, clients=clients, each=each)
                theirs = per_second(floor, LIST, clients=clients, each=each)
                if turn >= 0:
                    seen.tower.append(ours)
                    seen.echo.append(theirs)
    return seen


@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_account_list(tmp_path: Path, record: Callable[[Figure], Figure]) -> None:
    for accounts, clients, each in ((10, 1, 2000), (10, 64, 60), (100, 1, 400), (1000, 1, 40)):
        seen = measure(tmp_path, accounts, clients=clients, each=each, turns=5)
        record(
            Figure(
                what=f"account.list of {accounts} accounts, {clients} clients, to a bare asyncio server",
                value=seen.ratio,
                unit="×",
                goal=GOAL_RATIO if (accounts, clients) == (10, 1) else None,
                detail=f"{median(seen.tower):.0f}/s to {median(seen.echo):.0f}/s of {seen.bytes_each} bytes",
            )
        )


def test_account_list_runs(tmp_path: Path) -> None:
    seen = measure(tmp_path, 3, clients=2, each=3, turns=1)
    assert min(*seen.tower, *seen.echo) > 0
    assert seen.bytes_each > 1000
