"""A foreign program: what it is given, and that nothing it does holds anybody up."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from pathlib import Path

import pytest

from tests.unit.towerd.waiting import run, until
from towerd.errand import Errand, ErrandFailedError


def script(directory: Path, body: str, name: str = "alert") -> str:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def errand(*command: str, text: bytes = b"", deadline_seconds: float = 20.0, **environment: str) -> Errand:
    variables = {"PATH": os.environ["PATH"]} | environment
    return Errand(command, text=text, environment=variables, deadline_seconds=deadline_seconds)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_it_gets_its_text_its_arguments_and_its_variables_and_no_others(tmp_path: Path) -> None:
    program = script(
        tmp_path, f'cat > {tmp_path}/text; echo "$1" > {tmp_path}/argument; env > {tmp_path}/env'
    )
    # More than a pipe holds: a program that never reads must not hold its caller up, nor one that reads late.
    text = b"x" * 1_000_000
    run(errand(program, "one two", text=text, TOWER_EVENT="opened").run())
    assert (tmp_path / "text").read_bytes() == text
    assert (tmp_path / "argument").read_text() == "one two\n"
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names - {"PWD", "SHLVL", "_"} == {"PATH", "TOWER_EVENT"}


def test_one_that_reads_nothing_and_floods_its_output_is_no_trouble(tmp_path: Path) -> None:
    program = script(tmp_path, "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2")
    run(errand(program, text=b"x" * 1_000_000).run())


def test_a_failure_is_told_with_the_last_line_that_it_wrote(tmp_path: Path) -> None:
    program = script(tmp_path, "printf 'first\\nno route to +491701234567\\033[31m\\n\\n' >&2; exit 3")
    with pytest.raises(ErrandFailedError, match=r"^ended with status 3: no route to \[phone\]$"):
        run(errand(program).run())


def test_a_failure_without_a_word_and_a_signal_are_told(tmp_path: Path) -> None:
    with pytest.raises(ErrandFailedError, match=r"^ended with status 1$"):
        run(errand(script(tmp_path, "exit 1")).run())
    with pytest.raises(ErrandFailedError, match=r"^was killed by signal 15$"):
        run(errand(script(tmp_path, "kill -TERM $$", name="killed")).run())


def test_one_that_is_missing_or_no_program_is_told(tmp_path: Path) -> None:
    with pytest.raises(ErrandFailedError, match=r"^cannot be started: No such file or directory$"):
        run(errand(str(tmp_path / "nowhere")).run())
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ErrandFailedError, match=r"^cannot be started: Permission denied$"):
        run(errand(str(tmp_path / "text")).run())


def test_one_that_does_not_end_is_killed_with_all_it_started(tmp_path: Path) -> None:
    program = script(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/self; wait")

    async def play() -> None:
        with pytest.raises(ErrandFailedError, match="did not end within 1 s"):
            await errand(program, deadline_seconds=1).run()
        for name in ("self", "child"):
            pid = int((tmp_path / name).read_text())
            await until(lambda pid=pid: not is_alive(pid), f"the end of {name}")  # type: ignore[misc]

    run(play())


def test_one_that_nobody_waits_for_any_more_is_killed(tmp_path: Path) -> None:
    program = script(tmp_path, f"echo $$ > {tmp_path}/self; sleep 1000")

    async def play() -> None:
        task = asyncio.create_task(errand(program).run())
        await until(lambda: (tmp_path / "self").exists() and (tmp_path / "self").read_text().strip())
        task.cancel()
        pid = int((tmp_path / "self").read_text())
        await until(lambda: not is_alive(pid), "its end")

    run(play())


def test_what_an_orderly_end_leaves_behind_is_left_alone(tmp_path: Path) -> None:
    # As sendmail of exim, which delivers in the background.
    program = script(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/child")
    run(errand(program).run())
    child = int((tmp_path / "child").read_text())
    try:
        assert is_alive(child)
    finally:
        os.kill(child, signal.SIGKILL)


def test_the_event_loop_goes_on_meanwhile(tmp_path: Path) -> None:
    program = script(tmp_path, f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done")

    async def play() -> None:
        task = asyncio.create_task(errand(program).run())
        for _ in range(100):
            await asyncio.sleep(0)
        (tmp_path / "go").touch()
        await task

    run(play())
