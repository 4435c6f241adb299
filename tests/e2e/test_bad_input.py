"""What bad input gets: one clear line, the right exit code, nothing lost, every other account unaffected."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bystander import stays_connected
from tests.e2e.disks import fill, is_root_with_mounts, needs_mounts, small_disk
from tests.e2e.tower import BIN, Tower
from tests.whatsapp.simulator import Simulator, wait_for

GOOD_PHONE = "491701234567"
BANNED_PHONE = "491707654321"
MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A towerd with an account in every state that matters here; `good` is linked and must stay so."""

    tower: Tower
    simulator: Simulator
    good: dict[str, Any]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with (
        Simulator.start(tmp_path_factory.mktemp("simulator")) as simulator,
        Tower(simulator) as tower,
    ):
        good = tower.link(simulator, "good", GOOD_PHONE)
        tower.ctl("add", "idle", "--no-pair")
        tower.ctl("add", "resting", "--no-pair")
        tower.ctl("stop", "resting")
        tower.link(simulator, "banned", BANNED_PHONE)
        simulator.ban(BANNED_PHONE, 403)
        tower.wait_for_state("banned", "failed")
        tower.ctl("add", "pairing")
        yield Scene(tower=tower, simulator=simulator, good=good)


@pytest.fixture
def scene(shared: Scene) -> Iterator[Scene]:
    """The shared daemon; afterwards all accounts are what they were, and nobody lost a connection."""
    before = names_and_states(shared.tower)
    yield shared
    assert names_and_states(shared.tower) == before
    good = shared.tower.account("good")
    assert (good["state"], good["since"]) == ("connected", shared.good["since"])
    assert len(shared.simulator.devices(GOOD_PHONE)) == 1


def names_and_states(tower: Tower) -> list[tuple[str, str, str]]:
    accounts = tower.rpc("account.list")["accounts"]
    return [(account["name"], account["state"], account["desired"]) for account in accounts]


def refusal(done: subprocess.CompletedProcess[str], status: int, *, program: str = "towerctl") -> str:
    """Check that a command refused with a line, and perhaps a hint, and nothing else; return what it said."""
    assert done.returncode == status, done
    assert done.stdout == ""
    fact, *hints = done.stderr.splitlines()
    assert fact.startswith(f"{program}: ")
    assert len(hints) <= 1
    assert all(hint.startswith("hint: ") for hint in hints)
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    return done.stderr


def json_refusal(done: subprocess.CompletedProcess[str], status: int) -> dict[str, Any]:
    """Check that a command with --json refused in one line on standard error; return the error."""
    assert done.returncode == status, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    document = json.loads(line)
    assert list(document) == ["error"]
    error: dict[str, Any] = document["error"]
    assert {"slug", "message", "hint", "exit"} <= set(error)
    assert error["exit"] == status
    return error


# Names and fields

BAD_NAMES = {
    "space": "a b",
    "first-character": ".hidden",
    "underscore-first": "_shop",
    "letter-with-diaeresis": "laden-ä",
    "slash": "shop/berlin",
    "newline": "shop\nberlin",
    "escape": "shop\x1b[31m",
    "turned-around": "shop\u202enilreb",
    "too-long": "a" * 64,
    "like-an-id": "a-abcdefghij",
    "like-a-phone-number": "491701234567",
    "with-a-plus": "+491701234567",
}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES.keys())
def test_a_name_that_breaks_the_rule_is_refused_with_the_rule(scene: Scene, name: str) -> None:
    said = refusal(scene.tower.run("add", name, "--no-pair"), 2)
    assert said.startswith("towerctl: name: must")
    assert "\x1b" not in said
    error = json_refusal(scene.tower.run("rename", "idle", name, "--json"), 2)
    assert error["slug"] == "invalid-field"
    assert [bad["field"] for bad in error["fields"]] == ["name"]


def test_the_longest_name_is_taken(scene: Scene) -> None:
    longest = "a" * 63
    scene.tower.ctl("add", longest, "--no-pair")
    scene.tower.ctl("remove", longest, "--yes")


def test_several_bad_fields_are_named_at_once(scene: Scene) -> None:
    error = json_refusal(scene.tower.run("add", "a b", "--display-name", "\x1b[2J", "--no-pair", "--json"), 2)
    assert [bad["field"] for bad in error["fields"]] == ["name", "display_name"]
    said = refusal(scene.tower.run("add", "a b", "--display-name", "\x1b[2J", "--no-pair"), 2)
    assert "name: " in said
    assert "display_name: " in said


def test_all_parameters_of_the_wrong_kind_are_named_at_once(scene: Scene) -> None:
    params = {
        "account": "",
        "scale": 0,
        "border": 99,
        "format": "gif",
        "wait_seconds": "long",
        "colour": "red",
    }
    error = json_refusal(scene.tower.run("rpc", "account.qr", json.dumps(params), "--json"), 2)
    assert error["slug"] == "invalid-params"
    assert {bad["field"] for bad in error["fields"]} == set(params)
    assert all(bad["why"] for bad in error["fields"])
    refusal(scene.tower.run("rpc", "account.qr", json.dumps(params)), 2)


# Unknown, taken, in the wrong state

REFUSALS: dict[str, tuple[tuple[str, ...], int, str, str]] = {
    "unknown": (("show", "nobody"), 5, "account-not-found", "good"),
    "unknown-id": (("show", "a-aaaaaaaaaa"), 5, "account-not-found", "good"),
    "unknown-phone": (("stop", "+4915100000000"), 5, "account-not-found", "good"),
    "unknown-jid": (("start", "4915100000000@s.whatsapp.net"), 5, "account-not-found", "good"),
    "unknown-owner": (("restart", "nobody-at-all/good"), 5, "account-not-found", "good"),
    "unknown-control-characters": (("show", "\x1b[2J"), 5, "account-not-found", "\\x1b"),
    "unknown-qr": (("qr", "nobody"), 5, "account-not-found", "good"),
    "unknown-pair": (("pair", "nobody"), 5, "account-not-found", "good"),
    "unknown-wait": (("wait", "nobody", "--for", "connected"), 5, "account-not-found", "good"),
    "unknown-rename": (("rename", "nobody", "somebody"), 5, "account-not-found", "good"),
    "unknown-unpair": (("unpair", "nobody", "--yes"), 5, "account-not-found", "good"),
    "unknown-logout": (("logout", "nobody", "--yes"), 5, "account-not-found", "good"),
    "unknown-remove": (("remove", "nobody", "--yes"), 5, "account-not-found", "good"),
    "unknown-events": (("events", "--account", "nobody"), 5, "account-not-found", "good"),
    "left-out": (("show",), 2, "account-ambiguous", "good"),
    "taken-add": (("add", "good"), 6, "account-exists", "good"),
    "taken-rename": (("rename", "idle", "good"), 6, "account-exists", "good"),
    "qr-of-linked": (("qr", "good"), 6, "wrong-state", "linked"),
    "qr-follow-of-linked": (("qr", "good", "--follow"), 6, "wrong-state", "linked"),
    "qr-of-stopped": (("qr", "resting"), 6, "wrong-state", "towerctl start resting"),
    "qr-of-failed": (("qr", "banned"), 8, "needs-human", "locked"),
    "pair-of-linked": (("pair", "good"), 6, "wrong-state", "logout good"),
    "wait-for-what-is-unpaired": (("wait", "idle", "--for", "connected"), 8, "needs-human", "idle"),
    "wait-for-what-is-stopped": (
        ("wait", "resting", "--for", "connected"),
        8,
        "needs-human",
        "start resting",
    ),
    "wait-for-what-is-failed": (("wait", "banned", "--for", "connected"), 8, "needs-human", "WhatsApp"),
    "wait-too-short": (("wait", "good", "--for", "failed", "--timeout", "0.1"), 7, "timed-out", "connected"),
    "wait-for-no-state": (("wait", "good", "--for", "online"), 2, "usage", "connected"),
    "wait-for-nothing": (("wait", "good"), 2, "usage", "--for"),
    "list-no-state": (("list", "--state", "online"), 2, "usage", "connected"),
    "no-such-command": (("lisst",), 2, "usage", "lisst"),
    "no-such-option": (("list", "--al"), 2, "usage", "--al"),
    "too-much": (("show", "good", "idle"), 2, "usage", "idle"),
    "several-and-all": (("stop", "good", "--all"), 2, "usage", "--all"),
    "remove-unasked": (("remove", "good"), 2, "usage", "--yes"),
    "logout-unasked": (("logout", "good"), 2, "usage", "--yes"),
    "unpair-unasked": (("unpair", "good"), 2, "usage", "--yes"),
    "remove-unnamed": (("remove", "--yes"), 2, "usage", "ACCOUNT"),
    "scale": (("qr", "pairing", "--scale", "65"), 2, "usage", "scale"),
    "border": (("qr", "pairing", "--border", "-1"), 2, "usage", "border"),
    "mode": (("qr", "pairing", "-o", "x.png", "--mode", "9999"), 2, "usage", "octal"),
    "format": (("qr", "pairing", "--format", "gif"), 2, "usage", "png"),
    "ending": (("qr", "pairing", "-o", "x.gif"), 2, "usage", ".png"),
    "timeout-negative": (("list", "--timeout", "-1"), 2, "usage", "--timeout"),
    "timeout-not-a-number": (("list", "--timeout", "nan"), 2, "usage", "--timeout"),
    "rpc-not-json": (("rpc", "account.list", "{"), 2, "usage", "JSON"),
    "rpc-not-an-object": (("rpc", "account.list", "[]"), 2, "usage", "object"),
    "rpc-no-method": (("rpc", "account.liszt"), 1, "method-not-found", "account.liszt"),
    "rpc-missing": (("rpc", "account.unpair"), 2, "invalid-params", "missing"),
    "rpc-unknown": (("rpc", "account.get", '{"acount": "good"}'), 2, "invalid-params", "acount"),
    "events-when": (("events", "--since", "yesterday-ish"), 2, "", "since"),
    "not-utf-8": (("show", "\udcff"), 2, "usage", "UTF-8"),
}


@pytest.mark.parametrize(("command", "status", "slug", "word"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_cannot_be_done_is_said_in_a_line_and_changes_nothing(
    scene: Scene, command: tuple[str, ...], status: int, slug: str, word: str
) -> None:
    assert word in refusal(scene.tower.run(*command), status)
    error = json_refusal(scene.tower.run(*command, "--json"), status)
    assert slug in {"", error["slug"]}
    assert error["message"].splitlines() == [error["message"]]


def test_of_several_accounts_all_are_tried_and_the_worst_decides(scene: Scene) -> None:
    done = scene.tower.run("start", "good", "nobody", "pairing")
    assert done.returncode == 5
    assert len(done.stdout.splitlines()) == 2
    assert "no account nobody" in done.stderr
    assert json_refusal(scene.tower.run("start", "good", "nobody", "--json"), 5)["failures"]


def test_an_unknown_account_where_there_is_none_hints_at_add() -> None:
    with Tower() as tower:
        for command in (("show", "nobody"), ("show",)):
            said = refusal(tower.run(*command), 5)
            assert "there are none" in said
            assert "towerctl add" in said


# The socket

MALFORMED = {
    "words": b"list all accounts",
    "half": b'{"jsonrpc": "2.0", "id": 1, "method": "account.list"',
    "not-utf-8": b'{"jsonrpc": "2.0", "id": 1, "method": "\xff\xfe"}',
    "nul": b"\x00" * 100,
    "deep": b"[" * 100_000,
    "http": b"GET / HTTP/1.1",
}
NOT_REQUESTS = {
    "number": b"7",
    "string": b'"account.list"',
    "null": b"null",
    "empty-object": b"{}",
    "empty-batch": b"[]",
    "old-version": b'{"jsonrpc": "1.0", "id": 1, "method": "account.list"}',
    "method-no-string": b'{"jsonrpc": "2.0", "id": 1, "method": 7}',
    "id-an-object": b'{"jsonrpc": "2.0", "id": {}, "method": "account.list"}',
}
VERSION = b'{"jsonrpc": "2.0", "id": "last", "method": "daemon.version"}\n'


class Line:
    """A bare connection: lines out, answers in."""

    def __init__(self, tower: Tower) -> None:
        self.socket = tower.connect()
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> Any:
        """Return the next answer; None at the end."""
        line = self._file.readline()
        return json.loads(line) if line else None

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@pytest.fixture
def line(scene: Scene) -> Iterator[Line]:
    with contextlib.closing(Line(scene.tower)) as opened:
        yield opened


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_line_is_answered_and_the_connection_goes_on(line: Line, text: bytes) -> None:
    line.send(text + b"\n" + VERSION)
    answer = line.answer()
    assert (answer["id"], answer["error"]["code"]) == (None, -32700)
    assert line.answer()["id"] == "last"


@pytest.mark.parametrize("text", NOT_REQUESTS.values(), ids=NOT_REQUESTS.keys())
def test_what_is_no_request_is_answered_and_the_connection_goes_on(line: Line, text: bytes) -> None:
    line.send(text + b"\n")
    assert line.answer()["error"]["code"] == -32600
    line.send(VERSION)
    assert line.answer()["id"] == "last"


def test_one_bad_request_of_a_batch_spoils_no_other(line: Line) -> None:
    good = {"jsonrpc": "2.0", "id": 1, "method": "daemon.version"}
    line.send(json.dumps([good, 7, good | {"id": 2, "params": []}]).encode() + b"\n")
    codes = {answer["id"]: answer.get("error", {}).get("code") for answer in line.answer()}
    assert codes == {1: None, None: -32600, 2: -32602}


@pytest.mark.parametrize("end", [b"\n", b""], ids=["whole", "endless"])
def test_a_line_of_two_megabytes_is_answered_and_the_connection_closed(line: Line, end: bytes) -> None:
    text = b'{"jsonrpc": "2.0", "id": 1, "method": "account.list", "params": {"x": "' + b"x" * 2 * MEGABYTE
    # What is sent after the refusal meets a closed connection.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        line.send(text + b'"}}' + end)
    answer = line.answer()
    assert answer["error"]["data"]["slug"] == "request-too-long"
    with contextlib.suppress(ConnectionResetError):
        assert line.answer() is None


def test_parameters_of_two_megabytes_are_refused_in_a_line(scene: Scene) -> None:
    params = json.dumps({"account": "x" * 2 * MEGABYTE})
    said = refusal(scene.tower.run("rpc", "account.get", "-", stdin=params), 1)
    assert "1 MiB" in said
    assert json_refusal(scene.tower.run("rpc", "account.get", "-", "--json", stdin=params), 1)


def test_half_a_line_and_a_hang_up_asks_for_nothing(scene: Scene) -> None:
    request = b'{"jsonrpc": "2.0", "id": 1, "method": "account.add", "params": {"name": "half"}}'
    with contextlib.closing(Line(scene.tower)) as line:
        line.send(request)
        line.socket.shutdown(socket.SHUT_WR)
        assert line.answer() is None
    assert scene.tower.run("show", "half").returncode == 5


def test_a_client_that_hangs_up_before_its_answer_takes_nothing_with_it(scene: Scene) -> None:
    for _ in range(50):
        with contextlib.closing(Line(scene.tower)) as line:
            line.send(b'{"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}\n' * 20)
    assert "Traceback" not in scene.tower.log()


def test_of_300_requests_at_once_each_is_answered_or_told_that_it_is_too_much(line: Line) -> None:
    line.send(b"".join(b'{"jsonrpc": "2.0", "id": %d, "method": "daemon.version"}\n' % n for n in range(300)))
    answers = [line.answer() for _ in range(300)]
    served = [answer for answer in answers if "result" in answer]
    refused = [answer["error"]["data"]["slug"] for answer in answers if "error" in answer]
    assert sorted(answer["id"] for answer in answers) == list(range(300))
    assert len(served) >= 256
    assert set(refused) <= {"too-busy"}
    line.send(VERSION)
    assert line.answer()["id"] == "last"


def test_100_connections_at_once_are_all_served(scene: Scene) -> None:
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(contextlib.closing(Line(scene.tower))) for _ in range(100)]
        for line in lines:
            line.send(VERSION)
        assert all(line.answer()["id"] == "last" for line in lines)


def test_a_client_that_never_reads_keeps_nobody_waiting(scene: Scene) -> None:
    with contextlib.closing(Line(scene.tower)) as greedy:
        greedy.socket.setblocking(False)
        request = b'{"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}\n'
        # Until towerd takes no more of it: its answers fill the socket, and nobody reads them.
        with contextlib.suppress(BlockingIOError):
            while True:
                greedy.socket.send(request)
        for _ in range(20):
            scene.tower.rpc("daemon.version")
        scene.tower.ctl("list", "--timeout", "5")


# Where the picture should go


def test_a_picture_is_not_written_where_none_can_be(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "directory.png").mkdir()
    (tmp_path / "file").write_text("a file")
    os.mkfifo(tmp_path / "queue.png")
    targets = {
        tmp_path / "directory.png": "directory",
        tmp_path / "missing" / "qr.png": "does not exist",
        tmp_path / "file" / "qr.png": "not a directory",
        tmp_path / "queue.png": "not a regular file",
        Path("/proc/qr.png"): "/proc",
        tmp_path / ("x" * 300 + ".png"): "name",
    }
    for target, why in targets.items():
        said = refusal(scene.tower.run("qr", "pairing", "-o", target), 1)
        assert "cannot write" in said
        assert why in said
        error = json_refusal(scene.tower.run("qr", "pairing", "-o", target, "--follow", "--json"), 1)
        assert error["slug"] == "cannot-write"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["directory.png", "file", "queue.png"]
    refusal(scene.tower.run("qr", "pairing", "-o", f"{tmp_path}/"), 2)
    refusal(scene.tower.run("qr", "pairing", "-o", ""), 2)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into any directory")
def test_a_picture_is_not_written_into_a_directory_of_others(scene: Scene, tmp_path: Path) -> None:
    target = tmp_path / "closed" / "qr.png"
    target.parent.mkdir(mode=0o500)
    assert "not writable" in refusal(scene.tower.run("qr", "pairing", "-o", target), 1)


@needs_mounts
def test_a_full_disk_leaves_the_old_picture_and_no_draft(scene: Scene, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 0.1) as disk:
        picture = disk / "qr.png"
        picture.write_bytes(b"the old picture")
        filler = fill(disk)
        for options in ((), ("--follow",)):
            said = refusal(scene.tower.run("qr", "pairing", "-o", picture, *options), 1)
            assert "No space left" in said
        assert picture.read_bytes() == b"the old picture"
        assert sorted(path.name for path in disk.iterdir()) == ["filler", "qr.png"]
        filler.unlink()
        scene.tower.ctl("qr", "pairing", "-o", picture)
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_limit_on_file_size_leaves_the_old_picture_and_no_draft(scene: Scene, tmp_path: Path) -> None:
    picture = tmp_path / "qr.png"
    picture.write_bytes(b"the old picture")
    command = [BIN / "towerctl", "qr", "pairing", "-o", picture]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *command],
        env=scene.tower.client_environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "too large" in refusal(done, 1)
    assert picture.read_bytes() == b"the old picture"
    assert [path.name for path in tmp_path.iterdir()] == ["qr.png"]


def test_standard_output_on_a_full_device_is_said(scene: Scene) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [BIN / "towerctl", "list"],
            env=scene.tower.client_environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["towerctl: cannot write standard output: No space left on device"]


# What the daemon finds when it starts


def start_towerd(directory: Path, *options: str | Path, **paths: Path) -> subprocess.CompletedProcess[str]:
    """Start a towerd that is expected to refuse."""
    socket_path = paths.get("socket", directory / "tower.sock")
    state = paths.get("state", directory / "state")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOWER_")}
    return subprocess.run(
        [BIN / "towerd", "--socket", socket_path, "--state-dir", state, *options],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_every_mistake_of_a_configuration_is_told_and_nothing_starts(tmp_path: Path) -> None:
    config = tmp_path / "tower.toml"
    config.write_text('[pairing]\ntimeout_seconds = "long"\ncolour = 1\n[start]\nparallel = -1\n[nonsense]\n')
    for options in ((), ("--check-config",)):
        done = start_towerd(tmp_path, "--config", config, *options)
        assert (done.returncode, done.stdout) == (78, "")
        lines = done.stderr.splitlines()
        assert [line.split(": ")[:3] for line in lines] == [
            ["towerd", str(config), key]
            for key in ("pairing.timeout_seconds", "pairing.colour", "start.parallel", "nonsense")
        ]
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "content", [b"= nonsense", b"\xff\xfe", None], ids=["no-toml", "no-utf-8", "missing"]
)
def test_a_configuration_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    config = tmp_path / "tower.toml"
    if content is not None:
        config.write_bytes(content)
    said = refusal(start_towerd(tmp_path, "--config", config), 78, program="towerd")
    assert str(config) in said
    refusal(start_towerd(tmp_path, "--config", tmp_path), 78, program="towerd")


def test_places_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a file")
    assert str(file) in refusal(start_towerd(tmp_path, state=file), 1, program="towerd")
    assert str(file) in refusal(start_towerd(tmp_path, state=file / "state"), 1, program="towerd")
    assert "/proc/tower" in refusal(start_towerd(tmp_path, state=Path("/proc/tower")), 1, program="towerd")
    assert str(tmp_path) in refusal(start_towerd(tmp_path, socket=tmp_path), 1, program="towerd")
    assert str(file) in refusal(start_towerd(tmp_path, socket=file), 1, program="towerd")
    assert str(file) in refusal(start_towerd(tmp_path, socket=file / "socket"), 1, program="towerd")
    assert "/proc/socket" in refusal(start_towerd(tmp_path, socket=Path("/proc/socket")), 1, program="towerd")
    assert "107" in refusal(start_towerd(tmp_path, socket=tmp_path / ("s" * 108)), 2, program="towerd")
    refusal(start_towerd(tmp_path, state=tmp_path / "what?"), 2, program="towerd")
    assert file.read_text() == "a file"


def test_a_second_daemon_is_refused_and_the_first_goes_on(scene: Scene, tmp_path: Path) -> None:
    tower = scene.tower
    assert tower.process is not None
    said = refusal(start_towerd(tmp_path, state=tower.state), 75, program="towerd")
    assert str(tower.process.pid) in said
    said = refusal(start_towerd(tmp_path, socket=tower.socket), 1, program="towerd")
    assert str(tower.socket) in said
    tower.ctl("list")


def test_a_socket_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    with Tower() as tower:
        tower.kill()
        assert tower.socket.is_socket()
        said = refusal(tower.run("list"), 3)
        assert "refused" in said
        tower.start()
        tower.ctl("list")


@pytest.mark.parametrize("what", ["absent", "file", "directory"])
def test_a_daemon_that_is_not_there_is_said_with_the_socket(tmp_path: Path, what: str) -> None:
    path = tmp_path / "tower.sock"
    if what == "file":
        path.write_text("a file")
    elif what == "directory":
        path.mkdir()
    tower = Tower()
    try:
        said = refusal(tower.run("--socket", path, "list"), 3)
        assert str(path) in said
        assert json_refusal(tower.run("--socket", path, "list", "--json"), 3)["slug"] == "unreachable"
    finally:
        tower.close()


def test_a_daemon_that_is_mute_is_said_within_the_time(tmp_path: Path) -> None:
    tower = Tower()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as mute:
        try:
            mute.bind(str(tower.socket))
            mute.listen()
            assert "mute" in refusal(tower.run("list", "--timeout", "0.2"), 3)
        finally:
            tower.close()


def test_what_answers_but_is_no_towerd_is_said(tmp_path: Path) -> None:
    tower = Tower()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as stranger, ThreadPoolExecutor(1) as pool:
        try:
            stranger.bind(str(tower.socket))
            stranger.listen()

            def greet() -> None:
                connection, _ = stranger.accept()
                with contextlib.closing(connection):
                    connection.sendall(b"220 mail.example.org ESMTP\r\n")
                    while connection.recv(4096):
                        pass

            greeting = pool.submit(greet)
            refusal(tower.run("list"), 1)
            greeting.result(10)
        finally:
            tower.close()


# Damaged files


def damage(database: Path, how: str) -> None:
    """Damage an account database that nobody has open."""
    content = database.read_bytes()
    if how == "cut":
        database.write_bytes(content[: len(content) // 2 + 100])
    else:
        database.write_bytes(content[:1024] + os.urandom(len(content) - 1024))


def test_a_damaged_registry_is_set_aside_and_every_account_comes_back(simulator: Simulator) -> None:
    with Tower(simulator) as tower:
        before = tower.link(simulator, "good", GOOD_PHONE)
        tower.ctl("add", "idle", "--no-pair")
        # The backup is taken at a start.
        tower.terminate()
        tower.start()
        for how in ("cut", "overwritten"):
            tower.wait_for_state("good", "connected")
            tower.terminate()
            damage(tower.state / "tower.db", how)
            tower.start()
            after = tower.wait_for_state("good", "connected")
            assert [after[key] for key in ("id", "jid", "device_number")] == [
                before[key] for key in ("id", "jid", "device_number")
            ]
            assert tower.account("idle")["state"] == "unpaired"
            (problem,) = tower.rpc("daemon.status")["problems"]
            assert "tower.db was damaged (kept as tower.db.damaged-" in problem
            assert "tower.db" in tower.ctl("status")
        assert list(tower.state.glob("tower.db.damaged-*"))
        assert len(simulator.devices(GOOD_PHONE)) == 1


def test_a_registry_that_is_only_out_of_reach_is_left_alone(tmp_path: Path) -> None:
    """What cannot be opened is not damaged: nothing is moved, nothing is put in its place."""
    with Tower() as tower:
        tower.ctl("add", "idle", "--no-pair")
        tower.terminate()
        tower.start()
        tower.ctl("add", "late", "--no-pair")
        tower.terminate()
        database = tower.state / "tower.db"
        kept = tower.state / "kept"
        database.rename(kept)
        database.mkdir()
        said = refusal(start_towerd(tmp_path, socket=tower.socket, state=tower.state), 1, program="towerd")
        assert "account database" in said
        database.rmdir()
        kept.rename(database)
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = exclusive")
            other.execute("BEGIN EXCLUSIVE")
            other.execute("UPDATE account SET name = name")
            said = refusal(
                start_towerd(tmp_path, socket=tower.socket, state=tower.state), 1, program="towerd"
            )
            assert "locked" in said
            other.execute("ROLLBACK")
        tower.start()
        assert [name for name, _, _ in names_and_states(tower)] == ["idle", "late"]
        assert list(tower.state.glob("*damaged*")) == []


@needs_mounts
def test_a_start_on_a_full_disk_loses_nothing() -> None:
    tower = Tower()
    try:
        with small_disk(tower.state, 6), tower:
            tower.ctl("add", "idle", "--no-pair")
            tower.terminate()
            tower.start()
            tower.ctl("add", "late", "--no-pair")
            tower.terminate()
            filler = fill(tower.state)
            refusal(
                start_towerd(tower.directory, socket=tower.socket, state=tower.state), 1, program="towerd"
            )
            filler.unlink()
            tower.start()
            assert [name for name, _, _ in names_and_states(tower)] == ["idle", "late"]
            assert tower.rpc("daemon.status")["problems"] == []
    finally:
        tower.close()


@contextlib.contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Make a file unreadable also for root, who may read everything: then by a read-only mount."""
    if os.geteuid() != 0:
        path.chmod(0)
        yield
        path.chmod(0o600)
        return
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock file as another program would."""
    with path.open("r+b") as file:
        file.truncate(0)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold SQLite's lock on a file."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def test_stores_that_cannot_be_used_fail_alone_and_lose_nothing(simulator: Simulator) -> None:
    names = ["good", "garbage", "empty", "locked", "held"]
    can_hide = os.geteuid() != 0 or is_root_with_mounts()
    if can_hide:
        names.append("hidden")
    phones = {name: f"49170000000{n}" for n, name in enumerate(names)}
    with Tower(simulator) as tower, contextlib.ExitStack() as stack:
        with ThreadPoolExecutor(3) as pool:
            linked = dict(
                zip(phones, pool.map(lambda one: tower.link(simulator, *one), phones.items()), strict=True)
            )
        tower.terminate()
        sessions = tower.state / "sessions"
        stores = {name: sessions / account["id"] / "store.db" for name, account in linked.items()}
        stores["garbage"].write_bytes(b"not a database at all" * 400)
        stores["empty"].write_bytes(b"")
        holding = stack.enter_context(contextlib.ExitStack())
        holding.enter_context(locked(stores["locked"]))
        holding.enter_context(held(sessions / f"{linked['held']['id']}.lock"))
        if can_hide:
            holding.enter_context(unreadable(stores["hidden"]))
        tower.start()
        tower.wait_for_state("good", "connected")
        reasons = {"garbage": "store-damaged", "empty": "store-damaged", "hidden": "store-damaged"}
        for name in set(phones) - {"good"}:
            account = tower.wait_for_state(name, "failed")
            assert (name, account["reason"]) == (name, reasons.get(name, "store-locked"))
            assert account["phone"] == f"+{phones[name]}"
            said = refusal(tower.run("qr", name), 8)
            assert account["action"] in said
            assert len(simulator.devices(phones[name])) == 1
        assert stores["garbage"].read_bytes() == b"not a database at all" * 400
        # What was only withheld comes back as soon as it can be had.
        holding.close()
        for name in set(phones) - {"good", "garbage", "empty"}:
            tower.ctl("start", name)
            assert tower.wait_for_state(name, "connected")["jid"] == linked[name]["jid"]
        assert "Traceback" not in tower.log()


# A full disk under the daemon


@pytest.fixture
def cramped(simulator: Simulator) -> Iterator[Tower]:
    """A towerd whose state directory is a disk of its own, with a linked account."""
    tower = Tower(simulator)
    try:
        with small_disk(tower.state, 8):
            try:
                tower.start()
                tower.link(simulator, "good", GOOD_PHONE)
                tower.ctl("add", "idle", "--no-pair")
                yield tower
            finally:
                tower.kill()
    finally:
        tower.close()


@needs_mounts
def test_on_a_full_disk_sessions_stay_up_and_nothing_is_half_done(
    cramped: Tower, simulator: Simulator
) -> None:
    with stays_connected(cramped, simulator):
        fill_and_use_the_disk(cramped, simulator)
    cramped.terminate()
    cramped.start()
    cramped.wait_for_state("better", "connected")
    assert "Traceback" not in cramped.log()


def fill_and_use_the_disk(cramped: Tower, simulator: Simulator) -> None:
    before = names_and_states(cramped)
    since = cramped.account("good")["since"]
    filler = fill(cramped.state)
    for command in (
        ("add", "new", "--no-pair"),
        ("add", "new"),
        ("rename", "good", "better"),
        ("stop", "good"),
        ("unpair", "good", "--yes"),
        ("logout", "good", "--yes"),
        ("remove", "good", "--yes"),
        ("remove", "idle", "--yes"),
        ("stop", "idle"),
    ):
        assert "account database" in refusal(cramped.run(*command), 1)
        assert json_refusal(cramped.run(*command, "--json"), 1)["slug"] == "registry-unavailable"
        assert names_and_states(cramped) == before
    assert cramped.account("good")["since"] == since
    assert len(simulator.devices(GOOD_PHONE)) == 1
    assert len(simulator.sessions()) == 2

    # A session loses its line and comes back, although nothing of it can be written down.
    before = simulator.wait_online(GOOD_PHONE)["connection"]
    simulator.drop(GOOD_PHONE)
    wait_for(lambda: simulator.wait_online(GOOD_PHONE)["connection"] > before, what="another connection")
    cramped.wait_for_state("good", "connected")
    wait_for(lambda: "cannot be written" in cramped.ctl("status"), what="status tells of the full disk")

    filler.unlink()
    wait_for(lambda: cramped.rpc("daemon.status")["registry"] == "ok", what="the registry is written again")
    cramped.ctl("rename", "good", "better")
    # What happened meanwhile is written down in the end.
    wait_for(lambda: states_told(cramped)[-2:] == ["reconnecting", "connected"], what="it is written down")


def states_told(tower: Tower) -> list[str]:
    return [event["data"]["new"] for event in tower.events("session.state")]
