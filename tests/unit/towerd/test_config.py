"""The configuration: every mistake at once, with its file and key."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

from tests.unit.privileges import as_nobody
from towerd.config import NEEDS_RESTART, AccessConfig, Config, Grant, values_of
from towerd.config_files import ConfigError, read_config


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def main(tmp_path: Path) -> Path:
    return tmp_path / "tower.toml"


def read(path: Path, *, must_exist: bool) -> Config:
    return read_config(path, must_exist=must_exist).config


def mistakes_in(path: Path) -> list[tuple[str, str, str]]:
    with pytest.raises(ConfigError) as caught:
        read(path, must_exist=False)
    assert str(caught.value).splitlines() == [str(one) for one in caught.value.mistakes]
    return [(one.file.name, one.key, one.why) for one in caught.value.mistakes]


def test_no_file_means_the_defaults(main: Path) -> None:
    assert read(main, must_exist=False) == Config()


def test_empty_file_means_the_defaults(main: Path) -> None:
    assert read(write(main, ""), must_exist=True) == Config()


def test_file_that_somebody_named_must_exist(main: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(main, must_exist=True)
    assert str(main) in str(caught.value)
    assert "does not exist" in str(caught.value)


def test_defaults_are_those_of_the_contract() -> None:
    config = Config()
    assert config.pairing.timeout_seconds == 300
    assert config.reconnect.library_seconds == 10
    assert (config.reconnect.base_seconds, config.reconnect.cap_seconds) == (1, 30)


def test_value_is_taken_and_the_rest_stays(main: Path) -> None:
    config = read(write(main, "[pairing]\ntimeout_seconds = 60\nautomatic = false\n"), must_exist=True)
    assert (config.pairing.timeout_seconds, config.pairing.automatic) == (60.0, False)
    assert config.pairing.device_name == Config().pairing.device_name
    assert config.reconnect == Config().reconnect


def test_drop_ins_win_key_by_key_in_the_order_of_their_names(main: Path) -> None:
    write(main, "[pairing]\ntimeout_seconds = 1\nauthenticated_seconds = 1\ndevice_name = 'main'\n")
    write(main.parent / "tower.d" / "20-b.toml", "[pairing]\ntimeout_seconds = 20\n")
    write(
        main.parent / "tower.d" / "10-a.toml", "[pairing]\ntimeout_seconds = 10\nauthenticated_seconds = 10\n"
    )
    write(main.parent / "tower.d" / "99-no.conf", "nonsense")
    pairing = read(main, must_exist=True).pairing
    assert (pairing.timeout_seconds, pairing.authenticated_seconds, pairing.device_name) == (20, 10, "main")


def test_drop_ins_are_read_without_a_main_file(main: Path) -> None:
    write(main.parent / "tower.d" / "a.toml", "[pairing]\ntimeout_seconds = 7\n")
    assert read(main, must_exist=False).pairing.timeout_seconds == 7


def test_all_mistakes_are_told_at_once_with_file_and_key(main: Path) -> None:
    write(
        main,
        """
surprise = 1
[nonsense]
key = 1
[pairing]
timeout_seconds = "long"
timeout_second = 5
automatic = 1
device_name = ""
[reconnect]
jitter = 1.0
critical_after = 0
""",
    )
    write(main.parent / "tower.d" / "a.toml", "pairing = 3\n[events]\nkept = 999\n")
    write(main.parent / "tower.d" / "b.toml", "[pairing\n")
    found = mistakes_in(main)
    assert {(file, key) for file, key, _ in found} == {
        ("tower.toml", "surprise"),
        ("tower.toml", "nonsense"),
        ("tower.toml", "pairing.timeout_seconds"),
        ("tower.toml", "pairing.timeout_second"),
        ("tower.toml", "pairing.automatic"),
        ("tower.toml", "pairing.device_name"),
        ("tower.toml", "reconnect.jitter"),
        ("tower.toml", "reconnect.critical_after"),
        ("a.toml", "pairing"),
        ("a.toml", "events.kept"),
        ("b.toml", ""),
    }
    assert len(found) == 11


def test_unknown_section_names_the_known_ones(main: Path) -> None:
    ((_, key, why),) = mistakes_in(write(main, "[pairings]\n"))
    assert key == "pairings"
    assert all(name in why for name in get_type_hints(Config))


def test_unknown_key_names_the_known_ones(main: Path) -> None:
    ((_, key, why),) = mistakes_in(write(main, "[pairing]\ntimeout = 1\n"))
    assert key == "pairing.timeout"
    assert "pairing.timeout_seconds" in why


@pytest.mark.parametrize(
    "value", ["0", "-1", "86401", "nan", "inf", "-inf", "true", '"60"', "[60]", "1979-05-27"]
)
def test_duration_out_of_range_or_of_another_type_is_a_mistake(main: Path, value: str) -> None:
    ((_, key, why),) = mistakes_in(write(main, f"[pairing]\ntimeout_seconds = {value}\n"))
    assert key == "pairing.timeout_seconds"
    assert why


@pytest.mark.parametrize("value", ["0", "100001", "1.5", "true", '"5"'])
def test_count_out_of_range_or_of_another_type_is_a_mistake(main: Path, value: str) -> None:
    ((_, key, _),) = mistakes_in(write(main, f"[workers]\ncrash_loop_exits = {value}\n"))
    assert key == "workers.crash_loop_exits"


def test_whole_number_is_a_duration_too(main: Path) -> None:
    assert read(write(main, "[reconnect]\nbase_seconds = 2\n"), must_exist=True).reconnect.base_seconds == 2


@pytest.mark.parametrize(
    "content", [b"[pairing", b"a = 1\na = 2\n", b"\xff\xfe", b"= 1", b"a = " + b"[" * 100_000]
)
def test_file_that_is_not_toml_is_named(main: Path, content: bytes) -> None:
    main.write_bytes(content)
    ((file, key, why),) = mistakes_in(main)
    assert (file, key) == ("tower.toml", "")
    assert "not TOML" in why


def test_a_byte_that_is_not_utf_8_is_named_by_its_line(main: Path) -> None:
    main.write_bytes(b"[pairing]\ndevice_name = 'B\xfcro'\n")
    assert mistakes_in(main) == [("tower.toml", "", "not TOML: line 2 is not UTF-8")]


def test_an_element_of_a_list_is_named_by_its_place(main: Path) -> None:
    write(main, '[access]\nmay_add = ["*", 3]\n')
    assert mistakes_in(main) == [("tower.toml", "access.may_add[1]", "must be text, not a whole number")]


def test_directory_in_place_of_the_file_is_named(main: Path) -> None:
    main.mkdir()
    ((file, _, why),) = mistakes_in(main)
    assert file == "tower.toml"
    assert "cannot be read" in why


@pytest.mark.parametrize("unreadable", ["directory", "file"])
def test_file_that_may_not_be_read_is_a_mistake(short_directory: Path, unreadable: str) -> None:
    main = write(short_directory / "etc" / "tower.toml", "")
    forbidden = main if unreadable == "file" else main.parent
    with as_nobody(short_directory):
        forbidden.chmod(0o000)
        found = mistakes_in(main)
        forbidden.chmod(0o700)
    assert found[0][0] == "tower.toml"
    assert "Permission denied" in found[0][2]


GRANT = "[[access.grants]]\n"


def test_grants_are_tables_of_their_own(main: Path) -> None:
    write(
        main,
        """
[access]
may_add = ["@staff"]
[[access.grants]]
role = "viewer"
to = ["monitor", "@support"]
[[access.grants]]
role = "operator"
to = ["anna"]
owners = ["deploy"]
""",
    )
    assert read_config(main, must_exist=True).config.access == AccessConfig(
        may_add=("@staff",),
        grants=(
            Grant(role="viewer", to=("monitor", "@support"), owners=("*",)),
            Grant(role="operator", to=("anna",), owners=("deploy",)),
        ),
    )


def test_without_a_word_everybody_may_add_and_nobody_has_a_role() -> None:
    assert Config().access == AccessConfig(may_add=("*",), grants=())


def test_file_with_grants_replaces_those_of_earlier_files(main: Path) -> None:
    write(main, f"{GRANT}role = 'viewer'\nto = ['a']\n[access]\nmay_add = ['b']\n")
    write(main.parent / "tower.d" / "a.toml", f"{GRANT}role = 'admin'\nto = ['c']\n")
    found = read_config(main, must_exist=True).config.access
    assert found == AccessConfig(may_add=("b",), grants=(Grant(role="admin", to=("c",)),))


def test_all_mistakes_of_all_grants_are_told_with_their_place(main: Path) -> None:
    write(
        main,
        """
[access]
may_add = "everybody"
[[access.grants]]
role = "owner"
to = []
[[access.grants]]
rule = "viewer"
to = "monitor"
owners = []
[[access.grants]]
role = "viewer"
to = [""]
owners = ["alice", 5]
""",
    )
    assert {key: why for _, key, why in mistakes_in(main)} == {
        "access.may_add": "must be a list, not text",
        "access.grants[0].role": "owner is none of the values there are; known are viewer, operator, admin",
        "access.grants[0].to": "must have at least 1 entries",
        "access.grants[1].rule": "unknown key; known are "
        "access.grants[1].owners, access.grants[1].role, access.grants[1].to",
        "access.grants[1].role": "is missing",
        "access.grants[1].to": "must be a list, not text",
        "access.grants[1].owners": "must have at least 1 entries",
        "access.grants[2].to[0]": "must have at least 1 characters",
        "access.grants[2].owners[1]": "must be text, not a whole number",
    }


@pytest.mark.parametrize("value", ["1", '"viewer"', "[1]", "{}", '["viewer"]'])
def test_grants_that_are_no_tables_are_a_mistake(main: Path, value: str) -> None:
    ((_, key, why),) = mistakes_in(write(main, f"[access]\ngrants = {value}\n"))
    assert key == ("access.grants[0]" if value in ("[1]", '["viewer"]') else "access.grants")
    assert why


def test_configuration_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Config().pairing = None  # type: ignore[misc, assignment]


@pytest.mark.parametrize("name", list(get_type_hints(Config)))
def test_every_key_is_explained_where_it_is_defined(name: str) -> None:
    section = get_type_hints(Config)[name]
    documentation = section.__doc__ or ""
    assert f"`[{name}]`" in documentation
    undocumented = [
        field.name for field in msgspec.structs.fields(section) if f"{field.name}:" not in documentation
    ]
    assert undocumented == []


def test_every_value_names_the_file_that_set_it_last(main: Path) -> None:
    write(main, "[pairing]\ntimeout_seconds = 1\nautomatic = true\n")
    drop_in = write(main.parent / "tower.d" / "a.toml", "[pairing]\ntimeout_seconds = 2\n")
    sources = read_config(main, must_exist=True).sources
    assert sources == {"pairing.timeout_seconds": drop_in, "pairing.automatic": main}


def test_values_go_by_key_path() -> None:
    values = values_of(Config())
    assert values["pairing.timeout_seconds"] == 300
    assert len(values) == sum(len(msgspec.structs.fields(one)) for one in get_type_hints(Config).values())


def test_only_keys_that_there_are_need_a_restart() -> None:
    assert NEEDS_RESTART
    assert set(values_of(Config())) >= set(NEEDS_RESTART)
