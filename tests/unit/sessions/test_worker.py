"""The worker process: it obeys one daemon and lives no longer than it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sessions import messages
from sessions import store as store_module
from sessions.messages import OrderEnvelope, ReportEnvelope
from sessions.store import Store
from sessions.worker import EXIT_STORE_LOCKED, EXIT_USAGE, OOM_SCORE, Wire, offer_to_the_kernel, run
from tests.unit.sessions.stores import ACCOUNT_ID

DEADLINE_SECONDS = 20


def order(body: messages.Orders, *, generation: int = 4) -> bytes:
    return messages.encode(OrderEnvelope(account=ACCOUNT_ID, generation=generation, body=body))


def begin(root: Path) -> bytes:
    return order(messages.Begin(sessions_dir=str(root), locks_dir=str(root), device_name="TOWER"))


# --- the wire --------------------------------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Wire]]:
    daemon, worker = socket.socketpair()
    with daemon:
        daemon.settimeout(DEADLINE_SECONDS)
        wire = Wire(worker.detach())
        yield daemon, wire
        wire.drain()
        wire._lines.close()
        wire._socket.close()


def test_wire_hands_out_orders_one_by_one(pair: tuple[socket.socket, Wire]) -> None:
    daemon, wire = pair
    daemon.sendall(order(messages.Probe(id=1)) + order(messages.Quit()))
    received = [wire.receive(), wire.receive()]
    assert [one.body for one in received if one] == [messages.Probe(id=1), messages.Quit()]


def test_wire_waits_for_the_rest_of_a_line(pair: tuple[socket.socket, Wire]) -> None:
    daemon, wire = pair
    line = order(messages.Probe(id=1))
    daemon.sendall(line[:9])
    daemon.sendall(line[9:])
    received = wire.receive()
    assert received is not None
    assert received.body == messages.Probe(id=1)


@pytest.mark.parametrize("rest", [b"", b'{"account":"a-x"', order(messages.Quit())[:-1]])
def test_end_of_the_daemon_is_the_end_even_within_a_line(
    pair: tuple[socket.socket, Wire], rest: bytes
) -> None:
    daemon, wire = pair
    daemon.sendall(rest)
    daemon.close()
    assert wire.receive() is None


def test_garbage_is_taken_for_the_end(pair: tuple[socket.socket, Wire]) -> None:
    daemon, wire = pair
    daemon.sendall(b"what is this\n")
    assert wire.receive() is None


def test_reports_are_sent_in_order_before_the_end(pair: tuple[socket.socket, Wire]) -> None:
    daemon, wire = pair
    for number in range(50):
        body = messages.KeepaliveMissed(error_count=number)
        wire.send(ReportEnvelope(account="a-x", generation=1, body=body))
    wire.drain()
    with daemon.makefile("rb") as lines:
        counts = [json.loads(lines.readline())["body"]["error_count"] for _ in range(50)]
    assert counts == list(range(50))


def test_report_to_a_daemon_that_is_gone_is_nobodys_fault(pair: tuple[socket.socket, Wire]) -> None:
    daemon, wire = pair
    daemon.close()
    for _ in range(3):
        wire.send(ReportEnvelope(account="a-x", generation=1, body=messages.Disconnected()))
    wire.drain()
    assert not wire._writer.is_alive()


# --- the run ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [b"", order(messages.Quit()), b"garbage\n"])
def test_run_ends_at_once_when_the_first_order_is_not_begin(
    pair: tuple[socket.socket, Wire], first: bytes
) -> None:
    daemon, wire = pair
    daemon.sendall(first)
    daemon.shutdown(socket.SHUT_WR)
    assert run(wire) == EXIT_USAGE


def test_run_says_who_holds_the_store(
    pair: tuple[socket.socket, Wire], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, wire = pair
    acquire = store_module._acquire
    with Store(root, ACCOUNT_ID).lock():
        monkeypatch.setattr(store_module, "_acquire", lambda descriptor, _seconds: acquire(descriptor, 0))
        daemon.sendall(begin(root))
        assert run(wire) == EXIT_STORE_LOCKED
    report = messages.decode_report(daemon.recv(4096))
    assert (report.account, report.generation) == (ACCOUNT_ID, 4)
    assert report.body == messages.StoreLocked(holder_pid=os.getpid())


# --- the process -----------------------------------------------------------------------------------------


CARRY = "import sys; from sessions.worker import carry; sys.exit(carry(int(sys.argv[1])))"


@pytest.fixture
def mute_proxy() -> Iterator[int]:
    """Return the port of a proxy that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        yield proxy.getsockname()[1]


@pytest.fixture
def worker(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """Start a real worker process that has nowhere to go: its only proxy refuses, or is mute."""
    mute = "mute_proxy" in request.fixturenames
    port = request.getfixturevalue("mute_proxy") if mute else 9
    daemon, theirs = socket.socketpair()
    environment = os.environ | {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "NO_PROXY": ""}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", CARRY, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
    with daemon:
        daemon.settimeout(DEADLINE_SECONDS)
        try:
            yield process, daemon
        finally:
            process.kill()
            process.wait(DEADLINE_SECONDS)


def next_report(lines: socket.SocketIO | object) -> messages.Reports:
    line: bytes = lines.readline()  # type: ignore[union-attr, attr-defined]
    try:
        return messages.decode_report(line).body
    except msgspec.DecodeError:
        pytest.fail(f"not a report: {line!r}")


def test_process_ends_when_its_daemon_is_gone_before_the_first_order(
    worker: tuple[subprocess.Popen[bytes], socket.socket],
) -> None:
    process, daemon = worker
    daemon.close()
    assert process.wait(DEADLINE_SECONDS) == EXIT_USAGE


def test_process_loads_the_library_holds_its_store_and_ends_with_its_client(
    worker: tuple[subprocess.Popen[bytes], socket.socket], root: Path
) -> None:
    process, daemon = worker
    daemon.sendall(begin(root))
    with daemon.makefile("rb") as lines:
        begun = next_report(lines)
        assert isinstance(begun, messages.Begun)
        assert begun.neonize_version == "0.5.2"
        holder = json.loads((root / f"{ACCOUNT_ID}.lock").read_text())
        assert (holder["pid"], holder["killable"]) == (process.pid, True)
        ended = next_report(lines)
        assert isinstance(ended, messages.ClientEnded)
        assert ended.cause in ("proxy", "refused")
        assert process.wait(DEADLINE_SECONDS) == 0
        assert lines.readline() == b""


def test_process_makes_its_files_private(
    worker: tuple[subprocess.Popen[bytes], socket.socket], root: Path
) -> None:
    process, daemon = worker
    daemon.sendall(begin(root))
    process.wait(DEADLINE_SECONDS)
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) >= 2
    assert {path.stat().st_mode & 0o077 for path in files} == {0}


@pytest.mark.usefixtures("mute_proxy")
def test_process_is_what_the_kernel_ends_first_when_memory_is_short(
    worker: tuple[subprocess.Popen[bytes], socket.socket], root: Path
) -> None:
    process, daemon = worker
    daemon.sendall(begin(root))
    with daemon.makefile("rb") as lines:
        assert isinstance(next_report(lines), messages.Begun)
    score = int(Path(f"/proc/{process.pid}/oom_score_adj").read_text())
    assert score == max(OOM_SCORE, int(Path("/proc/self/oom_score_adj").read_text()))


@pytest.mark.usefixtures("mute_proxy")
def test_process_has_no_dead_children(
    worker: tuple[subprocess.Popen[bytes], socket.socket], root: Path
) -> None:
    process, daemon = worker
    daemon.sendall(begin(root))
    with daemon.makefile("rb") as lines:
        assert isinstance(next_report(lines), messages.Begun)
    assert Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text() == ""


@pytest.mark.parametrize(("before", "after"), [("-900", 500), ("0", 500), ("500", 500), ("800", 800)])
def test_oom_score_is_only_ever_raised(tmp_path: Path, before: str, after: int) -> None:
    file = tmp_path / "oom_score_adj"
    file.write_text(f"{before}\n")
    offer_to_the_kernel(file)
    assert int(file.read_text()) == after


def test_kernel_without_an_oom_score_is_no_fault(tmp_path: Path) -> None:
    offer_to_the_kernel(tmp_path / "missing" / "oom_score_adj")
    assert not (tmp_path / "missing").exists()


@pytest.mark.usefixtures("mute_proxy")
@pytest.mark.parametrize("last", [None, b"garbage\n"], ids=["end of file", "garbage"])
def test_process_with_a_running_client_ends_with_its_daemon(
    worker: tuple[subprocess.Popen[bytes], socket.socket], root: Path, last: bytes | None
) -> None:
    process, daemon = worker
    daemon.sendall(begin(root))
    with daemon.makefile("rb") as lines:
        assert isinstance(next_report(lines), messages.Begun)
    if last is None:
        daemon.shutdown(socket.SHUT_RDWR)
    else:
        daemon.sendall(last)
    assert process.wait(DEADLINE_SECONDS) == 0
