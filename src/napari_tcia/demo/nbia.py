"""The NBIA endpoints of the embedded archive, v4 and the few of v1."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from napari_tcia.demo.faults import Fault
from napari_tcia.demo.messages import (
    Member,
    Reply,
    Request,
    Row,
    refusal,
    rows_reply,
    stream_zip,
    to_csv,
)
from napari_tcia.demo.twin import Twin, TwinSeries

POLICY = """\
Data usage policy of the napari-tcia embedded archive

This archive is SYNTHETIC. Its images show analytic phantoms, not patients, and
this text belongs to it alone; it stands where an archive of patient data shows
the policy that its users must accept.

1. Do not try to find out who a patient is, and do not contact one.
2. Do not pass data on in a way that would let others do so.
3. Name the collection you used, and the archive, in everything you publish.
4. A program that passes data on must show these terms and the credit to its
   users, and must ask the same of them.
5. Keep to the licence of each collection besides.
"""
SHARED_LIST = "SYNTHETIC shared list"

_LOOSE = (
    "Collection", "PatientID", "Modality", "BodyPartExamined", "Manufacturer",
    "ManufacturerModelName",
)  # fmt: skip
_SERIES = frozenset((*_LOOSE, "SeriesInstanceUID", "StudyInstanceUID", "format"))
_STUDY_KEYS = (
    "StudyInstanceUID", "StudyDate", "PatientID", "PatientSex", "PatientAge",
    "Collection",
)  # fmt: skip
_METADATA_COLUMNS = (
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


@dataclass(slots=True)
class Nbia:
    """Answers for one twin; `fault` may change between requests."""

    twin: Twin
    fault: Fault
    listings: int = 0
    """How many times series were listed."""

    def answer(self, request: Request) -> Reply:
        """The reply to a request below the archive's base."""
        version, name = (*request.parts, "", "")[:2]
        query = request.query
        if version == "v4" and "authorization" in request.headers:
            return Reply(status=401)
        found = _ENDPOINTS.get(name)
        if found is None or version not in found.versions or len(request.parts) != 2:
            return Reply(b"<h1>Not Found</h1>", "text/html", status=404)
        if request.method not in found.methods:
            return Reply(status=405, headers={"Allow": ", ".join(found.methods)})
        for key in query:
            if version == "v4" and key not in found.allowed:
                names = ", ".join(sorted(found.allowed - {"format"}))
                return refusal(
                    f"Invalid query parameter: '{key}'. "
                    f"Allowed parameters are: [{names}]"
                )
        for key in found.required:
            if not query.get(key):
                return refusal(f"A parameter, {key}, is required for this API call.")
        return found.answer(self, version, query)

    def rows(self, query: Mapping[str, str] | None = None) -> list[Row]:
        """v4 series rows that fit a query."""
        rows = [self._row(one) for one in self.twin.series.values()]
        rows = self.fault.rows(rows, self.listings)
        return [row for row in rows if _fits(row, query or {})]

    def _row(self, one: TwinSeries) -> Row:
        case, identity = one.case, one.case.identity
        is_ct = one.modality == "CT"
        scanner = is_ct and bool(identity.manufacturer)
        row: dict[str, object] = {
            "SeriesInstanceUID": one.uid,
            "StudyInstanceUID": identity.study_uid,
            "Modality": one.modality,
            "SeriesDate": None if is_ct else "01-23-2023",
            "SeriesDescription": (
                identity.description if is_ct else identity.seg_description
            ),
            "BodyPartExamined": identity.body_part or None,
            "SeriesNumber": 300 if not is_ct else 2 if scanner else None,
            "AnnotationsFlag": None if is_ct else False,
            "Collection": identity.collection,
            "Site": "SYNTHETIC",
            "PatientID": identity.patient_id,
            "PatientSex": identity.sex or None,
            "PatientAge": identity.age or None,
            "Manufacturer": (
                "QIICR" if not is_ct else identity.manufacturer if scanner else None
            ),
            "ManufacturerModelName": (
                "https://github.com/QIICR/dcmqi.git"
                if not is_ct
                else identity.model
                if scanner
                else None
            ),
            "ImageCount": len(one.sop_uids),
            "MaxSubmissionTimestamp": "03-31-2023",
            "LicenseName": case.holding.licence_name or None,
            "LicenseURI": case.holding.licence_url or None,
            "DataDescriptionURI": f"https://doi.org/{case.holding.doi}",
            "FileSize": self.twin.file_size(one.uid),
            "ReleasedStatus": "Yes",
            "DateReleased": "03-31-2023",
            "StudyDesc": identity.description,
            "StudyDate": _month_first(identity.study_date),
            "ThirdPartyAnalysis": "NO",
            "Authorized": 1,
        }
        return {key: value for key, value in row.items() if value is not None}

    def _values(self, key: str, counts: bool, query: Mapping[str, str]) -> Reply:
        patients: dict[str, set[str]] = {}
        for row in self.rows(query):
            patients.setdefault(row.get(key, ""), set()).add(row["PatientID"])
        rows: list[Row] = []
        for value in sorted(patients):
            shown: Row = {key: value} if value else {}
            if counts:
                shown |= {"Count": len(patients[value]), "Authorized": 1}
            rows.append(shown)
        return rows_reply(rows, query)

    def _patients(self, version: str, query: Mapping[str, str]) -> Reply:
        wanted = {"PatientID" if k == "PatientId" else k: v for k, v in query.items()}
        found = {}
        for row in self.rows(wanted):
            found[row["Collection"], row["PatientID"]] = {
                "PatientId": row["PatientID"],
                "PatientName": row["PatientID"],
                **({"PatientSex": row["PatientSex"]} if "PatientSex" in row else {}),
                "Collection": row["Collection"],
                "Phantom": "YES",
                "SpeciesCode": "337915000",
                "SpeciesDescription": "Homo sapiens",
                "Authorized": 1,
            }
        return rows_reply(list(found.values()), query)

    def _patient_ids(self, version: str, query: Mapping[str, str]) -> Reply:
        names = dict.fromkeys(row["PatientID"] for row in self.rows(query))
        return rows_reply([{"PatientId": name} for name in names], query)

    def _studies(self, version: str, query: Mapping[str, str]) -> Reply:
        studies: dict[str, list[Row]] = {}
        for row in self.rows(query):
            studies.setdefault(row["StudyInstanceUID"], []).append(row)
        rows = [
            {key: rows[0][key] for key in _STUDY_KEYS if key in rows[0]}
            | {
                "StudyDescription": rows[0]["StudyDesc"],
                "StudyID": rows[0]["PatientID"],
                "PatientName": rows[0]["PatientID"],
                "SeriesCount": len(rows),
                "Authorized": 1,
            }
            for rows in studies.values()
        ]
        return rows_reply(rows, query)

    def _series(self, version: str, query: Mapping[str, str]) -> Reply:
        rows = self.rows(query)
        self.listings += 1
        return rows_reply(rows if version == "v4" else list(map(_v1, rows)), query)

    def _metadata(self, version: str, query: Mapping[str, str]) -> Reply:
        wanted = "".join(c for c in query["list"] if c in "0123456789.,").split(",")
        rows = []
        for row in self.rows():
            if row["SeriesInstanceUID"] in wanted:
                scan = self.twin.series[row["SeriesInstanceUID"]].case.scan
                rows.append(
                    {"Phantom": "YES", "PixelSpacing(mm)-Row": scan.spacing} | row
                )
        if query.get("format", "").lower() == "json":
            return rows_reply(rows, query)
        attachment = {"Content-Disposition": "attachment; filename=SeriesMetaData.csv"}
        return Reply(to_csv(rows, _METADATA_COLUMNS), "text/csv", headers=attachment)

    def _size(self, version: str, query: Mapping[str, str]) -> Reply:
        sizes = [
            {"TotalSizeInBytes": row["FileSize"], "ObjectCount": row["ImageCount"]}
            for row in self.rows(query)
        ]
        return rows_reply(sizes, query)

    def _sops(self, version: str, query: Mapping[str, str]) -> Reply:
        one = self.twin.series.get(query["SeriesInstanceUID"])
        uids = one.sop_uids if one else ()
        return rows_reply([{"SOPInstanceUID": uid} for uid in uids], query)

    def _image(self, version: str, query: Mapping[str, str]) -> Reply:
        return self._zip(version, query, with_md5=False)

    def _image_md5(self, version: str, query: Mapping[str, str]) -> Reply:
        return self._zip(version, query, with_md5=True)

    def _zip(self, version: str, query: Mapping[str, str], with_md5: bool) -> Reply:
        uid = query["SeriesInstanceUID"]
        asked = self.twin.series.get(uid)
        if asked is None:
            return refusal(_no_access(version, uid))
        one = self.fault.series(self.twin, asked)
        order = list(range(len(one.sop_uids)))
        random.Random(uid).shuffle(order)
        if len(order) > 1 and order == sorted(order):
            order.reverse()
        renamed = query.get("NewFileNames", "").lower() == "yes"
        digits = max(3, len(str(len(order))))
        members: list[Member] = [
            (
                f"1-{number:0{digits}d}.dcm" if renamed else f"{number:08d}.dcm",
                lambda k=k: self.twin.instance(one.uid, k).read_bytes(),  # type: ignore[misc]
            )
            for number, k in enumerate(order, start=1)
        ]
        if with_md5:
            sums: dict[str, str] = {}
            members = [(name, _summed(name, load, sums)) for name, load in members]
            members.append(("md5hashes.csv", lambda: _md5_table(sums)))
        elif licence := self._licence_text(asked):
            members.insert(0, ("LICENSE", lambda: licence))
        return Reply(
            stream_zip(self.fault.members(members)),
            "application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="{uid}.zip"'},
        )

    def _licence_text(self, one: TwinSeries) -> bytes:
        (row,) = self.rows({"SeriesInstanceUID": one.uid})
        if "LicenseName" not in row:
            return b""
        short = one.case.holding.licence_short
        if row["LicenseName"] != one.case.holding.licence_name:
            short = row["LicenseName"]
        return (
            f"License Information. The {row['Collection']} collection is distributed "
            f"under the {short} at {row['LicenseURI']} By downloading the data, you "
            f"agree to abide by terms of this license.\n{POLICY}"
        ).encode()

    def _single(self, version: str, query: Mapping[str, str]) -> Reply:
        uid, sop = query["SeriesInstanceUID"], query["SOPInstanceUID"]
        one = self.twin.series.get(uid)
        if one is None:
            return refusal(_no_access(version, uid))
        if sop not in one.sop_uids:
            text = b"Server was not able to process your request\nnull"
            return Reply(text, "text/plain", status=500)
        path = self.twin.instance(uid, one.sop_uids.index(sop))
        return Reply(
            path.read_bytes(),
            "application/dicom",
            headers={"Content-Disposition": f"attachment; filename={sop}.dcm"},
        )

    def _shared_list(self, version: str, query: Mapping[str, str]) -> Reply:
        listed = query["name"] == SHARED_LIST
        rows = self.rows({"Collection": "CT Lymph Nodes"}) if listed else []
        return rows_reply(list(map(_v1, rows)), query)

    def _policy(self, version: str, query: Mapping[str, str]) -> Reply:
        return Reply(POLICY.encode(), "application/octet-stream")


@dataclass(frozen=True, slots=True)
class _Endpoint:
    answer: Callable[[Nbia, str, Mapping[str, str]], Reply]
    allowed: frozenset[str]
    required: tuple[str, ...] = ()
    versions: tuple[str, ...] = ("v4", "v1")
    methods: tuple[str, ...] = ("GET",)


def _value_list(key: str, filters: Iterable[str], counts: bool = False) -> _Endpoint:
    return _Endpoint(
        lambda nbia, version, query: nbia._values(key, counts, query),
        frozenset((*filters, "format")),
        versions=("v4",) if counts else ("v4", "v1"),
    )


_UID = ("SeriesInstanceUID",)
_ENDPOINTS: dict[str, _Endpoint] = {
    "getCollectionValues": _value_list("Collection", ()),
    "getModalityValues": _value_list("Modality", ("Collection", "BodyPartExamined")),
    "getBodyPartValues": _value_list("BodyPartExamined", ("Collection", "Modality")),
    "getManufacturerValues": _value_list(
        "Manufacturer", ("Collection", "Modality", "BodyPartExamined")
    ),
    "getCollectionValuesAndCounts": _value_list("Collection", (), counts=True),
    "getModalityValuesAndCounts": _value_list(
        "Modality", ("Collection", "BodyPartExamined"), counts=True
    ),
    "getBodyPartValuesAndCounts": _value_list(
        "BodyPartExamined", ("Collection", "Modality"), counts=True
    ),
    "getPatient": _Endpoint(
        Nbia._patients, frozenset(("Collection", "PatientId", "format"))
    ),
    "getPatientByCollectionAndModality": _Endpoint(
        Nbia._patient_ids,
        frozenset(("Collection", "Modality", "format")),
        ("Collection", "Modality"),
    ),
    "getPatientStudy": _Endpoint(
        Nbia._studies,
        frozenset(("Collection", "PatientID", "StudyInstanceUID", "format")),
    ),
    "getSeries": _Endpoint(Nbia._series, _SERIES),
    "getSeriesMetadata": _Endpoint(
        Nbia._metadata, frozenset(("list", "format")), ("list",), ("v4",), ("POST",)
    ),
    "getSeriesSize": _Endpoint(Nbia._size, frozenset((*_UID, "format")), _UID),
    "getSOPInstanceUIDs": _Endpoint(Nbia._sops, frozenset((*_UID, "format")), _UID),
    "getImage": _Endpoint(Nbia._image, frozenset((*_UID, "NewFileNames")), _UID),
    "getImageWithMD5Hash": _Endpoint(Nbia._image_md5, frozenset(_UID), _UID),
    "getSingleImage": _Endpoint(
        Nbia._single,
        frozenset((*_UID, "SOPInstanceUID")),
        (*_UID, "SOPInstanceUID"),
    ),
    "getContentsByName": _Endpoint(
        Nbia._shared_list, frozenset(("name", "format")), ("name",), ("v1",)
    ),
    "getUserAgreementTxt": _Endpoint(Nbia._policy, frozenset(), (), ("v1",)),
}


def _fits(row: Row, query: Mapping[str, str]) -> bool:
    for key, wanted in query.items():
        if key in _LOOSE:
            if str(row.get(key, "")).upper() != wanted.upper():
                return False
        elif key.endswith("InstanceUID") and row.get(key) != wanted:
            return False
    return True


def _v1(row: Row) -> Row:
    """The older form of a row: other keys, other dates, fewer fields."""
    names = {
        "MaxSubmissionTimestamp": "TimeStamp",
        "DataDescriptionURI": "CollectionURI",
    }
    dropped = ("Site", "PatientSex", "PatientAge", "ReleasedStatus", "Authorized")
    old = {names.get(key, key): row[key] for key in row if key not in dropped}
    for key in ("SeriesDate", "StudyDate", "TimeStamp", "DateReleased"):
        if key in old:
            month, day, year = old[key].split("-")
            old[key] = f"{year}-{month}-{day} 00:00:00.0"
    return old


def _month_first(date: str) -> str:
    return f"{date[4:6]}-{date[6:]}-{date[:4]}"


def _no_access(version: str, uid: str) -> str:
    if version == "v1":
        return f"Image with given SeriesInstanceUID,{uid}, is not in public domain."
    return (
        "The user has not been granted the access to image with given "
        f"SeriesInstanceUID,{uid}. Please contact System Admin to resolve this issue."
    )


def _summed(
    name: str, load: Callable[[], bytes], sums: dict[str, str]
) -> Callable[[], bytes]:
    def loaded() -> bytes:
        data = load()
        sums[name] = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return data

    return loaded


def _md5_table(sums: Mapping[str, str]) -> bytes:
    lines = [f"{name},{digest}\n" for name, digest in sums.items()]
    random.Random(len(lines)).shuffle(lines)
    return "".join(["Filename,MD5Hash\n", *lines]).encode()
