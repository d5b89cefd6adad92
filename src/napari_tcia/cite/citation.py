"""Citations, derived from the provenance of what is open and from nothing else."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from napari_tcia.cite.references import (
    CT_LYMPH_NODES_DOI,
    DATASETS,
    IDC_PAPER,
    PAPERS,
    TCIA_PAPER,
    TCIA_PUBLISHER,
    Csl,
)
from napari_tcia.core.model import (
    TWIN_UID_ROOT,
    Citation,
    CollectionFacts,
    Licence,
    Provenance,
)
from napari_tcia.core.text import bare_doi

Lookup = Callable[[str], CollectionFacts | None]
"""From a collection name or DOI to what is known of it."""

_MAX_AUTHORS = 20
"""APA 7 names so many authors; of more, the first 19 and the last."""

SYNTHETIC_TITLE = "SYNTHETIC phantom modelled on CT Lymph Nodes"
SYNTHETIC = Citation(
    key="napari-tcia-synthetic-phantom",
    kind="synthetic",
    text="napari-tcia developers. Synthetic phantom modelled on CT Lymph Nodes "
    f"(doi:{CT_LYMPH_NODES_DOI}); not patient data, and no part of that dataset.",
    csl={
        "id": "napari-tcia-synthetic-phantom",
        "type": "dataset",
        "title": "Synthetic phantom modelled on CT Lymph Nodes; not patient data",
        "title-short": "Synthetic phantom",
        "author": [{"literal": "napari-tcia developers"}],
        "note": f"Modelled on doi:{CT_LYMPH_NODES_DOI}; no part of that dataset",
    },
)
"""The one citation of everything that the embedded archive makes."""

_RESOLVER = "https://doi.org/"
_APA = re.compile(
    r"(?P<authors>.+?)\s*\((?P<year>\d{4})[^)]*\)\.?\s*(?P<title>.+?)"
    r"(?:\s*\((?:Version|Vers?\.?)\s+(?P<version>[^)]+)\))?"
    r"(?:\s*\[Data ?set\])?\s*\.\s+(?P<publisher>[^.]+?)\.?\s*"
    r"(?:(?:https?://|doi:)\S*)?",
    re.IGNORECASE,
)
_GIVEN = re.compile(r"(?:\w[\w'’]*\.?[ -]?)*\w\.(?:[ -]?\w[\w'’]*\.?)*")


def citations_for(
    provenances: Iterable[Provenance], catalogue_lookup: Lookup
) -> tuple[Citation, ...]:
    """Everything to credit for some layers, each work once.

    Parameters
    ----------
    provenances : iterable of Provenance
        Of all layers present. Synthetic ones give the phantom's citation and
        never that of the dataset it is modelled on; those of unknown origin
        give none.
    catalogue_lookup : callable
        Facts of a collection, by name or DOI; None where it is not known.

    Returns
    -------
    tuple of Citation
        Datasets in the order they occur, the synthetic phantom, the papers
        that the datasets ask for, and last what TCIA asks for in general, and
        IDC for what came from its buckets.
    """
    licences: dict[str, dict[str, None]] = {}
    sources: dict[str, tuple[Provenance, CollectionFacts | None]] = {}
    synthetic = real = bucket = False
    for one in provenances:
        if _is_synthetic(one):
            synthetic = True
        elif one.origin != "unknown":
            real = True
            bucket |= one.source == "idc"
            facts = _facts(one, catalogue_lookup)
            doi = bare_doi(one.doi) or bare_doi(facts.doi if facts else "")
            key = doi.casefold() or one.collection.casefold()
            if key:
                sources.setdefault(key, (one, facts))
                licences.setdefault(key, {})[_licence(one, facts)] = None
    datasets = [
        _dataset(key, *source, " / ".join(filter(None, licences[key])))
        for key, source in sources.items()
    ]
    papers = [paper for key in sources for paper in PAPERS.get(key, ())]
    found = [
        *datasets,
        *([SYNTHETIC] if synthetic else []),
        *(from_csl(paper) for paper in papers),
        *([from_csl(TCIA_PAPER, kind="archive")] if real else []),
        *([from_csl(IDC_PAPER, kind="archive")] if bucket else []),
    ]
    return tuple({citation.key: citation for citation in found}.values())


def for_collection(facts: CollectionFacts) -> tuple[Citation, ...]:
    """What to credit for a collection as a whole."""
    whole = Provenance(origin="archive", collection=facts.name, doi=facts.doi)
    return citations_for([whole], lambda _: facts)


def for_doi(doi: str, catalogue_lookup: Lookup) -> tuple[Citation, ...]:
    """What to credit for the dataset of a DOI; empty when nobody knows it."""
    bare = bare_doi(doi)
    facts = catalogue_lookup(bare) if bare else None
    if facts is not None:
        return for_collection(facts)
    if bare.casefold() not in DATASETS:
        return ()
    return citations_for([Provenance(origin="archive", doi=bare)], lambda _: None)


def short_line(citations: Sequence[Citation]) -> str:
    """Attribution for the canvas: at most three short lines, empty for none."""
    lines = []
    for one in citations:
        if one.kind == "synthetic":
            lines.append(f"{SYNTHETIC_TITLE} - not patient data")
        elif one.kind == "dataset":
            named = ", ".join(filter(None, (_short_title(one), one.licence)))
            lines.append(f"{named}\ndoi:{one.doi}" if one.doi else named)
    if len(lines) == 1:
        return lines[0]
    lines = [line.replace("\n", ", ") for line in lines]
    if len(lines) > 3:
        lines[2:] = [f"and {len(lines) - 2} more datasets, see Citations"]
    return "\n".join(lines)


def session_terms(licences: Iterable[Licence]) -> str:
    """One sentence on what may be done with all open datasets together.

    The strictest of them decides, and what is not known is not permitted.
    """
    found = tuple(licences)
    if not found:
        return ""
    if any(one.controlled for one in found):
        return "Controlled access: only what your approved request allows."
    if any(one.share is None for one in found):
        return "Licence unknown for some of the data: ask before you share or publish."
    credit = ", with credit" if any(one.attribution for one in found) else ""
    if any(one.commercial is False for one in found):
        return f"Non-commercial use only{credit}."
    verbs = ["share"]
    if all(one.adapt for one in found):
        verbs.append("adapt")
    if all(one.commercial for one in found):
        verbs.append("use commercially")
    if len(verbs) == 3:
        return f"You may share, adapt and use commercially{credit}."
    may = " and ".join(verbs)
    return f"You may {may}{credit}; read the licence before anything else."


def from_csl(item: Csl, *, kind: str = "", licence: str = "") -> Citation:
    """Citation of a CSL-JSON item, such as DataCite sends for a DOI.

    Parameters
    ----------
    item : mapping
        Missing parts are left out of the sentence.
    kind : str
        Of `Citation`; by default "dataset" for a data set, else "paper".
    """
    doi = bare_doi(str(item.get("DOI", "")))
    csl = {str(key): value for key, value in item.items()}
    csl["id"] = doi.casefold() or str(csl.get("id") or csl.get("title") or "untitled")
    csl.setdefault("type", "document")
    if doi:
        csl["DOI"] = doi
        csl["URL"] = _RESOLVER + doi
    return Citation(
        key=csl["id"],
        kind=kind or ("dataset" if csl["type"] == "dataset" else "paper"),
        text=sentence(csl),
        doi=doi,
        url=str(csl.get("URL", "")),
        licence=licence,
        csl=csl,
    )


def sentence(csl: Csl) -> str:
    """One line in the manner of APA 7 for a data set, a paper or a chapter."""
    year = _year(csl)
    parts = [f"{_people(csl)} ({year})" if year else _people(csl)]
    title = str(csl.get("title", "")).rstrip(".")
    volume = str(csl.get("volume", ""))
    issue = f"({csl['issue']})" if csl.get("issue") else ""
    pages = str(csl.get("page", "")).replace("-", "–")
    container = str(csl.get("container-title", ""))
    publisher = str(csl.get("publisher", ""))
    if csl.get("type") == "dataset":
        version = f" (Version {csl['version']})" if csl.get("version") else ""
        parts += [f"{title}{version} [Data set]", publisher]
    elif csl.get("type") == "article-journal":
        parts += [title, ", ".join(filter(None, (container, volume + issue, pages)))]
    else:
        book = " ".join(
            str(csl[key])
            for key in ("collection-title", "collection-number")
            if key in csl
        )
        within = ", ".join(filter(None, (book, pages and f"pp. {pages}")))
        where = f"In {container} ({within})" if within else f"In {container}"
        parts += [title, where if container else "", publisher]
    text = ". ".join(part.rstrip(".") for part in parts if part)
    return f"{text}. {csl['URL']}" if csl.get("URL") else f"{text}."


def parse_apa(text: str) -> dict[str, Any]:
    """CSL item of a data citation in APA style, as TCIA and DataCite print it.

    Tolerant: markup is dropped, names of institutions stay whole, a list cut
    with an ellipsis gets "others" (which BibTeX takes for et al.). A sentence
    that does not follow the pattern gives its DOI at most.
    """
    plain = " ".join(html.unescape(re.sub(r"</?[a-zA-Z]+/?>", "", text)).split())
    item: dict[str, Any] = {"type": "dataset"}
    if doi := bare_doi(plain):
        item["DOI"] = doi
    if match := _APA.fullmatch(plain):
        item["author"] = _parse_authors(match["authors"])
        item["issued"] = {"date-parts": [[int(match["year"])]]}
        item["title"] = match["title"].strip()
        item["publisher"] = match["publisher"].strip()
        if match["version"]:
            item["version"] = match["version"].strip()
    return item


def _parse_authors(text: str) -> list[dict[str, str]]:
    """CSL names of "Family, I. I., Family, I., & Family, I."."""
    if "; " in text:
        pairs = [one.strip(" &").partition(", ") for one in text.split(";")]
        return [{"family": family, "given": given} for family, _, given in pairs]
    tokens = [t for t in re.split(r",\s*(?:&\s*)?|\s*&\s+|(?<=…)\s*", text) if t]
    final = bool(re.search(r"&\s[^,&]+,[^,&]+$", text))
    names: list[dict[str, str]] = []
    while tokens:
        family = tokens.pop(0)
        # A last pair after "&" is a person even with a name written out.
        if tokens and (_GIVEN.fullmatch(tokens[0]) or (final and len(tokens) == 1)):
            given = tokens.pop(0)
            given = given if re.search(r"\b\w\.$", given) else given.rstrip(".")
            suffix = re.fullmatch(r"(.+) (Jr\.?|Sr\.?|I{2,3}|IV)", family)
            name = {"family": suffix[1] if suffix else family, "given": given}
            names.append(name | {"suffix": suffix[2]} if suffix else name)
        elif family.strip(". ") == "…" or family in ("...", "et al."):
            names.append({"literal": "others"})
        else:
            names.append({"literal": family.removesuffix(".")})
    whole = [name.get("literal", "") for name in names]
    if len(names) > 1 and any(n and " " not in n and n != "others" for n in whole):
        # Half a person is worse than the list as it was printed.
        return [{"literal": text}]
    return names


def _is_synthetic(one: Provenance) -> bool:
    uids = (one.series_uid, one.study_uid)
    return one.synthetic or any(uid.startswith(TWIN_UID_ROOT) for uid in uids)


def _facts(one: Provenance, lookup: Lookup) -> CollectionFacts | None:
    """Facts of the dataset itself: annotations may have a DOI of their own."""
    doi = bare_doi(one.doi)
    facts = lookup(one.collection) if one.collection else None
    if doi and (facts is None or bare_doi(facts.doi).casefold() != doi.casefold()):
        return lookup(doi)
    return facts


def _licence(one: Provenance, facts: CollectionFacts | None) -> str:
    """Short name: of the series itself where it is known."""
    if match := re.fullmatch(r"CC-(BY(?:-NC)?)-(\d\.\d)", one.licence_id):
        return f"CC {match[1]} {match[2]}"
    return (facts.licence if facts else "") or one.licence_name


def _dataset(
    key: str, one: Provenance, facts: CollectionFacts | None, licence: str
) -> Citation:
    if key in DATASETS:
        return from_csl(DATASETS[key], kind="dataset", licence=licence)
    doi = bare_doi(one.doi) or bare_doi(facts.doi if facts else "")
    csl: dict[str, Any] = {
        "id": key,
        "type": "dataset",
        "title": (facts.title if facts else "") or one.collection or doi,
        "title-short": (facts.name if facts else "") or one.collection or doi,
        "publisher": TCIA_PUBLISHER,
    }
    text = ""
    if facts and facts.citation_text:
        csl |= parse_apa(facts.citation_text)
        text = " ".join(
            html.unescape(re.sub(r"</?[a-zA-Z]+/?>", "", facts.citation_text)).split()
        )
    if doi:
        csl["DOI"] = doi
    made = from_csl(csl, kind="dataset", licence=licence)
    if not text:
        return made
    return Citation(made.key, made.kind, text, made.doi, made.url, licence, made.csl)


def _short_title(one: Citation) -> str:
    return str(one.csl.get("title-short") or one.csl.get("title") or one.doi)


def _year(csl: Csl) -> str:
    try:
        return str(csl["issued"]["date-parts"][0][0])
    except (KeyError, IndexError, TypeError):
        return ""


def _people(csl: Csl) -> str:
    names = [_apa_name(name) for name in csl.get("author", ())]
    if len(names) > _MAX_AUTHORS:
        return f"{', '.join(names[: _MAX_AUTHORS - 1])}, … {names[-1]}"
    if len(names) > 1:
        return f"{', '.join(names[:-1])}, & {names[-1]}"
    return names[0] if names else str(csl.get("publisher", "Unknown author"))


def _apa_name(name: Mapping[str, str]) -> str:
    if "family" not in name:
        return str(name.get("literal", ""))
    initials = " ".join(
        "-".join(f"{part[0]}." for part in word.split("-") if part)
        for word in str(name.get("given", "")).replace(".", ". ").split()
    )
    return ", ".join(filter(None, (name["family"], initials, name.get("suffix", ""))))
