"""Each verb: what it asks the daemon, what it says, how it exits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.towerctl.conftest import Terminal, Tower
from tests.unit.towerctl.fake_daemon import (
    Connection,
    FakeDaemon,
    HangUp,
    Silence,
    account,
    accounts,
    error,
    pairing_account,
    qr,
)

OnTerminal = Callable[..., Terminal]


def by_name(state: str) -> Callable[[Connection, dict[str, Any]], dict[str, Any]]:
    return lambda _, params: {"account": account(params["account"].removeprefix("id-"), state=state)}


# -- list, show, add, rename -------------------------------------------------------------------------------


def test_list_asks_for_states(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.list", accounts([account()]))
    tower("list", "--state", "failed", "--state", "logged_out")
    assert daemon.asked("account.list") == [{"state": ["failed", "logged_out"]}]
    ran = tower("list", "--state", "up")
    assert ran.status == 2
    assert "unpaired, pairing, authenticated" in ran.err


def test_list_keeps_the_order_and_tells_namesakes_apart(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare(
        "account.list",
        accounts([account("zebra"), account("shop", owner="ann"), account("shop", owner="bob")]),
    )
    names = [line.split()[0] for line in tower("list").out.splitlines()[1:]]
    assert names == ["zebra", "ann/shop", "bob/shop"]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"display_name": "Shop Berlin", "push_name": "Anna"}, "Shop Berlin"),
        ({"push_name": "Anna"}, "Anna"),
        ({}, "+4915112345678"),
        ({"phone": None}, "shop"),
    ],
)
def test_the_title_is_the_best_name_there_is(
    tower: Tower, daemon: FakeDaemon, fields: dict[str, str], shown: str
) -> None:
    daemon.prepare("account.list", accounts([account(**fields)]))
    assert tower("list").out.rstrip().endswith(f"  {shown}")


def test_show_has_every_field_and_the_history(tower: Tower, daemon: FakeDaemon) -> None:
    worker = {
        "state": "running",
        "pid": 4711,
        "restarts": 2,
        "memory_bytes": 48_200_000,
        "since": "2026-01-01T00:00:00.000Z",
    }
    shown = pairing_account(worker=worker, reconnect={"attempt": 3, "next_attempt_at": None})
    step = {"time": "2026-01-01T00:00:00.000Z", "old": None, "new": "pairing", "reason": "never-paired"}
    daemon.prepare("account.get", {"account": shown, "history": [step]})
    out = tower("show").out
    assert daemon.asked("account.get") == [{}]
    for field, value in shown.items():
        if not isinstance(value, dict):
            assert f"{field.removesuffix('_at').replace('_', ' ')}:" in out
    assert "pairing number:" in out
    assert "reconnect attempt:" in out
    assert "48.2 MB" in out
    assert "TIME" in out
    assert "never-paired" in out


def test_add_says_what_comes_next(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.add", {"account": pairing_account(), "created": True})
    ran = tower("add", "shop", "--display-name", "Shop", "--expect-phone", "+491")
    assert ran.out == "shop: added (id id-shop), pairing\n"
    assert ran.err == "next: towerctl qr shop -o qr.png\n"
    assert daemon.asked("account.add") == [
        {"name": "shop", "display_name": "Shop", "pair": True, "expect_phone": "+491"}
    ]


def test_add_without_anything_lets_the_daemon_name_it(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.add", {"account": account("account-1", state="unpaired"), "created": True})
    assert "account-1" in tower("add", "--no-pair").out
    assert daemon.asked("account.add") == [{"pair": False}]


def test_add_if_absent_finds_what_is_there(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.add", {"account": account(), "created": False})
    ran = tower("add", "shop", "--if-absent")
    assert (ran.status, ran.out, ran.err) == (0, "shop: exists (id id-shop), connected\n", "")
    assert tower("add", "shop", "--if-absent", "--qr").out == ran.out
    assert daemon.asked("account.qr") == []


def test_add_with_qr_draws_it(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.add", {"account": pairing_account(), "created": True})
    daemon.prepare("account.qr", {"account": pairing_account(), "qr": qr("##\n##", format="terminal")})
    ran = tower("add", "shop", "--qr")
    assert ran.out == "shop: added (id id-shop), pairing\n##\n##\n"
    assert "Linked devices > Link a device" in ran.err
    asked = daemon.asked("account.qr")[0]
    assert {"account": "id-shop", "format": "terminal", "start": True}.items() <= asked.items()


@pytest.mark.parametrize("options", [("--qr", "--no-pair"), ("--qr", "--phone", "+491"), ("--qr", "--json")])
def test_add_refuses_what_does_not_go_together(
    tower: Tower, daemon: FakeDaemon, options: tuple[str, ...]
) -> None:
    assert tower("add", "shop", *options).status == 2
    assert daemon.requests == []


def test_rename_with_and_without_the_account(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.set", {"account": account("new")})
    assert tower("rename", "shop", "new").out == "new: renamed (id id-shop)\n".replace("id-shop", "id-new")
    tower("rename", "new")
    assert daemon.asked("account.set") == [{"account": "shop", "name": "new"}, {"name": "new"}]


def test_primary_makes_an_account_the_primary_one(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.set", {"account": account()})
    assert tower("primary", "shop").out == "shop: primary account of root\n"
    tower("primary", "--json")
    assert daemon.asked("account.set") == [{"account": "shop", "primary": True}, {"primary": True}]


def test_the_primary_account_is_marked(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.list", accounts([account("a"), account("b", primary=False)]))
    header, *lines = tower("list").out.splitlines()
    column = header.split().index("PRIMARY")
    assert [line.split()[column] for line in lines] == ["yes", "no"]
    daemon.prepare("account.get", {"account": account(), "history": []})
    assert re.search("^primary: +yes$", tower("show").out, re.MULTILINE)


# -- start, stop, restart ----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_one_account_is_the_answer_as_it_came(tower: Tower, daemon: FakeDaemon, verb: str) -> None:
    answer = {"account": account(state="stopped")}
    daemon.prepare(f"account.{verb}", answer)
    assert tower(verb, "shop").out == "shop: stopped\n"
    assert tower(verb, "--json").json == answer
    assert daemon.asked(f"account.{verb}") == [{"account": "shop"}, {}]


def test_all_accounts_are_tried_and_the_highest_status_wins(tower: Tower, daemon: FakeDaemon) -> None:
    outcomes = {
        "a": account("a", state="connecting"),
        "b": error("wrong-state", "not now", hint="later"),
        "c": error("needs-human", "c is failed (banned)", hint="ask WhatsApp"),
        "d": account("d", state="connecting"),
    }

    def start(_: Connection, params: dict[str, Any]) -> dict[str, Any]:
        outcome = outcomes[params["account"]]
        if isinstance(outcome, Exception):
            raise outcome
        return {"account": outcome}

    daemon.prepare("account.start", start)
    ran = tower("start", *outcomes)
    assert ran.status == 8
    assert ran.out == "a: connecting\nd: connecting\n"
    assert ran.err == "towerctl: b: not now\ntowerctl: c is failed (banned)\n"
    envelope = tower("start", *outcomes, "--json").error
    assert (envelope["slug"], envelope["exit"]) == ("needs-human", 8)
    assert envelope["message"] == "2 of 4 accounts failed: b, c"
    assert [(one["account"], one["slug"], one["exit"]) for one in envelope["failures"]] == [
        ("b", "wrong-state", 6),
        ("c", "needs-human", 8),
    ]
    assert [one["account"]["name"] for one in envelope["results"]] == ["a", "d"]


def test_several_that_succeed_are_one_document(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.stop", by_name("stopped"))
    ran = tower("stop", "a", "b", "a", "--json")
    assert [one["account"]["name"] for one in ran.json["results"]] == ["a", "b"]
    assert ran.status == 0


def test_all_means_every_account_by_its_id(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.list", accounts(account(f"a{number}") for number in range(30)))
    daemon.prepare("account.restart", by_name("connecting"))
    ran = tower("restart", "--all")
    assert ran.out == "".join(f"a{number}: connecting\n" for number in range(30))
    assert daemon.asked("account.restart")[29] == {"account": "id-a29"}
    daemon.prepare("account.list", accounts([]))
    ran = tower("restart", "--all")
    assert (ran.status, ran.out, ran.err) == (0, "", "no accounts\n")
    assert tower("restart", "--all", "--json").json == {"results": []}
    assert tower("restart", "--all", "a1").status == 2


def test_a_daemon_that_ends_on_the_way_keeps_what_was_done(tower: Tower, daemon: FakeDaemon) -> None:
    def hang_up(*_: object) -> None:
        raise HangUp

    daemon.prepare("account.stop", by_name("stopped"), hang_up)
    envelope = tower("stop", "a", "b", "c", "--json").error
    assert (envelope["slug"], envelope["exit"]) == ("unreachable", 3)
    assert [one["account"]["name"] for one in envelope["results"]] == ["a"]
    assert [one["account"] for one in envelope["failures"]] == ["b", "c"]


def test_one_account_that_hangs_does_not_keep_others_from_their_turn(
    tower: Tower, daemon: FakeDaemon
) -> None:
    def hang(*_: object) -> None:
        raise Silence

    daemon.prepare("account.stop", hang, by_name("stopped"))
    ran = tower("stop", "a", "b", "--timeout", "0.2")
    assert (ran.status, ran.out) == (3, "b: stopped\n")
    assert "towerctl: a: towerd at" in ran.err


# -- remove, logout, unpair: never without being asked twice -----------------------------------------------

DESTRUCTIVE = ["remove", "logout", "unpair"]
ANSWERS: dict[str, dict[str, Any]] = {
    "remove": {"removed": True, "logout": "done", "detail": None},
    "logout": {"account": account(state="unpaired"), "logout": "done"},
    "unpair": {"account": account(state="unpaired", reason="unpaired-by-operator")},
}


@pytest.mark.parametrize("verb", DESTRUCTIVE)
def test_without_a_terminal_and_without_yes_nothing_is_done(
    tower: Tower, daemon: FakeDaemon, verb: str
) -> None:
    ran = tower(verb, "shop", stdin="y\n")
    assert (ran.status, ran.out) == (2, "")
    assert "--yes" in ran.err
    assert tower(verb, "shop", "--json").error["exit"] == 2
    assert daemon.requests == []


@pytest.mark.parametrize("verb", DESTRUCTIVE)
def test_with_yes_nobody_is_asked(tower: Tower, daemon: FakeDaemon, verb: str) -> None:
    daemon.prepare(f"account.{verb}", ANSWERS[verb])
    assert tower(verb, "shop", "--yes").status == 0
    assert daemon.asked(f"account.{verb}") == [{"account": "shop"}]
    assert tower(verb, "shop", "-y", "--json").json == ANSWERS[verb]


@pytest.mark.parametrize("verb", DESTRUCTIVE)
def test_on_a_terminal_the_person_is_asked(terminal: OnTerminal, daemon: FakeDaemon, verb: str) -> None:
    daemon.prepare("account.get", {"account": account(push_name="Anna"), "history": []})
    daemon.prepare(f"account.{verb}", ANSWERS[verb])
    running = terminal(verb, "shop")
    running.read_until("[y/N]")
    assert "shop (Anna, connected)" in running.read_until("[y/N]")
    running.type("n\n")
    assert "nothing was done" in running.read_all()
    assert (running.process.returncode, daemon.asked(f"account.{verb}")) == (1, [])
    running = terminal(verb, "shop")
    running.read_until("[y/N]")
    running.type("y\n")
    running.read_all()
    assert (running.process.returncode, daemon.asked(f"account.{verb}")) == (0, [{"account": "id-shop"}])


@pytest.mark.parametrize(
    ("logout", "detail", "words"),
    [
        ("done", None, "removed, logged out at WhatsApp"),
        ("not-linked", None, "it was not linked"),
        ("failed", "remove “Tower (Linux)” on +49151", "remove “Tower (Linux)” on +49151"),
        ("failed", None, "WhatsApp > Linked devices"),
        ("unknown", None, "whether WhatsApp logged it out is unknown"),
    ],
)
def test_remove_says_how_the_logout_went(
    tower: Tower, daemon: FakeDaemon, logout: str, detail: str | None, words: str
) -> None:
    daemon.prepare("account.remove", {"removed": True, "logout": logout, "detail": detail})
    ran = tower("remove", "shop", "--yes")
    assert ran.status == 0
    assert words in ran.out


def test_remove_if_present_of_what_is_not_there(
    tower: Tower, daemon: FakeDaemon, terminal: OnTerminal
) -> None:
    daemon.prepare("account.get", error("account-not-found", "no such account"))
    daemon.prepare("account.remove", {"removed": False, "logout": "not-linked", "detail": None})
    ran = tower("remove", "shop", "--yes", "--if-present")
    assert (ran.status, ran.out) == (0, "shop: no such account, nothing to remove\n")
    assert "nothing to remove" in terminal("remove", "shop", "--if-present").read_all()
    running = terminal("remove", "shop")
    running.read_all()
    assert running.process.returncode == 5


def test_a_logout_that_failed_is_exit_1(tower: Tower, daemon: FakeDaemon) -> None:
    for outcome in ("failed", "unknown"):
        daemon.prepare("account.logout", {"account": account(), "logout": outcome})
        assert tower("logout", "shop", "--yes").status == 1
        assert tower("logout", "shop", "--yes", "--json").error["slug"] == "logout-failed"
        daemon.prepare("account.remove", {"removed": False, "logout": outcome, "detail": None})
        ran = tower("remove", "shop", "--yes", "--require-logout", "--json")
        assert (ran.status, ran.error["slug"]) == (1, "logout-failed")
    daemon.prepare("account.logout", {"account": account(), "logout": "not-linked"})
    assert tower("logout", "shop", "--yes").status == 0


def test_unpair_says_that_the_phone_still_lists_it(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.unpair", ANSWERS["unpair"])
    assert "the phone still lists the device" in tower("unpair", "shop", "--yes").out


def test_unpair_of_what_was_never_linked_says_that(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.unpair", {"account": account(state="unpaired", reason="never-paired")})
    assert tower("unpair", "shop", "--yes").out == "shop: no device was linked, unpaired\n"


# -- pair, wait --------------------------------------------------------------------------------------------


def test_pair_begins_an_attempt(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.pair", {"account": pairing_account()})
    ran = tower("pair", "shop", "--new-phone")
    assert (ran.out, ran.err) == ("shop: pairing\n", "next: towerctl qr shop -o qr.png\n")
    assert daemon.asked("account.pair") == [{"account": "shop", "new_phone": True}]


def test_wait_sends_states_and_limit(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.wait", {"account": account(), "outcome": "reached"})
    tower("wait", "shop", "--for", "connected,failed")
    tower("--timeout", "5", "wait", "--for", "connected", "--for", "failed")
    tower("wait", "shop", "--for", "connected", "--timeout", "0")
    assert daemon.asked("account.wait") == [
        {"account": "shop", "states": ["connected", "failed"], "timeout_seconds": 300.0},
        {"states": ["connected", "failed"], "timeout_seconds": 5.0},
        {"account": "shop", "states": ["connected"], "timeout_seconds": 0.0},
    ]


@pytest.mark.parametrize(
    ("outcome", "state", "slug", "status"),
    [("timeout", "pairing", "timed-out", 7), ("needs-human", "failed", "needs-human", 8)],
)
def test_wait_in_vain(
    tower: Tower, daemon: FakeDaemon, outcome: str, state: str, slug: str, status: int
) -> None:
    waited = account(state=state, reason="banned", action="ask WhatsApp")
    daemon.prepare("account.wait", {"account": waited, "outcome": outcome})
    ran = tower("wait", "shop", "--for", "connected")
    assert (status, "") == (ran.status, ran.out)
    assert f"shop is {state} (banned)" in ran.err
    assert "hint: ask WhatsApp" in ran.err
    assert tower("wait", "shop", "--for", "connected", "--json").error["slug"] == slug


def test_wait_outlives_a_restart_of_the_daemon(tower: Tower, daemon: FakeDaemon) -> None:
    def hang_up(*_: Any) -> None:
        raise HangUp

    daemon.prepare("account.wait", hang_up, {"account": account(), "outcome": "reached"})
    ran = tower("wait", "shop", "--for", "connected", "--timeout", "20")
    assert ran.status == 0
    first, again = daemon.asked("account.wait")
    assert 0 < again["timeout_seconds"] < first["timeout_seconds"] == 20.0


def test_wait_gives_a_daemon_up_that_stays_away(tower: Tower, daemon: FakeDaemon) -> None:
    def end(*_: Any) -> None:
        daemon.close()
        raise HangUp

    daemon.prepare("account.wait", end)
    ran = tower("wait", "shop", "--for", "connected", "--timeout", "1")
    assert ran.status == 3


def test_wait_for_what_is_no_state(tower: Tower, daemon: FakeDaemon) -> None:
    ran = tower("wait", "shop", "--for", "connected,up")
    assert ran.status == 2
    assert "reconnecting, logged_out, stopped, failed" in ran.err
    assert daemon.requests == []


# -- status, version, rpc -----------------------------------------------------------------------------------


def config_status(state: str = "current", **changes: Any) -> dict[str, Any]:
    status = {"state": state, "keys": [], "mistakes": [], "reload": "manual", "watched_by": "inotify"}
    return status | changes


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (config_status("pending", keys=["a.b", "c.d"]), "changed on the disk: a.b, c.d (towerctl reload)"),
        (config_status("needs-restart", keys=["a.b"]), "waits for a restart of towerd: a.b"),
        (config_status("broken", mistakes=["/f: a.b: wrong"]), "not valid: /f: a.b: wrong"),
    ],
)
def test_status_says_when_the_files_say_something_else(
    tower: Tower, daemon: FakeDaemon, status: dict[str, Any], line: str
) -> None:
    daemon.prepare("daemon.status", status_answer(config=status))
    assert re.search(rf"^configuration: +{re.escape(line)}$", tower("status").out, re.MULTILINE)
    daemon.prepare("daemon.status", status_answer())
    assert "configuration" not in tower("status").out


def test_status_of_a_daemon_of_an_earlier_version_is_shown(tower: Tower, daemon: FakeDaemon) -> None:
    answer = status_answer()
    for key in ("config", "stores", "health", "messages", "memory"):
        del answer[key]
    daemon.prepare("daemon.status", answer)
    assert tower("status").status == 0


def status_answer(**changes: Any) -> dict[str, Any]:
    return {
        "version": "9.9.9",
        "pid": 4711,
        "started_at": "2026-01-01T00:00:00.000Z",
        "uptime_seconds": 7300.5,
        "state_dir": "/var/lib/tower",
        "accounts": {"connected": 2, "failed": 1, "pairing": 0},
        "health": {"healthy": 1, "critical": 1, "splendid": 1, "warning": 0},
        "messages": {"sent": 3, "received": 70, "waiting": 4},
        "starting": {"done": 3, "total": 3},
        "workers": [{"account": "shop", "pid": 1, "state": "running", "restarts": 0, "memory_bytes": None}],
        "registry": "ok",
        "stores": {"sealed": False, "key": None, "plain_dir": None, "trouble": None},
        "fleet": {"state": "closed", "cause": None, "canary": None, "held": 0, "since": None},
        "config": config_status(),
        "problems": [],
        "memory": {"daemon_bytes": 45_000_000, "workers_bytes": 90_500_000},
    } | changes


def test_status_at_a_glance(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("daemon.status", status_answer())
    out = tower("status").out
    assert "3: 2 connected, 1 failed" in out
    assert "1 critical, 1 healthy, 1 splendid" in out
    assert "3 sent, 70 received" in out
    assert "4 waiting to be sent" in out
    assert "45.0 MB, and 90.5 MB of workers" in out
    assert "2h, since" in out
    assert "RESTARTS" in out
    assert "starting" not in out
    assert "not sealed" in out
    daemon.prepare(
        "daemon.status",
        status_answer(
            starting={"done": 1, "total": 3},
            problems=["disk full"],
            workers=[],
            accounts={},
            fleet={"state": "open", "cause": "unlink-wave", "canary": "shop", "held": 7, "since": None},
        ),
    )
    out = tower("status").out
    assert "held back: unlink-wave, 7 accounts wait, shop tries first" in out
    assert "1/3 up" in out
    assert "disk full" in out
    assert "towerctl release" in tower("status").err


FLEET_CLOSED = {"state": "closed", "cause": None, "canary": None, "held": 0, "since": None}


@pytest.mark.parametrize(
    ("fleet", "said"),
    [
        (FLEET_CLOSED, "nothing was held\n"),
        (
            {"state": "open", "cause": "client-outdated", "canary": "shop", "held": 7, "since": None},
            "released: shop tries now, 7 accounts go on (held because of client-outdated)\n",
        ),
        (
            {"state": "open", "cause": "unlink-wave", "canary": None, "held": 1, "since": None},
            "released: 1 account goes on (held because of unlink-wave)\n",
        ),
    ],
)
def test_release_says_how_many_go_on(
    tower: Tower, daemon: FakeDaemon, fleet: dict[str, Any], said: str
) -> None:
    daemon.prepare("daemon.status", status_answer(fleet=fleet))
    daemon.prepare("daemon.release", status_answer())
    ran = tower("release")
    assert (ran.status, ran.out, ran.err) == (0, said, "")
    assert tower("release", "--json").json == status_answer()
    assert len(daemon.asked("daemon.release")) == 2


# -- audit -------------------------------------------------------------------------------------------------


def audit_row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "time": "2026-01-01T00:00:00.000Z",
        "user": "root",
        "uid": 0,
        "pid": 4711,
        "source": "cli",
        "action": "account.stop",
        "account": {"id": "id-shop", "name": "shop"},
        "result": "done",
        "detail": None,
    } | changes


def test_audit_is_a_table(tower: Tower, daemon: FakeDaemon) -> None:
    rows = [
        audit_row(1),
        audit_row(2, source="phone", action="paired", detail="by \x1b[31m phone"),
        audit_row(3, action="daemon.release", account=None, result="wrong-state"),
    ]
    daemon.prepare("audit.list", {"audits": rows})
    lines = tower("audit").out.splitlines()
    assert lines[0].split() == ["TIME", "USER", "SOURCE", "ACTION", "ACCOUNT", "RESULT", "DETAIL"]
    assert lines[1].split()[1:] == ["root", "cli", "account.stop", "shop", "done", "-"]
    assert lines[2].endswith("by \\x1b[31m phone")
    assert lines[3].split()[4:6] == ["-", "wrong-state"]
    assert tower("audit", "--json").json == {"audits": rows}
    daemon.prepare("audit.list", {"audits": []})
    assert (tower("audit").out, tower("audit").err) == ("", "nothing was done\n")


def test_audit_asks_for_what_is_wanted(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("audit.list", {"audits": []})
    tower("audit")
    tower("audit", "--since", "7", "--account", "shop", "--action", "a", "--action", "b", "--limit", "5")
    tower("audit", "--since", "2026-01-01T00:00:00Z")
    assert daemon.asked("audit.list") == [
        {},
        {"since": 7, "account": "shop", "actions": ["a", "b"], "limit": 5},
        {"since": "2026-01-01T00:00:00.000Z"},
    ]
    assert tower("audit", "--limit", "0").status == 2
    assert tower("audit", "--since", "yesterday").status == 2


def test_version_of_both_sides(tower: Tower, daemon: FakeDaemon) -> None:
    out = tower("version").out
    assert "towerctl:" in out
    assert "9.9.9, API 1." in out
    assert tower("version", "--json").json == daemon.version()


def test_version_without_a_daemon_prints_its_own(tower: Tower) -> None:
    ran = tower("version")
    assert ran.status == 3
    assert ran.out.startswith("towerctl:")
    assert "is absent" in ran.err
    envelope = tower("version", "--json").error
    assert (envelope["slug"], set(envelope["client"])) == ("unreachable", {"version", "api"})


def test_rpc_passes_parameters_and_result_verbatim(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("some.method", lambda _, params: {"echo": params})
    given = {"a": None, "b": [1, 2.5], "within_seconds": 3, "method": "x"}
    assert tower("rpc", "some.method", json.dumps(given)).json == {"echo": given}
    assert tower("rpc", "some.method", "-", stdin=json.dumps(given)).json == {"echo": given}
    assert tower("rpc", "some.method", "--json").json == {"echo": {}}


@pytest.mark.parametrize("params", ["{", "[]", "5", "-"])
def test_rpc_with_what_is_no_object(tower: Tower, daemon: FakeDaemon, params: str) -> None:
    assert tower("rpc", "some.method", params, stdin="{x").status == 2
    assert daemon.requests == []


def test_rpc_is_indented_on_a_terminal(terminal: OnTerminal, daemon: FakeDaemon) -> None:
    daemon.prepare("some.method", {"a": 1})
    assert terminal("rpc", "some.method").read_all() == '{\r\n  "a": 1\r\n}\r\n'
