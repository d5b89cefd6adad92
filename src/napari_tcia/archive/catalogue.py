"""The bundled catalogue: what is known without a network.

Facts about all collections, and every series of the two lymph-node
collections, from the public index of the Imaging Data Commons. Made by
``scripts/build_catalogue.py``; no abstracts, no annotations, no pixels.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

from napari_tcia.core.model import SearchQuery, Series
from napari_tcia.core.text import bare_doi

FILE = "catalogue.json.gz"


@dataclass(frozen=True, slots=True)
class CatalogueCollection:
    """Facts about a collection.

    Attributes
    ----------
    name : str
        As TCIA writes it, "CT Lymph Nodes".
    id : str
        As the Imaging Data Commons writes it, "ct_lymph_nodes".
    doi : str
        Bare, in the spelling of the citation.
    licences : tuple of str
        Short names ("CC BY 3.0") of its original data.
    licence_url : str
        Official text of the licence, as the index gives it.
    access : str
        ``"open"`` for all collections of the index.
    citation_text : str
        One plain line.
    """

    name: str
    id: str
    title: str = ""
    doi: str = ""
    licences: tuple[str, ...] = ()
    licence_url: str = ""
    access: str = "unknown"
    patients: int | None = None
    series_count: int | None = None
    modalities: tuple[str, ...] = ()
    citation_text: str = ""

    @property
    def licence(self) -> str:
        """Short names of its licences, joined."""
        return "; ".join(self.licences)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the bundled file holds.

    Attributes
    ----------
    date : str
        Release date of the index, ``YYYY-MM-DD``.
    release : str
        Its name, "IDC v25".
    collections : mapping
        By name.
    series : tuple of Series
        Every series of CT Lymph Nodes and Mediastinal-Lymph-Node-SEG.
    objects : mapping
        SeriesInstanceUID to (bucket, folder) of its public copy.
    """

    date: str
    release: str
    collections: Mapping[str, CatalogueCollection]
    series: tuple[Series, ...]
    objects: Mapping[str, tuple[str, str]]
    _by_key: Mapping[str, CatalogueCollection] = field(repr=False)
    _by_uid: Mapping[str, Series] = field(repr=False)
    _by_folder: Mapping[str, Series] = field(repr=False)

    def find_collection(self, name: str) -> CatalogueCollection | None:
        """The collection of that name, id or DOI, whatever the case."""
        key = (bare_doi(name) or name.strip()).casefold()
        return self._by_key.get(key)

    def find_series(self, uid: str) -> Series | None:
        """The series of that UID."""
        return self._by_uid.get(uid.strip())

    def find_folder(self, folder: str) -> Series | None:
        """The series of a folder in a public bucket, as ``.s5cmd`` files name it."""
        return self._by_folder.get(folder.lower())

    def search(self, query: SearchQuery) -> tuple[Series, ...]:
        """Series that match every field of `query`, without regard to case."""
        known = self.find_collection(query.collection) if query.collection else None
        exact = {
            "collection": known.name if known else query.collection,
            "patient_id": query.patient,
            "modality": query.modality,
            "body_part": query.body_part,
            "series_uid": query.series_uid,
            "study_uid": query.study_uid,
        }
        wanted = {name: text.casefold() for name, text in exact.items() if text}
        words = query.text.casefold()

        def matches(series: Series) -> bool:
            fields = (getattr(series, n).casefold() == w for n, w in wanted.items())
            labels = query.has_labels in (None, bool(series.has_labels))
            return all(fields) and labels and (not words or words in _text(series))

        return tuple(filter(matches, self.series))


@lru_cache(maxsize=1)
def load() -> Catalogue:
    """Read the bundled catalogue; once per process."""
    packed = files("napari_tcia.archive").joinpath(FILE).read_bytes()
    return _parse(json.loads(gzip.decompress(packed)))


def _parse(value: Mapping[str, Any]) -> Catalogue:
    collections: dict[str, CatalogueCollection] = {}
    for row in value["collections"]:
        known: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in row.items()
        }
        collections[row["name"]] = CatalogueCollection(**known)
    by_id = {c.id: c for c in collections.values()}
    series: list[Series] = []
    objects: dict[str, tuple[str, str]] = {}
    by_folder: dict[str, Series] = {}
    for table in value["series"]:
        of = by_id[table["collection"]]
        names = table["columns"]
        for row in table["rows"]:
            facts = dict(zip(names, row, strict=True))
            folder = facts.pop("folder")
            one = Series(
                **facts,
                collection=of.name,
                licence_name=of.licence,
                licence_uri=of.licence_url,
                doi=of.doi,
                sources=("catalogue",),
            )
            series.append(one)
            objects[one.series_uid] = (table["bucket"], folder)
            by_folder[folder] = one
    by_key = {c.id.casefold(): c for c in collections.values()}
    by_key |= {c.doi.casefold(): c for c in collections.values() if c.doi}
    by_key |= {name.casefold(): c for name, c in collections.items()}
    return Catalogue(
        date=value["date"],
        release=value["release"],
        collections=collections,
        series=tuple(series),
        objects=objects,
        _by_key=by_key,
        _by_uid={one.series_uid: one for one in series},
        _by_folder=by_folder,
    )


def _text(series: Series) -> str:
    parts = (
        series.patient_id,
        series.description,
        series.collection,
        series.series_uid,
        series.study_uid,
    )
    return "\n".join(parts).casefold()
