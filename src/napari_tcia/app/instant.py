"""Suggestions while one types, from what this machine knows; no network."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_tcia.app import known
from napari_tcia.app.fetch import MANIFESTS
from napari_tcia.app.interpret import interpret
from napari_tcia.app.search import collections
from napari_tcia.app.services import Services
from napari_tcia.app.spelling import Keys, allowed, loose, plain, words
from napari_tcia.core.model import Collection, Series
from napari_tcia.core.text import bare_doi

_UID = re.compile(r"[0-9]+\.[0-9.]*")
_DOI = re.compile(r"(?:https?://)?(?:dx\.)?(?:doi\.org/|doi:\s*)?(10\.\S*)", re.I)

# Ranks of a match, best first.
_EXACT, _LOOSE, _PREFIX, _NEAR, _INSIDE, _WORDS, _START, _FAR, _NONE = range(9)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Something that what is typed may mean.

    Attributes
    ----------
    kind : {"collection", "patient", "series", "study", "doi", "manifest", "folder"}
        ``"series"`` also stands for a description that series share.
    text : str
        What to search for; fits the search box.
    detail : str
        A few words on what it is.
    """

    kind: str
    text: str
    detail: str


class Index:
    """What is known on this machine, ready to be searched as one types.

    Made once, with `of`, in a worker; it never changes, so any thread may ask.

    Parameters
    ----------
    collections : iterable of Collection
    series : iterable of Series
    """

    def __init__(
        self, collections: Iterable[Collection], series: Iterable[Series]
    ) -> None:
        series = tuple(series)
        collections = tuple(collections)
        self._found: list[Suggestion] = []
        owners: list[int] = []
        keys: list[str] = []
        hay: list[str] = []
        for found, names, also in _entries(collections, series):
            owners += [len(self._found)] * len(names)
            keys += [plain(name) for name in names]
            hay.append(words(also))
            self._found.append(found)
        self._remarks = np.array([one.kind == "series" for one in self._found], bool)
        self._owners = np.array(owners, np.int32)
        # To look through one text is many times faster than through its parts.
        self._text = "\n" + "\n".join(keys) + "\n"
        self._lengths = np.array([len(key) for key in keys], np.int64)
        self._starts = np.cumsum(self._lengths + 1) - self._lengths
        self._hay = hay
        self._keys = Keys(keys)
        self._loose: dict[str, list[int]] = defaultdict(list)
        for owner, found in enumerate(self._found):
            if found.kind == "patient":
                self._loose[loose(found.text)].append(owner)
        self._series = {one.series_uid: one for one in series}
        studies = {one.study_uid: one for one in series if one.study_uid}
        self._studies = studies
        self._uids = "\n" + "\n".join([*self._series, *studies]) + "\n"
        self._dois = [(one.doi, one.name) for one in collections if one.doi]

    @classmethod
    def of(cls, services: Services) -> Index:
        """Index what the catalogue and the last listings of the archive hold."""
        listed = collections(services, offline=True)
        return cls(listed, known.all_series(services))

    def matching(self, text: str, limit: int = 12) -> tuple[Suggestion, ...]:
        """What `text` may mean, best first.

        First what it names exactly, in whatever case, separators and leading
        zeros; then what begins with it; then what is a typing mistake away;
        then what holds it, or all its words. A path is looked up on disk.
        """
        text = text.strip()
        if found := place(text):
            kind, path = found
            return (Suggestion(kind, text, f"{kind} {path.name}"),)
        if doi := _DOI.fullmatch(text):
            return tuple(self._dois_from(bare_doi(text) or doi[1], limit))
        if _UID.fullmatch(text):
            return tuple(self._uids_from(text, limit))
        key = plain(text)
        if not key:
            return ()
        ranks = self._ranks(text, key)
        # Entries are in the order in which equals are shown, and sorting keeps it.
        best = np.argsort(ranks, kind="stable")[:limit]
        return tuple(self._found[n] for n in best if ranks[n] < _NONE)

    def _ranks(self, text: str, key: str) -> NDArray[np.uint8]:
        ranks = np.full(len(self._found), _NONE, np.uint8)

        def offer(owners: NDArray[np.integer] | list[int], rank: int) -> None:
            at = np.asarray(owners, np.int64)
            ranks[at] = np.minimum(ranks[at], rank)

        if most := allowed(key):
            whole, start = self._keys.distances(key, most)
            if len(key) > 4:
                offer(self._owners[start <= 1], _START)
            offer(self._owners[whole <= most], _FAR)
            offer(self._owners[whole <= 1], _NEAR)
        wanted = [f" {word}" for word in words(text).split()]
        if len(key) > 2:
            holds = [n for n, h in enumerate(self._hay) if all(w in h for w in wanted)]
            offer(holds, _WORDS)
        # Two letters are in everything; they only begin things.
        sought = re.escape(key if len(key) > 2 else "\n" + key)
        at = np.array([m.end() for m in re.finditer(sought, self._text)], np.int64)
        if at.size:
            at -= len(key)
            keys = np.searchsorted(self._starts, at, side="right") - 1
            begins = at == self._starts[keys]
            is_whole = begins & (self._lengths[keys] == len(key))
            offer(self._owners[keys], _INSIDE)
            offer(self._owners[keys[begins]], _PREFIX)
            offer(self._owners[keys[is_whole]], _EXACT)
        offer(self._loose.get(loose(text), []), _LOOSE)
        # A description is a remark on a series; names come before it.
        ranks[self._remarks] = np.maximum(ranks[self._remarks], _INSIDE)
        return ranks

    def _uids_from(self, text: str, limit: int) -> Iterator[Suggestion]:
        """Series and studies whose UID begins with `text`, the whole one first."""
        sought = "\n" + text
        uids = [text] if text in self._series or text in self._studies else []
        at = self._uids.find(sought)
        while at >= 0 and len(uids) < limit:
            uid = self._uids[at + 1 : self._uids.index("\n", at + 1)]
            uids += [uid] if uid != text else []
            at = self._uids.find(sought, at + 1)
        for uid in uids[:limit]:
            one = self._series.get(uid)
            study = one or self._studies[uid]
            detail = f"{study.patient_id}, {study.collection}"
            if one:
                detail = f"{one.modality} of {detail}"
            yield Suggestion("series" if one else "study", uid, detail)

    def _dois_from(self, text: str, limit: int) -> Iterator[Suggestion]:
        wanted = text.casefold()
        found = [(doi, name) for doi, name in self._dois if wanted in doi.casefold()]
        found.sort(key=lambda one: not one[0].casefold().startswith(wanted))
        for doi, name in found[:limit]:
            yield Suggestion("doi", doi, name)


def recognised(services: Services, text: str) -> str:
    """What a search takes `text` for: "patient MED_LYMPH_021".

    Empty where it is free text.
    """
    text = text.strip()
    if found := place(text):
        kind, path = found
        return f"{kind} {path.name}"
    query = interpret(services, text)
    if query.series_uid:
        if services.catalogue.find_series(query.series_uid):
            return f"series {query.series_uid}"
        return f"series or study {query.series_uid}"
    if query.patient:
        return f"patient {query.patient}"
    if query.collection:
        doi = bare_doi(text)
        words = f"collection {query.collection}"
        return f"DOI {doi}, {words}" if doi else words
    return ""


def place(text: str) -> tuple[str, Path] | None:
    """A manifest or folder on this machine that `text` is the path of.

    A folder is one only when it is written as a path, so that the name of a
    collection is never taken for a folder that happens to be called so.
    """
    if not text or "\0" in text or len(text) > 4096:
        return None
    try:
        path = Path(text.removeprefix("file://").strip("'\"")).expanduser()
        if path.suffix.lower() in MANIFESTS and path.is_file():
            return "manifest", path
        if len(path.parts) > 1 and path.is_dir():
            return "folder", path
    except (OSError, ValueError, RuntimeError):
        # A name too long or not encodable, no right to look, "~nobody".
        return None
    return None


Entry = tuple[Suggestion, tuple[str, ...], str]
"""A suggestion, the names it goes by, and the words it is also found by."""


def _entries(
    collections: Iterable[Collection], series: Iterable[Series]
) -> Iterator[Entry]:
    for one in sorted(collections, key=lambda c: (len(c.name), c.name.casefold())):
        facts = [
            f"{one.patients} patients" if one.patients else "",
            ", ".join(one.modalities[:4]),
            one.licence,
        ]
        detail = ", ".join(filter(None, facts))
        found = Suggestion("collection", one.name, detail)
        yield found, (one.name,), f"{one.name} {one.title}"
    patients: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    descriptions: Counter[str] = Counter()
    for one_series in series:
        of = patients[one_series.patient_id]
        of[one_series.collection].add(one_series.modality)
        descriptions[one_series.description] += 1
    for patient in sorted(filter(None, patients)):
        of = patients[patient]
        modalities = sorted(set().union(*of.values()))
        detail = f"{' and '.join(sorted(of))}, {', '.join(filter(None, modalities))}"
        also = f"{patient} {' '.join(of)}"
        yield Suggestion("patient", patient, detail), (patient,), also
    for remark, count in sorted(descriptions.items(), key=lambda d: (-d[1], d[0])):
        if remark:
            found = Suggestion("series", remark, f"description of {count} series")
            yield found, (remark,), remark
