"""The embedded archive's answers have the shape of recorded ones."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
import requests

from embedded import LNQ, NC, ask, ct_of, image, series
from napari_tcia.demo.nbia import SHARED_LIST
from napari_tcia.demo.server import EmbeddedArchive

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "nbia"
pytestmark = pytest.mark.skipif(
    not RECORDED.is_dir(),
    reason="The recorded bodies (../shared beside the repository) are not here.",
)
LYMPH = "CT Lymph Nodes"


@pytest.fixture(scope="module")
def archive():
    with EmbeddedArchive(cases=1) as running:
        yield running


def recorded(name):
    value = json.loads((RECORDED / name).read_text(encoding="utf-8"))
    return value if isinstance(value, list) else [value]


def shape(rows):
    """Type of every key, over all rows."""
    return {key: type(value) for row in rows for key, value in row.items()}


def assert_ordered(theirs, ours):
    """Keys that both have come in one order, in every row of ours."""
    order = list(max(theirs, key=len))
    for row in ours:
        shared = [key for key in row if key in order]
        assert shared == [key for key in order if key in shared]


def assert_same_kind(theirs, ours, missing=frozenset()):
    """Ours have their keys, with their types and in their order."""
    expected, found = shape(theirs), shape(ours)
    assert set(expected) - set(found) <= missing
    for key in set(expected) & set(found):
        assert found[key] is expected[key], key
    assert_ordered(theirs, ours)


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [
        ("getBodyPartValues", "getBodyPartValues"),
        ("getCollectionValues", "getCollectionValues"),
        ("getManufacturerValues", "getManufacturerValues"),
        ("getModalityValues", "getModalityValues"),
    ],
)
@pytest.mark.parametrize("version", ["v1", "v4"])
def test_value_lists(archive, name, endpoint, version):
    theirs = recorded(f"nbia-v1-recorded/{name}.json")
    ours = ask(archive, f"/{version}/{endpoint}").json()
    assert_same_kind(theirs, ours)
    assert (ours[0] == {}) == (theirs[0] == {})
    if name == "getManufacturerValues":
        assert any('"' in row.get("Manufacturer", "") for row in theirs)
        assert any('"' in row.get("Manufacturer", "") for row in ours)


@pytest.mark.parametrize(
    ("name", "endpoint", "query"),
    [
        (
            "NewPatientsInCollection_CBIS-DDSM_first10",
            "NewPatientsInCollection",
            {"Collection": LYMPH, "Date": "2010/08/16"},
        ),
        (
            "NewStudiesInPatientCollection_CBIS-DDSM_first10",
            "NewStudiesInPatientCollection",
            {"Collection": LYMPH, "Date": "2010/08/16"},
        ),
        (
            "getPatientByCollectionAndModality_VICTRE_MG_first10",
            "getPatientByCollectionAndModality",
            {"Collection": LYMPH, "Modality": "CT"},
        ),
    ],
)
def test_patients_and_studies(archive, name, endpoint, query):
    theirs = recorded(f"nbia-v1-recorded/{name}.json")
    ours = ask(archive, f"/v1/{endpoint}", **query).json()
    assert_same_kind(theirs, ours)
    dates = [row["StudyDate"] for row in (theirs[0], ours[0]) if "StudyDate" in row]
    assert all(date.endswith(" 00:00:00.0") and date[4] == "-" for date in dates)


@pytest.mark.parametrize(
    ("name", "endpoint", "query", "missing"),
    [
        (
            "getSeries_RIDER-Lung-CT_one-study",
            "getSeries",
            {"Collection": LNQ},
            {"ProtocolName", "SoftwareVersions"},
        ),
        (
            "getContentsByName_first15",
            "getContentsByName",
            {"name": SHARED_LIST},
            {"ProtocolName", "SoftwareVersions"},
        ),
    ],
)
def test_series_of_v1(archive, name, endpoint, query, missing):
    theirs = recorded(f"nbia-v1-recorded/{name}.json")
    ours = ask(archive, f"/v1/{endpoint}", **query).json()
    assert_same_kind(theirs, ours, missing)
    if endpoint == "getSeries":
        assert all(len({frozenset(row) for row in rows}) > 1 for rows in (theirs, ours))


def test_series_of_v4(archive):
    theirs = recorded("nbia-v4-documented/getUpdatedSeries_one_object.json")
    ours = ask(archive, "/v4/getUpdatedSeries", fromDate="01-01-2019").json()
    # The example has the older name of the timestamp, as deployed servers do not.
    assert_same_kind(theirs, ours, {"TimeStamp", "SoftwareVersions"})
    assert all("MaxSubmissionTimestamp" in row for row in ours)


def test_metadata_of_v1(archive):
    theirs = recorded("nbia-v1-recorded/getSeriesMetaData_CBIS-DDSM.json")
    row = series(archive, Collection=LNQ)[1]
    uid = row["SeriesInstanceUID"]
    ours = ask(archive, "/v1/getSeriesMetaData", SeriesInstanceUID=uid).json()
    assert_same_kind(theirs, ours)
    assert len(ours[0]["Study Date"]) == len(theirs[0]["Study Date"])


def test_metadata_of_v4(archive):
    text = (RECORDED / "nbia-v4-documented/getSeriesMetadata_example.csv").read_text()
    theirs = list(csv.DictReader(io.StringIO(text)))
    uid = ct_of(archive, LNQ)
    url = f"{archive.bases['archive']}/v4/getSeriesMetadata"
    reply = requests.post(url, data={"list": uid}, timeout=60)
    ours = list(csv.DictReader(io.StringIO(reply.text)))
    assert reply.text.splitlines()[0] == text.splitlines()[0]
    assert [list(row) for row in ours] == [list(theirs[0])] * len(ours)
    for key in ("SeriesNumber", "PixelSpacing(mm)-Row"):
        assert len(ours[0][key].partition(".")[2]) == 6
        assert len(theirs[0][key].partition(".")[2]) == 6


def test_names_in_zips(archive):
    uid = ct_of(archive, NC)
    theirs = recorded("nbia-v1-recorded/getImage_zip_namelist.json")
    ours = image(archive, uid)[1].namelist()
    assert ours[: len(theirs)] == theirs
    theirs = recorded("nbia-v1-recorded/getImageWithMD5Hash_zip_namelist.json")
    ours = image(archive, uid, "getImageWithMD5Hash")[1].namelist()
    assert ours[:-1] == theirs[: len(ours) - 1]
    assert ours[-1] == theirs[-1]


def test_licence_member(archive):
    template = (RECORDED / "text/licenseText_template.txt").read_text().strip()
    template = template.partition("=")[2] if "=" in template[:20] else template
    (row,) = series(archive, Collection=NC)
    member = image(archive, row["SeriesInstanceUID"])[1].read("LICENSE").decode()
    for place, value in enumerate((NC, "CC BY-NC 4.0", row["LicenseURI"])):
        template = template.replace(f"{{{place}}}", value)
    assert " ".join(member.split()).startswith(" ".join(template.split()))


@pytest.mark.parametrize(
    ("case", "path"),
    [
        ("unknown query", "/v4/getImageWithMD5Hash?x=1"),
        ("SeriesInstanceUID missing", "/v4/getImage"),
        ("v2/v4 getImage*: series unknown", "/v4/getImage?SeriesInstanceUID=<uid>"),
        ("v1 getImage*: series unknown", "/v1/getImage?SeriesInstanceUID=<uid>"),
        ("query matched nothing", "/v4/getSeries?Collection=none"),
        ("v1/v2 getSeriesMetaData", "/v1/getSeriesMetaData?SeriesInstanceUID=1"),
        ("bad parameters", "/v4/getUpdatedSeries?fromDate=x"),
        ("uncaught", "/v4/getSingleImage?SeriesInstanceUID=<ct>&SOPInstanceUID=1.2"),
        ("bearer token", "/v4/getSeries"),
    ],
)
def test_errors(archive, case, path):
    (theirs,) = (
        row
        for row in recorded("nbia-errors/error_bodies.json")
        if row["case"].startswith(case)
    )
    path = path.replace("<uid>", "1.2.3").replace("<ct>", ct_of(archive, NC))
    headers = {"Authorization": "Bearer x"} if case == "bearer token" else {}
    url = archive.bases["archive"] + path
    reply = requests.get(url, headers=headers, timeout=60)
    assert reply.status_code == theirs["status"]
    if case == "unknown query":  # the example is of an endpoint with one parameter
        assert reply.text.startswith("Invalid query parameter: 'x'. Allowed parameters")
    else:
        assert reply.text == theirs["body"].replace("<uid>", "1.2.3")
    kind = theirs["content_type"].partition(" ")[0]
    if "/" in kind:
        assert reply.headers["Content-Type"].startswith(kind)


def test_a_failing_head_has_the_length_that_was_seen(archive):
    (theirs,) = (
        row
        for row in recorded("nbia-errors/error_bodies.json")
        if row["case"].startswith("uncaught")
    )
    reply = requests.head(f"{archive.bases['archive']}/v1/getImage", timeout=30)
    assert reply.status_code == theirs["status"]
    assert int(reply.headers["Content-Length"]) == len(theirs["body"]) == 48


DOCUMENTED = RECORDED / "nbia-v4-documented/endpoints_and_examples.json"


def documented():
    """Endpoint, method and names of the fields of every documented endpoint."""
    if not DOCUMENTED.is_file():
        return []
    found = []
    for path, one in json.loads(DOCUMENTED.read_text(encoding="utf-8")).items():
        names = [parameter["name"] for parameter in one["parameters"]]
        for form in (one.get("requestBody") or {}).values():
            names += form
        found.append((path, one["method"], names))
    return found


@pytest.mark.parametrize(("path", "method", "names"), documented())
def test_every_documented_endpoint_takes_its_fields(archive, path, method, names):
    url = f"{archive.bases['archive']}/v4{path}"
    form = {"data" if method == "POST" else "params": dict.fromkeys(names, "1")}
    reply = requests.request(method, url, timeout=60, **form)
    assert reply.status_code not in (404, 405)
    assert "Invalid query parameter" not in reply.text
    # None of the examples says so, but v4 knows no other field.
    if "criteriaType0" not in names:
        form = {"data" if method == "POST" else "params": {"x": "1"}}
        assert (
            "Invalid query parameter: 'x'"
            in requests.request(method, url, timeout=60, **form).text
        )


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/getSpeciesTax", {}),
        ("/getSpeciesValuesAndCounts", {}),
        ("/getDicomTags", {"SeriesUID": "<ct>"}),
    ],
)
def test_documented_examples(archive, path, query):
    examples = json.loads(DOCUMENTED.read_text(encoding="utf-8"))[path]["responses"]
    theirs = examples["200"]["examples"]["application/json"]
    theirs = theirs["default"] if isinstance(theirs, dict) else theirs
    asked = {
        key: value.replace("<ct>", ct_of(archive, NC)) for key, value in query.items()
    }
    ours = ask(archive, f"/v4{path}", **asked)
    assert ours.headers["Content-Type"] == "application/json"
    assert_same_kind(theirs, ours.json())


def test_lists_are_sorted_as_recorded(archive):
    for name in ("getCollectionValues", "getModalityValues", "getBodyPartValues"):
        for rows in (
            recorded(f"nbia-v1-recorded/{name}.json"),
            ask(archive, f"/v1/{name}").json(),
        ):
            values = [next(iter(row.values()), "") for row in rows]
            assert values == sorted(values, key=str.upper) or values == sorted(values)


def test_headers_of_answers(archive):
    """Content types and attachment names, as the server's source has them."""
    uid = ct_of(archive, NC)
    sop = ask(archive, "/v4/getSOPInstanceUIDs", SeriesInstanceUID=uid).json()[0]
    named = {"SeriesInstanceUID": uid, **sop}
    for endpoint, query, kind, attachment in (
        ("v4/getSeries", {"Collection": NC}, "application/json", ""),
        ("v4/getImage", {"SeriesInstanceUID": uid}, "application/octet-stream",
         f'attachment; filename="{uid}.zip"'),
        ("v4/getSingleImage", named, "application/dicom",
         f"attachment; filename={sop['SOPInstanceUID']}.dcm"),
        ("v4/getMD5HashForImage", sop, "text/plain", ""),
        ("v1/getUserAgreementTxt", {}, "application/octet-stream", ""),
    ):  # fmt: skip
        reply = ask(archive, f"/{endpoint}", **query)
        assert reply.headers["Content-Type"] == kind
        assert reply.headers.get("Content-Disposition", "") == attachment
        assert reply.headers["Server"] == "nginx"
        assert not {"ETag", "Accept-Ranges", "Last-Modified"} & set(reply.headers)


def test_citations_of_datacite(archive):
    doi = "10.7937/K9/TCIA.2015.AQIIDCNM"
    theirs = recorded("datacite/csl_dryad-8515_abstract-dropped.json")
    path = f"/dois/application/vnd.citationstyles.csl+json/{doi}"
    ours = [ask(archive, path, "datacite").json()]
    assert_same_kind(
        theirs, ours, {"categories", "language", "contributor", "abstract", "note"}
    )
    assert shape(theirs[0]["author"]) == shape(ours[0]["author"])
    form = (
        r"[^<>]+, &amp; [^<>]+ \(\d{4}\)\. <i>[^<>]+</i> \(Version \w+\) \[Dataset\]\. "
        r"[\w ]+\. https://doi\.org/10\.[\dA-Z./]+"
    )
    theirs = (RECORDED / "datacite/x-bibliography_dryad-8515_apa.html").read_text()
    ours = ask(archive, f"/dois/text/x-bibliography/{doi}", "datacite").text
    assert re.fullmatch(form, theirs.strip())
    assert re.fullmatch(form, ours.strip())


def test_a_transient_error_of_datacite(archive):
    theirs = json.loads((RECORDED / "datacite/error-500-transient.json").read_text())
    archive.fault = "datacite-500"
    try:
        reply = ask(archive, "/dois/10.7937/QVAZ-JA09", "datacite")
    finally:
        archive.fault = None
    assert (reply.status_code, reply.json()) == (500, theirs)


def test_datacite_records(archive):
    theirs = json.loads(
        (RECORDED / "datacite/dois_list_record_dryad-234_reduced.json").read_text()
    )["data"]
    ours = ask(archive, "/dois", "datacite").json()
    assert set(ours) == {"data", "meta", "links"}
    for record in ours["data"]:
        assert set(record) >= {"id", "type", "attributes"}
        expected, found = theirs[0]["attributes"], record["attributes"]
        for key in set(expected) & set(found):
            if key != "publisher":  # an object only where ?publisher=true
                assert type(found[key]) is type(expected[key]), key
        for key in ("creators", "titles", "types"):
            assert set(shape([expected[key]] if key == "types" else expected[key])) == (
                set(shape([found[key]] if key == "types" else found[key]))
            )
    order = list(theirs[0]["attributes"])
    shared = [key for key in ours["data"][0]["attributes"] if key in order]
    assert shared == [key for key in order if key in shared]
    missing = json.loads((RECORDED / "datacite/error-404.json").read_text())
    assert ask(archive, "/dois/10.9999/none", "datacite").json() == missing


def test_registration_agencies(archive):
    root = archive.bases["datacite"].removesuffix("/datacite")
    for name, doi in (("found", "10.7937/QVAZ-JA09"), ("missing", "10.9999/none")):
        (theirs,) = recorded(f"datacite/doi-ra_{name}.json")
        (ours,) = requests.get(f"{root}/doi/ra/{doi}", timeout=30).json()
        assert theirs | {"DOI": doi} == ours


def test_manifest(archive):
    name = "manifests/NBIA-Submission-Test-Data_225series_3.4gbytes.tcia"
    theirs = (RECORDED / name).read_bytes().split(b"\n")
    ours = ask(archive, "/series-id-line.tcia", "files").content.split(b"\n")
    for their_line, our_line in zip(theirs[:7], ours[:7], strict=True):
        assert their_line.partition(b"=")[0] == our_line.partition(b"=")[0]
