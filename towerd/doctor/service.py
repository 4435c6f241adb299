"""Checks of the daemon itself: its configuration, what holds accounts back, problems, telling people.

The one rule: what `towerctl status` knows, a check says with the command that helps.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from towerd.clock import rfc3339
from towerd.declarations import DIRECTORY
from towerd.doctor.findings import Finding, counted, failure, ok, skipped, warning
from towerd.doctor.patient import ChannelSight, Patient

_UNPRIVILEGED = "man 5 tower.toml    # NOTES, Mail from under the unit"


def configuration(patient: Patient) -> Iterator[Finding]:
    """Look whether the files are valid and what they say runs."""
    difference = patient.difference
    keys = ", ".join(difference.keys)
    match difference.state:
        case "broken":
            check = _check_command(patient)
            for mistake in difference.mistakes:
                yield failure(f"the next start would refuse {mistake}", check)
        case "pending":
            yield warning(f"what the files say does not run yet: {keys}", "towerctl reload")
        case "needs-restart":
            yield warning(f"what the files say waits for a restart: {keys}", "systemctl restart towerd")
        case "current" if patient.config_files:
            files = ", ".join(str(file) for file in patient.config_files)
            yield ok(f"what is written in {files} is what runs")
        case "current":
            yield ok("no file, so the defaults run")


def _check_command(patient: Patient) -> str:
    """Return the command that checks these very files, whoever runs it."""
    main = patient.paths.config
    if main.exists():
        return f"towerd --check-config --config {shlex.quote(str(main))}"
    return f"STATE_DIRECTORY={shlex.quote(str(patient.paths.state_dir))} towerd --check-config"


def fleet(patient: Patient) -> Iterator[Finding]:
    """Look whether accounts are held back."""
    if patient.fleet_cause is None:
        yield ok("no accounts are held back")
    else:
        words = f"{counted(patient.fleet_held, 'account')} held back: {patient.fleet_cause}"
        yield warning(words, "towerctl release")


def problems(patient: Patient) -> Iterator[Finding]:
    """Repeat what the daemon complains of."""
    declared = f"{patient.paths.config.parent / DIRECTORY}/"
    for problem in patient.problems:
        is_mistake = problem.startswith(declared)
        yield warning(problem, _check_command(patient) if is_mistake else "towerctl status")
    if not patient.problems:
        yield ok("the daemon complains of nothing")


def notify(patient: Patient) -> Iterator[Finding]:
    """Look whether people can be told of incidents."""
    if not patient.channels:
        yield skipped("nobody is told of incidents: [notify] is not configured")
    for channel in patient.channels:
        yield _channel(patient, channel)


def _channel(patient: Patient, channel: ChannelSight) -> Finding:
    program = shutil.which(channel.program, path=patient.environment.get("PATH"))
    words = f"by {channel.name}: {channel.program}"
    if program is None:
        return failure(f"{words} is no program that can be run", f"ls -lL {shlex.quote(channel.program)}")
    if channel.name == "mail" and (helper := _privileged(Path(program))) and _gains_no_privileges():
        return failure(f"{words} cannot work under this unit: {helper} is setuid or setgid", _UNPRIVILEGED)
    if channel.trouble is not None:
        return failure(f"{words} {channel.trouble}", "towerctl notify --test")
    told = f"last told {rfc3339(channel.delivered_at)}" if channel.delivered_at else "has told nothing yet"
    return ok(f"{words}, {told}; {counted(patient.open_incidents, 'incident')} open")


def _privileged(program: Path) -> Path | None:
    """Return the program on which a sendmail depends that gains rights, None when there is none."""
    real = program.resolve()
    helpers = [real, *(real.with_name(name) for name in ("postdrop", "nullmailer-queue"))]
    for helper in helpers:
        with_rights = helper.exists() and helper.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
        if with_rights:
            return helper
    return None


def _gains_no_privileges() -> bool:
    """Tell whether programs that are run from here cannot gain rights (proc(5), status)."""
    lines = Path(f"/proc/{os.getpid()}/status").read_text().splitlines()
    return any(line.split() == ["NoNewPrivs:", "1"] for line in lines)
