"""Where a user's own folder comes from, as far as it can be recognised."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from napari_tcia.core.model import TWIN_UID_ROOT, Provenance
from napari_tcia.core.text import bare_doi


class KnownCollection(Protocol):
    """What must be known of a collection to recognise it."""

    @property
    def name(self) -> str:
        """As the archive writes it."""
        ...

    @property
    def doi(self) -> str:
        """Bare DOI."""
        ...

    @property
    def licences(self) -> Sequence[str]:
        """Short names of the licences of its series."""
        ...


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """What was found in a folder and its headers.

    Attributes
    ----------
    ctp_collection : str or bytes
        Value of the private tag (0013,xx10) of the Clinical Trial Processor.
    synthetic : bool
        A header says that the embedded archive made it.
    catalogue_collection : str
        Collection that the catalogue lists the series UID under.
    licence_text, metadata_csv : str
        Content of ``LICENSE`` and ``metadata.csv`` beside or above the files,
        as the archive's own downloader writes them.
    """

    series_uid: str = ""
    study_uid: str = ""
    patient_id: str = ""
    modality: str = ""
    frame_of_reference_uid: str = ""
    ctp_collection: str | bytes = ""
    synthetic: bool = False
    catalogue_collection: str = ""
    licence_text: str = ""
    metadata_csv: str = ""


_LEAD = "Provenance: "
_LICENSE = re.compile(
    r"The\s+(?P<collection>\S.{0,98}?)\s+collection\s+is\s+distributed\s+under\s+the\s+"
    r"(?P<name>\S.{0,198}?)(?:\s+at)?\s+(?P<uri>https?://\S+)",
    re.DOTALL,
)
_PATIENTS = (
    ("CT Lymph Nodes", re.compile(r"MED_LYMPH_(\d{3})"), 90),
    ("CT Lymph Nodes", re.compile(r"ABD_LYMPH_(\d{3})"), 86),
    ("LIDC-IDRI", re.compile(r"LIDC-IDRI-(\d{4})"), 1012),
)
"""Patient IDs that occur nowhere else: pattern, and the highest number.
Those of Mediastinal-Lymph-Node-SEG ("case_0002") say too little."""


@dataclass(frozen=True, slots=True)
class _Sign:
    """One indication: a collection and what else it says."""

    collection: str
    by: str
    doi: str = ""
    licence_name: str = ""
    licence_uri: str = ""


def recognise(
    facts: FolderFacts, find_collection: Callable[[str], KnownCollection | None]
) -> Provenance:
    """Provenance of a series in a folder that this program did not write.

    The strongest sign decides: the series UID in the catalogue, then its row
    in ``metadata.csv``, the collection in the CTP tag, the LICENSE beside it,
    the patient ID. A CTP tag counts only when it names a known collection,
    since hospitals use CTP too.

    Parameters
    ----------
    facts : FolderFacts
    find_collection : callable
        From a collection name to what the catalogue knows of it, or None.

    Returns
    -------
    Provenance
        Origin "folder" with terms "not recorded" when recognised. Otherwise
        origin "unknown" with terms "none", no collection, DOI or licence, and
        no patient ID, which must not travel into file names and exports.
        `licence_id` stays empty: whoever reads the licence fills it in.
    """
    uids = (facts.series_uid, facts.study_uid, facts.frame_of_reference_uid)
    if facts.synthetic or any(uid.startswith(TWIN_UID_ROOT) for uid in uids):
        return _provenance(
            facts,
            origin="folder",
            patient_id=facts.patient_id,
            recognised_by="made by the embedded archive",
            synthetic=True,
        )
    signs = list(_signs(facts, find_collection))
    if not signs:
        return _provenance(facts)
    first = signs[0]
    agreeing = [one for one in signs if _same(one.collection, first.collection)]
    known = find_collection(first.collection)
    licence = next((one for one in agreeing if one.licence_name), first)
    licences = known.licences if known else ()
    return _provenance(
        facts,
        origin="folder",
        collection=known.name if known else first.collection,
        patient_id=facts.patient_id,
        doi=next((one.doi for one in agreeing if one.doi), known.doi if known else ""),
        licence_name=licence.licence_name
        or (licences[0] if len(licences) == 1 else ""),
        licence_uri=licence.licence_uri,
        terms="not recorded",
        recognised_by="; ".join(one.by for one in agreeing),
    )


def line_of(provenance: Mapping[str, Any]) -> str:
    """Provenance as one line of ASCII, for files that have room for words alone."""
    return _LEAD + json.dumps(dict(provenance), separators=(",", ":"))


def in_words(text: str) -> Provenance | None:
    """The provenance that `line_of` put among the words of a file, if any."""
    _, found, rest = text.rpartition(_LEAD)
    if not found:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(rest)
    except (ValueError, RecursionError):
        return None
    return restored(value)


def restored(value: object) -> Provenance | None:
    """Provenance of a file that was saved, None unless it is one.

    It is what the file says: whether terms stand accepted is for the ledger
    to tell, and made-up data stays SYNTHETIC whatever is said of it.
    """
    if not isinstance(value, Mapping):
        return None
    known = {f.name: f.type for f in dataclasses.fields(Provenance)}
    facts = {k: v for k, v in value.items() if k in known and k != "schema"}
    for name, one in facts.items():
        if not isinstance(one, bool if name == "synthetic" else str):
            return None
    if facts.get("origin") not in ("archive", "folder", "unknown"):
        return None
    if facts.get("terms", "none") not in ("accepted", "not recorded", "none"):
        return None
    found = Provenance.from_dict(facts)
    uids = (found.series_uid, found.study_uid, found.frame_of_reference_uid)
    made_up = found.synthetic or any(uid.startswith(TWIN_UID_ROOT) for uid in uids)
    return dataclasses.replace(found, synthetic=made_up)


def _provenance(facts: FolderFacts, **more: object) -> Provenance:
    return Provenance.from_dict(
        {
            "series_uid": facts.series_uid,
            "study_uid": facts.study_uid,
            "frame_of_reference_uid": facts.frame_of_reference_uid,
            "modality": facts.modality,
            "source": "folder",
            **more,
        }
    )


def _signs(
    facts: FolderFacts, find_collection: Callable[[str], KnownCollection | None]
) -> Iterator[_Sign]:
    """Signs of a collection, the strongest first."""
    if facts.catalogue_collection:
        yield _Sign(facts.catalogue_collection, "series UID in the catalogue")
    if row := _metadata_row(facts):
        yield row
    tag = facts.ctp_collection
    text = tag.decode("ascii", "replace") if isinstance(tag, bytes) else tag
    text = text.strip("\0 ")
    if text and find_collection(text) is not None:
        yield _Sign(text, "private tag (0013,1010) names the collection")
    if match := _LICENSE.search(facts.licence_text):
        words = {
            key: " ".join(value.split()) for key, value in match.groupdict().items()
        }
        yield _Sign(
            words["collection"],
            "LICENSE beside the files names the collection",
            licence_name=words["name"],
            licence_uri=words["uri"].rstrip(".,;)"),
        )
    for collection, pattern, highest in _PATIENTS:
        number = pattern.fullmatch(facts.patient_id)
        if number and 1 <= int(number[1]) <= highest:
            yield _Sign(collection, "patient ID of the collection")


def _metadata_row(facts: FolderFacts) -> _Sign | None:
    """The row of the series in ``metadata.csv`` of the NBIA Data Retriever."""
    if not facts.series_uid or not facts.metadata_csv:
        return None
    try:
        rows = list(csv.DictReader(io.StringIO(facts.metadata_csv.lstrip("\ufeff"))))
    except csv.Error:
        return None
    for row in rows:
        cells = {
            re.sub(r"\W", "", key).casefold(): value.strip()
            for key, value in row.items()
            if isinstance(key, str) and isinstance(value, str)
        }
        uid = cells.get("seriesuid") or cells.get("seriesinstanceuid")
        if uid == facts.series_uid and cells.get("collection"):
            return _Sign(
                cells["collection"],
                "metadata.csv lists the series",
                doi=bare_doi(cells.get("datadescriptionuri", "")),
                licence_name=cells.get("licensename", ""),
                licence_uri=cells.get("licenseurl") or cells.get("licenseuri", ""),
            )
    return None


def _same(first: str, second: str) -> bool:
    return first.casefold() == second.casefold()
