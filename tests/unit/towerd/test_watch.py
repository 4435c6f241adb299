"""Whatever happens to a watched file, or on the way to it, is looked at soon after."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from watchdog.events import FileModifiedEvent, FileMovedEvent
from watchdog.utils import BaseThread

from tests.unit.towerd.waiting import run, until
from towerd import watch as watching
from towerd.watch import Watch, places


class Eye:
    """A watch on a file and a directory, and what its last look saw."""

    def __init__(self, root: Path) -> None:
        self.file = root / "etc" / "tower.toml"
        self.directory = root / "etc" / "tower.d"
        self.saw: dict[str, str] | None = None
        self.fails = False
        self.watch = Watch(files=[self.file], directories=[self.directory], on_change=self._look)

    async def _look(self) -> None:
        if self.fails:
            self.fails = False
            raise RuntimeError("a bug in a look")
        found = {}
        for path in (self.file, *self.directory.glob("*.toml")):
            with contextlib.suppress(OSError):
                found[path.name] = path.read_text()
        self.saw = found

    async def sees(self, **expected: str) -> None:
        """Wait until the last look saw exactly these files."""
        wanted = {f"{name}.toml": content for name, content in expected.items()}
        await until(lambda: self.saw == wanted, f"a look that sees {wanted}")


@contextlib.asynccontextmanager
async def an_eye(root: Path) -> AsyncIterator[Eye]:
    eye = Eye(root)
    task = asyncio.create_task(eye.watch.run())
    try:
        await until(lambda: eye.saw is not None, "the first look")
        yield eye
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def put(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def in_place(file: Path) -> None:
    file.write_text("new")


def by_rename(file: Path) -> None:
    """As editors and configuration management do."""
    put(file.with_name("draft~"), "new").replace(file)


def by_rename_from_elsewhere(file: Path) -> None:
    put(file.parents[2] / "elsewhere", "new").replace(file)


def with_a_backup(file: Path) -> None:
    """As vim does: the old file gets another name."""
    file.rename(file.with_name(file.name + "~"))
    file.write_text("new")


def by_a_link(file: Path) -> None:
    target = put(file.parents[2] / "store" / "one", "new")
    file.unlink()
    file.symlink_to(target)


WAYS = [in_place, by_rename, by_rename_from_elsewhere, with_a_backup, by_a_link]


@pytest.mark.parametrize("change", WAYS)
@pytest.mark.parametrize("name", ["tower.toml", "tower.d/a.toml"])
def test_a_file_that_changes_in_whatever_way_is_seen(
    tmp_path: Path, change: Callable[[Path], None], name: str
) -> None:
    async def scene() -> None:
        file = put(tmp_path / "etc" / name, "old")
        async with an_eye(tmp_path) as eye:
            await eye.sees(**{file.stem: "old"})
            change(file)
            await eye.sees(**{file.stem: "new"})
            file.unlink()
            await eye.sees()

    run(scene())


def test_what_is_not_there_yet_is_seen_when_it_comes_and_when_it_goes(tmp_path: Path) -> None:
    async def scene() -> None:
        async with an_eye(tmp_path) as eye:
            assert eye.watch.kind == "inotify"
            put(eye.file, "main")
            await eye.sees(tower="main")
            drop_in = put(eye.directory / "a.toml", "drop-in")
            await eye.sees(tower="main", a="drop-in")
            drop_in.unlink()
            eye.directory.rmdir()
            await eye.sees(tower="main")
            put(drop_in, "again")
            await eye.sees(tower="main", a="again")

    run(scene())


def test_a_directory_that_is_replaced_by_another_is_seen_and_watched_on(tmp_path: Path) -> None:
    async def scene() -> None:
        put(tmp_path / "etc" / "tower.d" / "a.toml", "old")
        put(tmp_path / "new" / "tower.d" / "b.toml", "new")
        async with an_eye(tmp_path) as eye:
            (tmp_path / "etc").rename(tmp_path / "old")
            (tmp_path / "new").rename(tmp_path / "etc")
            await eye.sees(b="new")
            put(eye.file, "main")
            await eye.sees(b="new", tower="main")

    run(scene())


def test_links_on_the_way_are_followed_and_watched(tmp_path: Path) -> None:
    """As a mounted set of files is switched: a link to a directory is turned, no file changes."""

    async def scene() -> None:
        for release in ("1", "2"):
            put(tmp_path / "releases" / release / "tower.toml", f"main {release}")
            put(tmp_path / "releases" / release / "tower.d" / "a.toml", f"drop-in {release}")
        (tmp_path / "current").symlink_to("releases/1")
        (tmp_path / "etc").symlink_to(tmp_path / "current")
        async with an_eye(tmp_path) as eye:
            await eye.sees(tower="main 1", a="drop-in 1")
            draft = tmp_path / "draft"
            draft.symlink_to("releases/2")
            draft.replace(tmp_path / "current")
            await eye.sees(tower="main 2", a="drop-in 2")
            put(tmp_path / "releases" / "2" / "tower.toml", "edited at its true place")
            await eye.sees(tower="edited at its true place", a="drop-in 2")

    run(scene())


def test_the_target_of_a_linked_drop_in_is_watched(tmp_path: Path) -> None:
    async def scene() -> None:
        target = put(tmp_path / "store" / "a", "old")
        link = tmp_path / "etc" / "tower.d" / "a.toml"
        link.parent.mkdir(parents=True)
        link.symlink_to(target)
        async with an_eye(tmp_path) as eye:
            await eye.sees(a="old")
            by_rename(target)
            await eye.sees(a="new")

    run(scene())


def test_a_directory_that_comes_while_the_watch_is_set_up_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def then_it_comes(files: list[Path], directories: list[Path]) -> dict[Path, watching.Names]:
        found = places(files, directories)
        directories[0].mkdir(exist_ok=True)
        return found

    monkeypatch.setattr(watching, "places", then_it_comes)
    (tmp_path / "etc").mkdir()

    async def scene() -> None:
        async with an_eye(tmp_path) as eye:
            put(eye.directory / "a.toml", "new")
            await eye.sees(a="new")

    run(scene())


def no_instance_left(**_: object) -> None:
    raise OSError(errno.EMFILE, "inotify instance limit reached")


def no_watch_left(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "inotify watch limit reached")


@pytest.mark.parametrize(
    ("patched", "limit"), [("Observer", no_instance_left), ("Observer.schedule", no_watch_left)]
)
def test_where_the_kernel_tells_no_more_it_looks_by_itself_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patched: str, limit: Callable[..., None]
) -> None:
    monkeypatch.setattr(f"towerd.watch.{patched}", limit)

    async def scene() -> None:
        async with an_eye(tmp_path) as eye:
            assert eye.watch.kind == "polling"
            assert "limit reached" in (eye.watch.problem or "")
            put(eye.directory / "a.toml", "new")
            await eye.sees(a="new")
            by_rename(put(eye.file, "old"))
            await eye.sees(a="new", tower="new")

    run(scene())


def test_a_look_that_fails_is_logged_and_not_the_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with an_eye(tmp_path) as eye:
            eye.fails = True
            put(eye.file, "one")
            await until(lambda: not eye.fails, "the look that fails")
            put(eye.file, "two")
            await eye.sees(tower="two")

    with caplog.at_level(logging.ERROR):
        run(scene())
    assert ["internal error" in record.message for record in caplog.records] == [True]


def test_a_watch_that_ends_while_something_changes_calls_that_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        is_over = threading.Event()

        def change_all_the_time() -> None:
            while not is_over.is_set():
                put(tmp_path / "etc" / "tower.d" / "a.toml", "new")

        changing = asyncio.create_task(asyncio.to_thread(change_all_the_time))
        try:
            for _ in range(100):
                async with an_eye(tmp_path):
                    pass
            await until(lambda: not watchers(), "the threads of all watches end")
        finally:
            is_over.set()
            await changing

    run(scene())
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, BaseThread)]


def test_only_names_that_matter_wake_it(tmp_path: Path) -> None:
    told = []
    handler = watching._Handler(frozenset({"tower.toml"}), lambda: told.append(1))
    handler.dispatch(FileModifiedEvent(f"{tmp_path}/log"))
    assert told == []
    handler.dispatch(FileModifiedEvent(f"{tmp_path}/tower.toml"))
    handler.dispatch(FileMovedEvent(f"{tmp_path}/draft", f"{tmp_path}/tower.toml"))
    assert told == [1, 1]


def test_every_step_of_the_way_is_watched_for_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "etc" / "accounts.d").mkdir(parents=True)
    found = places(
        [tmp_path / "etc" / "tower.toml"], [tmp_path / "etc" / "accounts.d", tmp_path / "none" / "d"]
    )
    assert found[tmp_path] == {"etc", "none"}
    assert found[tmp_path / "etc"] == {"tower.toml", "accounts.d"}
    assert found[tmp_path / "etc" / "accounts.d"] is None
    assert found[Path("/")] == {tmp_path.parts[1]}
    assert tmp_path / "none" not in found


def test_a_link_to_itself_ends_the_way(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert places([tmp_path / "loop" / "tower.toml"], [])[tmp_path] == {"loop"}
