"""What is meant by what was typed or pasted into the one search box."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from napari_tcia.app import known
from napari_tcia.app.services import Services
from napari_tcia.app.spelling import Keys, allowed, loose, plain, words
from napari_tcia.core.model import Issue, SearchQuery

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_PATIENT = re.compile(r"(ABD|MED)[ _-]?(?:LYMPH)?[ _-]?0*(\d{1,3})", re.I)


def interpret(services: Services, text: str) -> SearchQuery:
    """Understand what was typed or pasted into the one search box.

    A series or study UID, a DOI, a collection, or a patient that this machine
    has heard of become a precise query, in any spelling that leaves no doubt
    ("med lymph 21", "CT Lymf Nodes"); anything else stays text.
    """
    text = text.strip()
    if _UID.fullmatch(text):
        return SearchQuery(series_uid=text)
    listed = services.catalogue.find_collection(text)
    if listed is not None:
        return SearchQuery(collection=listed.name)
    patient = _PATIENT.fullmatch(text)
    if patient:
        return SearchQuery(
            patient=f"{patient[1].upper()}_LYMPH_{int(patient[2]):03d}",
            collection="CT Lymph Nodes",
        )
    return _vocabulary(services).meant(text) or SearchQuery(text=text)


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


def respelt(services: Services, text: str, query: SearchQuery) -> tuple[Issue, ...]:
    """The remark that `text` was taken for another spelling, where it was."""
    name = query.patient or query.collection
    if (
        not name
        or loose(text) == loose(name)
        or services.catalogue.find_collection(text)
        or _PATIENT.fullmatch(text.strip())
    ):
        return ()
    message = f"Showing {name} for \u2018{text}\u2019."
    return (Issue("info", "spelling", message, {"text": text, "name": name}),)


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """Names that this machine knows, and the query that each stands for."""

    keys: Keys
    queries: tuple[SearchQuery, ...]
    loose: dict[str, SearchQuery]
    words: str

    def meant(self, text: str) -> SearchQuery | None:
        """The one query that `text` can only mean, if there is one."""
        if (found := self.loose.get(loose(text))) is not None:
            return found
        most = allowed(plain(text))
        # Words that occur in names and titles are spelt right: they are a search.
        if not most or all(f" {word}" in self.words for word in words(text).split()):
            return None
        distances, _ = self.keys.distances(plain(text), most)
        nearest = int(distances.min(initial=most + 1))
        if nearest > most:
            return None
        candidates = {self.queries[n] for n in (distances == nearest).nonzero()[0]}
        return candidates.pop() if len(candidates) == 1 else None


def _vocabulary(services: Services) -> _Vocabulary:
    return _make_vocabulary(_Key(services, known.state_of(services)))


@dataclass(frozen=True)
class _Key:
    """Services, told apart by what they know alone."""

    services: Services
    state: tuple[object, ...]

    def __hash__(self) -> int:
        return hash(self.state)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.state == self.state


@lru_cache(maxsize=2)
def _make_vocabulary(key: _Key) -> _Vocabulary:
    services = key.services
    catalogue = services.catalogue
    named = [
        (name, SearchQuery(collection=one.name), f"{one.name} {one.title}")
        for one in catalogue.collections.values()
        for name in dict.fromkeys((one.name, one.id))
    ]
    kept = known.last_collections(services)
    named += [
        (one.name, SearchQuery(collection=one.name), f"{one.name} {one.title}")
        for one in (kept.items if kept else ())
        if not catalogue.find_collection(one.name)
    ]
    patients: dict[str, set[str]] = {}
    for one in known.all_series(services):
        if one.patient_id:
            patients.setdefault(one.patient_id, set()).add(one.collection)
    for patient, among in patients.items():
        # The same patient may be in several collections; then all are meant.
        collection = next(iter(among)) if len(among) == 1 else ""
        query = SearchQuery(patient=patient, collection=collection)
        named.append((patient, query, patient))
    by_loose: dict[str, set[SearchQuery]] = {}
    for name, query, _ in named:
        by_loose.setdefault(loose(name), set()).add(query)
    return _Vocabulary(
        Keys([plain(name) for name, _, _ in named]),
        tuple(query for _, query, _ in named),
        {name: among.pop() for name, among in by_loose.items() if len(among) == 1},
        " ".join(words(text) for _, _, text in named),
    )
