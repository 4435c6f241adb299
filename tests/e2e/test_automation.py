"""docs/automation.md: everything that it shows is run, against a daemon with a simulated WhatsApp."""

from __future__ import annotations

import ast
import base64
import email
import io
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
import zxingcpp
from PIL import Image

from tests.e2e.desk import BLOCKS, Desk
from tests.e2e.playbook import play, tasks
from tests.e2e.tower import BIN, Tower
from tests.whatsapp.simulator import Simulator, wait_for

PHONE = "491701234567"
SHELL = [name for name, block in BLOCKS.items() if block.language in ("sh", "crontab")]
# What would change the machine is only read by the shell.
ONLY_READ = {"timer-install"}
EXAMPLES = Path(__file__).parents[2] / "systemd" / "examples"

needs_jq = pytest.mark.skipif(
    shutil.which("jq") is None, reason="jq, which the document asks for, is not installed"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A daemon, the phone's side, and a desk."""

    tower: Tower
    simulator: Simulator
    desk: Desk


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tower, Simulator]]:
    with Simulator.start(tmp_path_factory.mktemp("simulator")) as simulator, Tower(simulator) as tower:
        yield tower, simulator


@pytest.fixture
def scene(shared: tuple[Tower, Simulator], tmp_path: Path) -> Iterator[Scene]:
    """A desk of one's own; afterwards no account is left."""
    tower, simulator = shared
    yield Scene(tower=tower, simulator=simulator, desk=Desk(tmp_path, tower))
    for account in tower.rpc("account.list")["accounts"]:
        tower.rpc("account.remove", account=account["id"])


@pytest.fixture
def unlinked(scene: Scene) -> Scene:
    """The account `sales` is there, and nobody has scanned."""
    scene.tower.rpc("account.add", name="sales", pair=False)
    return scene


@pytest.fixture
def linked(scene: Scene) -> Scene:
    """The account `sales` is connected."""
    scene.tower.link(scene.simulator, "sales", PHONE)
    return scene


def somebody_scans(scene: Scene, find: Callable[[], bytes | None]) -> threading.Thread:
    """Let the person with the phone scan the picture as soon as there is one to be found."""

    def scan() -> None:
        picture = wait_for(find, seconds=60, what="a picture to scan")
        assert picture is not None
        scene.simulator.scan(read(picture), PHONE)

    person = threading.Thread(target=scan, daemon=True)
    person.start()
    return person


def read(picture: bytes) -> str:
    with Image.open(io.BytesIO(picture)) as image:
        (found,) = zxingcpp.read_barcodes(image.convert("L"), formats=zxingcpp.BarcodeFormat.QRCode)
    return str(found.text)


# -- all of them -------------------------------------------------------------------------------------------


def test_every_block_is_exercised() -> None:
    files = (Path(__file__), Path(__file__).with_name("test_message_snippets.py"))
    words = {
        node.value
        for node in ast.walk(ast.parse("".join(file.read_text() for file in files)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(BLOCKS) - words == set()
    assert {block.language for block in BLOCKS.values()} <= {
        "sh",
        "crontab",
        "ini",
        "yaml",
        "toml",
        "nagios",
        "icinga",
        "python",
    }


@pytest.mark.parametrize("name", SHELL)
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_every_snippet_is_shell(scene: Scene, name: str, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [shell, "-n"], input=scene.desk.text_of(name), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SHELL)
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_against_a_snippet(scene: Scene, name: str) -> None:
    text = scene.desk.text_of(name).removeprefix("#!/bin/sh\n")
    done = subprocess.run(
        ["shellcheck", "--shell=sh", "-"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


# -- statuses and cron -------------------------------------------------------------------------------------


def test_trying_again_ends_with_what_came(linked: Scene) -> None:
    assert linked.desk.run("retry").returncode == 0


def test_nothing_is_tried_again_that_a_human_has_to_do(unlinked: Scene) -> None:
    done = unlinked.desk.run("retry")
    assert done.returncode == 8
    assert done.stderr.count("towerctl: ") == 1


def test_cron_says_nothing_of_an_account_that_is_connected(linked: Scene) -> None:
    done = linked.desk.run("connected")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_cron_mails_one_line_and_a_hint_about_one_that_is_not(unlinked: Scene) -> None:
    done = unlinked.desk.run("connected")
    assert (done.returncode, done.stdout) == (8, "")
    assert re.fullmatch(r"towerctl: sales is unpaired .*\nhint: .*\n", done.stderr)


def test_the_digest_has_who_did_what(unlinked: Scene) -> None:
    done = unlinked.desk.run("digest")
    assert done.returncode == 0
    assert any("account.add" in line and "sales" in line for line in done.stdout.splitlines())
    assert done.stderr == ""


@needs_jq
def test_the_needy_are_named_with_what_to_do(unlinked: Scene) -> None:
    done = unlinked.desk.run("needy")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"sales is unpaired \(never-paired\): .*towerctl.*\n", done.stdout)


@needs_jq
def test_nobody_is_named_who_needs_nothing(linked: Scene) -> None:
    done = linked.desk.run("needy")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# -- units -------------------------------------------------------------------------------------------------


def test_the_timer_that_is_copied_exists(scene: Scene) -> None:
    assert "timer-install" in ONLY_READ
    text = scene.desk.text_of("timer-install")
    (pattern,) = re.findall(r"examples/(\S+)", text)
    assert {one.suffix for one in EXAMPLES.glob(pattern)} == {".service", ".timer"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_well_formed(tmp_path: Path) -> None:
    unit = tmp_path / "shop.service"
    unit.write_text(re.sub(r"(?<==)/usr/\S+", "/bin/true", BLOCKS["shop.service"].text))
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False
    )
    assert "shop.service" not in done.stderr
    assert done.returncode == 0


# -- Ansible -----------------------------------------------------------------------------------------------

VARIABLES = {"account": "sales", "display_name": 'Sales desk, "Berlin"'}


def ansible(scene: Scene, name: str) -> Any:
    return play(BLOCKS[name].text, variables=VARIABLES, environment=scene.desk.environment)


def test_tasks_change_what_is_to_be_changed_and_nothing_when_run_again(scene: Scene) -> None:
    first = ansible(scene, "tasks/account.yml")
    assert first.changed == ["The account exists", "It is called as people call it"]
    assert "sales is unpaired" in first.said[0]
    assert scene.tower.account("sales")["display_name"] == VARIABLES["display_name"]
    scene.tower.rpc("account.stop", account="sales")
    assert ansible(scene, "tasks/account.yml").changed == ["It runs"]
    again = ansible(scene, "tasks/account.yml")
    assert again.changed == []
    assert "sales is unpaired" in again.said[0]


def test_tasks_have_nothing_to_say_about_a_connected_account(linked: Scene) -> None:
    ansible(linked, "tasks/account.yml")
    again = ansible(linked, "tasks/account.yml")
    assert (again.changed, again.said) == ([], [])
    assert "What is to be done" in again.skipped


def test_an_account_that_is_to_go_goes_once(unlinked: Scene) -> None:
    assert ansible(unlinked, "tasks/gone.yml").changed == ["The account is gone"]
    assert ansible(unlinked, "tasks/gone.yml").changed == []


@pytest.mark.skipif(shutil.which("ansible-playbook") is None, reason="Ansible is not installed")
def test_ansible_itself_does_the_same(scene: Scene) -> None:
    book = scene.desk.directory / "book.yml"
    for name in ("tasks/account.yml", "tasks/gone.yml"):
        (scene.desk.directory / Path(name).name).write_text(BLOCKS[name].text)

    def run(file: str) -> str:
        known = VARIABLES | {"ansible_python_interpreter": sys.executable}
        play = {"hosts": "localhost", "connection": "local", "gather_facts": False}
        lines = [play | {"vars": known, "tasks": [{"include_tasks": file}]}]
        book.write_text(json.dumps(lines))
        done = subprocess.run(
            ["ansible-playbook", "-i", "localhost,", book],
            env=scene.desk.environment | {"LC_ALL": "C.UTF-8"},
            cwd=scene.desk.directory,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return re.findall(r"changed=(\d+)", done.stdout)[0]

    assert [run(file) for file in ("account.yml", "account.yml", "gone.yml", "gone.yml")] == [
        "2",
        "0",
        "1",
        "0",
    ]


@pytest.mark.parametrize("name", ["tasks/account.yml", "tasks/gone.yml"])
def test_every_task_has_a_name_and_says_when_it_changed_something(name: str) -> None:
    for task in tasks(BLOCKS[name].text):
        assert task["name"]
        assert "ansible.builtin.debug" in task or "changed_when" in task


# -- monitoring --------------------------------------------------------------------------------------------


def plugin(scene: Scene, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a plugin as the monitoring would."""
    program, *arguments = command
    assert program == "/usr/bin/towerctl"
    return scene.tower.run(*arguments)


def test_nagios_runs_the_plugin(linked: Scene) -> None:
    (line,) = re.findall(r"command_line +(.*)", BLOCKS["whatsapp.cfg"].text)
    for arguments in ("", "sales"):
        done = plugin(linked, line.replace("$ARG1$", arguments).split())
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("TOWER OK - 1 healthy | healthy=1;")


def test_icinga_runs_the_plugin(linked: Scene) -> None:
    (words,) = re.findall(r"command = \[ (.*) \]", BLOCKS["whatsapp.conf"].text)
    linked.simulator.refuse()
    try:
        linked.simulator.drop(PHONE)
        linked.tower.wait_for_state("sales", "reconnecting")
        done = plugin(linked, [*re.findall(r'"([^"]*)"', words), "sales"])
        assert done.returncode == 1
        assert done.stdout.startswith("TOWER WARNING - ")
    finally:
        linked.simulator.refuse(on=False)


def test_the_strict_plugin_is_content_with_a_connected_account_only(linked: Scene) -> None:
    done = linked.desk.run("check_connected", "sales")
    assert (done.returncode, done.stdout, done.stderr) == (0, "WHATSAPP OK - sales: connected\n", "")
    linked.tower.rpc("account.stop", account="sales")
    done = linked.desk.run("check_connected", "sales")
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("WHATSAPP CRITICAL - towerctl: sales is stopped")
    linked.desk.environment["TOWER_SOCKET"] = str(linked.desk.directory / "absent.sock")
    done = linked.desk.run("check_connected", "sales")
    assert (done.returncode, done.stdout.partition(" - ")[0]) == (3, "WHATSAPP UNKNOWN")


def test_the_strict_plugin_warns_of_what_may_still_come(unlinked: Scene) -> None:
    unlinked.tower.rpc("account.pair", account="sales")
    done = unlinked.desk.run("check_connected", "sales")
    assert (done.returncode, done.stdout.partition(" - ")[0]) == (1, "WHATSAPP WARNING")


def test_the_configuration_of_the_figures_is_valid(scene: Scene) -> None:
    file = scene.desk.directory / "tower.toml"
    file.write_text(BLOCKS["tower.toml"].text)
    done = subprocess.run(
        [BIN / "towerd", "--check-config", "--config", file],
        env=scene.desk.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_cron_writes_the_figures(scene: Scene) -> None:
    text = scene.desk.text_of("textfile").replace("/var/lib/prometheus/node-exporter", ".")
    done = subprocess.run(
        ["sh", "-c", text],
        cwd=scene.desk.directory,
        env=scene.desk.environment,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert [one.name for one in scene.desk.directory.iterdir()] == ["tower.prom"]
    assert "\ntower_accounts{" in (scene.desk.directory / "tower.prom").read_text()


def test_the_alerts_are_about_figures_that_there_are(scene: Scene) -> None:
    figures = scene.tower.ctl("metrics")
    (group,) = yaml.safe_load(BLOCKS["alerts.yml"].text)["groups"]
    for rule in group["rules"]:
        for figure in re.findall(r"tower_\w+(?:\{[^}]*\})?", rule["expr"]):
            assert f"\n{figure} " in figures or "mtime" in rule["expr"], rule


METRIC = re.compile(r'tower_account_[a-z_]+\{account="[^"]*",owner="[^"]*"\} \d+')


@needs_jq
def test_figures_of_each_account_are_written_whole(linked: Scene) -> None:
    done = linked.desk.run("tower-accounts", ".")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    file = linked.desk.directory / "tower_accounts.prom"
    lines = file.read_text().splitlines()
    assert [line for line in lines if METRIC.fullmatch(line) is None] == []
    owner = linked.tower.account("sales")["owner"]
    assert f'tower_account_connected{{account="sales",owner="{owner}"}} 1' in lines
    assert len(lines) == 2
    assert file.stat().st_mode & 0o777 == 0o644
    assert [one.name for one in linked.desk.directory.iterdir()] == ["tower_accounts.prom"]


# -- a QR for somebody far away ----------------------------------------------------------------------------


def test_a_qr_goes_by_mail_and_is_scanned(unlinked: Scene) -> None:
    attached = unlinked.desk.mailbox / "0.attached"
    person = somebody_scans(unlinked, lambda: attached.read_bytes() if attached.exists() else None)
    done = unlinked.desk.run("mail-qr")
    person.join()
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "linked"), done
    (mail,) = unlinked.desk.mails()
    assert mail.arguments == ["-s", "Scan me now", "-A", "qr.png", "anna@example.org"]
    assert "Linked devices" in mail.text
    assert list(unlinked.desk.directory.iterdir()) == []
    assert unlinked.tower.account("sales")["phone"] == f"+{PHONE}"


def test_a_page_shows_the_qr_until_it_is_scanned(unlinked: Scene) -> None:
    page = unlinked.desk.directory / "link.html"
    running = unlinked.desk.begin("page")
    try:
        wait_for(page.exists, seconds=60, what="the page")
        assert "<svg" in page.read_text()
        answer = unlinked.tower.rpc("account.qr", account="sales", wait_seconds=5)
        unlinked.simulator.scan(answer["qr"]["data"], PHONE)
        out, _ = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert (running.returncode, out) == (0, "linked; the page is gone\n")
    assert not page.exists()


@needs_jq
def test_a_code_is_read_out(unlinked: Scene) -> None:
    done = unlinked.desk.run("code")
    assert done.returncode == 0, done
    unlinked.simulator.link_code(done.stdout.strip(), PHONE)
    unlinked.tower.wait_for_state("sales", "connected")


def test_a_page_of_ones_own_has_the_picture_in_it(unlinked: Scene) -> None:
    done = unlinked.desk.run("own-page")
    assert (done.returncode, done.stderr) == (0, "")
    text = (unlinked.desk.directory / "page.html").read_text()
    (picture,) = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    unlinked.simulator.scan(read(base64.b64decode(picture)), PHONE)
    unlinked.tower.wait_for_state("sales", "connected")


def test_sendmail_gets_a_message_with_the_picture(unlinked: Scene) -> None:
    done = unlinked.desk.run("sendmail-qr")
    assert (done.returncode, done.stderr) == (0, "")
    (mail,) = unlinked.desk.mails()
    assert mail.arguments == ["-t"]
    message = email.message_from_string(mail.text)
    assert (message["To"], message.get_content_type()) == ("anna@example.org", "image/png")
    picture = message.get_payload(decode=True)
    assert isinstance(picture, bytes)
    unlinked.simulator.scan(read(picture), PHONE)
    unlinked.tower.wait_for_state("sales", "connected")


# -- events and idioms -------------------------------------------------------------------------------------


@needs_jq
def test_what_happens_is_mailed_and_goes_on_where_it_was(linked: Scene) -> None:
    last = linked.desk.directory / "last-event"
    connected = linked.tower.events("session.connected")[-1]
    last.write_text(f"{connected['id'] - 1}\n")
    assert linked.desk.run("follow").returncode == 0
    (mail,) = linked.desk.mails()
    assert mail.text == "sales: session.connected \n"
    assert last.read_text() == f"{connected['id']}\n"
    assert linked.desk.run("follow").returncode == 0
    assert len(linked.desk.mails()) == 1
    linked.simulator.logout(PHONE)
    wait_for(lambda: linked.tower.events("session.logged_out"), what="the logout is known")
    linked.desk.run("follow")
    assert linked.desk.mails()[-1].text == "sales: session.logged_out logged-out-by-phone\n"


@needs_jq
def test_accounts_are_gone_through_one_by_one(unlinked: Scene) -> None:
    unlinked.tower.rpc("account.add", name="support", pair=False)
    done = unlinked.desk.run("each")
    assert (done.stdout, done.stderr) == ("sales null\nsupport null\n", "")


def test_all_are_restarted(linked: Scene) -> None:
    done = linked.desk.run("restart-all")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("sales: ")


@needs_jq
def test_the_reason_of_a_failure_is_told(unlinked: Scene) -> None:
    done = unlinked.desk.run("why")
    assert re.match(r"needs-human: sales is unpaired", done.stdout)
    assert done.stderr == ""


@needs_jq
def test_an_upgrade_waits_until_all_are_back(linked: Scene) -> None:
    def restart() -> None:
        wait_for(linked.desk.asked.exists, seconds=60, what="the restart is asked for")
        linked.tower.terminate()
        linked.tower.start()
        linked.desk.asked.unlink()

    manager = threading.Thread(target=restart, daemon=True)
    manager.start()
    done = linked.desk.run("upgrade")
    manager.join()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["sales: connected"]
