"""A second reader of the text that Prometheus reads, and a lint of what it says.

The one rule: written from the description of the format 0.0.4 and the naming rules of promlint, and sharing
nothing with the library that makes the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(?:,|$)')
_TYPES = ("counter", "gauge", "histogram", "summary", "untyped")
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count", "")}
_UNITS = (
    *("milliseconds", "microseconds", "nanoseconds", "minutes", "hours", "days", "weeks"),
    *("kilobytes", "megabytes", "gigabytes", "bits", "percent", "kelvin", "fahrenheit", "grams"),
)
_ABBREVIATIONS = ("s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d")


@dataclass
class Family:
    """Everything under one `# TYPE`."""

    name: str
    type: str
    help: str
    samples: list[tuple[str, dict[str, str], float]] = field(default_factory=list)


def parse(text: str) -> list[Family]:
    """Read a text.

    Raises:
        ValueError: it breaks the format; the message has the line.
    """
    if not text.endswith("\n"):
        raise ValueError("the last line does not end")
    families: dict[str, Family] = {}
    helps: dict[str, str] = {}
    for line in text.splitlines():
        match line.split(" ", 3):
            case ["#", "HELP", name, words] if name not in helps and _NAME.fullmatch(name):
                helps[name] = words
            case ["#", "TYPE", name, kind] if name not in families and kind in _TYPES:
                families[name] = Family(name=name, type=kind, help=helps.get(name, ""))
            case ["#", *_]:
                raise ValueError(f"a comment that is none, or comes twice: {line}")
            case _:
                name, labels, value = _sample(line)
                # All lines of a metric stand together, behind its type.
                family = next(reversed(families.values()), None)
                if family is None or name not in _names(family):
                    raise ValueError(f"a sample without its type: {line}")
                family.samples.append((name, labels, value))
    if left := helps.keys() - families.keys():
        raise ValueError(f"described and never there: {left}")
    return list(families.values())


def _sample(line: str) -> tuple[str, dict[str, str], float]:
    found = _SAMPLE.fullmatch(line)
    if found is None:
        raise ValueError(f"not a sample: {line}")
    labels, at, text = {}, 0, found["labels"] or ""
    while at < len(text):
        pair = _LABEL.match(text, at)
        if pair is None or pair[1] in labels:
            raise ValueError(f"not labels: {line}")
        labels[pair[1]], at = pair[2], pair.end()
    return found["name"], labels, float(found["value"])


def _names(family: Family) -> list[str]:
    return [family.name + suffix for suffix in _SUFFIXES.get(family.type, ("",))]


def problems(text: str, *, most_series: int = 100) -> list[str]:
    """Return what is wrong with a text: its format, its names, its figures.

    Args:
        text: what Prometheus would read.
        most_series: so many label sets one metric may have.
    """
    try:
        families = parse(text)
    except ValueError as error:
        return [str(error)]
    return [f"{one.name}: {words}" for one in families for words in _of_family(one, most_series)]


def _of_family(family: Family, most_series: int) -> Iterator[str]:
    yield from _of_name(family)
    if not family.help.strip():
        yield "has no help"
    keys = [(name, *sorted(labels.items())) for name, labels, _ in family.samples]
    if len(keys) != len(set(keys)):
        yield "has one series twice"
    series = _series(family)
    if len(series) > most_series:
        yield f"has {len(series)} series"
    if len({tuple(name for name, _ in one) for one in series}) > 1:
        yield "has other labels now and then"
    if family.type == "counter" and any(value < 0 for _, _, value in family.samples):
        yield "counts down"
    if family.type == "histogram":
        for one in series:
            yield from _of_histogram(family, one)


def _of_name(family: Family) -> Iterator[str]:
    words = family.name.split("_")
    if (family.type == "counter") != family.name.endswith("_total"):
        yield "counters, and nothing else, end in _total"
    if family.type not in _SUFFIXES and family.name.endswith(("_bucket", "_count", "_sum")):
        yield "ends as if it were part of a histogram"
    if re.search(r"[A-Z:]", family.name):
        yield "is not in snake_case"
    if any(kind in words for kind in _TYPES):
        yield "says its type in its name"
    if any(unit in words for unit in _UNITS):
        yield "is not in a base unit"
    if any(word in _ABBREVIATIONS for word in words):
        yield "abbreviates its unit"
    labels = {label for _, found, _ in family.samples for label in found}
    if family.type != "histogram" and "le" in labels:
        yield "has a label of histograms"
    if any(re.search(r"[A-Z]|^__", label) for label in labels):
        yield "has a label that is not in snake_case"


def _series(family: Family) -> set[tuple[tuple[str, str], ...]]:
    return {
        tuple(sorted((name, value) for name, value in labels.items() if name != "le"))
        for _, labels, _ in family.samples
    }


def _of_histogram(family: Family, series: tuple[tuple[str, str], ...]) -> Iterator[str]:
    mine = [
        (name.removeprefix(family.name), labels.get("le"), value)
        for name, labels, value in family.samples
        if sorted((key, said) for key, said in labels.items() if key != "le") == list(series)
    ]
    buckets = [(float(le), value) for suffix, le, value in mine if suffix == "_bucket" and le is not None]
    rest = {suffix: value for suffix, _, value in mine if suffix != "_bucket"}
    if buckets != sorted(buckets) or [count for _, count in buckets] != sorted(count for _, count in buckets):
        yield f"has buckets that do not rise {series}"
    if not buckets or buckets[-1][0] != float("inf") or buckets[-1][1] != rest.get("_count"):
        yield f"has buckets that do not hold all {series}"
    if "_sum" not in rest:
        yield f"has no sum {series}"
