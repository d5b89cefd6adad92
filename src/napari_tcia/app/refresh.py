"""Ask the archive what it holds today, and show what that changes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from napari_tcia.app import known
from napari_tcia.app.search import (
    as_issue,
    ask,
    ask_collections,
    collections,
    search,
)
from napari_tcia.app.services import Services
from napari_tcia.archive.collections import describe, list_collections
from napari_tcia.core.model import Collection, Issue, SearchQuery, Series
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.core.text import same_doi
from napari_tcia.errors import ArchiveError, NothingFound
from napari_tcia.terms.licence import identify

FOLLOWED = ("CT Lymph Nodes", "Mediastinal-Lymph-Node-SEG")
"""Collections of which every series is compared."""
MAX_NAMED = 5
"""Names in a sentence; more are counted."""


@dataclass(frozen=True, slots=True)
class Change:
    """What differs between what was known and what the archive says today.

    Attributes
    ----------
    sentences : tuple of str
        For people, one a difference; one that says so where there is none.
    numbers : mapping
        JSON-able: ``since`` (date of what was known), ``collections`` with
        ``added``, ``removed``, ``changed``, and by collection the same of its
        ``series``.
    issues : tuple of Issue
        What could not be asked; nothing is said to have changed there.
    """

    sentences: tuple[str, ...]
    numbers: Mapping[str, Any]
    issues: tuple[Issue, ...] = ()


def refresh(
    services: Services,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Change:
    """Compare the archive with what was last known of it, and keep what it says.

    Asked for are its collections, their DOIs and titles at the Collection
    Manager, and every series of the two lymph-node collections.

    Raises
    ------
    ArchiveError
        It does not list its collections; what was known stays as it is.
    """
    since, before = _known_collections(services)
    steps = 2 + len(FOLLOWED)
    report(Progress("Asking the archive for its collections", 0, steps))
    listed = ask_collections(services, token=token)
    report(Progress("Asking what they are called", 1, steps))
    today, issues = _described(services, listed, token)
    host = services.settings.archive_host
    found = _difference(before, {c.name: c for c in today}, _COLLECTION, host)
    sentences = _sentences("collection", "", found)
    numbers: dict[str, Any] = {"since": since, "collections": found, "series": {}}
    for step, name in enumerate(FOLLOWED, 2):
        report(Progress(f"Asking for the series of {name}", step, steps))
        old = _known_series(services, name)
        try:
            listing = ask(services, SearchQuery(collection=name), token=token)
        except ArchiveError as error:
            issues.append(replace(as_issue(error), level="warn"))
            continue
        issues += listing.issues
        if listing.issues:
            continue  # rows are missing, or not to be trusted
        new = {s.series_uid: s for s in listing}
        found = _difference(old, new, _SERIES, host)
        numbers["series"][name] = found
        sentences += _sentences("series", f"{name}: ", found)
    issues += known.keep_collections(services, today)
    if not sentences:
        sentences = [f"Nothing has changed at {host} since {since}."]
    return Change(tuple(sentences), numbers, tuple(issues))


def _known_collections(services: Services) -> tuple[str, dict[str, Collection]]:
    """The date of what is known of collections, and they by name."""
    before = collections(services, offline=True)
    date = next(i.numbers["date"] for i in before.issues if "date" in i.numbers)
    return str(date)[:10], {c.name: c for c in before}


def _known_series(services: Services, name: str) -> dict[str, Series]:
    before = search(services, SearchQuery(collection=name), offline=True)
    return {s.series_uid: s for s in before}


def _described(
    services: Services, listed: Sequence[Collection], token: CancelToken | None
) -> tuple[tuple[Collection, ...], list[Issue]]:
    """`listed` with the titles, DOIs and licences of the Collection Manager.

    Licences of the followed collections alone: each takes questions of its own.
    """
    issues: list[Issue] = []
    told: dict[str, Collection] = {}
    try:
        more = list_collections(services.transport, services.settings, token=token)
        issues += more.issues
        told = {one.name.casefold(): one for one in more}
        for name in FOLLOWED:
            one = describe(services.transport, services.settings, name, token)
            if one is not None:
                told[name.casefold()] = one
    except (ArchiveError, NothingFound) as error:
        issues.append(replace(as_issue(error), level="warn"))
    merged = []
    for row in listed:
        one = told.get(row.name.casefold())
        merged.append(
            replace(
                row,
                title=one.title or row.title,
                doi=one.doi or row.doi,
                licence=one.licence or row.licence,
                access=row.access if one.access == "unknown" else one.access,
                modalities=one.modalities or row.modalities,
            )
            if one
            else row
        )
    return tuple(merged), issues


Same = Callable[[Any, Any], bool]


def _same_licence(first: str, second: str) -> bool:
    return first == second or identify(first).id == identify(second).id


_COLLECTION: Mapping[str, Same] = {
    "patients": operator.eq,
    "licence": _same_licence,
    "doi": same_doi,
}
_SERIES: Mapping[str, Same] = {
    "images": operator.eq,
    "bytes": operator.eq,
    "licence_name": _same_licence,
    "patient_id": operator.eq,
    "study_uid": operator.eq,
    "modality": operator.eq,
}
"""Fields that are compared, and how; what either side leaves out is not."""


def _difference(
    before: Mapping[str, Collection | Series],
    today: Mapping[str, Collection | Series],
    fields: Mapping[str, Same],
    host: str,
) -> dict[str, Any]:
    """JSON-able: names added and removed, and for changed ones (before, today)."""
    changed = {}
    for name in before.keys() & today.keys():
        pairs = {
            field: (getattr(before[name], field), getattr(today[name], field))
            for field in fields
        }
        differing = {
            field: list(pair)
            for field, pair in pairs.items()
            if all(one not in ("", None) for one in pair) and not fields[field](*pair)
        }
        if differing:
            changed[name] = differing
    return {
        "host": host,
        "added": sorted(today.keys() - before.keys()),
        "removed": sorted(before.keys() - today.keys()),
        "changed": dict(sorted(changed.items())),
    }


def _sentences(kind: str, start: str, found: Mapping[str, Any]) -> list[str]:
    added, removed, changed = (found[key] for key in ("added", "removed", "changed"))
    sentences = []
    if added:
        sentences.append(f"{start}{_count(kind, added)} new: {_some(added)}.")
    if removed:
        sentences.append(
            f"{start}{_count(kind, removed)} not listed by {found['host']}: "
            f"{_some(removed)}."
        )
    for name, fields in list(changed.items())[:MAX_NAMED]:
        words = [f"{field} {old} is now {new}" for field, (old, new) in fields.items()]
        sentences.append(f"{start}{name}: {', '.join(words).replace('_', ' ')}.")
    if (more := len(changed) - MAX_NAMED) > 0:
        sentences.append(f"{start}{more} more have changed.")
    return sentences


def _count(kind: str, names: Sequence[str]) -> str:
    plural = kind if kind == "series" or len(names) == 1 else f"{kind}s"
    return f"{len(names)} {plural}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
