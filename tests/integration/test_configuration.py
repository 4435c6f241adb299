"""The configuration of a running towerd: shown with its sources."""

from __future__ import annotations

from typing import Any

from tests.integration.towerd import Towerd


def settings(towerd: Towerd) -> dict[str, dict[str, Any]]:
    return {one["key"]: one for one in towerd.ask("daemon.config")["settings"]}


def test_every_value_is_told_with_the_file_that_set_it(towerd: Towerd) -> None:
    towerd.config.write_text("[pairing]\ntimeout_seconds = 60\ndevice_name = 'A'\n")
    drop_in = towerd.directory / "tower.d" / "50-name.toml"
    drop_in.parent.mkdir()
    drop_in.write_text("[pairing]\ndevice_name = 'B'\n")
    towerd.start()
    shown = settings(towerd)
    timeout, name, automatic = (
        shown[f"pairing.{key}"] for key in ("timeout_seconds", "device_name", "automatic")
    )
    assert (timeout["value"], timeout["default"], timeout["source"]) == (60, 300, str(towerd.config))
    assert (name["value"], name["source"]) == ("B", str(drop_in))
    assert (automatic["value"], automatic["source"]) == (True, None)
