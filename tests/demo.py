"""`make demo`: a real towerd, the real towerctl and the real library, against the WhatsApp server simulator.

It shows each command it runs and what that prints, scans the QR from the saved picture as a phone would, and
leaves nothing behind: no process, and no file outside a temporary directory that it removes.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from tests.whatsapp.simulator import Simulator, wait_for

BIN = Path(sys.executable).parent
NAME = "sales"
PHONE = "491701234567"


def main() -> int:
    """Run the demonstration; return its exit status."""
    # Ctrl-C and a closed terminal end it in order, like its own end.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    with tempfile.TemporaryDirectory(prefix="tower-demo-") as directory:
        place = Path(directory)
        say("A WhatsApp server of our own takes the place of web.whatsapp.com (tests/whatsapp).")
        with Simulator.start(place / "whatsapp") as simulator:
            try:
                return with_daemon(place, simulator)
            except subprocess.CalledProcessError as error:
                say(f"{Path(error.cmd[0]).name} ended with status {error.returncode}; towerd's log:")
                write((place / "towerd.log").read_text())
                return 1
            except KeyboardInterrupt:
                return 130


def with_daemon(place: Path, simulator: Simulator) -> int:
    """Start towerd, show what it does, stop it."""
    socket = place / "tower.sock"
    log = place / "towerd.log"
    command = [str(BIN / "towerd"), "--socket", str(socket), "--state-dir", str(place / "state")]
    show(["towerd", "--socket", "tower.sock", "--state-dir", "state", "&"])
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, env=os.environ | simulator.environment(), stderr=output)
        try:
            wait_for(socket.exists, what="towerd listens")
            os.environ["TOWER_SOCKET"] = str(socket)
            walk(place, simulator)
            say("SIGTERM ends the daemon in order; nobody is logged out by that.")
            daemon.terminate()
            status = daemon.wait(15)
        finally:
            daemon.kill()
            daemon.wait()
    say(f"towerd ended with status {status}. That was all.")
    return status


def walk(place: Path, simulator: Simulator) -> None:
    """The walk through the main job."""
    png = place / "qr.png"
    towerctl("add", NAME, "--display-name", "Sales desk")
    say("The QR in the terminal, for somebody who sits beside it:")
    towerctl("qr", NAME)
    say("The same as a picture, for a colleague far away:")
    towerctl("qr", NAME, "-o", str(png))
    size, mode = png.stat().st_size, png.stat().st_mode & 0o777
    say(f"{png.name}: {size} bytes, mode {mode:o}. The colleague scans it …")
    linked = simulator.scan(read_qr(png), PHONE, push_name="Ada", platform="android")
    say(f"… and the phone +{linked['phone']} lists a linked device.")
    towerctl("wait", NAME, "--for", "connected", "--timeout", "30")
    towerctl("list")
    towerctl("status")
    say("kill -9 of the account's worker: a successor logs in, without a QR.")
    worker = int(towerctl_quietly("rpc", "account.get", f'{{"account": "{NAME}"}}'))
    os.kill(worker, signal.SIGKILL)
    towerctl("wait", NAME, "--for", "reconnecting", "--timeout", "30")
    towerctl("wait", NAME, "--for", "connected", "--timeout", "30")
    towerctl("remove", NAME, "--yes")
    say(f"WhatsApp lists {len(simulator.devices(PHONE))} linked devices for the phone now.")


def read_qr(path: Path) -> str:
    """Return the text of a QR picture."""
    import zxingcpp
    from PIL import Image

    with Image.open(path) as image:
        (found,) = zxingcpp.read_barcodes(image, formats=zxingcpp.BarcodeFormat.QRCode)
    return str(found.text)


def towerctl(*arguments: str) -> None:
    """Show a command and run it."""
    show(["towerctl", *(Path(one).name if one.startswith("/") else one for one in arguments)])
    subprocess.run([BIN / "towerctl", *arguments], check=True)


def towerctl_quietly(*arguments: str) -> str:
    """Run a command whose output is only of use to this script: the pid of the worker."""
    import json

    done = subprocess.run([BIN / "towerctl", *arguments], check=True, stdout=subprocess.PIPE)
    return str(json.loads(done.stdout)["account"]["worker"]["pid"])


def show(command: list[str]) -> None:
    """Print a command as it would be typed."""
    write(f"\n{bold('$ ' + ' '.join(one if one == '&' else shlex.quote(one) for one in command))}\n")


def say(text: str) -> None:
    """Print a sentence."""
    write(f"\n# {text}\n")


def bold(text: str) -> str:
    """Return text in bold, on a terminal that takes it."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\x1b[1m{text}\x1b[0m"


def write(text: str, stream: IO[str] = sys.stdout) -> None:
    """Write at once: the commands write to the same terminal."""
    stream.write(text)
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
