"""Rows of the NBIA listings, in the form of v4 and in the older one of v1."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from napari_tcia.core.model import TWIN_UID_ROOT
from napari_tcia.demo.holdings import LNQ
from napari_tcia.demo.messages import Row
from napari_tcia.demo.twin import Twin, TwinSeries

LISTED = replace(
    LNQ,
    name="SYNTHETIC-Listing",
    slug="synthetic-listing",
    doi="10.5072/synthetic.listing",
    date="2020-01-02",
)
"""Collection of rows that lengthen a listing beyond what a real one has."""
LNQ_PATIENTS = 513
"""Patients of Mediastinal-Lymph-Node-SEG, each with a CT and a SEG."""
METADATA_COLUMNS = (
    "PatientID", "PatientName", "PatientSex", "EthnicGroup", "Phantom", "SpeciesCode",
    "SpeciesDescription", "StudyInstanceUID", "StudyDate", "StudyDesc",
    "AdmittingDiagnosisDescription", "StudyID", "PatientAge",
    "LongitudinalTemporalEventType", "LongitudinalTemporalOffsetFromEvent",
    "SeriesInstanceUID", "Collection", "Site", "Modality", "ProtocolName", "SeriesDate",
    "SeriesDescription", "BodyPartExamined", "SeriesNumber", "AnnotationsFlag",
    "Manufacturer", "ManufacturerModelName", "PixelSpacing(mm)-Row",
    "SliceThickness(mm)", "SoftwareVersions", "ImageCount", "MaxSubmissionTimestamp",
    "LicenseName", "LicenseURI", "DataDescriptionURI", "FileSize", "ReleasedStatus",
    "DateReleased", "ThirdPartyAnalysis", "Authorized",
)  # fmt: skip
"""Header of ``getSeriesMetadata``."""
_LOOSE = (
    "Collection", "PatientID", "Modality", "BodyPartExamined", "Manufacturer",
    "ManufacturerModelName",
)  # fmt: skip
_ALWAYS_LOOSE = ("Collection", "PatientID")
_NEW_IN_V4 = (
    "Site", "PatientSex", "PatientAge", "AdmittingDiagnosisDescription",
    "ReleasedStatus", "Authorized",
)  # fmt: skip
_BODY_PARTS = ("CHEST", "ABDOMEN", "PELVIS", "CHEST/ABD", "BREAST", "LUNG", "")
SPECIES = {"SpeciesCode": "337915000", "SpeciesDescription": "Homo sapiens"}
"""Of every patient."""


def series_row(one: TwinSeries) -> Row:
    """The v4 row of a series; its ``FileSize``, which costs time, is None."""
    case, identity = one.case, one.case.identity
    is_ct = one.modality == "CT"
    scanner = is_ct and bool(identity.manufacturer)
    released = american(case.holding.date)
    maker, model = "QIICR", "https://github.com/QIICR/dcmqi.git"
    if is_ct:
        maker, model = identity.manufacturer, identity.model
    row: Row = {
        "SeriesInstanceUID": one.uid,
        "StudyInstanceUID": identity.study_uid,
        "Modality": one.modality,
        "SeriesDate": "" if is_ct else "01-23-2023",
        "SeriesDescription": (
            identity.description if is_ct else identity.seg_description
        ),
        "BodyPartExamined": identity.body_part,
        "SeriesNumber": 300 if not is_ct else 2 if scanner else "",
        "AnnotationsFlag": "" if is_ct else False,
        "Collection": identity.collection,
        "Site": "SYNTHETIC",
        "PatientID": identity.patient_id,
        "PatientSex": identity.sex,
        "PatientAge": identity.age,
        "Manufacturer": maker,
        "ManufacturerModelName": model,
        "ImageCount": len(one.sop_uids),
        "MaxSubmissionTimestamp": released,
        "LicenseName": case.holding.licence_name,
        "LicenseURI": case.holding.licence_url,
        "DataDescriptionURI": f"https://doi.org/{case.holding.doi}",
        "FileSize": None,
        "ReleasedStatus": "Yes",
        "DateReleased": released,
        "StudyDesc": identity.description,
        "StudyDate": american(identity.study_date),
        "ThirdPartyAnalysis": "NO",
        "Authorized": 1,
    }
    # A field that is not set has no key, in this row alone.
    return {key: value for key, value in row.items() if value != ""}


def made_up_rows(count: int, held: Collection[str] = ()) -> Iterator[Row]:
    """Rows without pixels behind them: CT and SEG in turn.

    First those that `LNQ` has besides the patients who are `held`, one pair a
    patient, until it has as many series as in reality; then those of a
    collection of their own, three pairs a patient.
    """
    numbers = range(1, LNQ_PATIENTS + 1)
    names = [name for n in numbers if (name := f"case_{n:04d}") not in held]
    for number in range(count):
        pair, is_seg = divmod(number, 2)
        other = pair - len(names)
        in_lnq = other < 0
        patient = names[pair] if in_lnq else f"ROW-{other // 3:05d}"
        holding = LNQ if in_lnq else LISTED
        part = _BODY_PARTS[other % len(_BODY_PARTS)]
        day = american(holding.date)
        row: Row = {
            "SeriesInstanceUID": f"{TWIN_UID_ROOT}{2 * 10**37 + number}",
            "StudyInstanceUID": f"{TWIN_UID_ROOT}{3 * 10**37 + pair}",
            "Modality": "SEG" if is_seg else "CT",
            "SeriesDescription": f"SYNTHETIC row {number}",
            "BodyPartExamined": "CHEST" if in_lnq else part,
            "SeriesNumber": 300 if is_seg else pair % 9 + 1,
            "Collection": holding.name,
            "Site": "SYNTHETIC",
            "PatientID": patient,
            "PatientSex": "MF"[pair // 3 % 2],
            "Manufacturer": "QIICR" if is_seg else "",
            "ImageCount": 1 if is_seg else 40 + pair % 700,
            "MaxSubmissionTimestamp": day,
            "LicenseName": holding.licence_name,
            "LicenseURI": holding.licence_url,
            "DataDescriptionURI": f"https://doi.org/{holding.doi}",
            "FileSize": 972_470 if is_seg else 525_390 * (40 + pair % 700),
            "ReleasedStatus": "Yes",
            "DateReleased": day,
            "StudyDesc": "SYNTHETIC",
            "StudyDate": "01-02-2020",
            "ThirdPartyAnalysis": "NO",
            "Authorized": 1,
        }
        yield {key: value for key, value in row.items() if value != ""}


def fits(row: Row, query: Mapping[str, str], version: str = "v4") -> bool:
    """Whether a row answers the filters; v1 forgives case less often."""
    loose = _ALWAYS_LOOSE if version == "v1" else _LOOSE
    for key, wanted in query.items():
        if key in loose:
            if str(row.get(key, "")).upper() != wanted.upper():
                return False
        elif (key in _LOOSE or key.endswith("InstanceUID")) and row.get(key) != wanted:
            return False
    return True


def patient_rows(rows: Iterable[Row], version: str) -> list[Row]:
    """Rows of ``getPatient``, one per patient."""
    found = {}
    for row in rows:
        sex = {"PatientSex": row["PatientSex"]} if "PatientSex" in row else {}
        found[row["Collection"], row["PatientID"]] = {
            "PatientId": row["PatientID"],
            "PatientName": row["PatientID"],
            **sex,
            "Collection": row["Collection"],
            "Phantom": "YES",
            **SPECIES,
            **({"Authorized": 1} if version == "v4" else {}),
        }
    return list(found.values())


def study_rows(rows: Iterable[Row], version: str) -> list[Row]:
    """Rows of ``getPatientStudy``, one per study."""
    studies: dict[str, list[Row]] = {}
    for row in rows:
        studies.setdefault(row["StudyInstanceUID"], []).append(row)
    found = []
    for uid, members in studies.items():
        first = members[0]
        row = {
            "StudyInstanceUID": uid,
            "StudyDate": first["StudyDate"],
            "StudyDescription": first["StudyDesc"],
            "StudyID": first["PatientID"],
            "PatientAge": first.get("PatientAge"),
            "PatientID": first["PatientID"],
            "PatientName": first["PatientID"],
            "PatientSex": first.get("PatientSex"),
            "Collection": first["Collection"],
            "SeriesCount": len(members),
            "Authorized": 1,
        }
        if version == "v1":
            del row["Authorized"]
            row["StudyDate"] = _with_time(row["StudyDate"])
        found.append({key: value for key, value in row.items() if value is not None})
    return found


def metadata_row(row: Row, twin: Twin) -> Row:
    """A row of ``getSeriesMetadata``: facts of patient and pixels besides."""
    one = twin.series.get(row["SeriesInstanceUID"])
    number = row.get("SeriesNumber")
    return row | {
        "PatientName": row["PatientID"],
        "Phantom": "YES",
        **SPECIES,
        "StudyID": row["PatientID"],
        "SeriesNumber": "" if number is None else f"{number:.6f}",
        "PixelSpacing(mm)-Row": f"{one.case.scan.spacing:.6f}" if one else "",
    }


def words_row(row: Row, sop_class: str) -> Row:
    """The row of v1 ``getSeriesMetaData``: keys with spaces, numbers as text."""
    number = row.get("SeriesNumber")
    found = {
        "Series UID": row["SeriesInstanceUID"],
        "Collection": row["Collection"],
        "3rd Party Analysis": row["ThirdPartyAnalysis"],
        "Data Description URI": row["DataDescriptionURI"],
        "Subject ID": row["PatientID"],
        "Study UID": row["StudyInstanceUID"],
        "Study Description": row["StudyDesc"],
        "Study Date": row["StudyDate"],
        "Series Description": row.get("SeriesDescription"),
        "Manufacturer": row.get("Manufacturer"),
        "Modality": row["Modality"],
        "SOP Class UID": sop_class,
        "Number of Images": str(row["ImageCount"]),
        "File Size": str(row["FileSize"]),
        "File Location": row["Site"],
        "Series Number": None if number is None else f"{number:.6f}",
        "License Name": row.get("LicenseName"),
        "License URL": row.get("LicenseURI"),
        "Annotation Size": "0",
    }
    return {key: value for key, value in found.items() if value is not None}


def v1(row: Row) -> Row:
    """The older form of a series row: other keys, other dates, fewer fields."""
    names = {
        "MaxSubmissionTimestamp": "TimeStamp",
        "DataDescriptionURI": "CollectionURI",
    }
    old = {names.get(key, key): row[key] for key in row if key not in _NEW_IN_V4}
    for key in ("SeriesDate", "StudyDate", "TimeStamp", "DateReleased"):
        if key in old:
            old[key] = _with_time(old[key])
    return old


def iso(american: str) -> str:
    """MM-DD-YYYY as YYYY-MM-DD, which sorts."""
    month, day, year = american.split("-")
    return f"{year}-{month}-{day}"


def american(date: str) -> str:
    """YYYY-MM-DD or YYYYMMDD as MM-DD-YYYY."""
    date = date.replace("-", "")
    return f"{date[4:6]}-{date[6:]}-{date[:4]}"


def _with_time(american: str) -> str:
    return f"{iso(american)} 00:00:00.0"
