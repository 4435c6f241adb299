"""What is offered after a Tab, asked as the shells' scripts ask."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.towerctl.conftest import Tower
from tests.unit.towerctl.fake_daemon import DEADLINE_SECONDS, FakeDaemon, Silence, account, accounts
from towerctl.commands import COMMANDS
from towerd.protocol.events import EVENT_TYPES
from towerd.protocol.states import STATES

ANNS = {"owner": "ann", "owner_uid": 1_900_000_001}
METHODS = [
    {"name": "account.list", "x-right": "read"},
    {"name": "account.logout", "x-right": "disconnect"},
    {"name": "daemon.version", "x-right": "everybody"},
]
Offered = Callable[..., list[str]]


@pytest.fixture
def house(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon with accounts of one's own and of somebody else."""
    own = {"owner_uid": os.geteuid()}
    listed = [account("shop", **own), account("office", **own)]
    listed += [account("sales", **ANNS), account("shop", **ANNS)]
    daemon.prepare("account.list", accounts(listed))
    daemon.prepare("rpc.discover", {"methods": METHODS})
    return daemon


def ask(words: str, *, socket: Path | None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Ask what bash would offer for the last of these words."""
    asked = {
        **os.environ,
        **environment,
        "_TOWERCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": words.replace(" ", "\n"),
        "COMP_CWORD": str(words.count(" ")),
    }
    if socket is not None:
        asked["TOWER_SOCKET"] = str(socket)
    return subprocess.run(
        [sys.executable, "-m", "towerctl"],
        env=asked,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


@pytest.fixture
def offered(house: FakeDaemon) -> Offered:
    def run(words: str, **environment: str) -> list[str]:
        done = ask(words, socket=house.path, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return run


def plain(*words: str) -> list[str]:
    return [f"plain,{word}" for word in words]


def test_commands_are_offered_all_of_them_or_by_their_beginning(offered: Offered) -> None:
    assert offered("towerctl ") == plain(*COMMANDS)
    assert offered("towerctl re") == plain(*(name for name in COMMANDS if name.startswith("re")))
    assert offered("towerctl ren") == plain("rename")


def test_options_are_offered_to_who_begins_one(offered: Offered) -> None:
    assert offered("towerctl qr --fo") == plain("--format", "--follow")
    assert offered("towerctl --so") == plain("--socket")


@pytest.mark.parametrize(
    "command", ["show", "primary", "remove", "qr", "pair", "unpair", "logout", "wait", "start", "stop"]
)
def test_accounts_are_offered_as_every_verb_takes_them(offered: Offered, command: str) -> None:
    assert offered(f"towerctl {command} ") == plain("shop", "office", "ann/sales", "ann/shop")
    assert offered(f"towerctl {command} s") == plain("shop")


def test_who_names_an_owner_is_offered_the_accounts_of_that_owner(offered: Offered) -> None:
    assert offered("towerctl show ann/") == plain("ann/sales", "ann/shop")
    assert offered("towerctl show ann/sh") == plain("ann/shop")
    assert offered("towerctl show root/") == plain("root/shop", "root/office")


def test_an_account_is_not_offered_twice_in_one_line(offered: Offered) -> None:
    assert offered("towerctl stop office ") == plain("shop", "ann/sales", "ann/shop")


def test_a_new_name_is_not_offered(offered: Offered) -> None:
    assert offered("towerctl rename of") == plain("office")
    assert offered("towerctl rename office ") == []
    assert offered("towerctl add ") == []


@pytest.mark.parametrize("words", ["towerctl events --account ", "towerctl audit --account "])
def test_accounts_are_offered_as_values_of_options(offered: Offered, words: str) -> None:
    assert offered(f"{words}of") == plain("office")


@pytest.mark.parametrize(
    "words", ["towerctl list --state ", "towerctl watch --state ", "towerctl wait --for "]
)
def test_states_are_offered(offered: Offered, words: str) -> None:
    assert offered(words) == plain(*STATES)
    assert offered(f"{words}conn") == plain("connecting", "connected")


def test_a_word_with_an_equals_sign_is_three_to_bash(offered: Offered) -> None:
    assert offered("towerctl list --state =") == plain(*STATES)
    assert offered("towerctl list --state = fai") == plain("failed")


def test_a_list_of_states_goes_on_behind_its_comma(offered: Offered) -> None:
    assert offered("towerctl wait shop --for connected,f") == plain("connected,failed")
    assert "plain,connected,connected" not in offered("towerctl wait shop --for connected,")


def test_types_of_events_methods_and_actions_are_offered(offered: Offered) -> None:
    assert offered("towerctl events --type ") == plain(*EVENT_TYPES)
    assert offered("towerctl rpc account.") == plain("account.list", "account.logout")
    assert offered("towerctl audit --action ") == plain("account.logout")


@pytest.mark.parametrize(
    "words", ["towerctl qr shop -o pic", "towerctl --socket pic", "towerctl list --socket pic"]
)
def test_files_are_left_to_the_shell(offered: Offered, words: str) -> None:
    assert offered(words) == ["file,pic"]


def test_formats_and_shells_are_offered(offered: Offered) -> None:
    assert offered("towerctl qr shop --format s") == plain("svg")
    assert offered("towerctl completion ") == plain("bash", "zsh", "fish")


def test_the_daemon_that_the_line_names_is_asked(house: FakeDaemon, short_directory: Path) -> None:
    for words in (f"towerctl --socket {house.path} show of", f"towerctl show --socket {house.path} of"):
        done = ask(words, socket=short_directory / "another.sock")
        assert done.stdout.split() == plain("office")


def test_without_a_daemon_nothing_is_offered_and_nothing_said(short_directory: Path) -> None:
    done = ask("towerctl show ", socket=short_directory / "absent.sock")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
    done = ask("towerctl --user show ", socket=None, XDG_RUNTIME_DIR="")
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize("answer", [{}, {"accounts": None}, {"accounts": [{"name": 5}]}])
def test_an_answer_that_makes_no_sense_is_not_talked_about(
    daemon: FakeDaemon, answer: dict[str, Any]
) -> None:
    daemon.prepare("account.list", answer)
    done = ask("towerctl show ", socket=daemon.path)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_a_mute_daemon_is_not_waited_for(daemon: FakeDaemon) -> None:
    def say_nothing(*_: object) -> None:
        raise Silence

    daemon.prepare("account.list", say_nothing)
    done = ask("towerctl show ", socket=daemon.path)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_a_daemon_of_another_version_is_no_news_at_the_prompt(house: FakeDaemon) -> None:
    house.api_major = 99
    done = ask("towerctl show of", socket=house.path)
    assert (done.stdout.split(), done.stderr) == (plain("office"), "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_printed_also_where_no_such_shell_is(tower: Tower, shell: str) -> None:
    ran = tower("completion", shell)
    assert (ran.status, ran.err) == (0, "")
    assert "_TOWERCTL_COMPLETE" in ran.out
    assert tower("completion", shell, "--json").json["script"] in ran.out
