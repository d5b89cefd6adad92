"""Searches by criteria, and the manifests that NBIA makes of what they find.

``getSimpleSearch`` numbers what a study holds by keys of its database, which
lead nowhere; patients and counts are what it is good for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING

from napari_tcia.demo.manifests import manifest
from napari_tcia.demo.messages import Reply, Row, crash, json_reply
from napari_tcia.demo.rows import SPECIES, iso

if TYPE_CHECKING:
    from napari_tcia.demo.nbia import Ask, Nbia

_KEYS = {
    "CollectionCriteria": "Collection",
    "ImageModalityCriteria": "Modality",
    "AnatomicalSiteCriteria": "BodyPartExamined",
    "BodyPartExaminedCriteria": "BodyPartExamined",
    "ManufacturerCriteria": "Manufacturer",
    "ModelCriteria": "ManufacturerModelName",
    "PatientCriteria": "PatientID",
    "PatientSexCriteria": "PatientSex",
    "StudyCriteria": "StudyInstanceUID",
    "SeriesCriteria": "SeriesInstanceUID",
    "SpeciesCriteria": "SpeciesCode",
    "ThirdPartyAnalysis": "ThirdPartyAnalysis",
}
_SORTED = {
    "subject": "subjectId",
    "collection": "project",
    "studies": "totalNumberOfStudies",
    "series": "totalNumberOfSeries",
}
_NONE = "NOT SPECIFIED"
Patients = dict[tuple[str, str], list[Row]]
"""Series rows by collection and patient."""


def search(nbia: Nbia, ask: Ask) -> Reply:
    """``getSimpleSearch``: one page of patients, and counts over all of them.

    ``sortField``, ``sortDirection``, ``start`` and ``size`` are required: the
    server fails without one, for a start beyond the end, and for a criterion
    that it does not know.
    """
    form = ask.query
    try:
        field, start, size = form["sortField"], int(form["start"]), int(form["size"])
        down = form["sortDirection"].lower() == "descending"
        found = _found(nbia.listed, form)
    except (KeyError, ValueError):
        return crash()
    people = [
        _patient(number, *name, rows)
        for number, (name, rows) in enumerate(found.items(), start=1)
    ]
    key = _SORTED.get(field, "subjectId")
    people.sort(key=lambda one: (one[key], one["subjectId"]), reverse=down)
    if start > len(people):
        return crash()
    return json_reply(
        {
            "resultSet": people[start : start + size],
            "totalPatients": len(people),
            "bodyParts": _counts(found, "BodyPartExamined"),
            "modalities": _counts(found, "Modality"),
            "collections": _counts(found, "Collection"),
            "species": _counts(found, "SpeciesCode"),
            "maxTimepoints": 0,
            "minTimepoints": 0,
            "sort": f"{field}:{form['sortDirection']}",
        }
    )


def manifest_for_search(nbia: Nbia, ask: Ask) -> Reply:
    """``getManifestForSimpleSearch``: the series of the patients found."""
    try:
        found = _found(nbia.listed, ask.query)
    except (KeyError, ValueError):
        return crash()
    return _manifest(ask, (row for rows in found.values() for row in rows))


def manifest_for_collection(nbia: Nbia, ask: Ask) -> Reply:
    """``getManifestForCollection``; its name is compared without regard to case."""
    wanted = ask.query["collection"].upper()
    rows = [row for row in nbia.listed if row["Collection"].upper() == wanted]
    return _manifest(ask, rows)


def manifest_for_ids(nbia: Nbia, ask: Ask) -> Reply:
    """``getManifestFromPatientStudySeries``: series that fit any list, or all."""
    lists = {
        "PatientID": ask.query.get("patientIDs"),
        "StudyInstanceUID": ask.query.get("studyUIDs"),
        "SeriesInstanceUID": ask.query.get("seriesUIDs"),
    }
    wanted = {
        key: {name.strip() for name in text.split(",")}
        for key, text in lists.items()
        if text
    }
    enough = all if ask.says("anyOrAll", "all") else any
    rows = [
        row
        for row in nbia.listed
        if wanted and enough(row[key] in names for key, names in wanted.items())
    ]
    return _manifest(ask, rows)


def _manifest(ask: Ask, rows: Iterable[Row]) -> Reply:
    annotated = ask.query.get("includeAnnotation") or "true"
    text = manifest((row["SeriesInstanceUID"] for row in rows), annotated=annotated)
    return Reply(text.encode(), "application/x-nbia-manifest-file")


def _found(rows: Iterable[Row], form: Mapping[str, str]) -> Patients:
    """Series that fit the criteria, by patient.

    Several values of one criterion are alternatives; several criteria must all
    be met.

    Raises
    ------
    KeyError, ValueError
        A criterion that is not known, or a value that does not fit it.
    """
    wanted: dict[str, set[str]] = {}
    between = (date.min, date.max)
    least, all_modalities, free = 0, False, False
    for number in range(sum(key.startswith("criteriaType") for key in form)):
        kind = form[f"criteriaType{number}"]
        if kind == "DateRangeCriteria":
            first, last = (form[f"{end}Date{number}"] for end in ("from", "to"))
            between = (_day(first), _day(last))
        elif kind == "MinNumberOfStudiesCriteria":
            least = int(form[f"value{number}"])
        elif kind == "ModalityAndedSearchCriteria":
            all_modalities = form[f"value{number}"] == "all"
        elif kind == "ExcludeCommercialCriteria":
            free = form[f"value{number}"].upper() == "YES"
        else:
            value = form[f"value{number}"].upper()
            wanted.setdefault(_KEYS[kind], set()).add(value)
    found: Patients = {}
    for row in rows:
        full = SPECIES | row
        released = date.fromisoformat(iso(row["DateReleased"]))
        if (
            all(str(full.get(k, _NONE)).upper() in wanted[k] for k in wanted)
            and between[0] <= released <= between[1]
            and not (free and "NonCommercial" in row.get("LicenseName", ""))
        ):
            found.setdefault((row["Collection"], row["PatientID"]), []).append(full)
    modalities = wanted.get("Modality", set()) if all_modalities else set()
    return {
        name: series
        for name, series in found.items()
        if len({row["StudyInstanceUID"] for row in series}) >= least
        and modalities <= {row["Modality"] for row in series}
    }


def _day(text: str) -> date:
    return datetime.strptime(text, "%m-%d-%Y").date()


def _patient(number: int, collection: str, patient: str, rows: list[Row]) -> Row:
    studies: dict[str, list[int]] = {}
    for place, row in enumerate(rows, start=1):
        studies.setdefault(row["StudyInstanceUID"], []).append(1000 * number + place)
    return {
        "subjectId": patient,
        "project": collection,
        "id": number,
        "totalNumberOfStudies": len(studies),
        "totalNumberOfSeries": len(rows),
        "studyIdentifiers": [
            {"studyIdentifier": 100 * number + place, "seriesIdentifiers": series}
            for place, series in enumerate(studies.values(), start=1)
        ],
        "modalities": _distinct(rows, "Modality"),
        "bodyParts": _distinct(rows, "BodyPartExamined"),
        "species": _distinct(rows, "SpeciesCode"),
        "authorized": True,
    }


def _distinct(rows: Iterable[Row], key: str) -> list[str]:
    return sorted({row.get(key, _NONE) for row in rows})


def _counts(found: Patients, key: str) -> list[Row]:
    """How many of the patients have each value."""
    counts: dict[str, int] = {}
    for rows in found.values():
        for value in _distinct(rows, key):
            counts[value] = counts.get(value, 0) + 1
    return [{"value": value, "count": counts[value]} for value in sorted(counts)]
