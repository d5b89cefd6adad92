"""The commands, and what becomes of their errors."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from napari_tcia import __version__
from napari_tcia.cli import archive, cases, review, transfer, window
from napari_tcia.cli.output import emit, failure, say
from napari_tcia.errors import Cancelled, TciaError, UsageError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The Cancer Imaging Archive: search, terms, download, nodes, citation. "
    "For research and teaching, not for clinical use.",
)
for command in (
    archive.collections,
    archive.search,
    archive.terms,
    archive.accept,
    archive.revoke,
    archive.ledger,
    transfer.get,
    cases.inspect,
    cases.nodes,
    cases.cite,
    cases.export,
    review.drafts,
    window.demo,
    window.doctor,
):
    app.command()(command)
app.add_typer(transfer.files, name="files")
app.add_typer(review.queue, name="queue")
app.command("open")(window.open_)
app.command(cls=window.WithFaults)(window.serve)


def version(value: bool) -> None:
    """Print the version and end."""
    if value:
        typer.echo(f"napari-tcia {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version_: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True)
    ] = False,
) -> None:
    """The Cancer Imaging Archive in napari, on the command line and in Python."""


def perform(arguments: Sequence[str]) -> int:
    """Run one command; return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A letter that a terminal lacks must not end the work.
            stream.reconfigure(errors="backslashreplace")
    as_json = "--json" in arguments
    command = typer.main.get_command(app)
    try:
        code = command.main(
            list(arguments), prog_name="napari-tcia", standalone_mode=False
        )
    except (typer.Abort, Cancelled) as stopped:
        raise Cancelled from stopped
    except TciaError as error:
        return _fail(error, as_json)
    except Exception as error:
        if hasattr(error, "format_message"):  # of the option parser
            return _fail(UsageError(error.format_message()), as_json)
        if os.environ.get("NAPARI_TCIA_TRACEBACK"):
            raise
        return _fail(unexpected(error), as_json, code="unexpected")
    if code == Cancelled.exit_code:  # how typer ends on Ctrl-C, without a word
        raise Cancelled
    return code if isinstance(code, int) else 0


def unexpected(error: Exception) -> TciaError:
    """A bug, said in a sentence."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return TciaError(
        f"Something unexpected happened: {type(error).__name__}: {error} "
        f"({Path(place.filename).name}, line {place.lineno}).",
        "This is a bug; NAPARI_TCIA_TRACEBACK=1 shows where it comes from.",
    )


def _fail(error: TciaError, as_json: bool, code: str = "") -> int:
    if as_json:
        emit({"error": failure(error) | ({"code": code} if code else {})})
    say(str(error))
    return error.exit_code
