"""Completion in real shells, against a real daemon."""

from __future__ import annotations

import fcntl
import getpass
import os
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.towerd import DEADLINE_SECONDS, Towerd, environment

BIN = Path(sys.executable).parent


@pytest.fixture
def house(towerd: Towerd) -> Towerd:
    """A daemon with accounts, and files to save to."""
    towerd.start()
    for name in ("sales", "support", "office"):
        towerd.add(name)
    (towerd.directory / "picture.png").touch()
    return towerd


def surroundings(house: Towerd) -> dict[str, str]:
    return environment(
        house.directory,
        PATH=f"{BIN}:{os.environ['PATH']}",
        TOWER_SOCKET=str(house.socket),
        TERM="dumb",
        LANG="C.UTF-8",
    )


def needs(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


def run(house: Towerd, *command: str) -> str:
    done = subprocess.run(
        command,
        env=surroundings(house),
        cwd=house.directory,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


class Prompt:
    """An interactive shell on a terminal."""

    def __init__(self, house: Towerd, *command: str) -> None:
        self._handle, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=house.directory,
            env=surroundings(house),
            start_new_session=True,
        )
        os.close(slave)

    def type(self, text: str) -> None:
        os.write(self._handle, text.encode())

    def read_until(self, text: str) -> str:
        """Return what came up to and with a text."""
        seen = ""
        give_up_at = time.monotonic() + DEADLINE_SECONDS
        while text not in seen:
            ready, _, _ = select.select([self._handle], [], [], max(0.0, give_up_at - time.monotonic()))
            assert ready, f"no {text!r} came, but {seen!r}"
            seen += os.read(self._handle, 65536).decode(errors="replace")
        return seen

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._handle)


@pytest.fixture
def bash(house: Towerd) -> Iterator[Prompt]:
    prompt = Prompt(house, needs("bash"), "--norc", "--noprofile", "-i")
    prompt.type("PS1='ready> '; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'\n")
    prompt.type('eval "$(towerctl completion bash)"; echo set $((40 + 2))\n')
    prompt.read_until("set 42")
    yield prompt
    prompt.close()


@pytest.fixture
def zsh(house: Towerd) -> Iterator[Prompt]:
    prompt = Prompt(house, needs("zsh"), "-f", "-i")
    prompt.type("PS1='ready> '; unsetopt zle_bracketed_paste; autoload -Uz compinit && compinit -u -D\n")
    prompt.type('eval "$(towerctl completion zsh)"; echo set $((40 + 2))\n')
    prompt.read_until("set 42")
    yield prompt
    prompt.close()


ASK = """
eval "$(towerctl completion bash)"
COMP_WORDS=({words}) COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_towerctl_completion towerctl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("towerctl ren", ["rename"]),
        ("towerctl show s", ["sales", "support"]),
        ("towerctl start sales ''", ["support", "office"]),
        ("towerctl wait sales --for connected,st", ["connected,stopped"]),
        ("towerctl list --state = fai", ["failed"]),
        ("towerctl events --type session.st", ["session.state"]),
        ("towerctl rpc account.w", ["account.wait"]),
        ("towerctl show nobody", [""]),
    ],
)
def test_the_function_of_bash_offers_what_there_is(house: Towerd, words: str, offered: list[str]) -> None:
    assert run(house, needs("bash"), "-c", ASK.format(words=words)).split("\n")[:-1] == offered


def test_the_owner_is_offered_to_who_begins_with_one(house: Towerd) -> None:
    user = getpass.getuser()
    words = f"towerctl show {user}/s"
    assert run(house, needs("bash"), "-c", ASK.format(words=words)).split() == [
        f"{user}/sales",
        f"{user}/support",
    ]


def test_a_tab_in_bash_writes_the_account(bash: Prompt) -> None:
    bash.type("echo towerctl show; towerctl show of\t")
    assert "show office " in bash.read_until("office ")


def test_a_tab_in_bash_writes_the_file(bash: Prompt) -> None:
    bash.type("towerctl qr sales -o pict\t")
    bash.read_until("-o picture.png ")


def test_nothing_is_said_at_the_prompt_of_bash_when_the_daemon_is_away(bash: Prompt, house: Towerd) -> None:
    house.end()
    bash.type("towerctl show of\t\t\x15echo over $((40 + 2))\n")
    seen = bash.read_until("over 42")
    assert "Traceback" not in seen
    assert "towerd" not in seen.replace("towerctl", "")


def test_a_tab_in_zsh_writes_the_account_and_the_file(zsh: Prompt) -> None:
    zsh.type("towerctl show of\t")
    zsh.read_until("office")
    zsh.type("\x15towerctl qr sales -o pict\t")
    zsh.read_until("picture.png")


def test_the_file_that_is_installed_is_found_by_zsh(house: Towerd) -> None:
    functions = house.directory / "site-functions"
    functions.mkdir()
    (functions / "_towerctl").write_text(run(house, str(BIN / "towerctl"), "completion", "zsh"))
    prompt = Prompt(house, needs("zsh"), "-f", "-i")
    try:
        prompt.type(f"PS1='ready> '; unsetopt zle_bracketed_paste; fpath=({functions} $fpath)\n")
        prompt.type("autoload -Uz compinit && compinit -u -D; echo set $((40 + 2))\n")
        prompt.read_until("set 42")
        # The first time loads it, the second one has it.
        for _ in range(2):
            prompt.type("towerctl show of\t")
            prompt.read_until("towerctl show office")
            prompt.type("\x15")
    finally:
        prompt.close()


def test_the_file_that_is_installed_is_found_by_fish(house: Towerd) -> None:
    vendor = house.directory / ".config/fish/completions"
    vendor.mkdir(parents=True)
    (vendor / "towerctl.fish").write_text(run(house, str(BIN / "towerctl"), "completion", "fish"))
    assert run(house, needs("fish"), "-c", 'complete -C "towerctl show s"').split() == ["sales", "support"]


def test_fish_offers_accounts_states_and_files(house: Towerd) -> None:
    fish = needs("fish")

    def offered(line: str) -> list[str]:
        return run(
            house, fish, "--no-config", "-c", f'towerctl completion fish | source; complete -C "{line}"'
        ).split()

    assert offered("towerctl show s") == ["sales", "support"]
    assert offered("towerctl list --state fai") == ["failed"]
    assert "picture.png" in offered("towerctl qr sales -o pict")
    assert "restart" in offered("towerctl res")
