"""The one place that writes: results as text or JSON, failures, notes, progress.

The one rule: results go to standard output, everything else to standard error; with --json standard output
holds the result alone, or nothing, and standard error one line when it failed. No text reaches a terminal
without `printable`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from towerctl.exits import DONE, Failure, cannot_write
from towerctl.progress import Progress
from towerctl.text import columns_of
from towerd.protocol.characters import printable

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import Console

    from towerctl.options import Settings

_GAP = "  "
# First so far, then further, before columns that a person needs whole lose anything.
_SHRINK_TO = (8, 3)
_USUAL_SIZE = (80, 24)

STATE_STYLES = {
    "connected": "green",
    "connecting": "cyan",
    "authenticated": "cyan",
    "pairing": "cyan",
    "reconnecting": "yellow",
    "logged_out": "magenta",
    "failed": "bold red",
    "stopped": "dim",
    "unpaired": "dim",
}


HEALTH_STYLES = {"critical": "bold red", "warning": "yellow", "healthy": "green", "inactive": "dim"}
"""The worst first."""


class Cell:
    """Text with a style that a terminal shows."""

    __slots__ = ("style", "text")

    def __init__(self, text: str, style: str = "") -> None:
        self.text = text
        self.style = style


class Line:
    """One line of text, with a style that a live picture shows."""

    __slots__ = ("style", "text")

    def __init__(self, text: str, style: str = "") -> None:
        self.text = text
        self.style = style


class Note:
    """One line for the person, which is not part of the result."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Raw:
    """Text or bytes that are the result as they are."""

    __slots__ = ("data",)

    def __init__(self, data: str | bytes) -> None:
        self.data = data


class Clear:
    """A new picture in place of the last, on a terminal."""

    __slots__ = ()


class Fields:
    """Labelled values, one per line."""

    __slots__ = ("rows",)

    def __init__(self, rows: Sequence[tuple[str, Cell]]) -> None:
        self.rows = rows


class Table:
    """A header and rows.

    Args:
        columns: the header.
        rows: as many cells each.
        shrinkable: columns that give way on a narrow terminal, the first one first.
    """

    __slots__ = ("columns", "rows", "shrinkable")

    def __init__(
        self, columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, shrinkable: Sequence[str] = ()
    ) -> None:
        self.columns = columns
        self.rows = rows
        self.shrinkable = shrinkable


Block = Line | Note | Raw | Clear | Fields | Table
View = Callable[[Any], Sequence[Block]]


class Result:
    """What a command hands back.

    Args:
        document: what --json prints.
        view: turns the document into text.
        failures: what went wrong beside it, each reported in text.
        summary: the failure that --json reports instead of the document, when there are failures.
        status: the exit status when nothing failed.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        view: View,
        *,
        failures: Sequence[Failure] = (),
        summary: Failure | None = None,
        status: int = DONE,
    ) -> None:
        self.document = document
        self.view = view
        self.failures = failures
        self.summary = summary
        self.status = status


class Stream:
    """Results that come one after the other; with --json one document per line."""

    def __init__(self, documents: Generator[Mapping[str, Any]], view: View) -> None:
        self.documents = documents
        self.view = view


class Screen:
    """Standard output and standard error, as the options want them used.

    Args:
        settings: the options; read when something is written, because they are still being parsed before.
        environment: looked up for NO_COLOR and TERM.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._environment = environment
        self._progress_shown = False
        self._is_silent = False

    # -- results ------------------------------------------------------------------------------------------

    def render(self, outcome: Result | Stream | None) -> int:
        """Write what a command handed back and return the exit status."""
        match outcome:
            case Result():
                return self._render_result(outcome)
            case Stream():
                with closing(outcome.documents) as documents:
                    for document in documents:
                        self._render_one(document, outcome.view, lines=True)
                        self.flush()
        return DONE

    def _render_result(self, result: Result) -> int:
        status = max((failure.exit_status for failure in result.failures), default=result.status)
        if self._settings.as_json and result.summary is not None and status:
            self.report(result.summary)
            return status
        self._render_one(result.document, result.view)
        self.flush()
        self._report_all(result.failures)
        return status

    def _render_one(self, document: Mapping[str, Any], view: View, *, lines: bool = False) -> None:
        if self._settings.as_json:
            self.write(dump_json(document, pretty=is_terminal(sys.stdout) and not lines))
            return
        for block in view(document):
            self._write_block(block)

    def _write_block(self, block: Block) -> None:
        match block:
            case Line():
                self.write(printable(block.text) + "\n")
            case Note():
                # Where both lead to one place, a log say, the lines stand in the order of a terminal.
                self.flush()
                self.note(block.text)
            case Raw():
                self.write(block.data)
                self.flush()
            case Clear():
                self._clear()
            case Table() | Fields() if is_terminal(sys.stdout):
                self._write_decorated(block)
            case Table():
                self.write(_plain_table(block))
            case Fields():
                self.write(_plain_fields(block))

    def write(self, data: str | bytes) -> None:
        """Write to standard output.

        Raises:
            Failure: it is closed, full, or cannot show the characters.
            BrokenPipeError: nobody reads any more.
        """
        try:
            stream = sys.stdout
            if isinstance(data, str):
                data = data.encode(stream.encoding, "backslashreplace")
            stream.flush()
            rest = memoryview(data)
            while rest:
                # Unbuffered (python -u), a short write is not an error: text streams lose the rest.
                rest = rest[stream.buffer.write(rest) or 0 :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise cannot_write("standard output", error.strerror or str(error)) from None
        except (AttributeError, ValueError):
            raise cannot_write("standard output", "it is closed") from None

    def flush(self) -> None:
        """Bring out what was written, with the same failures as `write`."""
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise cannot_write("standard output", error.strerror or str(error)) from None

    # -- everything else ----------------------------------------------------------------------------------

    @property
    def is_chatty(self) -> bool:
        """Whether notes are wanted at all."""
        return not (self._settings.quiet or self._settings.as_json or self._is_silent)

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Say nothing but failures as long as the block lasts: the terminal shows a picture."""
        self._is_silent = True
        try:
            yield
        finally:
            self._is_silent = False

    def note(self, text: str) -> None:
        """Tell the person something, unless --quiet or --json."""
        if self.is_chatty:
            self._write_error(f"{printable(text)}\n")

    def warn(self, text: str) -> None:
        """Tell the person that something is not as it should be, unless --quiet or --json."""
        self.note(f"towerctl: warning: {text}")

    def trace(self, text: str) -> None:
        """Tell what goes on inside; for --verbose."""
        if self._settings.verbose and not self._is_silent:
            self._write_error(f"towerctl: {printable(text)}\n")

    def report(self, failure: Failure) -> None:
        """Say what went wrong: one line of JSON, or a line and perhaps a hint."""
        if self._settings.as_json:
            self._write_error(dump_json({"error": failure.to_json()}))
            return
        self._write_error(f"towerctl: {_one_line(failure)}\n")
        if failure.hint:
            self._write_error(f"hint: {printable(failure.hint)}\n")

    def _report_all(self, failures: Sequence[Failure]) -> None:
        if len(failures) == 1:
            self.report(failures[0])
            return
        for failure in failures:
            self._write_error(f"towerctl: {_one_line(failure)}\n")

    def progress(self, text: str) -> Progress:
        """Return something to tick while the person waits."""
        wanted = self.is_chatty and is_terminal(sys.stderr) and self._environment.get("TERM") != "dumb"
        return Progress(self, text if wanted else None)

    def show_progress(self, text: str) -> None:
        """Write over the line of the last progress."""
        self._write_error(f"\r\x1b[K{printable(text)}", is_progress=True)

    def end_progress(self) -> None:
        """Remove the line of the last progress."""
        if self._progress_shown:
            self._write_error("")

    def _write_error(self, text: str, *, is_progress: bool = False) -> None:
        if sys.stderr is None:
            return
        if self._progress_shown and not is_progress:
            text = f"\r\x1b[K{text}"
        self._progress_shown = is_progress
        with suppress(OSError, ValueError):
            # Python has set its errors to backslashreplace: no character can stop it.
            sys.stderr.write(text)
            sys.stderr.flush()

    # -- terminals ----------------------------------------------------------------------------------------

    @property
    def can_draw(self) -> bool:
        """Whether standard output is a terminal that takes more than lines."""
        return is_terminal(sys.stdout) and self._environment.get("TERM") != "dumb"

    @property
    def has_marks(self) -> bool:
        """Whether standard output is a terminal that shows more than ASCII."""
        encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
        return is_terminal(sys.stdout) and encoding == "utf8"

    def size(self) -> tuple[int, int]:
        """Return the terminal's columns and rows as they are now; the environment's do not follow it."""
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return _USUAL_SIZE
        return size if size.columns and size.lines else _USUAL_SIZE

    def picture(self, blocks: Sequence[Line | Table], width: int) -> list[str]:
        """Return blocks as lines of a terminal, none wider than that."""
        from rich.text import Text

        console = self._console(width)
        with console.capture() as capture:
            for block in blocks:
                if isinstance(block, Table):
                    _decorated_table(block, console)
                else:
                    line = Text(printable(block.text), style=block.style)
                    console.print(line, no_wrap=True, overflow="ellipsis")
        return capture.get().splitlines()

    def _clear(self) -> None:
        if self.can_draw:
            self.write("\x1b[H\x1b[2J")

    def _console(self, width: int | None = None) -> Console:
        from rich.console import Console

        use_color = not self._settings.no_color and not self._environment.get("NO_COLOR")
        return Console(
            file=sys.stdout,
            color_system="auto" if use_color else None,
            highlight=False,
            markup=False,
            width=width,
        )

    def _write_decorated(self, block: Table | Fields) -> None:
        console = self._console()
        with console.capture() as capture:
            if isinstance(block, Table):
                _decorated_table(block, console)
            else:
                _decorated_fields(block, console)
        self.write(capture.get())


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal; a closed one is not."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def dump_json(document: Any, *, pretty: bool = False) -> str:
    """Write one JSON document and a newline, in ASCII, so that it is safe on any terminal."""
    import json

    # json leaves DEL alone, which some terminals act upon; it can only stand inside a string.
    return json.dumps(document, indent=2 if pretty else None).replace("\x7f", "\\u007f") + "\n"


def abandon_output() -> None:
    """Send what is still buffered nowhere: its reader is gone, and the interpreter would complain at exit."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _one_line(failure: Failure) -> str:
    message = failure.message
    unsaid = [
        f"{bad['field']}: {bad['why']}"
        for bad in failure.fields
        if bad["field"] not in message or bad["why"] not in message
    ]
    return printable(f"{message} ({'; '.join(unsaid)})" if unsaid else message)


def _plain_rows(rows: Sequence[Sequence[Cell]]) -> list[list[str]]:
    return [[printable(cell.text) for cell in row] for row in rows]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(columns_of, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (text + " " * (width - columns_of(text)) for text, width in zip(row, widths, strict=True))
        yield _GAP.join(cells).rstrip() + "\n"


def _plain_table(table: Table) -> str:
    return "".join(_aligned([list(table.columns), *_plain_rows(table.rows)]))


def _plain_fields(fields: Fields) -> str:
    return "".join(_aligned([[f"{label}:", printable(cell.text)] for label, cell in fields.rows]))


def _decorated_table(table: Table, console: Console) -> None:
    from rich.cells import cell_len
    from rich.table import Table as RichTable
    from rich.text import Text

    rows = _plain_rows(table.rows)
    widths = [max(map(cell_len, column)) for column in zip(table.columns, *rows, strict=True)]
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - console.width
    for least in _SHRINK_TO:
        for name in table.shrinkable:
            index = table.columns.index(name)
            less = max(0, min(excess, widths[index] - least))
            widths[index] -= less
            excess -= less
    picture = RichTable(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), header_style="bold")
    for name, width in zip(table.columns, widths, strict=True):
        picture.add_column(name, no_wrap=True, overflow="ellipsis", max_width=width)
    for row, texts in zip(table.rows, rows, strict=True):
        picture.add_row(*(Text(text, style=cell.style) for cell, text in zip(row, texts, strict=True)))
    console.print(picture)


def _decorated_fields(fields: Fields, console: Console) -> None:
    from rich.text import Text

    width = max((columns_of(label) for label, _ in fields.rows), default=0) + len(":" + _GAP)
    for label, cell in fields.rows:
        line = Text(f"{label}:".ljust(width), style="dim")
        line.append(Text(printable(cell.text), style=cell.style or "not dim"))
        console.print(line, soft_wrap=True)
