"""The manual pages: without a fault for their formatters, alike, and true."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import click
import msgspec
import pytest

from tests.rules.manuals import PAGES, examples, path, plain, roff, sections
from tests.rules.shell import commands, mistake
from tests.rules.source import ROOT, inside, modules, strings
from towerctl.cli import cli
from towerctl.commands import COMMANDS
from towerctl.doctor.examination import CHECKS as CHECKS_OUTSIDE
from towerd import __version__
from towerd.__main__ import parser
from towerd.config import Config
from towerd.doctor.table import CHECKS
from towerd.paths import _SHARED_VARIABLES
from towerd.protocol.events import EVENT_TYPES
from towerd.protocol.methods import METHODS

# Relative order in man-pages(7); sections of our own stand where they belong between them.
ORDER = [
    "NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES", "NOTES", "EXAMPLES",
    "SEE ALSO",
]  # fmt: skip
EVERYWHERE = {"NAME", "DESCRIPTION", "EXAMPLES", "SEE ALSO"}


# -- for the formatters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc, which has a lint, is not installed")
def test_mandoc_has_nothing_against_it(page: str) -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "style", path(page)], capture_output=True, text=True, check=False
    )
    # The sources are as wide as all of ours.
    told = [line for line in done.stdout.splitlines() if "longer than 80 bytes" not in line]
    assert (told, done.stderr) == ([], "")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.skipif(shutil.which("man") is None, reason="man-db is not installed")
@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_man_formats_it_without_a_warning(page: str, columns: int) -> None:
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path(page)],
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": str(columns), "MANROFFSEQ": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


# -- alike -------------------------------------------------------------------------------------------------


def test_the_pages_are_those_that_there_are() -> None:
    assert {one.name for one in (ROOT / "man").iterdir()} == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_head_and_foot_name_page_version_and_manual(page: str) -> None:
    name, _, section = page.rpartition(".")
    (head,) = re.findall(r"^\.TH (.*)$", plain(roff(page)), re.MULTILINE)
    assert re.fullmatch(
        rf'{re.escape(name.upper())} {section} \d{{4}}-\d\d-\d\d "tower {__version__}" "TOWER manual"', head
    )


def test_all_pages_are_of_one_date() -> None:
    assert len({re.findall(r"^\.TH \S+ \d (\S+)", roff(page), re.MULTILINE)[0] for page in PAGES}) == 1


@pytest.mark.parametrize("page", PAGES)
def test_sections_stand_in_the_usual_order(page: str) -> None:
    titles = list(sections(page))
    assert titles[0] == "NAME"
    assert titles[-2:] == ["EXAMPLES", "SEE ALSO"]
    assert [title for title in titles if title in ORDER] == [title for title in ORDER if title in titles]
    assert set(titles) >= EVERYWHERE


@pytest.mark.parametrize("page", PAGES)
def test_each_page_names_the_others_in_order(page: str) -> None:
    named = re.findall(r"^\.BR (\S+) \((\d)\)", plain(sections(page)["SEE ALSO"]), re.MULTILINE)
    own = {tuple(one.rsplit(".", 1)) for one in PAGES} - {tuple(page.rsplit(".", 1))}
    assert set(named) >= own
    assert [(section, name) for name, section in named] == sorted((section, name) for name, section in named)


# -- true --------------------------------------------------------------------------------------------------


def options_of(command: click.Command) -> set[str]:
    return {one for param in command.params if isinstance(param, click.Option) for one in param.opts}


def test_towerctl_has_every_option_that_its_manual_tells_of() -> None:
    there = options_of(cli) | {"--help"}
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        there |= options_of(command)
    told = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", plain(sections("towerctl.1")["COMMANDS"])))
    told |= set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", plain(sections("towerctl.1")["GLOBAL OPTIONS"])))
    assert told - there - {"-vv"} == set()


def test_towerctl_has_every_command_that_its_manual_tells_of() -> None:
    text = plain(sections("towerctl.1")["COMMANDS"])
    told = re.findall(r"^\.TP\n(?:\.B )?([a-z]+)(?: |$)", text, re.MULTILINE)
    assert told == list(COMMANDS)


def test_towerd_has_every_option_that_its_manual_tells_of() -> None:
    there = {option for action in parser()._actions for option in action.option_strings}
    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", plain(sections("towerd.8")["OPTIONS"]))) <= there


def test_methods_of_the_manual_are_those_of_the_table() -> None:
    told = re.findall(r'^\.SS "?([a-z]+\.[a-z]+)', sections("tower-rpc.7")["METHODS"], re.MULTILINE)
    assert sorted(told) == sorted(METHODS)


def test_every_type_of_event_is_emitted_somewhere() -> None:
    emitted = {
        word
        for module in modules()
        if inside(module, "towerd") and module != "towerd.protocol.events"
        for word in strings(module)
    }
    assert set(EVENT_TYPES) - emitted == set()


def test_the_types_of_events_are_those_of_the_manual() -> None:
    told = re.findall(r'^\.BR ([a-z._\\]+\.[a-z_\\]+) " \{', sections("tower-rpc.7")["EVENTS"], re.MULTILINE)
    assert told == list(EVENT_TYPES)


def test_the_checks_of_the_doctor_are_those_of_the_manual() -> None:
    told = re.findall(r"^\.TP 14n\n\.B (\w+)$", sections("towerctl.1")["CHECKS"], re.MULTILINE)
    assert told == list(dict.fromkeys([*CHECKS_OUTSIDE, *(check.name for check in CHECKS)]))


def test_the_checks_for_everybody_are_those_of_both_manuals() -> None:
    for_everybody = [check.name for check in CHECKS if check.is_about_accounts]
    assert for_everybody == ["workers", "qr", "account"]


def defaults() -> dict[str, object]:
    config = Config()
    return {
        f"{section.name}.{key.name}": getattr(getattr(config, section.name), key.name)
        for section in msgspec.structs.fields(Config)
        for key in msgspec.structs.fields(type(getattr(config, section.name)))
    }


def test_keys_of_the_manual_are_those_of_the_configuration_with_their_defaults() -> None:
    told = {}
    for part in re.split(r"^\.SS ", plain(sections("tower.toml.5")["KEYS"]), flags=re.MULTILINE)[1:]:
        section = part.partition("]")[0].lstrip("[")
        for name, default in re.findall(r'^\.BR ([a-z_]+) " = (.*?) \(', part, re.MULTILINE):
            told[f"{section}.{name}"] = default
    # A grant is a table of which there may be many; it has no key of its own in the structure above it.
    del told["access.owners"]
    for name in ("events", "accounts", "owners", "allow_private", "timeout_seconds"):
        del told[f"webhook.{name}"]
    assert told == {key: in_toml(value) for key, value in defaults().items()}


def in_toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case str():
            return f'"{value}"'
        case list() | tuple():
            return f"[{', '.join(in_toml(one) for one in value)}]"
        case None:
            return "none"
        case _:
            return str(value)


VARIABLE = re.compile(r"[A-Z]+(?:_[A-Z]+)+|TERM")
# Read by libraries on our behalf: platformdirs, and in the workers neonize.
OF_LIBRARIES = {
    "XDG_STATE_HOME", "XDG_CONFIG_HOME", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"
}  # fmt: skip


def variables_in(*names: str) -> set[str]:
    return {word for name in names for word in strings(name) if VARIABLE.fullmatch(word)}


def variables_told(page: str) -> set[str]:
    """Return the variables that have an entry of their own."""
    entries = re.findall(r"^\.TP\n(.*)$", plain(sections(page)["ENVIRONMENT"]), re.MULTILINE)
    return {word for entry in entries for word in VARIABLE.findall(entry)}


def test_the_environment_of_towerctl_is_told_and_no_more() -> None:
    read = variables_in(*(name for name in modules() if inside(name, "towerctl")))
    # The shell's scripts set them, and nobody else; the third is set for the towerd that checks files.
    of_others = {"_TOWERCTL_COMPLETE", "TOWERCTL_COMPLETE", "STATE_DIRECTORY"}
    assert variables_told("towerctl.1") == read - of_others


def test_the_environment_of_towerd_is_told_and_no_more() -> None:
    text = plain(roff("towerd.8") + roff("tower.toml.5"))
    read = variables_in("towerd.paths", "towerd.logs", "towerd.systemd") - set(_SHARED_VARIABLES)
    assert {name for name in read if name not in text} == set()
    assert variables_told("towerd.8") - OF_LIBRARIES <= read


# -- examples ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_examples(page: str) -> None:
    assert ".EX" in sections(page)["EXAMPLES"]


CALLS = [(page, call) for page in PAGES for block in examples(page) for call in commands(block)]


@pytest.mark.parametrize(
    ("page", "call"), CALLS, ids=lambda one: one if isinstance(one, str) else " ".join(one)
)
def test_towerctl_takes_every_command_line_of_the_examples(page: str, call: list[str]) -> None:
    assert mistake(call) is None


def test_command_lines_are_found_and_mistakes_too() -> None:
    assert len(CALLS) >= 10
    assert mistake(["list", "--no-such-option"]) is not None
    assert mistake(["wait", "sales"]) is not None
    assert mistake(["liszt"]) is not None


MISSING = re.compile(r"^(Missing|missing|Option '.*' requires an argument)")
DOCUMENTS = ["README.md", *(str(one.relative_to(ROOT)) for one in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_towerctl_takes_every_command_line_of_the_documents(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    # Of what is fenced, sessions at a prompt; scripts are run by tests of their own.
    prompts = re.findall(r"^\$ (.*)$", text, re.MULTILINE)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = prompts + re.findall(r"^ {4}(.*)$", text, re.MULTILINE)
    whole = [call for line in lines for call in commands(line)]
    assert {" ".join(call): mistake(call) for call in whole if mistake(call)} == {}
    # In the text a command may stand for itself, without the arguments that it needs.
    named = [call for line in re.findall(r"`(towerctl [^`…\n]+)`", text) for call in commands(line)]
    mistakes = {" ".join(call): mistake(call) or "" for call in named}
    assert {call: what for call, what in mistakes.items() if what and not MISSING.search(what)} == {}
