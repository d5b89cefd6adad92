"""Search: the configured archive, enriched by the bundled catalogue."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from napari_tcia.app.services import Services
from napari_tcia.archive.collections import access_of
from napari_tcia.core.model import Collection, Issue, Listing, SearchQuery, Series
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.errors import ArchiveError, NothingFound, TciaError, UnexpectedReply

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_PATIENT = re.compile(r"(ABD|MED)[ _-]?(?:LYMPH)?[ _-]?0*(\d{1,3})", re.I)
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


def interpret(services: Services, text: str) -> SearchQuery:
    """Understand what was typed or pasted into the one search box.

    A series or study UID, a DOI, a patient of CT Lymph Nodes in a loose
    spelling ("med lymph 21"), or a collection name become a precise query;
    anything else stays text.
    """
    text = text.strip()
    if _UID.fullmatch(text):
        return SearchQuery(series_uid=text)
    known = services.catalogue.find_collection(text)
    if known is not None:
        return SearchQuery(collection=known.name)
    patient = _PATIENT.fullmatch(text)
    if patient:
        return SearchQuery(
            patient=f"{patient[1].upper()}_LYMPH_{int(patient[2]):03d}",
            collection="CT Lymph Nodes",
        )
    return SearchQuery(text=text)


def refine(services: Services, query: SearchQuery) -> SearchQuery:
    """Let the text of `query` become precise fields where it names something."""
    if not query.text:
        return query
    found = interpret(services, query.text)
    fields = {
        name: value
        for name in ("collection", "patient", "series_uid", "study_uid", "text")
        if (value := getattr(found, name) or (name != "text" and getattr(query, name)))
    }
    return replace(query, **({"text": ""} | fields))


def collections(
    services: Services,
    *,
    offline: bool = False,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Listing[Collection]:
    """List collections of the archive, with what the catalogue adds.

    When the archive does not answer, the catalogue's rows come with an error
    issue; `offline` asks no network at all.
    """
    catalogue = services.catalogue
    known = {
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
        for c in catalogue.collections.values()
    }
    if offline:
        return Listing(_by_name(known.values()), (_catalogue_note(services),))
    report(Progress("Asking the archive for its collections"))
    try:
        listed = services.nbia.collections(token)
        if not listed:
            raise UnexpectedReply(
                f"{services.settings.archive_host} lists no collection at all.",
                "Try again later, or search with --offline.",
            )
    except ArchiveError as error:
        issues = (as_issue(error), _catalogue_note(services))
        return Listing(_by_name(known.values()), issues)
    rows = []
    for row in listed:
        extra = known.get(row.name.casefold())
        rows.append(
            replace(extra, patients=row.patients, sources=("nbia", "catalogue"))
            if extra
            else row
        )
    return Listing(_by_name(rows))


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
        then the catalogue's. An empty answer for something that the catalogue
        knows is such a failure, not "nothing found".
    """
    if is_free_text(query):
        return search_text(services, query, offline=offline, report=report, token=token)
    if offline:
        return Listing(_catalogued(services, query), (_catalogue_note(services),))
    try:
        return ask(services, query, report=report, token=token)
    except ArchiveError as error:
        issues = (as_issue(error), _catalogue_note(services))
        return Listing(_catalogued(services, query), issues)


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
    rows = _narrow(_enrich(services, listing.items), query)
    return Listing(rows, listing.issues)


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
    catalogue's series; the collections that it leads to are then searched.
    More than `MAX_COLLECTIONS` of them are only named, in an issue with code
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
        rows = _catalogued(services, query)
        names = list(dict.fromkeys(row.collection for row in rows))
    issues = list(listed.issues)
    if len(names) > MAX_COLLECTIONS:
        some = ", ".join(names[:8])
        message = f"{len(names)} collections match: {some} ... Name one of them."
        facts = {"collections": names}
        return Listing((), (*issues, Issue("info", "many_collections", message, facts)))
    series: list[Series] = []
    for name in names:
        found = search(
            services,
            replace(within, collection=name),
            offline=offline,
            report=report,
            token=token,
        )
        series += found.items
        issues += (one for one in found.issues if one not in issues)
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


def _catalogue_note(services: Services) -> Issue:
    date = services.catalogue.date
    return Issue(
        "info",
        "catalogue",
        f"Showing the bundled catalogue of {date}.",
        {"date": date},
    )


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


def _enrich(services: Services, rows: Iterable[Series]) -> tuple[Series, ...]:
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
                sources=("nbia", "catalogue") if known else ("nbia",),
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
