"""The configuration of a running towerd: shown with its sources, watched, taken over anew."""

from __future__ import annotations

import signal
import subprocess
import sys
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


def test_a_reload_takes_over_what_it_can_and_says_what_waits(towerd: Towerd) -> None:
    towerd.config.write_text("")
    towerd.start()
    towerd.config.write_text("[start]\nspread_seconds = 1\n[events]\nkept = 5000\n")
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
    towerd.config.write_text("[events]\nkept = 5000\n")
    towerd.start()
    towerd.config.write_text("[events]\nkept = 6000\n[pairing]\ntimeout_seconds = 0\n")
    drop_in = towerd.directory / "tower.d" / "a.toml"
    drop_in.parent.mkdir()
    drop_in.write_text("[pairing\n")
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
    towerd.config.write_text("")
    towerd.start()
    assert towerd.process is not None
    towerd.config.write_text("[events]\nkept = 5000\n")
    towerd.process.send_signal(signal.SIGHUP)
    wait_for(lambda: settings(towerd)["events.kept"]["value"] == 5000, what="the reload")
    towerd.config.write_text("[events]\nkept = 1\n")
    towerd.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "events.kept: must be" in towerd.said(), what="the mistake in the log")
    assert settings(towerd)["events.kept"]["value"] == 5000
    rows = towerd.ask("audit.list", actions=["daemon.reload"])["audits"]
    assert [(row["source"], row["result"], row["detail"]) for row in rows] == [
        ("daemon", "done", "SIGHUP"),
        ("daemon", "config-invalid", "SIGHUP"),
    ]


def standing(towerd: Towerd) -> dict[str, Any]:
    return dict(towerd.ask("daemon.status")["config"])


def wait_for_standing(towerd: Towerd, state: str, *keys: str) -> dict[str, Any]:
    wait_for(lambda: (standing(towerd)["state"], standing(towerd)["keys"]) == (state, list(keys)), what=state)
    return standing(towerd)


def test_a_change_on_the_disk_is_told_and_waits_for_the_reload(towerd: Towerd) -> None:
    towerd.config.write_text("")
    towerd.start()
    wait_for(lambda: standing(towerd)["watched_by"] == "inotify", what="the watch")
    drop_in = towerd.directory / "tower.d" / "a.toml"
    drop_in.parent.mkdir()
    drop_in.write_text("[events]\nkept = 5000\n")
    wait_for_standing(towerd, "pending", "events.kept")
    assert "changed on the disk: events.kept (towerctl reload)" in towerctl(towerd, "status").stdout
    assert settings(towerd)["events.kept"]["value"] == 100_000
    towerd.ask("daemon.reload")
    wait_for_standing(towerd, "current")
    assert "configuration:" not in towerctl(towerd, "status").stdout
    drop_in.write_text("[events]\nkept = 1\n")
    broken = wait_for_standing(towerd, "broken")
    assert [str(drop_in) in mistake for mistake in broken["mistakes"]] == [True]
    assert f"not valid: {drop_in}: events.kept" in towerctl(towerd, "status").stdout
    drop_in.unlink()
    wait_for_standing(towerd, "pending", "events.kept")
    told = towerd.ask("event.list", types=["config.changed", "config.reloaded"])["events"]
    assert [event["data"].get("state", "reloaded") for event in told] == [
        "pending",
        "reloaded",
        "current",
        "broken",
        "pending",
    ]
    assert "not what runs (towerctl reload): events.kept" in towerd.said()


def test_a_change_is_taken_over_by_itself_where_that_is_wanted(towerd: Towerd) -> None:
    towerd.config.write_text("[config]\nreload = 'automatic'\n")
    towerd.start()
    wait_for(lambda: standing(towerd)["watched_by"] == "inotify", what="the watch")
    towerd.config.write_text("[config]\nreload = 'automatic'\n[events]\nkept = 5000\n")
    wait_for(lambda: settings(towerd)["events.kept"]["value"] == 5000, what="the new value")
    towerd.config.write_text("[events]\nkept = 1\n")
    wait_for_standing(towerd, "broken")
    assert settings(towerd)["events.kept"]["value"] == 5000
    towerd.config.write_text("")
    wait_for(lambda: settings(towerd)["events.kept"]["value"] == 100_000, what="the default")
    assert settings(towerd)["config.reload"]["value"] == "manual"


def test_without_inotify_the_daemon_looks_by_itself_and_says_so(towerd: Towerd) -> None:
    alone = ["unshare", "--user", "--map-root-user"]
    limit = "/proc/sys/user/max_inotify_instances"
    if subprocess.run([*alone, "test", "-w", limit], capture_output=True, check=False).returncode:
        pytest.skip("a user namespace with limits of its own is needed, and this machine does not allow one")
    towerd.config.write_text("")
    towerd.prefix = [*alone, "sh", "-c", f'echo 0 > {limit}; exec "$@"', "sh"]
    towerd.start()
    wait_for(lambda: standing(towerd)["watched_by"] == "polling", what="the watch")
    (problem,) = towerd.ask("daemon.status")["problems"]
    assert "inotify" in problem
    towerd.config.write_text("[events]\nkept = 5000\n")
    wait_for_standing(towerd, "pending", "events.kept")


def test_a_log_beside_the_configuration_does_not_feed_itself(towerd: Towerd) -> None:
    """Each line that is written there is a change that the kernel tells of."""
    towerd.config.write_text("")
    towerd.start("--log-level", "debug")
    wait_for(lambda: standing(towerd)["watched_by"] == "inotify", what="the watch")
    (towerd.directory / "tower.d").mkdir()
    (towerd.directory / "tower.d" / "a.toml").write_text("[events]\nkept = 5000\n")
    wait_for_standing(towerd, "pending", "events.kept")
    assert "in-event" not in towerd.said()
    assert len(towerd.said().splitlines()) < 100
