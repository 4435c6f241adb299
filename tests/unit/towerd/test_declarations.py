"""What a file may say of an account: all of it right, or every mistake told."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from tests.unit.privileges import as_nobody
from towerd.declarations import AccountTable, Declaration, Declared, LimitsTable, Reader
from towerd.users import Users

OWNER = 1000


class Directory(Users):
    """A user database with one user, who can be away."""

    is_away = False

    def uid_of(self, name: str) -> int | None:
        if name == "anna":
            return None if self.is_away else 4711
        return super().uid_of(name)


def read(directory: Path, **files: str) -> Declared:
    for name, content in files.items():
        (directory / f"{name}.toml").write_text(content, encoding="utf-8")
    return Reader(owner_uid=OWNER, users=Directory()).read_directory(directory)


def one(directory: Path, content: str, *, name: str = "shop") -> Declaration:
    found = read(directory, **{name: content})
    assert found.mistakes == {}
    return found.declarations[f"{name}.toml"]


def mistakes_in(directory: Path, content: str, *, name: str = "shop") -> dict[str, str]:
    found = read(directory, **{name: content})
    assert found.declarations == {}
    return {mistake.key: mistake.why for mistake in found.mistakes[f"{name}.toml"]}


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    assert one(tmp_path, 'desired = "running"\n') == Declaration(
        name="shop",
        owner_uid=OWNER,
        display_name=None,
        desired="running",
        expected_phone=None,
        daily_limit=None,
        per_minute_limit=None,
        proxy_file=None,
    )


@pytest.mark.parametrize(("owner", "uid"), [('"anna"', 4711), ('"4712"', 4712), ("4713", 4713), ("0", 0)])
def test_an_owner_is_a_user_by_name_or_number(tmp_path: Path, owner: str, uid: int) -> None:
    assert one(tmp_path, f"owner = {owner}\n").owner_uid == uid


def test_a_blank_display_name_is_none(tmp_path: Path) -> None:
    assert one(tmp_path, 'display_name = "  "\n').display_name is None


WRONG = """
name = "+491701234567"
display_name = "a\\u0007b"
owner = "nobody-has-this-name"
expected_phone = "0170"
proxy_file = "proxies/shop"
"""
WRONG_TYPES = """
name = 1
surprise = 1
owner = true
desired = "paused"
limits = { daily = 0, hourly = 3, per_minute = "many" }
proxy_file = ""
"""


def test_every_mistake_is_told_with_its_key(tmp_path: Path) -> None:
    assert set(mistakes_in(tmp_path, WRONG)) == {
        "name",
        "display_name",
        "owner",
        "expected_phone",
        "proxy_file",
    }
    found = mistakes_in(tmp_path, WRONG_TYPES)
    assert set(found) == {
        "name",
        "surprise",
        "owner",
        "desired",
        "limits.daily",
        "limits.hourly",
        "limits.per_minute",
        "proxy_file",
    }
    assert found["desired"].endswith("known are running, stopped")
    assert "limits.daily, limits.per_minute" in found["limits.hourly"]


@pytest.mark.parametrize("owner", ["-1", "4294967295", '"4294967295"'])
def test_a_number_that_no_user_can_have_is_a_mistake(tmp_path: Path, owner: str) -> None:
    assert set(mistakes_in(tmp_path, f"owner = {owner}\n")) == {"owner"}


def test_an_owner_that_the_directory_service_does_not_tell_is_a_mistake_for_now(tmp_path: Path) -> None:
    users = Directory()
    reader = Reader(owner_uid=OWNER, users=users)
    (tmp_path / "shop.toml").write_text('owner = "anna"\n')
    users.is_away = True
    assert "shop.toml" in reader.read_directory(tmp_path).mistakes
    users.is_away = False
    assert reader.read_directory(tmp_path).declarations["shop.toml"].owner_uid == 4711


@pytest.mark.parametrize("content", ["", "# nothing yet\n"])
def test_a_file_that_says_nothing_is_about_to_be_written(tmp_path: Path, content: str) -> None:
    assert mistakes_in(tmp_path, content) == {"": 'says nothing; write at least name = "…"'}


def test_a_file_whose_name_is_no_account_name_has_to_give_one(tmp_path: Path) -> None:
    assert set(mistakes_in(tmp_path, 'desired = "running"\n', name="my shop")) == {"name"}
    assert one(tmp_path, 'name = "shop"\n', name="my shop").name == "shop"


def test_what_is_not_toml_is_a_mistake_of_its_file_alone(tmp_path: Path) -> None:
    found = read(tmp_path, good="desired = 'running'\n", bad="name =\n")
    assert list(found.declarations) == ["good.toml"]
    assert [mistake.why[:8] for mistake in found.mistakes["bad.toml"]] == ["not TOML"]


def test_notes_of_editors_and_other_files_are_no_declarations(tmp_path: Path) -> None:
    (tmp_path / ".#shop.toml").symlink_to("anna@host.123")
    for name in (".shop.toml", "shop.toml~", "shop.toml.dpkg-old", "README"):
        (tmp_path / name).write_text("nonsense")
    found = read(tmp_path)
    assert (found.declarations, found.mistakes, found.problem) == ({}, {}, None)


def test_a_directory_that_is_not_there_is_empty_if_it_could_be_there(tmp_path: Path) -> None:
    reader = Reader(owner_uid=OWNER)
    assert reader.read_directory(tmp_path / "accounts.d").problem is None
    assert (
        reader.read_directory(tmp_path / "tower" / "accounts.d").problem
        == f"{tmp_path / 'tower'} is not there"
    )
    (tmp_path / "file").write_text("")
    assert "Not a directory" in (reader.read_directory(tmp_path / "file").problem or "")


def test_a_directory_that_may_not_be_read_says_nothing_of_its_files(short_directory: Path) -> None:
    directory = short_directory / "accounts.d"
    directory.mkdir()
    (directory / "shop.toml").write_text('name = "shop"\n')
    with as_nobody(short_directory):
        directory.chmod(0o000)
        found = Reader(owner_uid=OWNER).read_directory(directory)
        directory.chmod(0o700)
    assert "Permission denied" in (found.problem or "")
    assert (found.declarations, found.mistakes) == ({}, {})


def test_of_two_files_for_one_account_the_one_that_has_it_keeps_it(tmp_path: Path) -> None:
    files = {"a": 'name = "shop"\n', "b": 'name = "shop"\n', "c": 'name = "shop"\nowner = 4711\n'}
    found = read(tmp_path, **files)
    found.refuse_doubles({})
    assert list(found.declarations) == ["a.toml", "c.toml"]
    found = read(tmp_path, **files)
    found.refuse_doubles({(OWNER, "shop"): "b.toml"})
    assert list(found.declarations) == ["b.toml", "c.toml"]
    assert [str(mistake) for mistake in found.mistakes["a.toml"]] == [
        f"{tmp_path / 'a.toml'}: name: b.toml declares shop already"
    ]


@pytest.mark.parametrize("table", [AccountTable, LimitsTable])
def test_every_key_is_explained_where_it_is_defined(table: type) -> None:
    documentation = table.__doc__ or ""
    assert [one.name for one in msgspec.structs.fields(table) if f"{one.name}:" not in documentation] == []


def test_a_number_stands_for_itself_whoever_runs_this(tmp_path: Path) -> None:
    assert one(tmp_path, f"owner = {os.getuid()}\n").owner_uid == os.getuid()
