"""Searches by criteria, manifests and forms of answers of the embedded archive."""

import csv
import hashlib
import html
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import requests
from PIL import Image

from embedded import LNQ, NC, ask, ct_of, image, series
from napari_tcia.archive.manifest import parse_manifest
from napari_tcia.demo.server import EmbeddedArchive

LYMPH = "CT Lymph Nodes"
PAGE = {"sortField": "subject", "sortDirection": "ascending", "start": 0, "size": 10}


@pytest.fixture(scope="module")
def archive():
    with EmbeddedArchive(cases=2) as running:
        yield running


def post(archive, endpoint, **form):
    url = f"{archive.bases['archive']}/v4/{endpoint}"
    return requests.post(url, data=form, timeout=30)


def criteria(*pairs):
    """Form fields of criteria and their values."""
    return {
        name: text
        for number, (kind, value) in enumerate(pairs)
        for name, text in ((f"criteriaType{number}", kind), (f"value{number}", value))
    }


def found(archive, *pairs, **more):
    reply = post(archive, "getSimpleSearch", **criteria(*pairs), **(PAGE | more))
    assert reply.status_code == 200
    return reply.json()


def test_simple_search_counts_patients(archive):
    answer = found(archive, ("CollectionCriteria", LYMPH.lower()))
    assert answer["totalPatients"] == 2
    assert [one["subjectId"] for one in answer["resultSet"]] == [
        "MED_LYMPH_001", "MED_LYMPH_021",
    ]  # fmt: skip
    first = answer["resultSet"][0]
    assert first["project"] == LYMPH
    assert (first["totalNumberOfStudies"], first["totalNumberOfSeries"]) == (1, 2)
    assert first["modalities"] == ["CT", "SEG"]
    # Keys of a database, not UIDs.
    keys = first["studyIdentifiers"][0]["seriesIdentifiers"]
    assert len(keys) == 2
    assert all(isinstance(key, int) for key in keys)
    assert answer["modalities"] == [
        {"value": "CT", "count": 2}, {"value": "SEG", "count": 2},
    ]  # fmt: skip
    everyone = found(archive)
    assert {"value": "NOT SPECIFIED", "count": 1} in everyone["bodyParts"]
    assert everyone["species"] == [
        {"value": "337915000", "count": everyone["totalPatients"]}
    ]


def test_simple_search_combines_criteria(archive):
    either = found(archive, ("CollectionCriteria", LYMPH), ("CollectionCriteria", NC))
    assert either["totalPatients"] == 3
    both = (("ImageModalityCriteria", "CT"), ("ImageModalityCriteria", "SEG"))
    anded = found(archive, *both, ("ModalityAndedSearchCriteria", "all"))
    assert anded["totalPatients"] == 4 < found(archive, *both)["totalPatients"]
    free = found(archive, ("ExcludeCommercialCriteria", "YES"))
    assert NC not in {one["value"] for one in free["collections"]}
    assert found(archive, ("MinNumberOfStudiesCriteria", "2"))["totalPatients"] == 0
    dated = {"criteriaType0": "DateRangeCriteria"}
    dated |= {"fromDate0": "01-01-2024", "toDate0": "12-31-2024"}
    (only,) = found(archive, **dated)["collections"]
    assert only == {"value": LNQ, "count": 2}


def test_simple_search_comes_in_pages(archive):
    names = [one["subjectId"] for one in found(archive)["resultSet"]]
    down = found(archive, sortDirection="descending")["resultSet"]
    assert [one["subjectId"] for one in down] == names[::-1]
    second = found(archive, start=2, size=3)["resultSet"]
    assert [one["subjectId"] for one in second] == names[2:5]
    assert found(archive, start=len(names))["resultSet"] == []
    by_series = found(archive, sortField="series", sortDirection="descending")
    counts = [one["totalNumberOfSeries"] for one in by_series["resultSet"]]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize("missing", list(PAGE))
def test_simple_search_fails_without_a_required_field(archive, missing):
    form = {key: value for key, value in PAGE.items() if key != missing}
    reply = post(archive, "getSimpleSearch", **form)
    assert reply.status_code == 500
    assert reply.text.startswith("Server was not able to process your request")
    assert reply.headers["Content-Type"] == "text/plain"


def test_simple_search_fails_beyond_the_end_and_for_the_unknown(archive):
    form = criteria(("NoSuchCriteria", "x"))
    for wrong in (PAGE | {"start": 10_000}, PAGE | {"size": "x"}, PAGE | form):
        assert post(archive, "getSimpleSearch", **wrong).status_code == 500


def test_manifests_name_what_is_asked_for(archive):
    rows = series(archive, Collection=LYMPH)
    uids = [row["SeriesInstanceUID"] for row in rows]

    def named(endpoint, **form):
        reply = post(archive, endpoint, **form)
        assert reply.headers["Content-Type"] == "application/x-nbia-manifest-file"
        assert reply.text.splitlines()[5] == "ListOfSeriesToDownload="
        return list(parse_manifest(reply.text).series_uids)

    assert named("getManifestForCollection", collection=LYMPH) == uids
    ct = criteria(("CollectionCriteria", LYMPH), ("ImageModalityCriteria", "CT"))
    assert named("getManifestForSimpleSearch", **ct, **PAGE) == uids[::2]
    endpoint, patient = "getManifestFromPatientStudySeries", rows[0]["PatientID"]
    assert named(endpoint, patientIDs=patient) == uids[:2]
    study = rows[2]["StudyInstanceUID"]
    assert named(endpoint, patientIDs=patient, studyUIDs=study) == uids
    assert named(endpoint, patientIDs=patient, studyUIDs=study, anyOrAll="all") == []
    assert named(endpoint, seriesUIDs=f"{uids[1]}, {uids[3]}") == uids[1::2]
    text = post(archive, endpoint, seriesUIDs=uids[0], includeAnnotation="false").text
    assert "includeAnnotation=false\n" in text
    assert post(archive, endpoint, x="1").status_code == 400


@pytest.mark.parametrize("endpoint", ["getSeries", "getManufacturerValues"])
def test_every_form_says_the_same(archive, endpoint):
    query = {"Collection": NC}
    rows = ask(archive, f"/v4/{endpoint}", **query).json()
    texts = [{key: str(value) for key, value in row.items()} for row in rows]

    reply = ask(archive, f"/v4/{endpoint}", format="XML", **query)
    assert reply.headers["Content-Type"] == "application/xml"
    root = ElementTree.fromstring(reply.content)
    assert [{cell.tag: cell.text for cell in row} for row in root] == texts
    types = {cell.tag: cell.get("type") for cell in root[0]}
    assert types.get("ImageCount", "java.lang.Integer") == "java.lang.Integer"
    assert "java.lang.String" in types.values()

    reply = ask(archive, f"/v4/{endpoint}", format="html", **query)
    assert reply.headers["Content-Type"] == "text/html"
    heads = re.findall("<TH>(.*?)</TH>", reply.text)
    cells = [html.unescape(cell) for cell in re.findall("<TD>(.*?)</TD>", reply.text)]
    assert dict(zip(heads, cells, strict=True)) == texts[0]

    reply = ask(archive, f"/v4/{endpoint}", format="csv", **query)
    assert reply.text.startswith('"')
    assert list(csv.DictReader(io.StringIO(reply.text))) == texts

    assert ask(archive, f"/v4/{endpoint}", format="yaml", **query).status_code == 500
    none = ask(archive, f"/v4/{endpoint}", format="xml", Collection="No Such")
    assert (none.status_code, none.content) == (200, b"")


def test_what_is_missing_in_a_row_is_an_empty_cell(archive):
    rows = series(archive, Collection=LYMPH)
    text = ask(archive, "/v4/getSeries", format="html", Collection=LYMPH).text
    assert len({frozenset(row) for row in rows}) > 1
    assert "<TD>&nbsp;</TD>" in text


def test_thumbnails_are_small_pictures(archive):
    rows = series(archive, PatientID="MED_LYMPH_021")
    for row in rows:
        uid = row["SeriesInstanceUID"]
        sops = ask(archive, "/v4/getSOPInstanceUIDs", SeriesInstanceUID=uid).json()
        sop = sops[len(sops) // 2]["SOPInstanceUID"]
        reply = post(archive, "getThumbnail", seriesUID=uid, objectUID=sop)
        assert reply.headers["Content-Type"] == "image/jpeg"
        picture = Image.open(io.BytesIO(reply.content))
        assert picture.format == "JPEG"
        assert max(picture.size) == 128
        assert np.ptp(np.asarray(picture)) > 50
    for wrong in ({"seriesUID": uid}, {"seriesUID": "1.2", "objectUID": sop}):
        assert post(archive, "getThumbnail", **wrong).status_code == 400


def test_thumbnails_are_pixels_to_the_faults():
    with EmbeddedArchive(cases=1, fault="image-500") as running:
        assert post(running, "getThumbnail", seriesUID="1").status_code == 500
        url = f"{running.bases['archive']}/v4/getDCMImage?SeriesInstanceUID=1"
        assert requests.get(url, timeout=30).status_code == 500


def test_dcm_images_have_no_licence_and_perhaps_checksums(archive):
    uid = ct_of(archive, NC)
    _, plain = image(archive, uid, "getDCMImage")
    _, summed = image(archive, uid, "getDCMImage", MD5Verification="true")
    assert all(name.endswith(".dcm") for name in plain.namelist())
    assert summed.namelist() == [*plain.namelist(), "md5hashes.csv"]


def test_md5_of_what_lies_above_instances(archive):
    def md5(**form):
        reply = post(archive, "getMD5Hierarchy", **form)
        assert reply.headers["Content-Type"] == "text/plain"
        return reply.text

    (row,) = series(archive, Collection=NC)
    uid = row["SeriesInstanceUID"]
    _, found = image(archive, uid)
    single = sorted(
        hashlib.md5(found.read(name)).hexdigest()
        for name in found.namelist()
        if name.endswith(".dcm")
    )

    def joined(digests):
        return hashlib.md5("".join(digests).encode()).hexdigest()

    expected = joined(single)
    assert md5(SeriesInstanceUID=uid) == expected
    for key in ("StudyInstanceUID", "PatientID", "Collection"):
        expected = joined([expected])
        assert md5(**{key: row[key]}) == expected
    assert md5(Collection=NC, PatientID=row["PatientID"]) == md5(
        PatientID=row["PatientID"]
    )
    assert md5(SeriesInstanceUID="1.2.3") == md5() == ""


def test_species_and_time_points(archive):
    people = len(ask(archive, "/v4/getPatient").json())
    assert ask(archive, "/v4/getSpeciesValuesAndCounts").json() == [
        {"criteria": "337915000", "count": str(people)}
    ]
    (tax,) = ask(archive, "/v4/getSpeciesTax").json()
    assert tax == {"speciesCode": "337915000", "speciesDescription": "Homo sapiens"}
    assert ask(archive, "/v4/getMinMaxTimepoints").status_code == 200
