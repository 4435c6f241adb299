"""The examples of the manual pages, run as they stand there, with a phone at the other end."""

from __future__ import annotations

import getpass
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from tests.e2e.desk import Desk
from tests.e2e.tower import Tower
from tests.rules.manuals import examples
from tests.whatsapp.simulator import Simulator, wait_for

PHONE = "491701234567"
ON_THE_TELEPHONE = "4915112345678"

needs_jq = pytest.mark.skipif(
    shutil.which("jq") is None, reason="jq, which the manual asks for, is not installed"
)


@pytest.fixture
def desk(tower: Tower, tmp_path: Path) -> Desk:
    (tmp_path / "desk").mkdir()
    return Desk(tmp_path / "desk", tower)


def example(words: str, page: str = "towerctl.1") -> str:
    """Return the one example that has some words in it."""
    (found,) = [text for text in examples(page, "EXAMPLES") if words in text]
    return found


def run(desk: Desk, text: str, *, status: int = 0) -> str:
    """Run an example to its end, with the desk for the directory of a web server; return what it printed."""
    process = desk.start("bash", "-c", text.replace("/srv/www", str(desk.directory)))
    out, err = process.communicate(timeout=120)
    assert process.returncode == status, (out, err)
    return out


def scan_when_there(simulator: Simulator, desk: Desk, pattern: str) -> threading.Thread:
    """Have somebody scan a picture as soon as there is one."""

    def scan() -> None:
        picture = wait_for(lambda: next(iter(desk.directory.parent.rglob(pattern)), None), seconds=60)
        assert picture is not None
        with Image.open(io.BytesIO(picture.read_bytes())) as image:
            (found,) = zxingcpp.read_barcodes(image.convert("L"), formats=zxingcpp.BarcodeFormat.QRCode)
        simulator.scan(found.text, PHONE)

    person = threading.Thread(target=scan)
    person.start()
    return person


def test_a_picture_on_a_web_server_until_somebody_scans(
    tower: Tower, simulator: Simulator, desk: Desk
) -> None:
    person = scan_when_there(simulator, desk, "qr.png")
    run(desk, example("qr.png --mode 0644 --follow"))
    person.join()
    assert tower.account("shop")["state"] == "connected"
    assert list(desk.directory.iterdir()) == []


def test_a_page_that_follows_every_rotation(tower: Tower, simulator: Simulator, desk: Desk) -> None:
    tower.rpc("account.add", name="shop")
    process = desk.start("sh", "-c", example("link.html").replace("/srv/www", str(desk.directory)))
    page = desk.directory / "link.html"
    wait_for(page.exists, seconds=60, what="the page")
    answer = tower.rpc("account.qr", account="shop", format="raw", wait_seconds=30)
    simulator.scan(answer["qr"]["data"], PHONE)
    assert process.wait(60) == 0
    process.communicate()
    assert not page.exists()


def test_a_qr_that_is_mailed_and_what_came_of_it(tower: Tower, simulator: Simulator, desk: Desk) -> None:
    tower.rpc("account.add", name="shop", pair=False)
    person = scan_when_there(simulator, desk, "*.attached")
    assert run(desk, example('mail -s "Scan me"')) == "shop: connected\nlinked\n"
    person.join()
    (mail,) = desk.mails()
    assert mail.arguments == ["-s", "Scan me", "-A", "qr.png", "anna@example.org"]


@needs_jq
def test_a_script_that_may_run_twice(tower: Tower, desk: Desk) -> None:
    first = run(desk, example("--if-absent"))
    assert first == run(desk, example("--if-absent")) == tower.account("shop")["id"] + "\n"


def test_mail_about_accounts_that_failed_and_none_without(
    tower: Tower, simulator: Simulator, desk: Desk
) -> None:
    # What is behind the five fields of time.
    text = example("mail -E").split(None, 5)[5]
    tower.link(simulator, "shop", PHONE)
    run(desk, text)
    simulator.ban(PHONE, code=403)
    tower.wait_for_state("shop", "failed")
    run(desk, text)
    without, with_one = desk.mails()
    # This mail is none that leaves out empty ones by -E.
    assert without.text == ""
    assert "shop" in with_one.text


def test_a_list_from_elsewhere(tower: Tower, desk: Desk) -> None:
    # Its owners are no users here.
    user = getpass.getuser()
    text = example("towerctl import").replace('"anna"', f'"{user}"').replace('"ben"', f'"{user}"')
    out = run(desk, text).splitlines()
    assert [line.split()[:3] for line in out if "created" in line][2:] == [
        ["shop", user, "created"],
        ["office", user, "created"],
    ]
    assert [one["name"] for one in tower.rpc("account.list")["accounts"]] == ["shop", "office"]
    assert tower.account("office")["expected_phone"] == f"+{ON_THE_TELEPHONE}"


@needs_jq
def test_acting_on_everything_that_happens(tower: Tower, desk: Desk) -> None:
    process = desk.start("bash", "-c", example("read -r event"))
    try:
        assert process.stdout is not None
        heard = threading.Event()

        def happen() -> None:
            # Until it listens, nobody hears of it.
            while not heard.is_set():
                tower.ctl("stop", "shop")
                tower.ctl("start", "shop")

        tower.rpc("account.add", name="shop", pair=False)
        world = threading.Thread(target=happen)
        world.start()
        assert process.stdout.readline().startswith("shop is ")
        heard.set()
        world.join()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()


def test_an_owner_on_the_telephone(tower: Tower, simulator: Simulator, desk: Desk) -> None:
    process = desk.start("bash", "-c", example("add shop --phone"))
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    code = next(line.split()[1] for line in lines if line.startswith("code: "))
    simulator.link_code(code, ON_THE_TELEPHONE)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.splitlines()[-1]) == (0, "shop: connected"), err
    assert tower.account("shop")["phone"] == f"+{ON_THE_TELEPHONE}"


def test_a_monitoring_system_that_looks(tower: Tower, desk: Desk) -> None:
    # Nothing is linked, and the configuration may be read by all; a key is not there.
    out = run(desk, example("PIPESTATUS"), status=1)
    assert any(line.startswith("warning  key") for line in out.splitlines())
    assert not any(line.startswith("ok") for line in out.splitlines())


@needs_jq
def test_logging_out_what_is_stopped_and_who_did_it(tower: Tower, simulator: Simulator, desk: Desk) -> None:
    tower.link(simulator, "shop", PHONE)
    tower.ctl("stop", "shop")
    run(desk, example("xargs"))
    assert simulator.devices(PHONE) == []
    (line,) = run(desk, example("--since 1w")).splitlines()[1:]
    assert line.split()[1:5] == [getpass.getuser(), "cli", "account.logout", "shop"]


def test_the_socket_by_socat(tower: Tower, desk: Desk) -> None:
    if shutil.which("socat") is None:
        pytest.skip("socat, which the manual asks for, is not installed")
    typed = [line[2:] for line in example("socat", "tower-rpc.7").splitlines()]
    out = run(desk, "\n".join(typed).replace("/run/tower/tower.sock", str(tower.socket)))
    assert json.loads(out)["result"] == {"accounts": []}


def test_all_events_in_python(tower: Tower, desk: Desk) -> None:
    tower.rpc("account.add", name="sales", pair=False)
    tower.ctl("stop", "sales")
    text = example("makefile", "tower-rpc.7").replace("/run/tower/tower.sock", str(tower.socket))
    process = desk.start(sys.executable, "-u", "-c", text)
    try:
        assert process.stdout is not None
        # What was, and what comes.
        assert process.stdout.readline().split()[1:] == ["sales", "stopped"]
        tower.ctl("start", "sales")
        assert process.stdout.readline().split()[1:] == ["sales", "unpaired"]
    finally:
        process.kill()
        process.communicate()


def test_a_towerd_by_hand_with_everything_in_one_directory(desk: Desk) -> None:
    ours, theirs = (line[2:] for line in example("--state-dir", "towerd.8").splitlines())
    ours, theirs = (line.replace("/srv/tower", str(desk.directory)) for line in (ours, theirs))
    daemon = desk.start("sh", "-c", f"exec {ours}")
    try:
        wait_for((desk.directory / "tower.sock").exists, seconds=30, what="its socket")
        done = subprocess.run(
            ["sh", "-c", theirs], env=desk.environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr.splitlines()[0]) == (0, "no accounts")
    finally:
        daemon.terminate()
        daemon.communicate()
