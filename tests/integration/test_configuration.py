"""The configuration of a running towerd: shown with its sources, watched, taken over anew."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.towerd import Towerd, environment
from tests.whatsapp.simulator import wait_for


def towerctl(towerd: Towerd, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "towerctl", "--socket", str(towerd.socket), *arguments],
        env=environment(towerd.directory),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def put(file: Path, content: str) -> None:
    """Write a file in one step: half of it would be another configuration."""
    draft = file.with_name(f".{file.name}")
    draft.write_text(content)
    draft.replace(file)


def settings(towerd: Towerd) -> dict[str, dict[str, Any]]:
    return {one["key"]: one for one in towerd.ask("daemon.config")["settings"]}


def test_every_value_is_told_with_the_file_that_set_it(towerd: Towerd) -> None:
    put(towerd.config, "[pairing]\ntimeout_seconds = 60\ndevice_name = 'A'\n")
    drop_in = towerd.directory / "tower.d" / "50-name.toml"
    drop_in.parent.mkdir()
    put(drop_in, "[pairing]\ndevice_name = 'B'\n")
    towerd.start()
    shown = settings(towerd)
    timeout, name, automatic = (
        shown[f"pairing.{key}"] for key in ("timeout_seconds", "device_name", "automatic")
    )
    assert (timeout["value"], timeout["default"], timeout["source"]) == (60, 300, str(towerd.config))
    assert (name["value"], name["source"]) == ("B", str(drop_in))
    assert (automatic["value"], automatic["source"]) == (True, None)


def test_a_reload_takes_over_what_it_can_and_says_what_waits(towerd: Towerd) -> None:
    put(towerd.config, "")
    towerd.start()
    put(towerd.config, "[start]\nspread_seconds = 1\n[events]\nkept = 5000\n")
    answer = towerd.ask("daemon.reload")
    assert answer["changed"] == [
        {"key": "start.spread_seconds", "old": 0.2, "new": 1.0, "needs_restart": True},
        {"key": "events.kept", "old": 100_000, "new": 5000, "needs_restart": False},
    ]
    shown = settings(towerd)
    assert (shown["events.kept"]["value"], shown["events.kept"]["source"]) == (5000, str(towerd.config))
    assert (shown["start.spread_seconds"]["value"], shown["start.spread_seconds"]["source"]) == (0.2, None)
    towerd.restart()
    assert settings(towerd)["start.spread_seconds"]["value"] == 1.0
    assert towerd.ask("daemon.reload")["changed"] == []


def test_a_reload_with_mistakes_tells_them_all_and_changes_nothing(towerd: Towerd) -> None:
    put(towerd.config, "[events]\nkept = 5000\n")
    towerd.start()
    put(towerd.config, "[events]\nkept = 6000\n[pairing]\ntimeout_seconds = 0\n")
    drop_in = towerd.directory / "tower.d" / "a.toml"
    drop_in.parent.mkdir()
    put(drop_in, "[pairing\n")
    error = towerd.exchange("daemon.reload")["error"]["data"]
    assert (error["slug"], error["exit"]) == ("config-invalid", 2)
    assert [one["field"] for one in error["fields"]] == [
        f"{towerd.config}: pairing.timeout_seconds",
        str(drop_in),
    ]
    assert settings(towerd)["events.kept"]["value"] == 5000
    ended = towerctl(towerd, "reload")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 3
    assert "Traceback" not in ended.stderr


def test_a_hangup_reloads_and_the_log_says_what_came_of_it(towerd: Towerd) -> None:
    put(towerd.config, "")
    towerd.start()
    assert towerd.process is not None
    put(towerd.config, "[events]\nkept = 5000\n")
    towerd.process.send_signal(signal.SIGHUP)
    wait_for(lambda: settings(towerd)["events.kept"]["value"] == 5000, what="the reload")
    put(towerd.config, "[events]\nkept = 1\n")
    towerd.process.send_signal(signal.SIGHUP)
    expected = [("daemon", "done", "SIGHUP"), ("daemon", "config-invalid", "SIGHUP")]

    def rows() -> list[tuple[str, str, str]]:
        audits = towerd.ask("audit.list", actions=["daemon.reload"])["audits"]
        return [(row["source"], row["result"], row["detail"]) for row in audits]

    wait_for(lambda: rows() == expected, what="both reloads in the audit log")
    assert settings(towerd)["events.kept"]["value"] == 5000
    assert "events.kept: must be" in towerd.said()


def standing(towerd: Towerd) -> dict[str, Any]:
    return dict(towerd.ask("daemon.status")["config"])


def changes(towerd: Towerd) -> list[str]:
    events = towerd.ask("event.list", types=["config.changed", "config.reloaded"])["events"]
    return [event["data"].get("state", "reloaded") for event in events]


def wait_for_standing(towerd: Towerd, state: str, *keys: str) -> dict[str, Any]:
    wait_for(lambda: (standing(towerd)["state"], standing(towerd)["keys"]) == (state, list(keys)), what=state)
    return standing(towerd)


def test_a_change_on_the_disk_is_told_and_waits_for_the_reload(towerd: Towerd) -> None:
    put(towerd.config, "")
    towerd.start()
    wait_for(lambda: standing(towerd)["watched_by"] == "inotify", what="the watch")
    drop_in = towerd.directory / "tower.d" / "a.toml"
    drop_in.parent.mkdir()
    put(drop_in, "[events]\nkept = 5000\n")
    wait_for_standing(towerd, "pending", "events.kept")
    assert "changed on the disk: events.kept (towerctl reload)" in towerctl(towerd, "status").stdout
    assert settings(towerd)["events.kept"]["value"] == 100_000
    towerd.ask("daemon.reload")
    wait_for_standing(towerd, "current")
    assert "configuration:" not in towerctl(towerd, "status").stdout
    put(drop_in, "[events]\nkept = 1\n")
    broken = wait_for_standing(towerd, "broken")
    assert [str(drop_in) in mistake for mistake in broken["mistakes"]] == [True]
    assert f"not valid: {drop_in}: events.kept" in towerctl(towerd, "status").stdout
    drop_in.unlink()
    wait_for_standing(towerd, "pending", "events.kept")
    told = ["pending", "reloaded", "current", "broken", "pending"]
    wait_for(lambda: changes(towerd) == told, what="the events")
    assert "not what runs (towerctl reload): events.kept" in towerd.said()


def test_a_change_is_taken_over_by_itself_where_that_is_wanted(towerd: Towerd) -> None:
    put(towerd.config, "[config]\nreload = 'automatic'\n")
    towerd.start()
    wait_for(lambda: standing(towerd)["watched_by"] == "inotify", what="the watch")
    put(towerd.config, "[config]\nreload = 'automatic'\n[events]\nkept = 5000\n")
    wait_for(lambda: settings(towerd)["events.kept"]["value"] == 5000, what="the new value")
    put(towerd.config, "[events]\nkept = 1\n")
    wait_for_standing(towerd, "broken")
    assert settings(towerd)["events.kept"]["value"] == 5000
    put(towerd.config, "")
    wait_for(lambda: settings(towerd)["events.kept"]["value"] == 100_000, what="the default")
    assert settings(towerd)["config.reload"]["value"] == "manual"


def test_half_of_a_file_is_not_taken_over_by_itself(towerd: Towerd) -> None:
    put(towerd.config, "[config]\nreload = 'automatic'\n[events]\nkept = 5000\n")
    towerd.start()
    wait_for(lambda: standing(towerd)["watched_by"] == "inotify", what="the watch")
    # As an editor that empties the file first, and then takes its time.
    towerd.config.write_text("")
    wait_for_standing(towerd, "pending", "events.kept", "config.reload")
    towerd.config.write_text("[config]\nreload = 'automatic'\n[events]\nkept = 6000\n")
    wait_for(lambda: settings(towerd)["events.kept"]["value"] == 6000, what="the new value")
    reloads = towerd.ask("event.list", types=["config.reloaded"])["events"]
    assert [event["data"]["changed"] for event in reloads] == [["events.kept"]]


def test_without_inotify_the_daemon_looks_by_itself_and_says_so(towerd: Towerd) -> None:
    alone = ["unshare", "--user", "--map-root-user"]
    limit = "/proc/sys/user/max_inotify_instances"
    if subprocess.run([*alone, "test", "-w", limit], capture_output=True, check=False).returncode:
        pytest.skip("a user namespace with limits of its own is needed, and this machine does not allow one")
    put(towerd.config, "")
    towerd.prefix = [*alone, "sh", "-c", f'echo 0 > {limit}; exec "$@"', "sh"]
    towerd.start()
    wait_for(lambda: standing(towerd)["watched_by"] == "polling", what="the watch")
    (problem,) = towerd.ask("daemon.status")["problems"]
    assert "inotify" in problem
    put(towerd.config, "[events]\nkept = 5000\n")
    wait_for_standing(towerd, "pending", "events.kept")


def test_a_log_beside_the_configuration_does_not_feed_itself(towerd: Towerd) -> None:
    """Each line that is written there is a change that the kernel tells of."""
    put(towerd.config, "")
    towerd.start("--log-level", "debug")
    wait_for(lambda: standing(towerd)["watched_by"] == "inotify", what="the watch")
    (towerd.directory / "tower.d").mkdir()
    put(towerd.directory / "tower.d" / "a.toml", "[events]\nkept = 5000\n")
    wait_for_standing(towerd, "pending", "events.kept")
    assert "in-event" not in towerd.said()
    assert len(towerd.said().splitlines()) < 100
