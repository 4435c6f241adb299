"""What a person sees on a terminal, and what a program sees in a pipe."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable

import pytest

from tests.unit.towerctl.conftest import Terminal, Tower
from tests.unit.towerctl.fake_daemon import (
    DEADLINE_SECONDS,
    FakeDaemon,
    account,
    accounts,
    error,
    pairing_account,
)
from towerctl.output import dump_json

OnTerminal = Callable[..., Terminal]
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def several() -> dict[str, object]:
    return accounts(
        [
            account("shop", push_name="M\u00fcller \U0001f98a", since="2020-01-01T00:00:00.000Z"),
            pairing_account("office"),
            account("bot", state="failed", reason="banned", action="ask WhatsApp for a review"),
        ]
    )


def test_the_columns_in_a_pipe_are_aligned_and_plain(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.list", several())
    lines = tower("list").out.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "DETAIL", "SINCE", "JID", "PRIMARY", "TITLE"]
    assert [line[lines[0].index("STATE") :].split()[0] for line in lines[1:]] == [
        "connected",
        "pairing",
        "failed",
    ]
    assert [line[lines[0].index("DETAIL") :].split()[0] for line in lines[1:]] == ["-", "qr-1/6", "banned"]
    assert lines[1].endswith("M\u00fcller \U0001f98a")
    assert all(line == line.rstrip() for line in lines)


def test_a_terminal_has_the_same_columns_with_colours(terminal: OnTerminal, daemon: FakeDaemon) -> None:
    daemon.prepare("account.list", several())
    screen = terminal("list").read_all()
    assert "\x1b[32mconnected" in screen
    assert "\x1b[1;31mfailed" in screen
    lines = ANSI.sub("", screen).splitlines()
    assert lines[0].split() == ["NAME", "STATE", "DETAIL", "SINCE", "JID", "PRIMARY", "TITLE"]
    assert lines[3].split()[:3] == ["bot", "failed", "banned"]


@pytest.mark.parametrize("wish", ["option", "environment"])
def test_no_colour_means_no_ansi_at_all(
    terminal: OnTerminal, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    daemon.prepare("account.list", several())
    daemon.prepare("account.get", {"account": account(), "history": []})
    if wish == "environment":
        monkeypatch.setenv("NO_COLOR", "1")
    options = ["--no-color"] if wish == "option" else []
    assert "\x1b" not in terminal("list", *options).read_all()
    assert "\x1b" not in terminal("show", *options).read_all()


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_width_of_the_terminal_is_kept(terminal: OnTerminal, daemon: FakeDaemon, columns: int) -> None:
    daemon.prepare("account.list", accounts([account("shop", display_name="a long title " * 5)]))
    lines = ANSI.sub("", terminal("list", columns=columns).read_all()).splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= columns
    assert lines[1].split()[:2] == ["shop", "connected"]


def test_markup_and_escapes_of_strangers_stay_text_on_a_terminal(
    terminal: OnTerminal, daemon: FakeDaemon
) -> None:
    hostile = account(push_name="[red]x[/red] :smile: \x1b]0;owned\x07 \u202e")
    daemon.prepare("account.list", accounts([hostile]))
    daemon.prepare("account.get", {"account": hostile, "history": []})
    for arguments in (["list"], ["show", "shop"], ["list", "--json"]):
        screen = ANSI.sub("", terminal(*arguments, columns=200).read_all())
        assert "[red]x[/red] :smile: \\" in screen
        assert not {"\x1b", "\x07", "\u202e"} & set(screen)


def test_an_empty_list_says_how_to_add(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.list", accounts([]))
    ran = tower("list")
    assert (ran.status, ran.out, ran.err) == (0, "", "no accounts\nhint: towerctl add NAME\n")
    assert tower("list", "-q").err == ""
    assert tower("list", "--json").json == {"accounts": []}
    assert tower("list", "--state", "failed", "--state", "stopped").err == "no account is failed or stopped\n"


def test_results_and_notes_keep_their_order_in_one_log(
    command: Callable[..., list[str]], daemon: FakeDaemon
) -> None:
    daemon.prepare("account.add", {"account": pairing_account(), "created": True})
    arguments = command("add", "shop")
    done = subprocess.run(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20, check=True
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["shop:", "next:"]


def test_json_is_indented_for_a_person_only(terminal: OnTerminal, tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.list", several())
    screen = terminal("list", "--json").read_all()
    assert "\n  " in screen
    assert "\x1b" not in screen
    assert json.loads(screen) == tower("list", "--json").json


def test_waiting_shows_seconds_on_a_terminal_and_cleans_up(terminal: OnTerminal, daemon: FakeDaemon) -> None:
    is_time = threading.Event()

    def late(*_: object) -> None:
        is_time.wait(DEADLINE_SECONDS)
        raise error("account-not-found", "no account shop")

    daemon.prepare("account.wait", late)
    running = terminal("wait", "shop", "--for", "connected")
    running.read_until("waiting for connected … 1 s")
    is_time.set()
    screen = running.read_all()
    assert "\r\x1b[Ktowerctl: no account shop" in screen
    assert running.process.returncode == 5


def test_waiting_is_silent_in_a_pipe(process: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.wait", {"account": account(), "outcome": "reached"})
    ran = process("wait", "shop", "--for", "connected")
    assert (ran.status, ran.out, ran.err) == (0, "shop: connected\n", "")


def test_a_failure_on_a_terminal_has_no_colour_to_lose(terminal: OnTerminal, daemon: FakeDaemon) -> None:
    daemon.prepare("account.get", error("account-not-found", 'no account "x"', hint="towerctl list"))
    assert terminal("show", "x").read_all() == 'towerctl: no account "x"\r\nhint: towerctl list\r\n'


def test_no_character_in_json_is_a_control_character() -> None:
    hostile = "".join(map(chr, range(0x100))) + "\u202e\u2028\U0001f98a"
    written = dump_json({"text": hostile})
    assert written.isascii()
    assert written[:-1].isprintable()
    assert json.loads(written) == {"text": hostile}
