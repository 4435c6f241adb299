"""tower.toml(5): what it shows is valid, and mistakes are told as it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.manuals import examples
from towerd.config_files import ConfigError, read_config

SHOWN = examples("tower.toml.5", "EXAMPLES")


@pytest.mark.parametrize("text", SHOWN, ids=lambda text: text.splitlines()[0])
def test_every_example_is_a_valid_configuration(tmp_path: Path, text: str) -> None:
    secret = tmp_path / "crm.secret"
    secret.write_text("x" * 32)
    secret.chmod(0o600)
    main = tmp_path / "tower.toml"
    main.write_text(text.replace("/etc/tower/crm.secret", str(secret)))
    reading = read_config(main, must_exist=True)
    assert set(reading.sources.values()) == {main}


def test_mistakes_are_told_as_the_manual_shows_them(tmp_path: Path) -> None:
    main = tmp_path / "tower.toml"
    main.write_text("[pairing]\ntimeout_seconds = 0\n[reconect]\n")
    (shown,) = [one for one in examples("tower.toml.5") if one.startswith("towerd: ")]
    with pytest.raises(ConfigError) as caught:
        read_config(main, must_exist=True)
    lines = [f"towerd: {line}" for line in str(caught.value).splitlines()]
    assert lines == shown.replace("/etc/tower/tower.toml", str(main)).splitlines()
