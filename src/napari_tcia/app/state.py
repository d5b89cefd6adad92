"""What a browser shows: cases found, narrowed, and what opening them costs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from napari_tcia.app import facets
from napari_tcia.app.assemble import Case
from napari_tcia.app.fetch import companions, resolve_all, stored
from napari_tcia.app.instant import place
from napari_tcia.app.interpret import interpret, respelt
from napari_tcia.app.own_folder import in_folder
from napari_tcia.app.rows import CaseRow, Results, case_rows
from napari_tcia.app.search import search
from napari_tcia.app.services import Services
from napari_tcia.core.model import Listing, SearchQuery, Series
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.terms.licence import identify

__all__ = ["CaseRow", "Results"]

OLD = ("last_known", "catalogue")
"""Codes of the issues that say that rows are not today's."""
SPACED = ("CT", "MR", "PT", "NM")
"""Modalities of which a slice has a thickness and a spacing in the patient."""


def find(
    services: Services,
    text: str,
    *,
    offline: bool = False,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Results:
    """Look for what was typed or pasted.

    Names, patients, UIDs, DOIs in loose spellings; the path of a manifest; a
    folder, also one that an official downloader made.
    """
    text = text.strip()
    found = place(text)
    if found and found[0] == "manifest":
        series, issues, _ = resolve_all(services, [str(found[1])], token=token)
        return _results(services, text, Listing(series, issues))
    if found:
        listing, folders = in_folder(services, found[1], report=report, token=token)
        return replace(_results(services, text, listing), folders=folders)
    query = interpret(services, text)
    listing = search(services, query, offline=offline, report=report, token=token)
    if not listing.items and query.series_uid:
        listing = search(
            services,
            SearchQuery(study_uid=query.series_uid),
            offline=offline,
            report=report,
            token=token,
        )
    remarks = respelt(services, text, query)
    listing = Listing(listing.items, (*remarks, *listing.issues))
    return _results(services, text, listing, query.collection)


def with_details(
    services: Services,
    results: Results,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Results:
    """`results` with the spacing of their images, as the archive lists it.

    For a second task, once the rows are shown. Rows that the archive says
    nothing of stay as they are, and so do those that it did not list today.

    Raises
    ------
    ArchiveError
        It does not answer; `results` are as good as before.
    """
    wanted = [
        row.series.series_uid
        for row in results.rows
        if "nbia" in row.series.sources and row.series.modality in SPACED
    ]
    if results.age or not wanted:
        return results
    report(Progress("Asking for spacings"))
    told = services.nbia.details(wanted, token)
    rows = tuple(
        replace(
            row,
            series=replace(
                row.series,
                pixel_spacing=one.pixel_spacing,
                slice_thickness=one.slice_thickness,
            ),
        )
        if (one := told.get(row.series.series_uid))
        else row
        for row in results.rows
    )
    facets.prepare(rows)
    return replace(results, rows=rows)


def cost(
    rows: Sequence[CaseRow],
    kept: frozenset[str],
    home: Path,
    accepted: frozenset[str] | None = None,
) -> str:
    """What opening `rows` costs: "1 case, 30 MB, 41 GB free, terms accepted".

    Parameters
    ----------
    rows : sequence of CaseRow
    kept : frozenset of str
        Series that need no download: on disk, or in a folder of the user's.
    home : Path
    accepted : frozenset of str, optional
        Collections whose terms stand accepted; without it nothing is said of
        terms.
    """
    if not rows:
        return ""
    missing = [s for row in rows for s in row.all if s.series_uid not in kept]
    words = [f"{len(rows)} case" + ("s" if len(rows) > 1 else "")]
    if missing:
        size = size_text(sum(s.bytes or 0 for s in missing))
        if any(s.bytes is None for s in missing):
            size = f"at least {size}" if size != "0 B" else "size not declared"
        words += [size, f"{size_text(free_bytes(home))} free"]
    else:
        words.append("on disk")
    if accepted is not None and missing:
        read = {s.collection for s in missing} <= accepted
        words.append("terms accepted" if read else "terms to be read first")
    return ", ".join(words)


def free_bytes(home: Path) -> int:
    """Free space on the disk that `home` is or will be on."""
    while not home.exists():
        home = home.parent
    return shutil.disk_usage(home).free


def size_text(count: float) -> str:
    """A size as people read it, in powers of 1000: "30 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 else f"{count:.2g} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def whole(
    services: Services,
    rows: Sequence[CaseRow],
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[Series, ...]:
    """Every series that opening `rows` takes, annotations looked up where unknown."""
    found: dict[str, Series] = {}
    for row in rows:
        series = row.all
        if not row.annotations and row.series.has_labels and row.series.study_uid:
            series = companions(services, row.series, token=token)
        found |= {s.series_uid: s for s in series}
    return tuple(found.values())


def _results(
    services: Services, text: str, found: Listing[Series], collection: str = ""
) -> Results:
    rows = case_rows(found.items)
    facets.prepare(rows)
    host = services.settings.archive_host
    licences = {(r.series.collection, r.series.licence_name) for r in rows}
    standing = {
        (name, licence): services.ledger.standing(host, name, identify(licence).id)
        is not None
        for name, licence in licences
    }
    accepted = frozenset(
        name
        for name, _ in licences
        if all(ok for (other, _), ok in standing.items() if other == name)
    )
    kept = frozenset(
        s.series_uid
        for row in rows
        for s in row.all
        if stored(services, s.series_uid) is not None
    )
    hint = next((i.message for i in found.issues if i.code == "many_collections"), "")
    if not rows and not hint:
        known = services.catalogue.find_collection(collection or text)
        hint = "Try a collection name, a patient ID, a UID or a DOI."
        if known is not None and known.name == "CT Lymph Nodes":
            hint = "CT Lymph Nodes has MED_LYMPH_001 to 090 and ABD_LYMPH_001 to 086."
    ages = (i.numbers["age"] for i in found.issues if i.code in OLD)
    age = str(next(ages, ""))
    return Results(text, rows, found.issues, accepted, kept, hint, age=age)


def doubts(cases: Iterable[Case]) -> tuple[str, ...]:
    """What a person should know of `cases`: passports that warn or fail, issues.

    One sentence each, none twice; also which archive stepped in for another.
    """
    words: list[str] = []
    for case in cases:
        checks = case.volume.passport.checks
        words += [c.message for c in checks if c.verdict != "pass"]
        words += [
            i.message
            for i in case.issues
            if i.level != "info" or i.code == "other_archive"
        ]
    return tuple(dict.fromkeys(words))


def after_acceptance(results: Results, names: Iterable[str]) -> Results:
    """Results with the terms of some collections accepted."""
    return replace(results, accepted=results.accepted | frozenset(names))


def after_fetch(results: Results, series: Iterable[Series]) -> Results:
    """Results with some series on disk."""
    return replace(
        results, stored=results.stored | frozenset(s.series_uid for s in series)
    )
