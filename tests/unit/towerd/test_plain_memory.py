"""Plain stores lie in memory, and whether they might leave it is told."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from towerd.plain_memory import NotInMemoryError, prepare, swap_problem


@pytest.fixture
def shared_memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tower-", dir="/dev/shm") as name:
        yield Path(name)


class Machine:
    """What the kernel would say of a machine."""

    def __init__(self, directory: Path, *, kind: str = "tmpfs", options: str = "rw,size=100k") -> None:
        self.directory = directory
        self.proc = directory / "proc"
        self.cgroups = directory / "cgroup"
        self.group = self.cgroups / "system.slice/towerd.service"
        (self.proc / "self").mkdir(parents=True)
        self.group.mkdir(parents=True)
        device = directory.stat().st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        (self.proc / "self/mountinfo").write_text(
            "21 1 999:0 / / rw,relatime - ext4 /dev/vda rw\n"
            f"27 21 {number} / /run rw,nosuid shared:5 - {kind} {kind} {options}\n"
        )
        (self.proc / "self/cgroup").write_text("0::/system.slice/towerd.service\n")
        self.swap("/dev/vdb partition 1048576 0 -2\n")

    def swap(self, devices: str) -> None:
        (self.proc / "swaps").write_text(f"Filename Type Size Used Priority\n{devices}")

    def problem(self) -> str | None:
        return swap_problem(self.directory, proc=self.proc, cgroups=self.cgroups)


@pytest.mark.parametrize("exists", [False, True])
def test_directory_in_memory_is_made_for_its_owner_alone(shared_memory: Path, exists: bool) -> None:
    directory = shared_memory / "tower-stores/own"
    if exists:
        directory.mkdir(mode=0o755, parents=True)
    prepare(directory)
    assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["ext4", "overlay", "nfs"])
def test_directory_on_a_disk_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    machine = Machine(tmp_path, kind=kind)
    with pytest.raises(NotInMemoryError, match=f"{tmp_path} lies on {kind}"):
        prepare(tmp_path, proc=machine.proc)


def test_directory_on_a_file_system_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (machine.proc / "self/mountinfo").write_text("21 1 999:0 / / rw,relatime - ext4 /dev/vda rw\n")
    with pytest.raises(NotInMemoryError, match="unknown file system"):
        prepare(tmp_path, proc=machine.proc)


def test_swap_is_a_problem_with_its_remedy(tmp_path: Path) -> None:
    problem = Machine(tmp_path).problem()
    assert problem is not None
    assert "MemorySwapMax=0" in problem


def test_swap_is_no_problem_when_there_is_none(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.swap("")
    assert machine.problem() is None


@pytest.mark.parametrize("above", [False, True])
def test_swap_is_no_problem_when_the_control_group_forbids_it(tmp_path: Path, above: bool) -> None:
    machine = Machine(tmp_path)
    group = machine.group.parent if above else machine.group
    (group / "memory.swap.max").write_text("0\n")
    assert machine.problem() is None


def test_limit_of_swap_that_is_not_nothing_does_not_forbid_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (machine.group / "memory.swap.max").write_text("max\n")
    assert machine.problem() is not None


@pytest.mark.parametrize(("kind", "options"), [("ramfs", "rw"), ("tmpfs", "rw,noswap,size=100k")])
def test_file_system_that_is_never_swapped_is_no_problem(tmp_path: Path, kind: str, options: str) -> None:
    assert Machine(tmp_path, kind=kind, options=options).problem() is None


def test_who_may_not_know_of_swap_takes_it_to_be_there(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (machine.proc / "swaps").unlink()
    assert machine.problem() is not None
    (machine.group / "memory.swap.max").write_text("0\n")
    assert machine.problem() is None
