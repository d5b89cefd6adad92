"""What the command line prints: JSON for programs, tables and words for people."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from napari_tcia.core.model import Issue, to_json
from napari_tcia.core.task import CancelToken, Progress
from napari_tcia.errors import EXIT_ORDER, TciaError, UsageError

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Offline = Annotated[bool, typer.Option("--offline", help="Bundled catalogue only.")]


def say(text: str = "") -> None:
    """Write a line for people, on stderr."""
    typer.echo(text, err=True)


def emit(value: Any) -> None:
    """Write the one JSON object, escaped where stdout cannot hold its letters."""
    facts = to_json(value)
    text = json.dumps(facts, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(facts, allow_nan=False)
    typer.echo(text)


def tell_issues(issues: Sequence[Issue]) -> None:
    """Write issues for people."""
    for issue in issues:
        say(f"{issue.level}: {issue.message}")


def named(target: str) -> str:
    """`target`, unless it is empty, as a variable of a script may be.

    Raises
    ------
    UsageError
        It is; the present folder is called ".".
    """
    if not target.strip():
        raise UsageError("Nothing is named.", "Give a TARGET or a PATH.")
    return target


def failure(error: TciaError) -> dict[str, Any]:
    """The JSON of an error."""
    return {"code": error.code, "message": error.message, "hint": error.hint}


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows for people on stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        drawn.add_column(heading, overflow="fold")
    for row in rows:
        # Text, not markup: what an archive sends is never interpreted.
        drawn.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    # Into a file or a pipe no cell is folded: UIDs are there to be copied.
    Console(width=None if sys.stdout.isatty() else 10_000).print(drawn)


def size(count: int | None) -> str:
    """Bytes as people read them."""
    return "" if count is None else f"{count / 1e6:,.1f} MB"


@contextmanager
def progress(as_json: bool) -> Iterator[Callable[[Progress], None]]:
    """A report function that draws a bar on stderr where someone looks."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        yield lambda moment: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def report(moment: Progress) -> None:
            bar.update(
                task,
                description=moment.stage,
                completed=moment.done,
                total=moment.total or None,
            )

        yield report


@contextmanager
def cancelling() -> Iterator[CancelToken]:
    """A token that Ctrl-C throws, so that work ends between two bytes.

    A second Ctrl-C interrupts at once, in case something does not look.
    """
    token = CancelToken()

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, previous)
        token.cancel()

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield token
    finally:
        signal.signal(signal.SIGINT, previous)


def exit_for(issues: Sequence[Issue]) -> int:
    """Exit code that issues of level "error" ask for."""
    codes = [i.numbers.get("exit_code", 1) for i in issues if i.level == "error"]
    for code in EXIT_ORDER:
        if code in codes:
            return code
    return 0


def licence_of(name: str, uri: str) -> str:
    """Short licence name of a series row."""
    from napari_tcia.terms.licence import identify

    return identify(name, uri).short
