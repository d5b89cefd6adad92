"""Commands on a case: inspect, nodes, cite, export."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_tcia.cli.output import (
    Json,
    cancelling,
    emit,
    exit_for,
    named,
    progress,
    say,
    table,
    tell_issues,
)
from napari_tcia.core.image import Choices
from napari_tcia.core.model import Issue, to_json

if TYPE_CHECKING:
    from napari_tcia.app.assemble import Case
    from napari_tcia.app.nodes_only import NodesOnly

NODE_COLUMNS = (
    "id",
    "label",
    "source",
    "centroid_lps",
    "k",
    "long_axis_mm",
    "short_axis_mm",
    "published_size_mm",
    "volume_mm3",
    "hu_mean",
    "hu_sd",
    "size_class",
    "hu_percentiles",
    "equivalent_diameter_mm",
    "extent_mm",
    "piece",
    "pieces",
    "station",
)


Choose = Annotated[
    list[str] | None,
    typer.Option(
        "--choose",
        metavar="NAME=VALUE",
        help="What to do about a doubt that a check names, for example "
        "duplicates=first, gaps=interpolate, tilt=straighten, stack=2, labels=y or "
        "points=indices; repeatable.",
    ),
]


def chosen(choose: Sequence[str] | None) -> Choices:
    """Choices of the options ``--choose``; raises `UsageError`."""
    choices = Choices()
    for text in choose or ():
        choices = choices.with_choice(text)
    return choices


def inspect(path: str, choose: Choose = None, json_: Json = False) -> None:
    """Show the passport of each image series in PATH: a folder, file or zip."""
    from napari_tcia.app.passports import passports

    with cancelling() as token, progress(json_) as report:
        found = passports(
            named(path), choices=chosen(choose), report=report, token=token
        )
    if json_:
        emit({"passports": found, "issues": []})
    else:
        for one in found:
            typer.echo(f"{one['verdict'].upper()}  {one['series_uid']}")
            spacing = " x ".join(f"{mm:.6g}" for mm in one["spacing"])
            shape = " x ".join(str(n) for n in one["shape"])
            typer.echo(f"  {shape} voxels of {spacing} mm (k, j, i)")
            table(
                ["", "check", "finding"],
                [(c["verdict"], c["code"], c["message"]) for c in one["checks"]],
            )
            if offered := choices_of(one["checks"]):
                typer.echo(f"  Choose with --choose: {', '.join(offered)}")
    raise typer.Exit(6 if any(one["verdict"] == "fail" for one in found) else 0)


def choices_of(checks: Sequence[dict[str, Any]]) -> list[str]:
    """What the checks of a passport leave to choose."""
    return [choice for c in checks for choice in c["numbers"].get("choices", ())]


def nodes(
    target: str,
    csv_: Annotated[bool, typer.Option("--csv", help="CSV on stdout.")] = False,
    choose: Choose = None,
    labels_only: Annotated[
        bool,
        typer.Option(
            "--labels-only",
            help="By the segmentation alone: its images are not fetched, so there is "
            "no k and no HU.",
        ),
    ] = False,
    around: Annotated[
        int | None,
        typer.Option(
            metavar="NODE", help="Fetch only the slices of this node, and measure it."
        ),
    ] = None,
    at_least: Annotated[
        float | None,
        typer.Option(metavar="MM", help="Only nodes with such a short axis."),
    ] = None,
    json_: Json = False,
) -> None:
    """List the lymph nodes of TARGET or PATH, measured and checked."""
    from napari_tcia.app import credit, nodes_only
    from napari_tcia.app.case import open_case
    from napari_tcia.app.services import Services
    from napari_tcia.export.table import as_text

    services = Services.open()
    cases: Sequence[Case | NodesOnly]
    with cancelling() as token, progress(json_) as report:
        if around is not None:
            cases = [
                nodes_only.around(services, target, around, report=report, token=token)
            ]
        elif labels_only:
            cases = nodes_only.nodes_only(services, target, report=report, token=token)
        else:
            cases = open_case(
                services,
                Path(named(target)) if Path(target).exists() else target,
                choices=chosen(choose),
                report=report,
                token=token,
            )
    # The slices of a segmentation, or of one node, are no images of the series.
    unknown = {"k": None} if labels_only or around is not None else {}
    rows = [
        {"case": case.name}
        | {column: getattr(node, column) for column in NODE_COLUMNS}
        | unknown
        for case in cases
        for node in case.nodes
        if at_least is None or (node.short_axis_mm or 0) >= at_least
    ]
    cited = credit.citations(p for case in cases for p in case.provenances)
    issues = [issue for case in cases for issue in case.issues]
    checks = [check for case in cases for check in case.checks]
    if json_:
        emit(
            {
                "nodes": rows,
                "verification": checks,
                "known_issues": [i for i in issues if i.level != "error"],
                "citations": cited,
                "issues": [i for i in issues if i.level == "error"],
            }
        )
    elif csv_:
        for line in cited:
            typer.echo(f"# {line.text}")
        writer = csv.DictWriter(sys.stdout, ["case", *NODE_COLUMNS])
        writer.writeheader()
        writer.writerows(
            {
                k: "" if v is None else as_text(v) if isinstance(v, str) else v
                for k, v in to_json(r).items()
            }
            for r in rows
        )
    else:
        print_nodes(rows, checks, issues)
        for line in cited:
            say(f"Cite: {line.text}")
    raise typer.Exit(exit_for(issues))


def print_nodes(
    rows: Sequence[dict[str, Any]], checks: Sequence[Any], issues: Sequence[Issue]
) -> None:
    """Print the node table for people."""

    def mm(value: float | None) -> str:
        return "" if value is None else f"{value:.1f}"

    table(
        ["case", "node", "source", "k (image)", "z mm", "short x long mm", "published"],
        [
            (
                r["case"],
                r["id"],
                r["source"],
                "" if r["k"] is None else f"{r['k']} ({r['k'] + 1})",
                mm(r["centroid_lps"][2]),
                f"{mm(r['short_axis_mm'])} x {mm(r['long_axis_mm'])}",
                mm(r["published_size_mm"]),
            )
            for r in rows
        ],
    )
    for check in checks:
        say(f"{check.verdict}: {check.message}")
    tell_issues(issues)


def cite(
    what: Annotated[str, typer.Argument(metavar="TARGET|DOI|COLLECTION|PATH")],
    format_: Annotated[
        str, typer.Option("--format", help="text, bibtex, ris, csl-json or cff.")
    ] = "text",
    style: Annotated[str | None, typer.Option(help="A CSL style, for text.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask DataCite.")] = False,
    json_: Json = False,
) -> None:
    """Print the citations of a dataset, case or folder."""
    from napari_tcia.app import credit, handover
    from napari_tcia.app.services import Services

    cited = handover.cited_for(Services.open(), what, refresh=refresh)
    text = credit.render(cited, format_, style)
    if json_:
        emit({"citations": cited, "text": text, "issues": []})
    else:
        typer.echo(text)


def export(
    target: str,
    to: Annotated[str, typer.Option("--to", help="csv, figure, nifti, seg or slicer.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File or folder.")],
    choose: Choose = None,
    json_: Json = False,
) -> None:
    """Write TARGET or PATH for another program; reread before it is reported."""
    from napari_tcia.app import handover

    with cancelling() as token, progress(json_) as report:
        written = handover.export(
            named(target), to, out, choices=chosen(choose), report=report, token=token
        )
    if json_:
        emit({"records": [{"path": path} for path in written], "issues": []})
    else:
        for path in written:
            typer.echo(str(path))
