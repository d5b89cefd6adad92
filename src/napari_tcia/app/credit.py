"""Credit: citations and session terms, derived from provenance alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from napari_tcia.archive.catalogue import load
from napari_tcia.cite import citation, formats
from napari_tcia.core.model import Citation, CollectionFacts, Provenance
from napari_tcia.terms.licence import identify


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


def citations(provenances: Iterable[Provenance]) -> tuple[Citation, ...]:
    """Everything to credit for the given layers: datasets, papers, archive."""
    return citation.citations_for(provenances, facts)


def overlay_text(provenances: Iterable[Provenance]) -> str:
    """Attribution for the canvas, a few short lines."""
    return citation.short_line(citations(provenances))


def terms_sentence(provenances: Iterable[Provenance]) -> str:
    """What one may do with all that is open together."""
    licences = [
        identify(p.licence_name, p.licence_uri)
        for p in provenances
        if p.origin != "unknown" and not p.synthetic
    ]
    return citation.session_terms(licences) if licences else ""


def dataset_lines(provenances: Iterable[Provenance]) -> tuple[DatasetLine, ...]:
    """One line per dataset that is open, in the order it was opened."""
    groups: dict[tuple[str, bool, str], list[Provenance]] = {}
    for p in provenances:
        key = ("", True, "") if p.synthetic else (p.collection, False, p.origin)
        groups.setdefault(key, []).append(p)
    lines = []
    for (name, synthetic, origin), members in groups.items():
        cited = citations(members)
        first = cited[0] if cited else None
        if synthetic:
            title, terms = citation.SYNTHETIC_TITLE, "synthetic"
        elif origin == "unknown":
            title, terms = "Data of unknown origin", "none"
        else:
            title = name
            accepted = all(p.terms == "accepted" for p in members)
            terms = "accepted" if accepted else "not recorded"
        licence = identify(members[0].licence_name, members[0].licence_uri)
        lines.append(
            DatasetLine(
                title=title,
                licence="" if synthetic or origin == "unknown" else licence.short,
                doi=first.doi if first else "",
                url=first.url if first else "",
                terms=terms,
                citations=cited,
            )
        )
    return tuple(lines)


def render(cited: Sequence[Citation], format: str, style: str | None = None) -> str:
    """Citations as text, bibtex, ris, csl-json or cff."""
    return formats.render(tuple(cited), format, style)
