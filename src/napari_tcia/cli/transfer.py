"""The commands that bring data: get, files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from napari_tcia.cli.output import (
    Json,
    cancelling,
    emit,
    failure,
    progress,
    tell_issues,
)
from napari_tcia.errors import TciaError

if TYPE_CHECKING:
    from napari_tcia.app.services import Services
    from napari_tcia.core.model import Issue

files = typer.Typer(
    no_args_is_help=True,
    help="Supplementary files of a collection: masks, points, candidates.",
)


@files.command("add")
def add_files(
    paths: Annotated[list[Path], typer.Argument(metavar="ZIP...")],
    json_: Json = False,
) -> None:
    """Keep published zips of masks, points or candidates for the cases here."""
    from napari_tcia.app import supplements
    from napari_tcia.app.services import Services

    services = Services.open()
    records: list[dict[str, Any]] = []
    issues: list[Issue] = []
    with cancelling() as token, progress(json_) as report:
        for path in paths:
            record, doubts = supplements.add(services, path, report=report, token=token)
            records.append(record)
            issues += doubts
    if json_:
        emit({"records": records, "issues": issues})
        return
    for record in records:
        typer.echo(f"kept: {record['name']} {record['sha256']}")
    tell_issues(issues)


@files.command("get")
def get_files(
    collection: Annotated[str, typer.Argument(metavar="COLLECTION")],
    json_: Json = False,
) -> None:
    """Fetch the published zips of a collection: masks, points, candidates."""
    from napari_tcia.app import supplements
    from napari_tcia.app.services import Services

    services = Services.open()
    with cancelling() as token, progress(json_) as report:
        paths, issues = supplements.fetch(
            services, collection, report=report, token=token
        )
    if json_:
        records = [{"name": path.name, "path": path} for path in paths]
        emit({"records": records, "issues": issues})
    else:
        for path in paths:
            typer.echo(f"kept: {path}")
        tell_issues(issues)
    raise typer.Exit(0 if paths else 5)


def get(
    targets: Annotated[list[str], typer.Argument(metavar="TARGET...")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of your own.")
    ] = None,
    source: Annotated[
        Literal["auto", "nbia", "idc"],
        typer.Option(help="NBIA, and IDC where that fails (auto), or one alone."),
    ] = "auto",
    verify_both: Annotated[
        bool,
        typer.Option(
            "--verify-both",
            help="Fetch from NBIA and from IDC, compare, and keep nothing.",
        ),
    ] = False,
    json_: Json = False,
) -> None:
    """Download series UIDs, patients or manifests, verified."""
    from napari_tcia.app import fetch
    from napari_tcia.app.services import Services

    services = Services.open()
    if verify_both:
        _verify_both(services, targets, json_)
    with cancelling() as token, progress(json_) as report:
        series, doubts, unknown = fetch.resolve_all(services, targets, token=token)
        rows = fetch.get(
            services, series, out=out, source=source, report=report, token=token
        )
    issues = (*doubts, *rows.issues)
    decisive = fetch.first_error([*unknown, *(r.error for r in rows if r.error)])
    columns = ("series_uid", "state", "path", "files", "bytes", "source")
    if json_:
        answer: dict[str, Any] = {
            "series": [{c: getattr(row, c) for c in columns} for row in rows],
            "issues": issues,
        }
        if decisive:
            answer["error"] = failure(decisive)
        emit(answer)
    else:
        for row in rows:
            typer.echo(f"{row.state}: {row.series_uid} {row.path or ''}")
        tell_issues(issues)
    raise typer.Exit(decisive.exit_code if decisive else 0)


def _verify_both(services: Services, targets: list[str], json_: bool) -> NoReturn:
    """Compare what the two archives send; exit 6 where it differs."""
    from napari_tcia.app import fetch
    from napari_tcia.app.both import compare_sources
    from napari_tcia.app.search import as_issue

    records, issues = [], []
    errors: list[TciaError] = []
    with cancelling() as token, progress(json_) as report:
        series, doubts, unknown = fetch.resolve_all(services, targets, token=token)
        for one in series:
            try:
                records.append(
                    compare_sources(services, one, report=report, token=token)
                )
            except TciaError as error:
                errors.append(error)
                issues.append(as_issue(error))
    decisive = fetch.first_error([*unknown, *errors])
    if json_:
        answer: dict[str, Any] = {"records": records, "issues": [*doubts, *issues]}
        if decisive:
            answer["error"] = failure(decisive)
        emit(answer)
    else:
        for found in records:
            words = "same" if found.equal else "DIFFERENT"
            typer.echo(
                f"{words}: {found.series_uid}: {found.same} instances equal, "
                f"{len(found.differing)} differ, {len(found.only_nbia)} at NBIA only, "
                f"{len(found.only_idc)} at IDC only"
            )
        tell_issues([*doubts, *issues])
    code = decisive.exit_code if decisive else 0
    raise typer.Exit(code or (0 if all(r.equal for r in records) else 6))
