"""Commands on reviews: drafts that lie here, and queues of cases."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_tcia.cli.output import Json, cancelling, emit, say, table, tell_issues
from napari_tcia.core.model import Issue
from napari_tcia.errors import TciaError

queue = typer.Typer(no_args_is_help=True, help="Cases to review, one after the other.")


def drafts(
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Replay each from its first snapshot, edit by edit."
        ),
    ] = False,
    json_: Json = False,
) -> None:
    """List the annotations that readers began here; they are never cleared."""
    from napari_tcia.app import drafting
    from napari_tcia.app.services import Services

    rows: list[dict[str, Any]] = []
    issues: list[Issue] = []
    damaged = False
    for info in drafting.drafts(Services.open()):
        row = asdict(info)
        if verify or info.problem:
            try:
                found = drafting.replay(info.folder, anew=True)
                row["labels"] = found.fingerprint
                issues += found.issues
            except TciaError as error:
                damaged = True
                row["problem"] = str(error)
                issues.append(Issue("error", error.code, str(error)))
        rows.append(row)
    if json_:
        emit({"records": rows, "issues": issues})
    else:
        columns = ("case", "reader", "saved", "decided", "edits", "exit")
        table(columns, [[row[name] for name in columns] for row in rows])
        tell_issues(issues)
        if not rows:
            say("No draft lies here. Start one in the Review tab.")
    raise typer.Exit(6 if damaged else 0)


@queue.command("make")
def make(
    source: Annotated[
        str, typer.Argument(help="Words of a search, a manifest, or a CSV.")
    ],
    name: Annotated[str, typer.Option(help="What to call it.")] = "",
    blind: Annotated[
        bool, typer.Option("--blind", help="Show no reference, counts or hints.")
    ] = False,
    json_: Json = False,
) -> None:
    """Make a queue; nothing is fetched."""
    from napari_tcia.app import queues
    from napari_tcia.app.services import Services

    with cancelling() as token:
        made, issues = queues.make_queue(
            Services.open(), source, name=name, blind=blind, token=token
        )
    if json_:
        emit({"records": [asdict(made)], "issues": issues})
    else:
        tell_issues(issues)
        number = f"{len(made.cases)} case" + ("" if len(made.cases) == 1 else "s")
        say(f"{made.name}: {number}. Open it from the Review tab.")


@queue.command("list")
def list_(json_: Json = False) -> None:
    """List the queues, and how far each has come."""
    from napari_tcia.app import queues
    from napari_tcia.app.services import Services

    found, issues = queues.queues(Services.open())
    if json_:
        emit({"records": [asdict(one) for one in found], "issues": issues})
        return
    rows = [
        (one.name, len(one.cases), sum(c.state != "waiting" for c in one.cases))
        for one in found
    ]
    table(("name", "cases", "seen"), rows)
    tell_issues(issues)


@queue.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Of the queue.")], json_: Json = False
) -> None:
    """Show the cases of a queue, and how each was left."""
    from napari_tcia.app import queues
    from napari_tcia.app.services import Services

    found = queues.queue_of(Services.open(), name)
    if json_:
        emit({"records": [asdict(found)], "issues": []})
        return
    columns = ("patient_id", "series_uid", "state", "seconds", "note")
    table(columns, [[getattr(one, c) for c in columns] for one in found.cases])


@queue.command("export")
def export(
    name: Annotated[str, typer.Argument(help="Of the queue.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A CSV file.")] = None,
    json_: Json = False,
) -> None:
    """Write one line per case: how it was left, time, reasons, note."""
    from napari_tcia.app import queues
    from napari_tcia.app.services import Services
    from napari_tcia.core.files import write_atomic

    found = queues.queue_of(Services.open(), name)
    text = queues.as_csv(found)
    if out is not None:
        write_atomic(out, text)
        say(f"Saved {out}.")
    if json_:
        emit({"records": [asdict(one) for one in found.cases], "issues": []})
    elif out is None:
        typer.echo(text, nl=False)
