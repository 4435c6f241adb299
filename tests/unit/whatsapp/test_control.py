"""The simulator's process, its verbs without a client, the command, and clients that talk nonsense."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import segno

from tests.whatsapp.__main__ import main
from tests.whatsapp.client import SimulatorError, call
from tests.whatsapp.simulator import Simulator, wait_for

if TYPE_CHECKING:
    from pathlib import Path

PHONE = "491701234567"
KEY = "A" * 43 + "="
NOBODYS_QR = f"https://wa.me/settings/linked_devices#2@nobody,{KEY},{KEY},{KEY},1"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Simulator.start(tmp_path_factory.mktemp("control") / "simulator") as simulator:
        yield simulator


@pytest.mark.parametrize(
    ("verb", "arguments", "reason"),
    [
        ("scan", {"qr": "hello", "phone": PHONE}, "malformed"),
        ("scan", {"qr": NOBODYS_QR, "phone": PHONE}, "unknown"),
        ("scan", {"qr": NOBODYS_QR, "phone": "12"}, "malformed"),
        ("scan", {"phone": PHONE}, "malformed"),
        ("scan", {"qr": NOBODYS_QR, "phone": PHONE, "platform": "nokia"}, "malformed"),
        ("link-code", {"code": "12345678", "phone": PHONE}, "unknown"),
        ("logout", {"phone": "15550001111"}, "unknown-phone"),
        ("logout", {"phone": PHONE, "device": 9}, "unknown-device"),
        ("drop", {"phone": PHONE}, "offline"),
        ("halfopen", {"phone": PHONE}, "offline"),
        ("replace", {"phone": PHONE}, "offline"),
        ("stanza", {"phone": PHONE, "stanza": {"tag": 1}}, "malformed"),
        ("stall", {"stage": "moon"}, "malformed"),
        ("refs", {"count": 0}, "malformed"),
        ("ban", {"phone": PHONE, "code": 200}, "malformed"),
        ("dance", {}, "malformed"),
    ],
)
def test_wrong_verb_says_what_is_wrong(
    running: Simulator, verb: str, arguments: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SimulatorError) as refused:
        call(running.directory, verb, **arguments)
    assert (reason, True) == (refused.value.reason, bool(str(refused.value)))


def test_lines_that_are_no_request_are_answered(running: Simulator) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(running.directory / "control.sock"))
        connection.settimeout(5)
        with connection.makefile("rwb") as stream:
            for line in (
                b"\n",
                b"[]\n",
                b'"scan"\n',
                b'{"verb": {}}\n',
                b'{"verb": "drop", "arguments": 1}\n',
            ):
                stream.write(line)
                stream.flush()
                assert "error" in json.loads(stream.readline())


def tls_connection(simulator: Simulator) -> ssl.SSLSocket:
    environment = simulator.environment()
    host, port = environment["HTTPS_PROXY"].removeprefix("http://").split(":")
    raw = socket.create_connection((host, int(port)), timeout=5)
    raw.sendall(b"CONNECT web.whatsapp.com:443 HTTP/1.1\r\nHost: web.whatsapp.com:443\r\n\r\n")
    assert b" 200 " in raw.recv(1000)
    context = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
    return context.wrap_socket(raw, server_hostname="web.whatsapp.com")


def upgraded(simulator: Simulator) -> ssl.SSLSocket:
    secured = tls_connection(simulator)
    secured.sendall(
        b"GET /ws/chat HTTP/1.1\r\nHost: web.whatsapp.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    answer = secured.recv(1000)
    assert b" 101 " in answer
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
    return secured


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x82\x05hello",
        b"\x82\x85\0\0\0\0hello",
        b"\x82\xfe\xff\xff\0\0\0\0" + bytes(65535),
        b"\xff" * 64,
        b"\x82\x8b\0\0\0\0WA\x06\x03\0\0\x04\x12\x02\x0a\0",
        b"",
    ],
)
def test_nonsense_ends_only_its_own_connection(running: Simulator, nonsense: bytes) -> None:
    with upgraded(running) as connection:
        connection.sendall(nonsense)
        if not nonsense:
            connection.unwrap = None  # type: ignore[method-assign,assignment]
        else:
            connection.settimeout(5)
            with contextlib.suppress(OSError):
                assert connection.recv(100) == b""
    running.wait_for(lambda simulator: not simulator.connections())


def test_only_whatsapp_is_answered_for(running: Simulator) -> None:
    host, port = running.environment()["HTTPS_PROXY"].removeprefix("http://").split(":")
    for request, status in [
        (b"CONNECT example.org:443 HTTP/1.1\r\n\r\n", b" 403 "),
        (b"GET http://web.whatsapp.com/ HTTP/1.1\r\n\r\n", b" 405 "),
    ]:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(request)
            assert status in connection.recv(1000)
    with tls_connection(running) as connection:
        connection.sendall(b"GET /sw.js HTTP/1.1\r\nHost: web.whatsapp.com\r\n\r\n")
        assert b" 404 " in connection.recv(1000)


def test_one_simulator_per_directory(running: Simulator) -> None:
    with pytest.raises(SimulatorError):
        Simulator.start(running.directory)
    assert running.sessions() == []


def test_port_and_keys_stay_over_restart(tmp_path: Path) -> None:
    with Simulator.start(tmp_path / "simulator") as simulator:
        before = simulator.environment()
        simulator.restart()
        assert before == simulator.environment()
        simulator.refuse()
        simulator.kill()
        simulator.restart()
        assert before == simulator.environment()
    assert (tmp_path / "simulator").stat().st_mode & 0o777 == 0o700


def test_simulator_ends_with_the_test_that_started_it(tmp_path: Path) -> None:
    script = (
        "import pathlib, os, sys\n"
        "from tests.whatsapp.simulator import Simulator\n"
        "print(Simulator.start(pathlib.Path(sys.argv[1])).pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    made = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "simulator")], stdout=subprocess.PIPE, check=False
    )
    pid = int(made.stdout)
    wait_for(lambda: not is_running(pid))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0] != "Z"


def test_command_prints_results_and_errors(
    running: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(running.directory)
    for arguments, status in [
        ([place, "sessions"], 0),
        ([place, "mute", "off"], 0),
        ([place, "failure", "off"], 0),
        ([place, "drop"], 0),
        ([place, "devices", PHONE], 0),
        ([place, "drop", PHONE], 1),
        ([place, "scan", "--phone", PHONE], 1),
        ([place, "scan", "hello", "--phone", PHONE], 1),
        ([place, "stanza", PHONE, "{"], 1),
        ([str(tmp_path), "sessions"], 1),
    ]:
        assert status == main(arguments)
        printed = capsys.readouterr().out
        assert bool(status) == ("error" in json.loads(printed))
        assert not status or printed.count("\n") == 1


def test_command_prints_environment_for_a_shell(
    running: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["env", str(running.directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert set(running.environment()) == {line.removeprefix("export ").partition("=")[0] for line in lines}


def test_command_reads_qr_from_an_image(
    running: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "qr.png"
    segno.make(NOBODYS_QR, error="l").save(str(image), scale=4)
    assert main([str(running.directory), "scan", "--image", str(image), "--phone", PHONE]) == 1
    assert json.loads(capsys.readouterr().out)["reason"] == "unknown"


@pytest.mark.parametrize(("setting", "said"), [("nonsense", "holds no key"), ("00" * 32, "")])
def test_pinned_key_is_replaced_or_the_client_refused(running: Simulator, setting: str, said: str) -> None:
    environment = os.environ | running.environment() | {"TOWER_SIMULATOR_ROOT_KEY": setting}
    done = subprocess.run(
        [sys.executable, "-c", "import pylibmagic, neonize"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (70 if said else 0, True) == (done.returncode, said in done.stderr)


def test_client_without_the_pinned_key_is_refused(running: Simulator, tmp_path: Path) -> None:
    package = tmp_path / "neonize"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_binder.py").touch()
    environment = os.environ | running.environment()
    environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", "import neonize._binder; print('went on')"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (70, "")
    assert "0 times" in done.stderr


def test_an_environment_of_no_simulator_is_nothing_that_a_shell_could_take_for_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["env", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "error" in told.err
