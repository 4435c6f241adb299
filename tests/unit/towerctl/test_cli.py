"""The boundary: shared options, usage errors, failures, what goes to which stream."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tests.unit.towerctl.conftest import Tower
from tests.unit.towerctl.fake_daemon import (
    DEADLINE_SECONDS,
    FakeDaemon,
    Verbatim,
    account,
    accounts,
    error,
)
from towerctl import exits
from towerctl.cli import cli
from towerctl.commands import COMMANDS
from towerctl.options import Command
from towerd.protocol.errors import ERRORS, Field, TowerError

CONTRACT = (
    "list show add import export adopt rename primary remove qr pair unpair logout "
    "wait start stop restart watch events audit send outbox messages groups status health "
    "metrics release config reload key doctor notify webhook version rpc completion"
)


def load(name: str) -> click.Command:
    loaded = cli.get_command(click.Context(cli), name)
    assert loaded is not None
    return loaded


def test_the_commands_are_those_of_the_contract() -> None:
    assert sorted(CONTRACT.split()) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help_and_an_example(name: str) -> None:
    loaded = load(name)
    assert isinstance(loaded, Command)
    assert loaded.help
    for param in loaded.params:
        if isinstance(param, click.Option):
            assert param.help, f"{name} {param.opts}"
    assert loaded.examples
    assert all(example.split("|")[0].split()[0] in {"towerctl", "eval"} for example in loaded.examples)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_the_terminal_and_needs_no_daemon(tower: Tower, name: str) -> None:
    ran = tower(name, "--help")
    assert ran.status == 0
    assert "Global options:" in ran.out
    assert f"towerctl {name}" in ran.out
    assert ran.err == ""


def test_the_overview_cuts_no_summary_short(tower: Tower) -> None:
    overview = tower("--help").out
    assert "..." not in overview
    for name in COMMANDS:
        assert f"\n  {name} " in overview


def test_nothing_asked_shows_the_help_on_stderr(tower: Tower) -> None:
    ran = tower()
    assert (ran.status, ran.out) == (2, "")
    assert "Usage: towerctl" in ran.err
    assert tower("--json").error["slug"] == "usage"


def test_version_of_the_client_needs_no_command_and_no_daemon(tower: Tower) -> None:
    assert tower("--version").out.startswith("towerctl ")
    assert tower("qr", "--version").status == 0
    assert set(tower("--json", "--version").json) == {"version"}


# -- shared options ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("--socket", "{}", "list"),
        ("list", "--socket", "{}"),
        ("--socket", "/nowhere", "list", "--socket", "{}"),
    ],
)
def test_options_stand_before_or_after_the_command_and_the_later_wins(
    tower: Tower, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.delenv("TOWER_SOCKET")
    daemon.prepare("account.list", accounts([account()]))
    ran = tower(*(one.format(daemon.path) for one in arguments))
    assert ran.status == 0, ran.err


@pytest.mark.parametrize("arguments", [("--json", "list"), ("list", "--json"), ("--json", "list", "--json")])
def test_json_is_the_answer_as_it_came(tower: Tower, daemon: FakeDaemon, arguments: tuple[str, ...]) -> None:
    answer = accounts([account(push_name="M\u00fcller \u202e")]) | {"new_in_a_later_minor": [1, {"a": None}]}
    daemon.prepare("account.list", answer)
    ran = tower(*arguments)
    assert answer == ran.json
    assert ran.out.isascii()
    assert ran.err == ""


def test_verbose_tells_socket_and_times_but_no_content(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.list", accounts([account()]))
    ran = tower("list", "-v")
    assert f"socket: {daemon.path}" in ran.err
    assert "account.list: " in ran.err
    assert "4915" not in ran.err


def test_another_major_api_is_warned_of_once(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.api_major = 99
    daemon.prepare("account.list", accounts([account()]))
    daemon.prepare("account.stop", {"account": account()})
    assert (
        tower("list").err == "towerctl: warning: towerd speaks API 99, this towerctl API 1; update towerctl\n"
    )
    assert tower("stop", "--all").err.count("warning") == 1
    assert tower("list", "-q").err == ""
    assert tower("list", "--json").err == ""


@pytest.mark.parametrize("value", ["-1", "86401", "nan", "inf", "soon"])
def test_a_timeout_that_is_none_is_a_usage_error(tower: Tower, value: str) -> None:
    assert tower("list", "--timeout", value).status == 2


# -- failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", ERRORS)
def test_every_error_of_the_daemon_ends_with_its_exit_status(
    tower: Tower, daemon: FakeDaemon, slug: str
) -> None:
    daemon.prepare("account.get", error(slug, "the fact", hint="towerctl list"))
    ran = tower("show", "shop")
    assert int(ERRORS[slug].exit) == ran.status
    assert ran.out == ""
    assert ran.err == "towerctl: the fact\nhint: towerctl list\n"
    expected = {"slug": slug, "message": "the fact", "hint": "towerctl list", "exit": int(ERRORS[slug].exit)}
    assert expected == tower("show", "shop", "--json").error


def test_all_bad_fields_are_named(tower: Tower, daemon: FakeDaemon) -> None:
    fields = (Field(field="name", why="too long"), Field(field="phone", why="has letters"))
    daemon.prepare("account.add", TowerError("invalid-field", "2 fields are invalid", fields=fields))
    ran = tower("add", "x")
    assert ran.err == "towerctl: 2 fields are invalid (name: too long; phone: has letters)\n"
    assert tower("add", "x", "--json").error["fields"] == [
        {"field": "name", "why": "too long"},
        {"field": "phone", "why": "has letters"},
    ]


@pytest.mark.parametrize(
    ("wire", "slug", "status"),
    [
        ({"code": 777, "message": "m", "data": {"slug": "brand-new", "exit": 8}}, "brand-new", 8),
        ({"code": 777, "message": "m", "data": {"slug": "brand-new"}}, "brand-new", 1),
        ({"code": -32602, "message": "m"}, "invalid-params", 2),
        ({"code": 777, "message": "m", "data": "text"}, "rpc-error-777", 1),
    ],
)
def test_errors_of_another_daemon_version_are_understood(
    wire: dict[str, object], slug: str, status: int
) -> None:
    failure = exits.from_wire(wire)
    assert (slug, status) == (failure.slug, failure.exit_status)


def test_client_slugs_are_not_the_daemons() -> None:
    assert not exits.CLIENT_ERRORS.keys() & ERRORS.keys()


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("list", "--nonsense"),
        ("list", "extra"),
        ("wait", "shop"),
        ("remove",),
        ("logout",),
        ("unpair",),
        ("rename",),
        ("rename", "a", "b", "c"),
        ("qr", "--format", "gif"),
        ("qr", "--scale", "0"),
        ("completion", "csh"),
        ("--user", "--system", "list"),
        ("--user", "--socket", "/x", "list"),
        ("list", "--socket", ""),
    ],
)
def test_a_wrong_command_line_is_exit_2_in_text_and_json(tower: Tower, arguments: tuple[str, ...]) -> None:
    ran = tower(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("towerctl: ")
    assert "Traceback" not in ran.err
    assert {"slug": "usage", "exit": 2}.items() <= tower(*arguments, "--json").error.items()


def test_a_bug_is_one_line_and_a_traceback_only_when_asked(process: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.list", {"accounts": [{"name": "no other field"}]})
    ran = process("list")
    assert (ran.status, ran.out) == (1, "")
    assert "internal error" in ran.err
    assert "Traceback" not in ran.err
    assert process("list", "-vv").err.count("Traceback") == 1


def test_a_bug_in_json_is_an_envelope(
    tower: Tower, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("towerctl.app.App.connect", broken)
    assert tower("list", "--json").error["slug"] == "internal-error"


def test_an_argument_that_is_not_utf_8_is_a_usage_error(command: Callable[..., list[str]]) -> None:
    arguments = [one.encode() for one in command("show")] + [b"caf\xe9"]
    done = subprocess.run(arguments, capture_output=True, timeout=DEADLINE_SECONDS, check=False)
    assert done.returncode == 2
    assert b"not valid UTF-8" in done.stderr


def test_what_is_no_towerd_is_named(tower: Tower, daemon: FakeDaemon) -> None:
    def shout(*_: object) -> None:
        raise Verbatim(b"HTTP/1.1 400 Bad Request\r\n")

    daemon.prepare("account.list", shout)
    ran = tower("list")
    assert ran.status == 1
    assert "does not speak the protocol" in ran.err
    for line in (b"[]\n", b'{"id": "x"}\n', b'{"id": 1, "result": 5}\n'):

        def say(*_: object, line: bytes = line) -> None:
            raise Verbatim(line)

        daemon.prepare("account.list", say)
        assert tower("list", "--json").error["slug"] == "bad-answer"


# -- streams -----------------------------------------------------------------------------------------------


def test_a_pipe_sees_no_ansi_and_no_raw_control_character(process: Tower, daemon: FakeDaemon) -> None:
    hostile = "\x1b]0;owned\x07\x1b[31m\u202ered\x9b\n\x7f"
    daemon.prepare("account.list", accounts([account(push_name=hostile)]))
    daemon.prepare("account.get", {"account": account(push_name=hostile), "history": []})
    daemon.prepare("account.start", error("wrong-state", hostile, hint=hostile))
    for ran in (process("list"), process("show"), process("start"), process("list", "--json")):
        written = ran.out + ran.err
        assert not {"\x1b", "\x07", "\u202e", "\x9b", "\x7f"} & set(written)
        assert "owned" in written
    assert len(process("list").out.splitlines()) == 2


def test_a_reader_that_goes_away_is_met_in_silence(
    daemon: FakeDaemon, command: Callable[..., list[str]]
) -> None:
    daemon.prepare("account.list", accounts(account(f"account-{number}") for number in range(3000)))
    with subprocess.Popen(command("list"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(DEADLINE_SECONDS) == exits.BROKEN_PIPE


def test_a_full_standard_output_is_reported(
    process: Tower, command: Callable[..., list[str]], daemon: FakeDaemon
) -> None:
    daemon.prepare("account.list", accounts([account()]))
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command("list"), stdout=full, stderr=subprocess.PIPE, timeout=DEADLINE_SECONDS, check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"towerctl: cannot write standard output: No space left on device\n"


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&-"])
def test_closed_streams_end_without_a_traceback(
    command: Callable[..., list[str]], daemon: FakeDaemon, redirection: str
) -> None:
    daemon.prepare("account.list", accounts([account()]))
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *command("list")],
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert (1 if redirection.startswith(">&-") else 0) == done.returncode
    assert b"Traceback" not in done.stderr


def test_an_encoding_that_cannot_say_it_writes_escapes(process: Tower, daemon: FakeDaemon) -> None:
    import os

    daemon.prepare("account.list", accounts([account(display_name="B\u00fcro")]))
    ran = process("list", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert ran.status == 0
    assert "B\\xfcro" in ran.out


def test_an_interrupt_is_quiet(daemon: FakeDaemon, command: Callable[..., list[str]]) -> None:
    import signal

    from tests.unit.towerctl.fake_daemon import Silence

    def silent(*_: object) -> None:
        raise Silence

    daemon.prepare("account.wait", silent)
    with subprocess.Popen(
        command("wait", "shop", "--for", "connected"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        daemon.wait_for_request("account.wait")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=DEADLINE_SECONDS)
    assert (running.returncode, out, err) == (exits.INTERRUPTED, b"", b"")
