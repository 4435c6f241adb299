"""The lint of figures finds what it is there to find."""

from __future__ import annotations

import pytest

from tests.exposition import parse, problems

GOOD = """\
# HELP tower_a_total A.
# TYPE tower_a_total counter
tower_a_total{what="x, \\"y\\"",who="z"} 1.0
tower_a_total{what="y",who="z"} 2e+3
# HELP tower_level B.
# TYPE tower_level gauge
tower_level -1
# HELP tower_c_seconds C.
# TYPE tower_c_seconds histogram
tower_c_seconds_bucket{le="0.5"} 1.0
tower_c_seconds_bucket{le="+Inf"} 2.0
tower_c_seconds_count 2.0
tower_c_seconds_sum 1.5
"""


def test_good_figures_are_read() -> None:
    assert problems(GOOD) == []
    counter, gauge, histogram = parse(GOOD)
    assert counter.samples[0] == ("tower_a_total", {"what": 'x, \\"y\\"', "who": "z"}, 1.0)
    assert (gauge.type, gauge.help, len(histogram.samples)) == ("gauge", "B.", 4)


BAD = {
    "no end": ("tower_c_seconds_sum 1.5\n", "tower_c_seconds_sum 1.5", "does not end"),
    "no type": ("# TYPE tower_level gauge\n", "", "without its type"),
    "no help": ("# HELP tower_level B.\n", "", "tower_level: has no help"),
    "a type twice": ("tower_level -1\n", "tower_level -1\n# TYPE tower_level gauge\n", "comes twice"),
    "a sample elsewhere": ("tower_level -1\n", "tower_a_total 1\n", "without its type"),
    "a sample twice": ("tower_level -1\n", "tower_level -1\ntower_level 2\n", "one series twice"),
    "no number": ("tower_level -1", "tower_level many", "could not convert"),
    "bad labels": ('{what="y",who="z"}', '{what=y,who="z"}', "not labels"),
    "a label twice": ('{what="y",who="z"}', '{what="y",what="z"}', "not labels"),
    "other labels": ('{what="y",who="z"}', '{what="y"}', "other labels"),
    "a counter without total": ("tower_a_total", "tower_a", "end in _total"),
    "a gauge with total": ("tower_level", "tower_level_total", "end in _total"),
    "a gauge like a sum": ("tower_level", "tower_level_sum", "part of a histogram"),
    "camels": ("tower_level", "towerLevel", "snake_case"),
    "its type": ("tower_level", "tower_level_gauge", "its type in its name"),
    "a unit": ("tower_c_seconds", "tower_c_milliseconds", "base unit"),
    "a short unit": ("tower_c_seconds", "tower_c_ms", "abbreviates"),
    "no last bucket": ('tower_c_seconds_bucket{le="+Inf"} 2.0\n', "", "do not hold all"),
    "another count": ("tower_c_seconds_count 2.0", "tower_c_seconds_count 3.0", "do not hold all"),
    "falling buckets": ('{le="0.5"} 1.0', '{le="0.5"} 3.0', "do not rise"),
    "no sum": ("tower_c_seconds_sum 1.5\n", "", "has no sum"),
    "a negative count": ("2e+3", "-2e+3", "counts down"),
    "le": ("tower_level -1", 'tower_level{le="1"} -1', "label of histograms"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_figures_are_named(bad: str) -> None:
    old, new, why = BAD[bad]
    found = problems(GOOD.replace(old, new))
    assert any(why in one for one in found), found


def test_series_without_end_are_named() -> None:
    many = "".join(f'tower_level{{who="{number}"}} 1\n' for number in range(101))
    assert problems(GOOD.replace("tower_level -1\n", many)) == ["tower_level: has 101 series"]
