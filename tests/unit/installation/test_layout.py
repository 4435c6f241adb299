"""Where an installation lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from installation.layout import Layout


@pytest.mark.parametrize(
    ("prefix", "units", "sysusers", "tmpfiles"),
    [
        ("/usr", "/usr/lib/systemd/system", "/usr/lib/sysusers.d", "/usr/lib/tmpfiles.d"),
        (
            "/usr/local",
            "/usr/local/lib/systemd/system",
            "/usr/local/lib/sysusers.d",
            "/usr/local/lib/tmpfiles.d",
        ),
        ("/opt/tower", "/etc/systemd/system", "/etc/sysusers.d", "/etc/tmpfiles.d"),
    ],
)
def test_systemd_finds_its_files_under_any_prefix(
    prefix: str, units: str, sysusers: str, tmpfiles: str
) -> None:
    layout = Layout(Path(prefix))
    assert layout.units == Path(units)
    assert layout.sysusers == Path(sysusers) / "tower.conf"
    assert layout.tmpfiles == Path(tmpfiles) / "tower.conf"


def test_everything_else_lies_below_the_prefix() -> None:
    layout = Layout(Path("/opt/tower"))
    places = [
        layout.home,
        layout.manifest,
        layout.bin,
        layout.manuals,
        layout.documents,
        *layout.completions.values(),
    ]
    assert {place.is_relative_to("/opt/tower") for place in places} == {True}
