"""Commands that talk to the archive: search, terms, get."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_tcia.cli.output import (
    Json,
    Offline,
    cancelling,
    emit,
    exit_for,
    licence_of,
    progress,
    say,
    size,
    table,
    tell_issues,
)
from napari_tcia.core.model import Listing, SearchQuery, to_json
from napari_tcia.errors import TermsNotAccepted, UsageError

SERIES_COLUMNS = (
    "series_uid",
    "study_uid",
    "patient_id",
    "collection",
    "modality",
    "description",
    "images",
    "bytes",
    "licence",
    "doi",
    "body_part",
    "has_labels",
    "sources",
)


def collections(
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="Ask anew, and show what has changed."),
    ] = False,
    json_: Json = False,
    offline: Offline = False,
) -> None:
    """List the archive's collections."""
    from napari_tcia.app import refresh as renew
    from napari_tcia.app import search as use
    from napari_tcia.app.services import Services

    if refresh and offline:
        raise UsageError("--refresh asks the archive; --offline asks nobody.")
    services = Services.open()
    change = None
    with cancelling() as token, progress(json_) as report:
        if refresh:
            change = renew.refresh(services, report=report, token=token)
        # What was just asked and kept is not asked for again.
        listing = use.collections(services, offline=offline or refresh, token=token)
    issues = listing.issues if change is None else change.issues
    if json_:
        answer: dict[str, Any] = {"collections": listing.items, "issues": issues}
        if change is not None:
            answer["difference"] = {"sentences": change.sentences, **change.numbers}
        emit(answer)
    else:
        table(
            ["collection", "patients", "licence", "doi"],
            [(c.name, c.patients, c.licence, c.doi) for c in listing],
        )
        for sentence in change.sentences if change else ():
            typer.echo(sentence)
        tell_issues(issues)
    raise typer.Exit(exit_for(issues))


def search(
    collection: Annotated[str, typer.Option(help="Collection name.")] = "",
    patient: Annotated[str, typer.Option(help="Patient ID.")] = "",
    modality: Annotated[str, typer.Option(help="CT, MR, SEG ...")] = "",
    body_part: Annotated[str, typer.Option(help="BodyPartExamined.")] = "",
    text: Annotated[str, typer.Option(help="Words, a UID, a DOI.")] = "",
    has_labels: Annotated[
        bool, typer.Option("--has-labels", help="Only images with annotations.")
    ] = False,
    node_at_least: Annotated[
        float | None,
        typer.Option(
            metavar="MM",
            help="Only cases whose stored segmentation has a node with such a short "
            "axis.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(help="Write the series to a manifest: .tcia, .csv or .s5cmd."),
    ] = None,
    offline: Offline = False,
    json_: Json = False,
) -> None:
    """List series of the archive, enriched by the bundled catalogue."""
    from napari_tcia.app import search as use
    from napari_tcia.app.interpret import refine
    from napari_tcia.app.node_sizes import with_node_at_least
    from napari_tcia.app.services import Services
    from napari_tcia.archive.manifest import write_manifest

    services = Services.open()
    query = SearchQuery(
        collection=collection,
        patient=patient,
        modality=modality,
        body_part=body_part,
        text=text,
        has_labels=True if has_labels else None,
    )
    query = refine(services, query)
    with cancelling() as token:
        listing = use.search(services, query, offline=offline, token=token)
        if node_at_least is not None:
            sized = with_node_at_least(
                services, listing.items, node_at_least, token=token
            )
            listing = replace(sized, issues=(*listing.issues, *sized.issues))
    if save is not None and listing.items:
        written = write_manifest(listing.items, save)
        listing = replace(listing, issues=(*listing.issues, *written.issues))
        say(f"Saved {len(written)} series in {save}.")
    show_series(listing, json_)
    code = exit_for(listing.issues)
    if not listing.items and not code:
        code = 4
        if not json_:
            say("Nothing found. Widen the search, or list: napari-tcia collections")
    raise typer.Exit(code)


def show_series(listing: Listing[Any], as_json: bool) -> None:
    """Print series rows."""
    rows = []
    for series in listing:
        row = to_json(series)
        row["licence"] = licence_of(series.licence_name, series.licence_uri)
        rows.append({column: row[column] for column in SERIES_COLUMNS})
    if as_json:
        emit({"series": rows, "issues": listing.issues})
        return
    table(
        ["patient", "modality", "images", "size", "licence", "labels", "series"],
        [
            (
                r["patient_id"],
                r["modality"],
                r["images"],
                size(r["bytes"]),
                r["licence"],
                "yes" if r["has_labels"] else "",
                r["series_uid"],
            )
            for r in rows
        ],
    )
    tell_issues(listing.issues)


def terms(collection: str, json_: Json = False) -> None:
    """Show what must be accepted before pixels of COLLECTION are fetched."""
    from napari_tcia.app import agree
    from napari_tcia.app.services import Services

    services = Services.open()
    found = agree.terms_of_collection(services, collection)
    issues = agree.unacceptable(found)
    if json_:
        emit({"records": found, "issues": issues})
    else:
        print_terms(found)
        tell_issues(issues)


def ask_person(name: str) -> str:
    """Ask at the terminal; return the name of who accepts.

    Raises
    ------
    TermsNotAccepted
        The answer is no, or nobody answers.
    """
    refused = TermsNotAccepted(
        "The terms were not accepted; nothing was recorded.",
        "Where nobody sits at the terminal, read them with 'terms' and repeat "
        "with --yes --name NAME.",
    )
    try:
        # The prompt's last blank goes to stdout, whatever `err` says.
        with redirect_stdout(sys.stderr):
            if not typer.confirm("Do you accept the licence and the policy?", err=True):
                raise refused
            return name or str(typer.prompt("Your name", err=True))
    except typer.Abort as stopped:
        if isinstance(stopped.__context__, KeyboardInterrupt):
            raise
        raise refused from None


def print_terms(found: Sequence[Any], *, err: bool = False) -> None:
    """Print terms for reading."""
    from napari_tcia.terms.policy import licence_facts

    echo = partial(typer.echo, err=err)
    for one in found:
        echo(f"{one.collection} - {one.licence.name} ({one.archive_host})")
        for question, answer in licence_facts(one.licence):
            echo(f"  {question}: {answer}")
        for kind, sentence in one.points:
            echo(f"  You {kind}: {sentence}")
        for document in one.documents:
            shown = "official text" if document.origin == "official" else "summary"
            echo(f"\n{document.title} ({shown}, {document.retrieved})")
            echo(f"{document.url}\nsha256 {document.sha256}\n{document.text}")
        if one.accepted:
            echo(f"\nAccepted by {one.accepted.name} on {one.accepted.time}.")
        elif one.changed:
            echo("\nThese words changed since they were accepted.")
            for change in one.difference:
                sign = "-" if change.what == "removed" else "+"
                echo(f"  {sign} {change.sentence}")
            if not one.difference:
                echo("  The former words were not kept, so no difference is shown.")


def accept(
    collection: str,
    yes: Annotated[
        bool, typer.Option("--yes", help="I have read the terms and accept them.")
    ] = False,
    name: Annotated[str, typer.Option(help="Who accepts.")] = "",
    json_: Json = False,
) -> None:
    """Accept the licence and the Data Usage Policy of COLLECTION."""
    from napari_tcia.app import agree
    from napari_tcia.app.services import Services

    services = Services.open()
    found = agree.terms_of_collection(services, collection)
    open_terms = agree.acceptable(found)
    if not yes:
        print_terms(open_terms, err=True)
        name = ask_person(name)
    if not name.strip():
        name = agree.account_name()
        say(f"No --name was given: recorded for the account name {name!r}.")
    records = agree.accept(services, open_terms, name)
    if json_:
        emit({"records": records, "issues": agree.unacceptable(found)})
    else:
        for record in records:
            typer.echo(
                f"Accepted {record.collection} ({record.licence_name}) at "
                f"{record.archive_host} by {record.name}, {record.time}."
            )


def revoke(collection: str, name: str = "", json_: Json = False) -> None:
    """Withdraw the acceptance of COLLECTION; kept data closes again."""
    from napari_tcia.app import agree
    from napari_tcia.app.services import Services

    records = agree.revoke(Services.open(), collection, name)
    if json_:
        emit({"records": records, "issues": []})
    else:
        typer.echo(f"Revoked {len(records)} acceptance(s) of {collection}.")


def ledger(
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the chain of records.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(help="Write the records, verified, to a .jsonl or .csv file."),
    ] = None,
    json_: Json = False,
) -> None:
    """List what was accepted and revoked.

    The chain makes a change from outside evident; it cannot prevent one.
    """
    from napari_tcia.app.services import Services
    from napari_tcia.terms import copies

    book = Services.open().ledger
    if export is not None:
        records, issues = copies.export(book, export)
        say(f"Wrote {len(records)} records to {export}.")
    else:
        issues = book.verify() if verify else ()
        records = book.records()
    if json_:
        emit({"records": records, "issues": issues})
    else:
        table(
            ["time", "event", "collection", "licence", "archive", "name"],
            [
                (r.time, r.event, r.collection, r.licence_id, r.archive_host, r.name)
                for r in records
            ],
        )
        tell_issues(issues)
        if verify and not issues:
            typer.echo(f"{len(records)} records, chain intact.")
    raise typer.Exit(6 if any(i.level == "error" for i in issues) else 0)
