"""Credit: citations and session terms, derived from provenance alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_tcia.app.services import Services
from napari_tcia.archive import datacite
from napari_tcia.archive.catalogue import load
from napari_tcia.cite import citation, formats, notice
from napari_tcia.cite.references import PAGES
from napari_tcia.core.files import write_atomic
from napari_tcia.core.model import Citation, CollectionFacts, Licence, Provenance
from napari_tcia.core.settings import POLICY_URL
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.errors import Cancelled, TciaError, UsageError
from napari_tcia.terms.licence import identify

Newer = Mapping[str, Citation]
"""Citations as DataCite gave them in this session, by key."""
SUFFIXES = {
    ".txt": "text",
    ".bib": "bibtex",
    ".ris": "ris",
    ".json": "csl-json",
    ".cff": "cff",
}
"""Format that a file name stands for."""


@dataclass(frozen=True, slots=True)
class DatasetLine:
    """One line of the citation panel.

    `terms` is ``"accepted"``, ``"not recorded"``, ``"none"`` or
    ``"synthetic"``.
    """

    title: str
    licence: str
    doi: str
    url: str
    terms: str
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class Adapted:
    """A layer that was changed or computed here, and what it was made from.

    `how` is ``"changed"`` or ``"derived"``; `by` and `on` (ISO 8601 date) where
    they are known.
    """

    name: str
    provenance: Provenance
    by: str = ""
    on: str = ""
    how: str = "changed"


@dataclass(frozen=True, slots=True)
class Entry:
    """A paragraph of the details: plain text, what it cites, where it links to.

    `copy` is what may be copied of it where it cites nothing.
    """

    text: str
    citation: Citation | None = None
    links: tuple[tuple[str, str], ...] = ()
    copy: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Paragraphs of the details below one heading."""

    title: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What DataCite says today, and in words what that changes or that it failed."""

    citations: Newer = field(default_factory=dict)
    sentences: tuple[str, ...] = ()


def facts(name_or_doi: str) -> CollectionFacts | None:
    """What the catalogue knows of a collection, for its citation."""
    found = load().find_collection(name_or_doi)
    if found is None:
        return None
    return CollectionFacts(
        name=found.name,
        title=found.title,
        doi=found.doi,
        licence=found.licences[0] if len(found.licences) == 1 else "",
        citation_text=found.citation_text,
    )


def citations(
    provenances: Iterable[Provenance], newer: Newer | None = None
) -> tuple[Citation, ...]:
    """Everything to credit for the given layers: datasets, papers, archive."""
    found = citation.citations_for(provenances, facts)
    return tuple(
        replace(newer[one.key], licence=one.licence)
        if newer and one.key in newer
        else one
        for one in found
    )


def overlay_text(provenances: Iterable[Provenance]) -> str:
    """Attribution for the canvas, a few short lines."""
    return citation.short_line(citations(provenances))


def terms_sentence(
    provenances: Iterable[Provenance], adapted: Sequence[Adapted] = ()
) -> str:
    """What one may do with all that is open together.

    Copies that were changed are named, since they are adaptations.
    """
    licences = [licence_of(p) for p in provenances if _owed(p)]
    if not licences:
        return ""
    sentence = citation.session_terms(licences)
    changed = (a for a in adapted if a.how == "changed" and _owed(a.provenance))
    names = list(dict.fromkeys(one.name for one in changed))
    if len(names) == 1:
        return f"{sentence} {names[0]} is an adaptation: say what you changed."
    if names:
        return f"{sentence} {len(names)} layers are adaptations: say what you changed."
    return sentence


def licence_of(one: Provenance) -> Licence:
    """Licence of the series of a layer."""
    return identify(one.licence_name, one.licence_uri)


def dataset_lines(
    provenances: Iterable[Provenance], newer: Newer | None = None
) -> tuple[DatasetLine, ...]:
    """One line per dataset that is open, in the order it was opened."""
    groups: dict[tuple[str, bool, str], list[Provenance]] = {}
    for p in provenances:
        key = ("", True, "") if p.synthetic else (p.collection, False, p.origin)
        groups.setdefault(key, []).append(p)
    lines = []
    for (name, synthetic, origin), members in groups.items():
        cited = citations(members, newer)
        first = cited[0] if cited else None
        if synthetic:
            title, terms = citation.SYNTHETIC_TITLE, "synthetic"
        elif origin == "unknown":
            title, terms = "Data of unknown origin", "none"
        else:
            title = name
            accepted = all(p.terms == "accepted" for p in members)
            terms = "accepted" if accepted else "not recorded"
        known = not synthetic and origin != "unknown"
        licences = dict.fromkeys(licence_of(p).short for p in members)
        lines.append(
            DatasetLine(
                title=title,
                licence=" / ".join(licences) if known else "",
                doi=first.doi if first else "",
                url=first.url if first else "",
                terms=terms,
                citations=cited,
            )
        )
    return tuple(lines)


def sections(
    provenances: Sequence[Provenance],
    adapted: Sequence[Adapted] = (),
    newer: Newer | None = None,
) -> tuple[Section, ...]:
    """All that is owed for the given layers, in the order one writes it down."""
    cited = citations(provenances, newer)
    kinds: dict[str, list[Entry]] = {}
    for one in cited:
        kinds.setdefault(one.kind, []).append(Entry(one.text, one))
        if one.kind == "dataset":
            kinds[one.kind] += _besides(one)
    thanks = notice.acknowledgement(cited)
    real = [p for p in provenances if _owed(p)]
    report = (Entry(notice.PUBLICATIONS), Entry(notice.QUESTIONS))
    found = (
        Section("Cite the data", tuple(kinds.get("dataset", ()))),
        Section("Synthetic data", tuple(kinds.get("synthetic", ()))),
        Section("Cite the papers it asks for", tuple(kinds.get("paper", ()))),
        Section("Cite the archive", tuple(kinds.get("archive", ()))),
        Section("Acknowledge", (Entry(thanks, copy=thanks),) if thanks else ()),
        Section("Licence and terms", _terms(real)),
        Section("Changed or derived here", tuple(_adapted(one) for one in adapted)),
        Section("Report and ask", report if real else ()),
    )
    return tuple(one for one in found if one.entries)


def refresh(
    services: Services,
    cited: Sequence[Citation],
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Refreshed:
    """Ask DataCite for the datasets among `cited`; say what differs.

    What it does not answer keeps the citation it has, and a sentence says so.
    """
    asked = [one for one in cited if one.kind == "dataset" and one.doi]
    found: dict[str, Citation] = {}
    sentences = []
    for number, one in enumerate(asked):
        report(Progress("Asking DataCite", number, len(asked)))
        name = str(one.csl.get("title-short") or one.doi)
        try:
            found[one.key] = fresh(services, one, token)
        except Cancelled:
            raise
        except TciaError as error:
            sentences.append(f"{name}: {error} The citation kept here stays.")
            continue
        changes = _differences(one, found[one.key])
        said = "; ".join(changes) or "the same as here"
        sentences.append(f"{name}, at DataCite: {said}.")
    return Refreshed(found, tuple(sentences))


def fresh(
    services: Services, one: Citation, token: CancelToken | None = None
) -> Citation:
    """A dataset's citation as DataCite has it today; others stay as they are.

    Raises
    ------
    ArchiveError
        DataCite does not answer, or with something else.
    """
    if one.kind != "dataset" or not one.doi:
        return one
    item: dict[str, Any] = datacite.csl(
        services.transport, services.settings, one.doi, token
    )
    if "title-short" in one.csl:
        item["title-short"] = one.csl["title-short"]
    return citation.from_csl(item, kind="dataset", licence=one.licence)


def render(cited: Sequence[Citation], format: str, style: str | None = None) -> str:
    """Citations as text, bibtex, ris, csl-json or cff."""
    return formats.render(tuple(cited), format, style)


def styles() -> dict[str, str]:
    """Citation styles that are installed: name and what `render` takes."""
    return formats.installed_styles()


def in_style(one: Citation, style: str | None) -> str:
    """One citation as text, in the given style or our plain one."""
    return formats.in_style(one, style) if style else one.text


def save(cited: Sequence[Citation], path: Path, style: str | None = None) -> Path:
    """Write citations to a file whose name says the form.

    Raises
    ------
    UsageError
        The name ends in none of `SUFFIXES`.
    StorageError
        The file cannot be written; nothing is left of it.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{path.name} says no citation format.",
            f"End the name in one of: {', '.join(SUFFIXES)}.",
        )
    styled = style if SUFFIXES[suffix] == "text" else None
    return write_atomic(path, render(cited, SUFFIXES[suffix], styled))


def _owed(one: Provenance) -> bool:
    """Whether a licence and TCIA's policy hold for a layer."""
    return one.origin != "unknown" and not one.synthetic


def _besides(one: Citation) -> list[Entry]:
    """The other wording of a data citation, and the version of the data."""
    known = facts(one.doi)
    listed = citation.parse_apa(known.citation_text).get("version") if known else None
    version = str(one.csl.get("version") or listed or "")
    page = PAGES.get(one.key)
    said = []
    if version:
        said.append(f"version {version} at DataCite")
    if page is not None:
        said.append(f"version {page.version} ({page.since}) on the collection's page")
    entries = []
    if page is not None:
        entries.append(
            Entry(
                "The collection's page words it so; the form above, DataCite's, has "
                f"the authors: {page.wording}",
                copy=page.wording,
            )
        )
    if said:
        entries.append(Entry(f"Data version: {', '.join(said)}."))
    return entries


def _terms(real: Sequence[Provenance]) -> tuple[Entry, ...]:
    found: dict[tuple[str, str], Licence] = {}
    for one in real:
        licence = licence_of(one)
        found.setdefault((one.collection, licence.id), licence)
    entries = []
    for (name, _), licence in found.items():
        links = (("Licence text", licence.url),) if licence.url else ()
        may = citation.session_terms([licence])
        entries.append(Entry(f"{name}: {licence.name}. {may}", links=links))
    if entries:
        policy = "TCIA's Data Usage Policy holds for all of it: no re-identification, "
        policy += "credit in everything you show or publish."
        entries.append(Entry(policy, links=(("Policy", POLICY_URL),)))
    return tuple(entries)


def _adapted(one: Adapted) -> Entry:
    who = f" by {one.by}" if one.by else ""
    when = f" on {one.on}" if one.on else ""
    made = f"{one.name}: {one.how}{who}{when}"
    if not _owed(one.provenance):
        return Entry(f"{made}.")
    said = notice.adaptation(licence_of(one.provenance))
    text = f"{made} from {one.provenance.collection}; {said}."
    return Entry(text, copy=text)


def _differences(kept: Citation, today: Citation) -> list[str]:
    found = []
    for key, word in (("title", "title"), ("publisher", "publisher")):
        before, now = str(kept.csl.get(key, "")), str(today.csl.get(key, ""))
        if now and before != now:
            found.append(f"{word} is {now!r}, here {before!r}")
    before, now = _issued(kept), _issued(today)
    if now and before != now:
        found.append(f"year is {now}, here {before or 'none'}")
    version = str(today.csl.get("version", ""))
    if version and version != str(kept.csl.get("version", "")):
        found.append(f"version is {version}, here {kept.csl.get('version', 'none')}")
    ours, theirs = _families(kept), _families(today)
    if theirs and ours != theirs:
        found.append(f"{len(theirs)} authors, here {len(ours)}, or in other words")
    return found


def _issued(one: Citation) -> str:
    dates = one.csl.get("issued", {}).get("date-parts") or [[]]
    return str(dates[0][0]) if dates[0] else ""


def _families(one: Citation) -> list[str]:
    return [
        str(name.get("family") or name.get("literal", "")).casefold()
        for name in one.csl.get("author", ())
    ]
