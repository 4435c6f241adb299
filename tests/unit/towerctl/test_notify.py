"""`towerctl notify`: how people are told, tried out."""

from __future__ import annotations

from tests.unit.towerctl.conftest import Tower
from tests.unit.towerctl.fake_daemon import FakeDaemon, error


def test_who_took_the_message_is_a_line_each(daemon: FakeDaemon, tower: Tower) -> None:
    ways = [{"name": "command", "program": "/bin/alert"}, {"name": "mail", "program": "/usr/bin/msmtp"}]
    daemon.prepare("notify.test", {"channels": ways})
    ran = tower("notify", "--test")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == "command: /bin/alert took the message\nmail: /usr/bin/msmtp took the message\n"
    assert tower("notify", "--test", "--json").json == {"channels": ways}


def test_a_message_that_nobody_took_is_a_failure(daemon: FakeDaemon, tower: Tower) -> None:
    daemon.prepare("notify.test", error("notify-failed", "command: ended with status 1", "try it by hand"))
    ran = tower("notify", "--test")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "towerctl: command: ended with status 1\nhint: try it by hand\n"


def test_it_does_nothing_unless_a_test_is_asked_for(daemon: FakeDaemon, tower: Tower) -> None:
    assert tower("notify").status == 2
    assert daemon.asked("notify.test") == []
