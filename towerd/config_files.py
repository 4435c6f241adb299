"""Reading the configuration: TOML files into one frozen structure, with every mistake told.

The one rule: every error is reported at once, each with file, key path and what would be right; nothing
starts on a configuration that is not valid.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from towerd.config import Config, Section
from towerd.protocol.errors import Field
from towerd.wording import choices_of, in_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A configuration that is valid, and which file set each key; what is not there has its default."""

    config: Config
    sources: dict[str, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One thing wrong with a configuration."""

    file: Path
    key: str
    why: str

    def __str__(self) -> str:
        """One line for a human."""
        return f"{self.file}: {self.key}: {self.why}" if self.key else f"{self.file}: {self.why}"


def fields_of(mistakes: Sequence[Mistake]) -> tuple[Field, ...]:
    """Return mistakes as an error on the wire names them: file and key, and why."""
    return tuple(
        Field(field=f"{one.file}: {one.key}" if one.key else str(one.file), why=one.why) for one in mistakes
    )


class ConfigError(Exception):
    """The configuration is not valid.

    Args:
        mistakes: every one of them.
    """

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes


def read_config(path: Path, *, must_exist: bool) -> Reading:
    """Read `tower.toml` and the files of `tower.d` beside it, later ones winning key by key.

    Args:
        path: the main file.
        must_exist: it was named by somebody, so its absence is an error.

    Raises:
        ConfigError: with every mistake.
    """
    mistakes: list[Mistake] = []
    values: dict[str, dict[str, Any]] = {}
    sources: dict[str, Path] = {}

    def merge(file: Path) -> None:
        for section, content in _read_file(file, mistakes).items():
            values.setdefault(section, {}).update(content)
            sources.update({f"{section}.{key}": file for key in content})

    if must_exist or _may_exist(path):
        merge(path)
    for file in drop_ins(drop_in_directory(path), mistakes):
        merge(file)
    if mistakes:
        raise ConfigError(mistakes)
    return Reading(config=msgspec.convert(values, Config), sources=sources)


def drop_in_directory(path: Path) -> Path:
    """Return where the drop-ins of a main file lie."""
    return path.parent / "tower.d"


def config_files(path: Path) -> list[Path]:
    """Return the files that `read_config` reads, in its order."""
    return [file for file in (path, *drop_ins(drop_in_directory(path), [])) if _may_exist(file)]


def _may_exist(path: Path) -> bool:
    """Tell whether a file is there, or may be: one that cannot be looked at is read, to say why not."""
    try:
        return path.exists()
    except OSError:
        return True


def drop_ins(directory: Path, mistakes: list[Mistake]) -> list[Path]:
    """Return the files of a directory of drop-ins, in order; editors keep notes in hidden ones."""
    try:
        return sorted(file for file in directory.glob("*.toml") if not file.name.startswith("."))
    except OSError as error:
        mistakes.append(Mistake(file=directory, key="", why=f"cannot be read: {error.strerror}"))
        return []


def _read_file(file: Path, mistakes: list[Mistake]) -> dict[str, dict[str, Any]]:
    """Return what one file sets, by section and key, and note its mistakes."""
    document = read_toml(file, mistakes)
    sections = get_type_hints(Config)
    checked: dict[str, dict[str, Any]] = {}
    for name, content in document.items():
        if name not in sections:
            mistakes.append(_unknown(file, name, sections))
        elif not isinstance(content, dict):
            mistakes.append(Mistake(file=file, key=name, why=f"is a table: write [{name}]"))
        else:
            checked[name] = check_table(file, name, sections[name], content, mistakes)
    return checked


def read_toml(file: Path, mistakes: list[Mistake]) -> dict[str, Any]:
    """Return what a file of TOML holds; nothing, with a mistake noted, when it cannot be read."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        why = f"not TOML: {error}"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        why = f"not TOML: line {line} is not UTF-8"
    except RecursionError:
        why = "not TOML: nested too deeply"
    except FileNotFoundError:
        why = "the file does not exist"
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    mistakes.append(Mistake(file=file, key="", why=why))
    return {}


def check_table(
    file: Path, name: str, section: type[Section], content: dict[str, Any], mistakes: list[Mistake]
) -> dict[str, Any]:
    """Return what is right of a table, and note what is wrong.

    Args:
        file: where it stands.
        name: its key path; empty for the file itself.
        section: what its keys are.
        content: what it holds.
        mistakes: gets what is wrong.
    """
    fields = get_type_hints(section, include_extras=True)
    path = {key: f"{name}.{key}" if name else key for key in [*content, *fields]}
    known_mistakes = len(mistakes)
    checked: dict[str, Any] = {}
    for key, value in content.items():
        if key not in fields:
            mistakes.append(_unknown(file, path[key], [path[known] for known in fields]))
            continue
        if (row := _row_of(fields[key])) is not None and _is_array_of_tables(value):
            checked[key] = [
                check_table(file, f"{path[key]}[{index}]", row, one, mistakes)
                for index, one in enumerate(value)
            ]
            continue
        if (inner := _table_of(fields[key])) is not None and isinstance(value, dict):
            checked[key] = check_table(file, path[key], inner, value, mistakes)
            continue
        try:
            checked[key] = msgspec.convert(value, fields[key])
            _CHECKS.get(path[key], _fits)(checked[key])
        except _Unfit as unfit:
            mistakes.append(Mistake(file=file, key=path[key], why=str(unfit)))
        except msgspec.ValidationError as error:
            why = in_words(str(error), choices=choices_of(fields[key]))
            mistakes.append(Mistake(file=file, key=path[key] + _element(str(error)), why=why))
    wrong = {
        field.name: "is missing"
        for field in msgspec.structs.fields(section)
        if field.required and field.name not in content
    }
    if not wrong and len(mistakes) == known_mistakes:
        wrong = msgspec.convert(checked, section).unfit()
    mistakes += [Mistake(file=file, key=path[key], why=why) for key, why in wrong.items()]
    return checked


def _table_of(kind: Any) -> type[Section] | None:
    """Return what the keys are of a key that is itself a table; None for any other key."""
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _element(error: str) -> str:
    """Return which element of a list msgspec complains of, as `[2]`."""
    found = re.search(r"at `\$((?:\[\d+\])+)`", error)
    return found[1] if found else ""


class _Unfit(Exception):
    """A value of the right type that cannot be used."""


def _fits(value: object) -> None:
    """Take every value."""


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = f"there is no time zone {name}; write one such as Europe/Berlin, or nothing for the machine's"
        raise _Unfit(msg) from None


_CHECKS: dict[str, Callable[[Any], None]] = {"messages.zone": _check_zone}
"""What the type of a key cannot say."""


def _row_of(kind: Any) -> type[Section] | None:
    """Return what the rows are of a key that is an array of tables; None for any other key."""
    inner = get_args(kind)
    is_rows = get_origin(kind) is tuple and isinstance(inner[0], type) and issubclass(inner[0], Section)
    return inner[0] if is_rows else None


def _is_array_of_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _unknown(file: Path, key: str, known: Any) -> Mistake:
    return Mistake(file=file, key=key, why=f"unknown key; known are {', '.join(sorted(known))}")
