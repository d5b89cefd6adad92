"""Types that cross rooms: frozen, plain, and ours.

What comes from outside (JSON, CSV, DICOM) is turned into these at the
boundary; what leaves for JSON goes through `to_json`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from napari_tcia.errors import GrantMismatch

T = TypeVar("T")

Level = Literal["info", "warn", "error"]

TWIN_UID_ROOT = "61.7.0.999."
"""Root of every UID that the embedded archive makes up."""
TWIN_MARK = "SYNTHETIC phantom of the napari-tcia embedded archive"
"""Beginning of PatientComments in everything that it makes up."""
TWIN_BUCKET = "idc-open-data"
"""Bucket in which it has everything that it makes up."""


def object_uuid(uid: str) -> str:
    """Name of a series, or of an instance, in its bucket: made from the UID."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, uid))


@dataclass(frozen=True, slots=True)
class Issue:
    """A doubt that a user should know of; never an exception.

    Attributes
    ----------
    level : {"info", "warn", "error"}
    code : str
        Stable snake_case name.
    message : str
        One sentence.
    numbers : mapping
        JSON-able facts behind the sentence.
    """

    level: Level
    code: str
    message: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection as the archive and the catalogue describe it.

    `access` is ``"open"``, ``"controlled"``, ``"mixed"`` or ``"unknown"`` and
    follows from the licence names.
    """

    name: str
    doi: str = ""
    title: str = ""
    licence: str = ""
    patients: int | None = None
    series: int | None = None
    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    access: str = "unknown"
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CollectionFacts:
    """What a citation of a collection is made of.

    `licence` is the short name ("CC BY 3.0"), empty where series differ;
    `citation_text` is the one-line sentence the archive asks for.
    """

    name: str
    title: str = ""
    doi: str = ""
    licence: str = ""
    citation_text: str = ""


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What to look for; empty fields do not restrict.

    `text` is matched against patient, description, collection and UIDs.
    """

    collection: str = ""
    patient: str = ""
    modality: str = ""
    body_part: str = ""
    series_uid: str = ""
    study_uid: str = ""
    text: str = ""
    has_labels: bool | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One DICOM series as listed by an archive or the catalogue.

    `images` and `bytes` are the archive's declared counts (bytes are the sum
    of the Part 10 files); None when it does not say. `licence_name` and
    `licence_uri` are the archive's words. `sources` names who listed it:
    ``"nbia"``, ``"catalogue"``. `pixel_spacing` (between rows) and
    `slice_thickness` are in mm, as the archive lists them.
    """

    series_uid: str
    study_uid: str = ""
    patient_id: str = ""
    collection: str = ""
    modality: str = ""
    description: str = ""
    body_part: str = ""
    images: int | None = None
    bytes: int | None = None
    licence_name: str = ""
    licence_uri: str = ""
    doi: str = ""
    manufacturer: str = ""
    has_labels: bool | None = None
    sources: tuple[str, ...] = ()
    pixel_spacing: float | None = None
    slice_thickness: float | None = None


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence in plain facts.

    Attributes
    ----------
    id : str
        Our stable id, ``"CC-BY-3.0"``, ``"NIH-controlled"``, ``"unknown"`` ...
        The SPDX id where one exists.
    short : str
        As people write it: "CC BY 3.0".
    name, url : str
        Full name and address of the official text.
    share, adapt, commercial, attribution : bool or None
        What it permits and asks; None when unknown.
    controlled : bool
        Not served without an approved request elsewhere.
    account : bool or None
        Whether getting the data asks for an account with its keeper.
    """

    id: str
    short: str
    name: str
    url: str = ""
    share: bool | None = None
    adapt: bool | None = None
    commercial: bool | None = None
    attribution: bool | None = None
    controlled: bool = False
    account: bool | None = None

    @property
    def spdx(self) -> str:
        """Identifier in the SPDX list, which has only the Creative Commons ones."""
        return self.id if self.id.startswith("CC-BY-") else ""


@dataclass(frozen=True, slots=True)
class TermsDocument:
    """One of the two texts that are accepted.

    `origin` is ``"official"`` for a text fetched from a service and
    ``"summary"`` for our own plain-language points; `sha256` is over the
    normalised text and, for a licence, its id.
    """

    kind: Literal["licence", "policy"]
    title: str
    text: str
    url: str
    origin: Literal["official", "summary"]
    retrieved: str
    sha256: str


@dataclass(frozen=True, slots=True)
class TextChange:
    """A sentence that is no longer there, or that is new, in accepted words."""

    kind: Literal["licence", "policy"]
    what: Literal["removed", "added"]
    sentence: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What must be accepted before pixels of a collection are fetched."""

    archive_host: str
    collection: str
    licence: Licence
    documents: tuple[TermsDocument, ...]
    points: tuple[tuple[str, str], ...] = ()
    """Plain-language points: ("may" | "must" | "must not", sentence)."""
    accepted: Acceptance | None = None
    """The standing acceptance of exactly these words, if there is one."""
    changed: bool = False
    """An earlier acceptance exists, but the words are no longer the same."""
    difference: tuple[TextChange, ...] = ()
    """What is different since then; empty where the former words are not kept."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One record of the ledger."""

    id: str
    event: Literal["accept", "revoke"]
    time: str
    name: str
    archive_host: str
    collection: str
    licence_id: str
    licence_name: str
    documents: tuple[tuple[str, str, str], ...]
    """(kind, origin, sha256) of each text that was shown."""
    version: str


@dataclass(frozen=True, slots=True)
class AccessGrant:
    """The right to fetch pixels of some series from one archive.

    Only `napari_tcia.terms.gate` constructs one. It may be handed to the
    archive room, which refuses every pixel request that it does not cover.
    """

    archive_host: str
    series_uids: frozenset[str]
    collections: frozenset[str]
    acceptance_ids: tuple[str, ...]

    def check(
        self, archive_host: str, *, series_uid: str = "", collection: str = ""
    ) -> None:
        """Raise `GrantMismatch` unless host and series, or collection, are covered."""
        wanted = series_uid or collection
        covered = (
            series_uid in self.series_uids
            if series_uid
            else bool(collection) and collection in self.collections
        )
        if archive_host != self.archive_host or not covered:
            raise GrantMismatch(
                f"No accepted terms cover {wanted or 'this request'} "
                f"from {archive_host}.",
                "Read and accept the terms of its collection first.",
            )


@dataclass(frozen=True, slots=True)
class Citation:
    """Something to credit.

    Attributes
    ----------
    key : str
        Stable key for BibTeX and de-duplication (lower-case DOI where one
        exists).
    kind : {"dataset", "archive", "paper", "synthetic", "software"}
    text : str
        Plain sentence, one line.
    csl : mapping
        CSL-JSON item (citeproc schema 1.0).
    licence : str
        Short licence name for datasets, else empty.
    """

    key: str
    kind: str
    text: str
    doi: str = ""
    url: str = ""
    licence: str = ""
    csl: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a layer came from; citations are derived from this alone.

    Attributes
    ----------
    origin : {"archive", "folder", "unknown"}
        Fetched by us through the gate; a user's folder recognisably of TCIA;
        a user's folder of unknown origin.
    archive_host : str
        Host it was fetched from, empty for folders.
    terms : {"accepted", "not recorded", "none"}
        ``"none"`` for data of unknown origin.
    source : str
        ``"nbia"``, ``"idc"``, ``"folder"``, ``"sample"``.
    synthetic : bool
        Made by the embedded archive; cites the phantom, never the real data.
    recognised_by : str
        How a folder was recognised, in words.
    licence_spdx : str
        SPDX identifier of the licence, empty where SPDX lists none.
    acceptance_id : str
        Record of the ledger under which it was fetched or opened.
    licence_sha256, policy_sha256 : str
        Hashes of the two texts that this record accepts.
    series_sha256 : str
        Hash over the verified files of the series, see `series_hash`.
    schema : int
        Of `to_dict`; 1 lacked the SPDX identifier and the hashes.
    """

    origin: Literal["archive", "folder", "unknown"] = "unknown"
    collection: str = ""
    patient_id: str = ""
    study_uid: str = ""
    series_uid: str = ""
    frame_of_reference_uid: str = ""
    modality: str = ""
    doi: str = ""
    licence_id: str = ""
    licence_name: str = ""
    licence_uri: str = ""
    archive_host: str = ""
    source: str = "folder"
    terms: Literal["accepted", "not recorded", "none"] = "none"
    acceptance_id: str = ""
    retrieved: str = ""
    recognised_by: str = ""
    synthetic: bool = False
    licence_spdx: str = ""
    licence_sha256: str = ""
    policy_sha256: str = ""
    series_sha256: str = ""
    schema: int = 2

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, as kept in ``layer.metadata["napari_tcia"]``."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Provenance:
        """Inverse of `to_dict`, of every schema so far; unknown keys are ignored."""
        known = {f.name for f in dataclasses.fields(cls)} - {"schema"}
        return cls(**{k: v for k, v in value.items() if k in known})


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """A verified series on disk."""

    series: Series
    path: Path
    files: int
    bytes: int
    source: str
    archive_host: str
    retrieved: str
    acceptance_id: str = ""
    sha256: str = ""
    """Over its verified instances, see `series_hash`."""


def series_hash(instances: Iterable[str]) -> str:
    """SHA-256 over the sorted SHA-256 of a series' instances; empty for none.

    Parameters
    ----------
    instances : iterable of str
        Hexadecimal SHA-256 of each Part 10 file, one line each once sorted, so
        that ``sha256sum *.dcm | cut -c-64 | sort | sha256sum`` gives the same.
    """
    lines = "".join(f"{one}\n" for one in sorted(instances))
    return hashlib.sha256(lines.encode("ascii")).hexdigest() if lines else ""


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Rows with the doubts about them."""

    items: tuple[T, ...]
    issues: tuple[Issue, ...] = ()

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, position: int) -> T:
        return self.items[position]


def to_json(value: Any) -> Any:
    """Turn dataclasses, paths and numpy values into JSON; unknown numbers to null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return to_json(value.tolist())
    if isinstance(value, np.generic):
        return to_json(value.item())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
