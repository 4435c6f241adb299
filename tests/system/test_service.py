"""The service under a real systemd: readiness, crashes, hangs, limits, access, configuration, end."""

from __future__ import annotations

import json

import pytest

from tests.system.machine import Machine
from tests.system.whatsapp import WhatsApp

# The package is built first, from the package index.
pytestmark = pytest.mark.timeout(900)

PHONE = "491701234567"
SERVICE = "towerd.service"
CONFIG = "/etc/tower/tower.toml"


def worker_pid(server: Machine, name: str) -> str:
    answer = json.loads(server.run("towerctl", "rpc", "account.get", json.dumps({"account": name})))
    return str(answer["account"]["worker"]["pid"])


def change_unit(server: Machine, unit: str, lines: str) -> None:
    server.write(f"/etc/systemd/system/{unit}.d/test.conf", lines)
    server.run("systemctl", "daemon-reload")


def states(server: Machine) -> dict[str, str]:
    names = ("ActiveState", "SubState", "Result", "ExecMainStatus", "NRestarts")
    shown = server.run("systemctl", "show", f"--property={','.join(names)}", SERVICE)
    return dict(line.split("=", 1) for line in shown.splitlines())


def test_it_starts_with_the_machine_and_is_ready_when_its_socket_answers(server: Machine) -> None:
    assert states(server) | {"ActiveState": "active", "SubState": "running", "NRestarts": "0"} == states(
        server
    )
    assert json.loads(server.run("towerctl", "--json", "list")) == {"accounts": []}
    assert server.property(SERVICE, "StatusText") == "0/0 connected"


def test_it_is_hardened(server: Machine) -> None:
    told = server.run("systemd-analyze", "security", "--no-pager", "--threshold=13", SERVICE)
    assert "Overall exposure level" in told


def test_a_request_right_after_kill_9_is_answered(server: Machine) -> None:
    killed = server.main_pid()
    server.signal(killed, "KILL")
    server.run("towerctl", "--timeout", "30", "list")
    assert server.main_pid() != killed


# towerd with a signal that blocks its event loop.
BLOCKED = """
import signal, time
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(3600))
from towerd.__main__ import main
raise SystemExit(main([]))
"""


@pytest.mark.parametrize("how", ["STOP", "USR1"])
def test_a_daemon_that_hangs_is_aborted_with_its_stacks_in_the_journal_and_started_again(
    server: Machine, how: str
) -> None:
    server.write("/srv/blocked.py", BLOCKED)
    start = "ExecStart=\nExecStart=/usr/lib/tower/bin/python3 /srv/blocked.py\n"
    change_unit(server, SERVICE, f"[Service]\nWatchdogSec=2\n{start}")
    server.run("systemctl", "restart", SERVICE)
    hung = server.main_pid()
    server.signal(hung, how)
    server.run("towerctl", "--timeout", "60", "list")
    assert server.main_pid() != hung
    journal = server.journal()
    assert "Watchdog timeout (limit 2s)!" in journal
    assert "status=6/ABRT" in journal
    assert "Fatal Python error: Aborted" in journal
    assert "in run_until_complete" in journal


def test_users_outside_the_group_are_kept_out_and_those_inside_are_known(server: Machine) -> None:
    server.run("useradd", "--groups", "tower", "ada")
    server.run("useradd", "eve")
    refused = server.outcome("runuser", "-u", "eve", "--", "towerctl", "list")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "/run/tower/tower.sock is forbidden to you" in refused.stderr
    assert "usermod -aG tower" in refused.stderr
    added = server.run(
        "runuser", "-u", "ada", "--", "towerctl", "rpc", "account.add", '{"name": "own", "pair": false}'
    )
    assert json.loads(added)["account"]["owner"] == "ada"
    audits = json.loads(server.run("towerctl", "--json", "audit"))["audits"]
    assert [audit["user"] for audit in audits if audit["action"] == "account.add"] == ["ada"]


def test_an_invalid_configuration_ends_in_78_and_is_not_tried_again_and_again(server: Machine) -> None:
    server.write(CONFIG, "nonsense")
    server.run("systemctl", "restart", SERVICE, status=1)
    failed = {
        "ActiveState": "failed",
        "SubState": "failed",
        "Result": "exit-code",
        "ExecMainStatus": "78",
        "NRestarts": "0",
    }
    assert states(server) == failed
    assert server.journal().count(f"{CONFIG}: not TOML") == 1
    # Who asks has it try once more, and is told at once.
    asked = server.outcome("towerctl", "list")
    assert asked.returncode == 3
    assert "systemctl status towerd" in asked.stderr
    server.wait_until(f"systemctl is-failed --quiet {SERVICE}")
    assert states(server) == failed
    assert server.journal().count(f"{CONFIG}: not TOML") == 2
    server.write(CONFIG, "")
    server.run("towerctl", "list")
    assert server.property("towerd.socket", "ActiveState") == "active"


def test_a_reload_answers_what_came_of_it(server: Machine) -> None:
    pid = server.main_pid()
    server.write(CONFIG, "[pairing]\ndevice_name = 'Desk'\n")
    server.run("systemctl", "reload", SERVICE)
    server.write(CONFIG, "nonsense")
    server.run("systemctl", "reload", SERVICE, status=1)
    assert server.main_pid() == pid
    server.run("towerctl", "list")


def test_stop_ends_all_workers_and_the_next_request_brings_them_back(server: Machine) -> None:
    whatsapp = WhatsApp(server)
    server.run("systemctl", "restart", SERVICE)
    whatsapp.link("sales", PHONE)
    worker = worker_pid(server, "sales")
    server.run("systemctl", "stop", SERVICE)
    assert server.outcome("pgrep", "--uid", "tower").stdout == ""
    server.run("test", "!", "-e", f"/proc/{worker}")
    assert server.property(SERVICE, "Result") == "success"
    assert "SIGKILL" not in server.journal()
    server.run("towerctl", "wait", "sales", "--for", "connected", "--timeout", "60")
    assert len(whatsapp.devices(PHONE)) == 1


def test_memory_is_taken_from_workers_first_and_there_is_room_for_many(server: Machine) -> None:
    whatsapp = WhatsApp(server)
    server.run("systemctl", "restart", SERVICE)
    whatsapp.link("sales", PHONE)
    daemon, worker = server.main_pid(), worker_pid(server, "sales")
    scores = [int(server.shell(f"cat /proc/{pid}/oom_score_adj")) for pid in (daemon, worker)]
    assert scores[0] < scores[1] == 500
    assert server.property(SERVICE, "LimitNOFILE") == "65536"
    assert server.property(SERVICE, "TasksMax") == "infinity"
    assert server.property(SERVICE, "OOMPolicy") == "continue"
    assert server.property(SERVICE, "KillMode") == "mixed"


def test_the_example_looks_after_an_account(server: Machine) -> None:
    whatsapp = WhatsApp(server)
    server.run("systemctl", "restart", SERVICE)
    server.shell(
        "cp /usr/share/doc/tower/examples/tower-wait@.* /etc/systemd/system && systemctl daemon-reload"
    )
    whatsapp.link("sales", PHONE)
    server.run("systemctl", "start", "tower-wait@sales.service")
    server.run("towerctl", "stop", "sales")
    server.run("systemctl", "start", "tower-wait@sales.service", status=1)
    assert server.property("tower-wait@sales.service", "ExecMainStatus") == "8"
    server.run("systemctl", "enable", "--now", "tower-wait@sales.timer")
    assert server.property("tower-wait@sales.timer", "NextElapseUSecRealtime") != ""
