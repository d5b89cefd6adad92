"""Search: the configured archive, enriched by the bundled catalogue.

Where the archive does not answer, what it last said; else the catalogue.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

from napari_tcia.app import known
from napari_tcia.app.services import Services
from napari_tcia.archive import full_index
from napari_tcia.archive.collections import access_of
from napari_tcia.core.model import Collection, Issue, Listing, SearchQuery, Series
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.errors import (
    ArchiveError,
    NothingFound,
    RemoteTimeout,
    TciaError,
    UnexpectedReply,
    Unreachable,
)

ANNOTATION_MODALITIES = ("SEG", "RTSTRUCT")
MAX_COLLECTIONS = 3
"""Collections that a free text is looked for in; more ask for a better word."""


def as_issue(error: TciaError) -> Issue:
    """An error that did not end the work, as a doubt that a user sees."""
    return Issue(
        "error",
        error.code,
        str(error),
        {"exit_code": error.exit_code, **error.numbers},
    )


def collections(
    services: Services,
    *,
    offline: bool = False,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Listing[Collection]:
    """List collections of the archive, with what the catalogue adds.

    When the archive does not answer, what it listed last, else the catalogue,
    comes with an error issue; `offline` asks no network at all.
    """
    if offline:
        return _last_collections(services)
    report(Progress("Asking the archive for its collections"))
    start = time.monotonic()
    try:
        found = ask_collections(services, token=token)
    except ArchiveError as error:
        rows = _last_collections(services)
        return Listing(rows.items, (_outage(services, error, start), *rows.issues))
    return Listing(found, tuple(known.keep_collections(services, found)))


def ask_collections(
    services: Services, *, token: CancelToken | None = None
) -> tuple[Collection, ...]:
    """List the collections that the archive itself lists, with what is known of them.

    Raises
    ------
    ArchiveError
        It fails, or lists none.
    """
    listed = services.nbia.collections(token)
    if not listed:
        raise UnexpectedReply(
            f"{services.settings.archive_host} lists no collection at all.",
            "Try again later, or search with --offline.",
        )
    kept = known.last_collections(services)
    last = {row.name.casefold(): row for row in kept.items} if kept else {}
    catalogued = _catalogued_collections(services)
    found = []
    for row in listed:
        key = row.name.casefold()
        sources = ("nbia", "catalogue") if key in catalogued else ("nbia",)
        extra = last.get(key) or catalogued.get(key) or row
        found.append(replace(extra, patients=row.patients, sources=sources))
    return _by_name(found)


def search(
    services: Services,
    query: SearchQuery,
    *,
    offline: bool = False,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Listing[Series]:
    """List series that match `query`.

    Returns
    -------
    Listing of Series
        With an issue of level "error" where the archive failed; its rows are
        then what the archive listed last (issue "last_known"), else the
        catalogue's (issue "catalogue"). An empty answer for something that
        the catalogue knows is such a failure, not "nothing found".
    """
    if is_free_text(query):
        return search_text(services, query, offline=offline, report=report, token=token)
    if offline:
        return _last_series(services, query)
    start = time.monotonic()
    try:
        return ask(services, query, report=report, token=token)
    except ArchiveError as error:
        rows = _last_series(services, query)
        return Listing(rows.items, (_outage(services, error, start), *rows.issues))


def ask(
    services: Services,
    query: SearchQuery,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Listing[Series]:
    """List what the archive itself answers to `query`, enriched.

    Rows that do not fit the query are left out, in case it answers more.

    Raises
    ------
    ArchiveError
        It fails, or returns nothing for what the catalogue lists.
    """
    report(Progress("Searching the archive"))
    query = _named(services, query)
    try:
        listing = services.nbia.series(_archive_query(query), token)
    except NothingFound:
        listing = Listing(())
    if not listing.items:
        catalogue = services.catalogue
        whole = query == SearchQuery(collection=query.collection)
        if _catalogued(services, query) or (
            whole and catalogue.find_collection(query.collection)
        ):
            raise UnexpectedReply(
                f"{services.settings.archive_host} returned nothing for "
                f"{query.patient or query.series_uid or query.collection}, "
                f"which the catalogue of {catalogue.date} lists.",
                "The archive may be failing, or may not hold it; try again later.",
            )
    rows = _enrich(services, listing.items)
    issues = listing.issues
    if not issues and _archive_query(query) == SearchQuery(collection=query.collection):
        issues = tuple(known.keep_series(services, query.collection, rows))
    return Listing(_narrow(rows, query), issues)


def search_text(
    services: Services,
    query: SearchQuery,
    *,
    offline: bool = False,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Listing[Series]:
    """Look for free text without asking the archive for all it has.

    The text is looked for in the names and titles of collections, else in the
    series that this machine knows of; the collections that it leads to are then
    searched. More than `MAX_COLLECTIONS` of them are only named, in an issue with code
    "many_collections".
    """
    listed = collections(services, offline=offline, report=report, token=token)
    word = query.text.casefold()
    names = [
        c.name
        for c in listed
        if word in c.name.casefold() or word in c.title.casefold()
    ]
    within = query if not names else replace(query, text="")
    if not names:
        rows = _narrow(known.all_series(services), query)
        names = list(dict.fromkeys(row.collection for row in rows))
    issues = list(listed.issues)
    if len(names) > MAX_COLLECTIONS:
        some = ", ".join(names[:8])
        message = f"{len(names)} collections match: {some} ... Name one of them."
        facts = {"collections": names}
        return Listing((), (*issues, Issue("info", "many_collections", message, facts)))
    if offline and not names and (found := _indexed(services, query)):
        return Listing(found, (*issues, _index_note()))
    series: list[Series] = []
    for name in names:
        listing = search(
            services,
            replace(within, collection=name),
            offline=offline,
            report=report,
            token=token,
        )
        series += listing.items
        issues += (one for one in listing.issues if one not in issues)
    return Listing(tuple(series), tuple(issues))


def is_free_text(query: SearchQuery) -> bool:
    """Whether nothing but words says where to look."""
    places = (query.collection, query.patient, query.series_uid, query.study_uid)
    return bool(query.text) and not any(places)


def _catalogued(services: Services, query: SearchQuery) -> tuple[Series, ...]:
    query = _named(services, query)
    return _narrow(services.catalogue.search(replace(query, text="")), query)


def _named(services: Services, query: SearchQuery) -> SearchQuery:
    """`query` with the collection's own name where its id or DOI was given."""
    known = services.catalogue.find_collection(query.collection)
    return replace(query, collection=known.name) if known else query


def _by_name(rows: Iterable[Collection]) -> tuple[Collection, ...]:
    return tuple(sorted(rows, key=lambda row: row.name.casefold()))


def _catalogued_collections(services: Services) -> dict[str, Collection]:
    """Collections of the bundled catalogue, by name in lower case."""
    return {
        c.name.casefold(): Collection(
            name=c.name,
            doi=c.doi,
            title=c.title,
            licence=c.licence,
            patients=c.patients,
            series=c.series_count,
            modalities=c.modalities,
            access=access_of(c.licences),
            sources=("catalogue",),
        )
        for c in services.catalogue.collections.values()
    }


def _last_collections(services: Services) -> Listing[Collection]:
    """Collections without asking: as the archive listed them last, or catalogued."""
    if kept := known.last_collections(services):
        return Listing(_by_name(kept.items), (_last_note(services, kept.time),))
    rows = _by_name(_catalogued_collections(services).values())
    return Listing(rows, (_catalogue_note(services),))


def _last_series(services: Services, query: SearchQuery) -> Listing[Series]:
    """Series without asking: as the archive listed them last, or catalogued."""
    query = _named(services, query)
    if query.collection:
        kept = known.last_series(services, query.collection)
        listings = [kept] if kept else []
    else:
        listings = known.listings(services)
    found = {kept.time: _narrow(kept.items, query) for kept in listings}
    rows = tuple(row for some in found.values() for row in some)
    if rows or (query.collection and listings):
        oldest = min(when for when, some in found.items() if some or not rows)
        return Listing(rows, (_last_note(services, oldest),))
    rows = _catalogued(services, query)
    if not rows and (rows := _indexed(services, query)):
        return Listing(rows, (_index_note(),))
    return Listing(rows, (_catalogue_note(services),))


def _indexed(services: Services, query: SearchQuery) -> tuple[Series, ...]:
    """What the full index of the Imaging Data Commons lists, where installed."""
    asked = replace(_archive_query(query), text=query.text)
    if asked == SearchQuery() or not full_index.available():
        return ()
    return _narrow(_enrich(services, full_index.search(asked), "idc"), query)


def _outage(services: Services, error: ArchiveError, start: float) -> Issue:
    """Why the archive's own answer is not shown; `start` is of `time.monotonic`."""
    issue = as_issue(error)
    host = services.settings.archive_host
    who = "TCIA" if host.endswith("cancerimagingarchive.net") else host
    if isinstance(error, RemoteTimeout):
        waited = round(time.monotonic() - start)
        message = f"{who} does not answer (timed out after {waited} s)."
        return replace(issue, message=message)
    if isinstance(error, Unreachable):
        return replace(issue, message=f"{who} does not answer. {error}")
    return issue


def _last_note(services: Services, when: datetime) -> Issue:
    age = known.age_text(when)
    message = f"Showing what {services.settings.archive_host} listed {age}."
    return Issue("info", "last_known", message, _age(when, when.isoformat()))


def _catalogue_note(services: Services) -> Issue:
    when = known.catalogue_time(services)
    message = f"Showing the catalogue of {known.date_text(when)}."
    return Issue("info", "catalogue", message, _age(when, services.catalogue.date))


def _index_note() -> Issue:
    release = version("idc-index-data").partition(".")[0]
    message = f"Showing release {release} of the index of the Imaging Data Commons."
    return Issue("info", "idc_index", message, {"release": int(release)})


def _age(when: datetime, date: str) -> dict[str, object]:
    days = (datetime.now(UTC).date() - when.date()).days
    return {"date": date, "age_days": days, "age": known.age_text(when)}


def _archive_query(query: SearchQuery) -> SearchQuery:
    """What the archive itself filters by.

    Within a collection or patient the modality is left out, so that the
    answer also tells which CT has a SEG beside it.
    """
    narrow = query.collection or query.patient or query.study_uid
    return replace(
        query,
        text="",
        has_labels=None,
        modality="" if narrow else query.modality,
    )


def _enrich(
    services: Services, rows: Iterable[Series], source: str = "nbia"
) -> tuple[Series, ...]:
    """Rows as `source` lists them, with what the catalogue and each other add."""
    rows = tuple(rows)
    by_study: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        by_study[row.study_uid].add(row.modality)
    enriched = []
    for row in rows:
        known = services.catalogue.find_series(row.series_uid)
        has_labels = None
        if row.modality not in ANNOTATION_MODALITIES:
            has_labels = bool(by_study[row.study_uid] & set(ANNOTATION_MODALITIES))
        enriched.append(
            replace(
                row,
                has_labels=has_labels or (known.has_labels if known else has_labels),
                doi=row.doi or (known.doi if known else ""),
                sources=(source, "catalogue") if known else (source,),
            )
        )
    return tuple(enriched)


def _narrow(rows: Iterable[Series], query: SearchQuery) -> tuple[Series, ...]:
    words = query.text.casefold().split()
    exact = {
        "collection": query.collection,
        "patient_id": query.patient,
        "modality": query.modality,
        "body_part": query.body_part,
        "series_uid": query.series_uid,
        "study_uid": query.study_uid,
    }
    wanted = {name: text.casefold() for name, text in exact.items() if text}

    def matches(row: Series) -> bool:
        if any(getattr(row, name).casefold() != w for name, w in wanted.items()):
            return False
        if query.has_labels is not None and bool(row.has_labels) != query.has_labels:
            return False
        hay = " ".join(
            (
                row.patient_id,
                row.collection,
                row.description,
                row.body_part,
                row.modality,
                row.series_uid,
                row.study_uid,
            )
        ).casefold()
        hay += " " + hay.replace("_", " ")
        return all(word in hay for word in words)

    found = [row for row in rows if matches(row)]
    found.sort(key=lambda r: (r.collection.casefold(), r.patient_id, r.modality))
    return tuple(found)
