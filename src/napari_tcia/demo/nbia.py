"""The NBIA endpoints of the embedded archive, v4 and what is left of v1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from napari_tcia.demo import downloads, simple_search
from napari_tcia.demo.faults import HEALTHY, Fault
from napari_tcia.demo.holdings import HOLDINGS
from napari_tcia.demo.manifests import manifest
from napari_tcia.demo.messages import (
    Reply,
    Request,
    Row,
    crash,
    json_reply,
    not_found,
    refusal,
    rows_reply,
    to_csv,
)
from napari_tcia.demo.policy import POLICY
from napari_tcia.demo.rows import (
    METADATA_COLUMNS,
    SPECIES,
    fits,
    iso,
    made_up_rows,
    metadata_row,
    patient_rows,
    series_row,
    study_rows,
    v1,
    words_row,
)
from napari_tcia.demo.twin import Twin

SHARED_LIST = "SYNTHETIC shared list"
_CT = "1.2.840.10008.5.1.4.1.1.2"
_SEG = "1.2.840.10008.5.1.4.1.1.66.4"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to an endpoint: version, fields, and the fault it meets."""

    version: str
    query: Mapping[str, str]
    fault: Fault = HEALTHY

    def says(self, key: str, wanted: str) -> bool:
        """Whether a field has a value, in whatever case."""
        return self.query.get(key, "").lower() == wanted


@dataclass(slots=True)
class Nbia:
    """Answers for one twin.

    Parameters
    ----------
    twin : Twin
    listing : int
        At least so many series are listed; the added ones have no pixels.

    Attributes
    ----------
    listed : list of Row
        v4 rows of all series; those of the twin have no ``FileSize`` yet, which
        takes time.
    """

    twin: Twin
    listing: int = 0
    listed: list[Row] = field(init=False)

    def __post_init__(self) -> None:
        held = [series_row(one) for one in self.twin.series.values()]
        patients = {row["PatientID"] for row in held}
        added = made_up_rows(max(0, self.listing - len(held)), patients)
        self.listed = [*held, *added]

    def answer(self, request: Request, fault: Fault = HEALTHY) -> Reply:
        """The reply to a request below the archive's base."""
        if request.parts == ("up",) or request.parts == ("v1", "status"):
            return Reply(b"up", "text/plain")
        version, name = (*request.parts, "", "")[:2]
        query = request.query
        if version == "v4" and "authorization" in request.headers:
            return Reply(status=401)
        if request.method == "HEAD":
            return crash()  # never implemented
        found = _ENDPOINTS.get(name)
        if found is None or version not in found.versions or len(request.parts) != 2:
            return not_found()
        if request.method not in found.methods:
            return Reply(status=405, headers={"Allow": ", ".join(found.methods)})
        for key in query:
            if version == "v4" and found.allowed and key not in found.allowed:
                names = ", ".join(sorted(found.allowed))
                return refusal(
                    f"Invalid query parameter: '{key}'. "
                    f"Allowed parameters are: [{names}]"
                )
        for key in found.required:
            if not query.get(key):
                return refusal(f"A parameter, {key}, is required for this API call.")
        try:
            return found.answer(self, Ask(version, query, fault))
        except _BadValue:
            return Reply(status=422)

    def rows(self, ask: Ask, query: Mapping[str, str] | None = None) -> list[Row]:
        """v4 series rows that fit a query, by default that of the request."""
        return self.sized(ask, self._found(ask, query))

    def sized(self, ask: Ask, rows: Iterable[Row]) -> list[Row]:
        """Listed rows with their ``FileSize``, as the fault in force has them."""
        return ask.fault.rows(
            [
                row | {"FileSize": self.twin.file_size(row["SeriesInstanceUID"])}
                if row["FileSize"] is None
                else row
                for row in rows
            ]
        )

    def _found(self, ask: Ask, query: Mapping[str, str] | None = None) -> list[Row]:
        wanted = ask.query if query is None else query
        return [row for row in self.listed if fits(row, wanted, ask.version)]

    def _values(self, key: str, counts: bool, ask: Ask) -> Reply:
        patients: dict[str, set[str]] = {}
        for row in self._found(ask):
            patients.setdefault(row.get(key, ""), set()).add(row["PatientID"])
        rows: list[Row] = []
        for value in sorted(patients):
            shown: Row = {key: value} if value else {}
            if counts:
                shown |= {"Count": len(patients[value]), "Authorized": 1}
            rows.append(shown)
        return rows_reply(rows, ask.query)

    def _patients(self, ask: Ask) -> Reply:
        # Here alone the key is spelled with a small d.
        wanted = {
            key.replace("PatientId", "PatientID"): value
            for key, value in ask.query.items()
        }
        rows = patient_rows(self._found(ask, wanted), ask.version)
        return rows_reply(rows, ask.query)

    def _new_patients(self, ask: Ask) -> Reply:
        rows = self._since(ask, "%Y/%m/%d")
        return rows_reply(patient_rows(rows, ask.version), ask.query)

    def _patient_ids(self, ask: Ask) -> Reply:
        names = dict.fromkeys(row["PatientID"] for row in self._found(ask))
        return rows_reply([{"PatientId": name} for name in names], ask.query)

    def _studies(self, ask: Ask) -> Reply:
        return rows_reply(study_rows(self._found(ask), ask.version), ask.query)

    def _new_studies(self, ask: Ask) -> Reply:
        rows = self._since(ask, "%Y/%m/%d")
        return rows_reply(study_rows(rows, ask.version), ask.query)

    def _series(self, ask: Ask) -> Reply:
        return self._shown(ask, self.rows(ask))

    def _updated(self, ask: Ask) -> Reply:
        return self._shown(ask, self.sized(ask, self._since(ask, "%d/%m/%Y")))

    def _shown(self, ask: Ask, rows: list[Row]) -> Reply:
        return rows_reply(
            rows if ask.version == "v4" else [v1(row) for row in rows], ask.query
        )

    def _since(self, ask: Ask, older_form: str) -> list[Row]:
        """Rows released after the day that was given."""
        form = "%m-%d-%Y" if ask.version == "v4" else older_form
        day = ask.query.get("fromDate") or ask.query.get("Date") or ""
        try:
            after = datetime.strptime(day, form).date().isoformat()
        except ValueError as error:
            raise _BadValue from error
        return [row for row in self._found(ask) if iso(row["DateReleased"]) > after]

    def _metadata(self, ask: Ask) -> Reply:
        wanted = set(_uids(ask.query["list"]))
        found = [row for row in self.listed if row["SeriesInstanceUID"] in wanted]
        rows = [metadata_row(row, self.twin) for row in self.sized(ask, found)]
        if ask.query.get("format", "csv-download").lower() != "csv-download":
            return rows_reply(rows, ask.query)
        if not rows:
            return Reply()
        attachment = {"Content-Disposition": "attachment; filename=SeriesMetaData.csv"}
        return Reply(to_csv(rows, METADATA_COLUMNS), "text/csv", headers=attachment)

    def _words(self, ask: Ask) -> Reply:
        rows = self.rows(ask)
        if not rows:
            return Reply(status=204)
        classes = {"CT": _CT, "SEG": _SEG}
        return json_reply([words_row(row, classes[row["Modality"]]) for row in rows])

    def _size(self, ask: Ask) -> Reply:
        sizes = [
            {"TotalSizeInBytes": row["FileSize"], "ObjectCount": row["ImageCount"]}
            for row in self.rows(ask)
        ]
        return rows_reply(sizes, ask.query)

    def _sops(self, ask: Ask) -> Reply:
        one = self.twin.series.get(ask.query["SeriesInstanceUID"])
        uids = one.sop_uids if one else ()
        return rows_reply([{"SOPInstanceUID": uid} for uid in uids], ask.query)

    def _species(self, ask: Ask) -> Reply:
        # Here alone the keys begin in lower case.
        row = {key[0].lower() + key[1:]: value for key, value in SPECIES.items()}
        return rows_reply([row], ask.query)

    def _species_counts(self, ask: Ask) -> Reply:
        people = {(row["Collection"], row["PatientID"]) for row in self.listed}
        code = SPECIES["SpeciesCode"]
        return json_reply([{"criteria": code, "count": str(len(people))}])

    def _timepoints(self, ask: Ask) -> Reply:
        return json_reply({"maxTimepoints": 0, "minTimepoints": 0})

    def _descriptions(self, ask: Ask) -> Reply:
        wanted = ask.query.get("collectionName", "")
        held = {row["Collection"] for row in self.listed}
        rows: list[Row] = [
            {
                "description": f"<p>{one.title}. <b>SYNTHETIC</b>: phantoms.</p>",
                "id": number,
                "collectionName": one.name,
                "descriptionURI": f"https://doi.org/{one.doi}",
            }
            for number, one in enumerate(HOLDINGS, start=1)
            if one.name in held and wanted.lower() in ("", one.name.lower())
        ]
        return json_reply(rows)

    def _by_doi(self, ask: Ask) -> Reply:
        """Series, or collections, of a DOI; keys begin in lower case here alone."""
        wanted = ask.query["DOI"].lower()
        found = {}
        by_series = ask.query.get("CollectionOrSeries", "").lower() == "series"
        for row in self.listed:
            if row["DataDescriptionURI"].lower() == wanted:
                facts = {
                    "collection": row["Collection"],
                    "thirdPartyAnalysis": row["ThirdPartyAnalysis"],
                }
                if by_series:
                    facts["seriesInstanceUID"] = row["SeriesInstanceUID"]
                found[facts.get("seriesInstanceUID", row["Collection"])] = facts
        return rows_reply(list(found.values()), ask.query)

    def _manifest(self, ask: Ask) -> Reply:
        annotated = ask.query.get("includeAnnotation", "true")
        text = manifest(_uids(ask.query["list"]), annotated=annotated)
        return Reply(text.encode(), "application/x-nbia-manifest-file")

    def _shared_list(self, ask: Ask) -> Reply:
        listed = ask.query["name"] == SHARED_LIST
        rows = self.rows(ask, {"Collection": "CT Lymph Nodes"}) if listed else []
        return self._shown(ask, rows)

    def _policy(self, ask: Ask) -> Reply:
        return Reply(POLICY.encode(), "application/octet-stream")


class _BadValue(Exception):
    """A value that NBIA answers with 422."""


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """How it answers; without `allowed`, fields may have any name."""

    answer: Callable[[Nbia, Ask], Reply]
    allowed: frozenset[str]
    required: tuple[str, ...] = ()
    versions: tuple[str, ...] = ("v4", "v1")
    methods: tuple[str, ...] = ("GET",)


def _get(
    answer: Callable[[Nbia, Ask], Reply],
    required: Iterable[str] = (),
    optional: Iterable[str] = (),
    *versions: str,
) -> _Endpoint:
    must = tuple(required)
    allowed = frozenset((*must, *optional, "format"))
    return _Endpoint(answer, allowed, must, versions or ("v4", "v1"))


def _send(
    answer: Callable[[Nbia, Ask], Reply],
    required: Iterable[str],
    optional: Iterable[str] = (),
) -> _Endpoint:
    """An endpoint that sends images: it knows no ``format``."""
    must = tuple(required)
    return _Endpoint(answer, frozenset((*must, *optional)), must)


def _post(
    answer: Callable[[Nbia, Ask], Reply], required: str = "", *optional: str
) -> _Endpoint:
    must = (required,) if required else ()
    return _Endpoint(answer, frozenset((*must, *optional)), must, ("v4",), ("POST",))


def _value_list(key: str, filters: Iterable[str]) -> dict[str, _Endpoint]:
    word = key.removesuffix("Examined")
    return {
        f"get{word}Values": _get(
            lambda n, ask: n._values(key, False, ask), (), filters
        ),
        f"get{word}ValuesAndCounts": _get(
            lambda n, ask: n._values(key, True, ask), (), filters, "v4"
        ),
    }


_UID = ("SeriesInstanceUID",)
_SINCE = ("fromDate", "Date")
_ENDPOINTS: dict[str, _Endpoint] = {
    **_value_list("Collection", ()),
    **_value_list("Modality", ("Collection", "BodyPartExamined")),
    **_value_list("BodyPartExamined", ("Collection", "Modality")),
    **_value_list("Manufacturer", ("Collection", "Modality", "BodyPartExamined")),
    "getPatient": _get(Nbia._patients, (), ("Collection", "PatientId")),
    "getPatientByCollectionAndModality": _get(
        Nbia._patient_ids, ("Collection", "Modality")
    ),
    "NewPatientsInCollection": _get(Nbia._new_patients, ("Collection",), _SINCE),
    "getPatientStudy": _get(
        Nbia._studies, (), ("Collection", "PatientID", "StudyInstanceUID")
    ),
    "NewStudiesInPatientCollection": _get(
        Nbia._new_studies, ("Collection",), ("PatientID", *_SINCE)
    ),
    "getSeries": _get(
        Nbia._series,
        (),
        (
            "Collection", "PatientID", "StudyInstanceUID", "Modality",
            "BodyPartExamined", "ManufacturerModelName", "Manufacturer", *_UID,
        ),
    ),
    "getUpdatedSeries": _get(Nbia._updated, ("fromDate",)),
    "getSeriesMetadata": _post(Nbia._metadata, "list", "format"),
    "getSeriesMetaData": _get(Nbia._words, _UID, (), "v1"),
    "getSeriesSize": _get(Nbia._size, _UID),
    "getSOPInstanceUIDs": _get(Nbia._sops, _UID),
    "getImage": _send(downloads.image, _UID, ("NewFileNames", "IncludeMD5")),
    "getImageWithMD5Hash": _send(downloads.image_with_md5, _UID),
    "getDCMImage": _send(
        downloads.dcm_image, _UID, ("IncludeAnnotation", "MD5Verification")
    ),
    "getSingleImage": _send(downloads.single, (*_UID, "SOPInstanceUID")),
    "getThumbnail": _post(downloads.thumbnail, "", "seriesUID", "objectUID"),
    "getMD5HashForImage": _send(downloads.md5, ("SOPInstanceUID",)),
    "getMD5Hierarchy": _post(
        downloads.md5_hierarchy, "",
        "Collection", "PatientID", "StudyInstanceUID", "SeriesInstanceUID",
    ),
    "getDicomTags": _get(downloads.tags, ("SeriesUID",), (), "v4"),
    "getSpeciesTax": _get(Nbia._species, (), (), "v4"),
    "getSpeciesValuesAndCounts": _get(Nbia._species_counts, (), (), "v4"),
    "getMinMaxTimepoints": _get(Nbia._timepoints, (), (), "v4"),
    "getCollectionDescriptions": _get(
        Nbia._descriptions, (), ("collectionName",), "v4"
    ),
    "getCollectionOrSeriesForDOI": _post(
        Nbia._by_doi, "DOI", "CollectionOrSeries", "format"
    ),
    "getSimpleSearch": _post(simple_search.search),
    "getManifestText": _post(Nbia._manifest, "list", "includeAnnotation"),
    "getManifestForSimpleSearch": _post(simple_search.manifest_for_search),
    "getManifestForCollection": _post(
        simple_search.manifest_for_collection,
        "collection", "visibility", "includeAnnotation",
    ),
    "getManifestFromPatientStudySeries": _post(
        simple_search.manifest_for_ids, "",
        "patientIDs", "studyUIDs", "seriesUIDs", "anyOrAll", "includeAnnotation",
    ),
    "getContentsByName": _get(Nbia._shared_list, ("name",), (), "v1"),
    "getUserAgreementTxt": _get(Nbia._policy, (), (), "v1"),
}  # fmt: skip


def _uids(text: str) -> list[str]:
    """Series of a form field; whatever cannot be part of a UID is dropped."""
    kept = "".join(c for c in text if c in "0123456789.,")
    return [uid for uid in kept.split(",") if uid]
