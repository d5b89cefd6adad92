"""What a browser shows: cases found, narrowed, and what opening them costs."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_tcia.app.case import Case
from napari_tcia.app.fetch import MANIFESTS, companions, resolve_all, stored
from napari_tcia.app.search import ANNOTATION_MODALITIES, interpret, search
from napari_tcia.app.services import Services
from napari_tcia.core.model import Issue, Listing, SearchQuery, Series
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.terms.licence import identify


@dataclass(frozen=True, slots=True)
class CaseRow:
    """An image series with the annotation series of its study, as one row."""

    series: Series
    annotations: tuple[Series, ...] = ()

    @property
    def all(self) -> tuple[Series, ...]:
        """Everything that opening the row opens."""
        return (self.series, *self.annotations)

    @property
    def bytes(self) -> int:
        """Declared size; what is not declared counts as nothing."""
        return sum(s.bytes or 0 for s in self.all)

    @property
    def has_nodes(self) -> bool:
        """Whether annotations are known to exist."""
        return bool(self.annotations or self.series.has_labels)


@dataclass(frozen=True, slots=True)
class Results:
    """Answer to a search.

    Attributes
    ----------
    text : str
        What was looked for.
    rows : tuple of CaseRow
    issues : tuple of Issue
    accepted : frozenset of str
        Collections whose terms stand accepted.
    stored : frozenset of str
        Series that are on disk, verified.
    hint : str
        What to try when there are no rows.
    """

    text: str = ""
    rows: tuple[CaseRow, ...] = ()
    issues: tuple[Issue, ...] = ()
    accepted: frozenset[str] = frozenset()
    stored: frozenset[str] = frozenset()
    hint: str = ""


def case_rows(series: Iterable[Series]) -> tuple[CaseRow, ...]:
    """Join image series with the annotations of the same study.

    Annotations without an image beside them keep a row of their own.
    """
    series = tuple(series)
    notes = [s for s in series if s.modality in ANNOTATION_MODALITIES]
    images = [s for s in series if s.modality not in ANNOTATION_MODALITIES]
    with_images = {s.study_uid for s in images if s.study_uid}
    rows = [
        CaseRow(
            image,
            tuple(n for n in notes if n.study_uid == image.study_uid != ""),
        )
        for image in images
    ]
    rows += [CaseRow(n) for n in notes if n.study_uid not in with_images]
    rows.sort(key=lambda row: (row.series.collection.casefold(), row.series.patient_id))
    return tuple(rows)


def find(
    services: Services,
    text: str,
    *,
    offline: bool = False,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Results:
    """Look for what was typed or pasted: names, patients, UIDs, DOIs, manifests."""
    text = text.strip()
    path = Path(text)
    if path.suffix.lower() in MANIFESTS and path.is_file():
        series, issues, _ = resolve_all(services, [text], token=token)
        return _results(services, text, Listing(series, issues))
    query = interpret(services, text)
    found = search(services, query, offline=offline, report=report, token=token)
    if not found.items and query.series_uid:
        found = search(
            services,
            SearchQuery(study_uid=query.series_uid),
            offline=offline,
            report=report,
            token=token,
        )
    return _results(services, text, found, query.collection)


def narrow(
    rows: Iterable[CaseRow],
    *,
    modality: str = "",
    with_nodes: bool = False,
    collection: str = "",
) -> tuple[CaseRow, ...]:
    """Rows that pass every filter; an empty one lets all pass."""
    return tuple(
        row
        for row in rows
        if modality in ("", row.series.modality)
        and collection in ("", row.series.collection)
        and (row.has_nodes or not with_nodes)
    )


def counts(rows: Iterable[CaseRow], name: str) -> tuple[tuple[str, int], ...]:
    """How often each value of a `Series` field occurs, most frequent first."""
    counter = Counter(str(getattr(row.series, name)) for row in rows)
    return tuple((value, n) for value, n in counter.most_common() if value)


def cost(rows: Sequence[CaseRow], kept: frozenset[str], home: Path) -> str:
    """What opening `rows` costs: "1 case, 30 MB, 41 GB free"."""
    if not rows:
        return ""
    missing = [s for row in rows for s in row.all if s.series_uid not in kept]
    cases = f"{len(rows)} case" + ("s" if len(rows) > 1 else "")
    if not missing:
        return f"{cases}, on disk"
    size = size_text(sum(s.bytes or 0 for s in missing))
    if any(s.bytes is None for s in missing):
        size = f"at least {size}" if size != "0 B" else "size not declared"
    return f"{cases}, {size}, {size_text(free_bytes(home))} free"


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
    return Results(text, rows, found.issues, accepted, kept, hint)


def doubts(cases: Iterable[Case]) -> tuple[str, ...]:
    """What a person should know of `cases`: passports that warn or fail, issues.

    One sentence each, none twice.
    """
    words: list[str] = []
    for case in cases:
        checks = case.volume.passport.checks
        words += [c.message for c in checks if c.verdict != "pass"]
        words += [i.message for i in case.issues if i.level != "info"]
    return tuple(dict.fromkeys(words))


def after_acceptance(results: Results, names: Iterable[str]) -> Results:
    """Results with the terms of some collections accepted."""
    return replace(results, accepted=results.accepted | frozenset(names))


def after_fetch(results: Results, series: Iterable[Series]) -> Results:
    """Results with some series on disk."""
    return replace(
        results, stored=results.stored | frozenset(s.series_uid for s in series)
    )
