"""Watching files and directories: somebody is told soon after anything about them changes.

The one rule: it watches every directory on the way to a file, so that nothing escapes it: a file replaced by
a rename, a directory that comes later, a link turned to another place. Where the kernel does not tell, it
looks by itself, and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Literal

from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirModifiedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.polling import PollingObserver

log = logging.getLogger(__name__)

_QUIET_SECONDS = 0.05
"""Changes that come closer together are one: an editor makes several to save a file."""
_PATIENCE_SECONDS = 0.3
"""Somebody who never stops writing is looked at all the same."""
_POLL_SECONDS = 0.4
_LOOK_SECONDS = 30.0
"""Looked at without being told: network file systems tell nothing."""

# All but "opened" and "closed unchanged": our own reading would wake us.
_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileClosedEvent,
    FileAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirModifiedEvent,
    DirMovedEvent,
    DirAttribEvent,
]
_LINKS_FOLLOWED = 40
_ROUNDS = 10
"""A tree that never holds still is watched as it was last; the next look catches up."""

Names = frozenset[str] | None
"""Which names in a directory matter; None: all."""

Place = tuple[Path, int, int]
"""A directory with device and inode: one that was replaced is another."""


class Watch:
    """Watches.

    Args:
        files: files to watch, there or not.
        directories: directories whose content is watched, there or not.
        on_change: called at the beginning, and after every change; what it raises is logged.

    Attributes:
        kind: how changes become known.
        problem: why the kernel does not tell, in words; None when it does.
    """

    def __init__(
        self, *, files: Iterable[Path], directories: Iterable[Path], on_change: Callable[[], Awaitable[None]]
    ) -> None:
        self.kind: Literal["inotify", "polling", "nothing"] = "nothing"
        self.problem: str | None = None
        self._files = [file.absolute() for file in files]
        self._directories = [directory.absolute() for directory in directories]
        self._on_change = on_change
        logging.getLogger("watchdog.observers.inotify").addFilter(_is_news)
        self._changed = asyncio.Event()
        self._observer: BaseObserver | None = None
        self._watched: dict[Place, tuple[_Handler, ObservedWatch]] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()

        def tell() -> None:
            # The loop may be gone: these threads end a moment later.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._changed.set)

        try:
            while True:
                # First the watches, then the look: what changes in between is told.
                await asyncio.to_thread(self._arm, tell)
                await self._look()
                await self._next_change()
        finally:
            if self._observer is not None:
                # On a thread of its own: it waits for threads that a dead file system may hold.
                threading.Thread(target=self._observer.stop, name="watch-end", daemon=True).start()

    async def _look(self) -> None:
        try:
            await self._on_change()
        except Exception:
            # One look that fails is no reason to be blind from then on.
            log.exception("internal error while looking at what changed on the disk")

    async def _next_change(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._changed.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while self._changed.is_set():
                    self._changed.clear()
                    await asyncio.sleep(_QUIET_SECONDS)
        self._changed.clear()

    def _arm(self, tell: Callable[[], None]) -> None:
        """Watch what is on the way now; what is there no longer, or is another by now, is let go."""
        try:
            if self._observer is None:
                self._begin(Observer(), "inotify" if Observer is not PollingObserver else "polling")
            self._follow(tell)
        except OSError as error:
            if self.kind == "polling":
                log.error("changes on the disk cannot be watched: %s", error)
                return
            words = error.strerror or str(error)
            self.problem = (
                f"the kernel does not tell of changes on the disk ({words}), so towerd looks by itself; "
                "raise fs.inotify.max_user_watches and max_user_instances, then restart towerd"
            )
            log.warning("%s", self.problem)
            self._fall_back(tell)

    def _fall_back(self, tell: Callable[[], None]) -> None:
        if self._observer is not None:
            self._observer.stop()
        self._watched.clear()
        self._begin(PollingObserver(timeout=_POLL_SECONDS), "polling")
        self._follow(tell)

    def _begin(self, observer: BaseObserver, kind: Literal["inotify", "polling"]) -> None:
        observer.start()
        self._observer, self.kind = observer, kind

    def _follow(self, tell: Callable[[], None]) -> None:
        """Watch every place; one that came up while others were being watched was told of by nobody."""
        for _ in range(_ROUNDS):
            wanted = _with_identity(places(self._files, self._directories))
            for key in wanted.keys() & self._watched.keys():
                self._watched[key][0].names = wanted[key]
            if wanted.keys() == self._watched.keys():
                return
            self._watch(wanted, tell)

    def _watch(self, wanted: dict[Place, Names], tell: Callable[[], None]) -> None:
        assert self._observer is not None
        for key in self._watched.keys() - wanted.keys():
            self._observer.unschedule(self._watched.pop(key)[1])
        for key in wanted.keys() - self._watched.keys():
            names = wanted[key]
            handler = _Handler(names, tell)
            # A directory that vanished meanwhile is told by the one above it.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self._watched[key] = (
                    handler,
                    self._observer.schedule(handler, str(key[0]), event_filter=_EVENTS, follow_symlink=True),
                )


class _Handler(FileSystemEventHandler):
    """Tells of events about names that matter; runs on a thread of the library's."""

    def __init__(self, names: Names, tell: Callable[[], None]) -> None:
        self.names = names
        self._tell = tell

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Tell of an event, if its name matters."""
        touched = {Path(os.fsdecode(path)).name for path in (event.src_path, event.dest_path) if path}
        if self.names is None or touched & self.names:
            self._tell()


def places(files: Iterable[Path], directories: Iterable[Path]) -> dict[Path, Names]:
    """Return the directories to watch, and which names in each matter.

    Args:
        files: absolute paths.
        directories: absolute paths of directories whose whole content matters.
    """
    found: dict[Path, Names] = {}
    for file in files:
        _follow_trail(file, found)
    for directory in directories:
        end = _follow_trail(directory, found)
        if end is None or not end.is_dir():
            continue
        found[end] = None
        with contextlib.suppress(OSError):
            for entry in os.scandir(end):
                if entry.is_symlink():
                    _follow_trail(Path(entry.path), found)
    return {place: names for place, names in found.items() if place.is_dir() and os.access(place, os.R_OK)}


def _follow_trail(path: Path, found: dict[Path, Names]) -> Path | None:
    """Note every directory that is passed on the way to a path; return where it ends, None: nowhere yet."""
    here, rest = Path(path.anchor), list(path.parts[1:])
    for _ in range(_LINKS_FOLLOWED * len(rest) + 1):
        if not rest:
            return here
        name = rest.pop(0)
        if name == "..":
            here = here.parent
            continue
        known = found.get(here, frozenset())
        found[here] = None if known is None else known | {name}
        step = here / name
        try:
            target = step.readlink()
        except FileNotFoundError:
            return None
        except OSError:
            # Not a link.
            here = step
            continue
        rest = [*target.parts[target.is_absolute() :], *rest]
        here = Path(target.anchor) if target.is_absolute() else here
    return None


def _with_identity(found: dict[Path, Names]) -> dict[Place, Names]:
    """Return the places with what they are now."""
    known = {}
    for place, names in found.items():
        with contextlib.suppress(OSError):
            status = place.stat()
            known[place, status.st_dev, status.st_ino] = names
    return known


def _is_news(record: logging.LogRecord) -> bool:
    """Tell whether a record of watchdog's is fit for the log.

    A watch that ends in the moment of a change finds itself ended, and watchdog calls that an error.
    """
    return "called when the thread is inactive" not in record.getMessage()
