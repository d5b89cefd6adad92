"""Bodies that real services sent, through our parsers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from napari_tcia.archive.catalogue import load
from napari_tcia.archive.http import Reply
from napari_tcia.archive.manifest import parse_manifest
from napari_tcia.archive.nbia import parse_series
from napari_tcia.archive.rows import by_plain_key, json_of, text_of
from napari_tcia.core.text import bare_doi, one_line
from napari_tcia.errors import UnexpectedReply
from napari_tcia.transfer.unpack import safe_name

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "nbia"
pytestmark = pytest.mark.skipif(
    not RECORDED.is_dir(),
    reason="The recorded bodies (../shared beside the repository) are not here.",
)


def rows(name: str):
    value = json.loads((RECORDED / name).read_text())
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("nbia-v1-recorded/getSeries_RIDER-Lung-CT_one-study.json", 15),
        ("nbia-v1-recorded/getContentsByName_first15.json", 15),
        ("nbia-v1-recorded/getSeriesMetaData_CBIS-DDSM.json", 1),
        ("nbia-v4-documented/getUpdatedSeries_one_object.json", 1),
    ],
)
def test_series_rows(name, count):
    listing = parse_series(rows(name))
    assert len(listing.items) == count
    assert listing.issues == ()
    for one in listing.items:
        assert one.collection
        assert one.patient_id
        assert one.modality
        assert one.images


def test_a_row_of_version_1_in_full():
    (one,) = parse_series(
        rows("nbia-v1-recorded/getSeriesMetaData_CBIS-DDSM.json")
    ).items
    assert (one.collection, one.patient_id) == (
        "CBIS-DDSM",
        "Calc-Test_P_00038_LEFT_CC",
    )
    assert (one.images, one.bytes) == (1, 27844690)
    assert one.doi == "10.7937/K9/TCIA.2016.7O02S9CY"
    assert one.licence_uri == "http://creativecommons.org/licenses/by/3.0/"


def test_metadata_as_csv():
    path = RECORDED / "nbia-v4-documented/getSeriesMetadata_example.csv"
    with path.open(newline="") as stream:
        listing = parse_series(list(csv.DictReader(stream)))
    (one,) = listing.items
    assert (one.collection, one.images, one.bytes) == ("4D-Lung", 50, 26405888)
    assert listing.issues == ()


def test_a_manifest_with_a_stray_line():
    (path,) = (RECORDED / "manifests").glob("*.tcia")
    found = parse_manifest(path)
    assert len(found.series_uids) == 225
    assert [issue.numbers["entries"] for issue in found.issues] == [["Series ID"]]


def test_error_texts_are_quoted_and_never_parsed():
    cases = json.loads((RECORDED / "nbia-errors/error_bodies.json").read_text())
    for case in cases:
        body = case["body"].encode()
        reply = Reply(200, "application/json", body, "https://archive.example/")
        if body:
            with pytest.raises(UnexpectedReply) as caught:
                json_of(reply)
            assert one_line(body, 40)[:30] in caught.value.message
        else:
            assert json_of(reply) is None


JSON = sorted(p.relative_to(RECORDED).as_posix() for p in RECORDED.rglob("*.json"))


@pytest.mark.parametrize("name", JSON)
def test_every_recorded_json_is_read_whole(name):
    """Each key of each row is kept, however it is spelt."""
    body = (RECORDED / name).read_bytes()
    value = json_of(Reply(200, "application/json", body, "https://archive.example/"))
    assert value == json.loads(body)
    for row in value if isinstance(value, list) else []:
        if isinstance(row, dict):
            plain = by_plain_key(row)
            assert len(plain) == len(row)
            assert set(plain.values()) == set(row.values())


@pytest.mark.parametrize(
    ("name", "key", "known"),
    [
        ("getCollectionValues", "collection", "CT Lymph Nodes"),
        ("getModalityValues", "modality", "SEG"),
        ("getBodyPartValues", "bodypartexamined", "ABDOMEN"),
        ("getManufacturerValues", "manufacturer", "SIEMENS"),
        ("NewPatientsInCollection_CBIS-DDSM_first10", "patientid", None),
        ("NewStudiesInPatientCollection_CBIS-DDSM_first10", "studyinstanceuid", None),
        ("getPatientByCollectionAndModality_VICTRE_MG_first10", "patientid", None),
    ],
)
def test_value_lists(name, key, known):
    """An empty object stands for "no value" and is none."""
    plain = [by_plain_key(row) for row in rows(f"nbia-v1-recorded/{name}.json")]
    found = [text for row in plain if (text := text_of(row, (key,)))]
    assert len(found) >= len(plain) - 1
    assert known is None or known in found


@pytest.mark.parametrize("name", ["getImage", "getImageWithMD5Hash"])
def test_names_in_recorded_zips_are_safe(name):
    names = rows(f"nbia-v1-recorded/{name}_zip_namelist.json")
    assert [safe_name(one) for one in names] == names
    kinds = {one.rpartition("/")[2].rpartition(".")[2] for one in names}
    assert kinds <= {"dcm", "LICENSE", "csv"}


def test_a_citation_record():
    path = RECORDED / "datacite/csl_dryad-8515_abstract-dropped.json"
    item = json_of(Reply(200, "", path.read_bytes(), "https://datacite.example/"))
    assert bare_doi(item["DOI"]) == bare_doi(item["id"]).upper()


def test_the_catalogue_agrees_with_the_index():
    """Every series of CT Lymph Nodes, compared with rows of another origin."""
    with (RECORDED / "ct_lymph_nodes_idc.csv").open(newline="") as stream:
        expected = {row["SeriesInstanceUID"]: row for row in csv.DictReader(stream)}
    listed = [s for s in load().series if s.collection == "CT Lymph Nodes"]
    assert {s.series_uid for s in listed} == set(expected)
    for one in listed:
        row = expected[one.series_uid]
        assert one.study_uid == row["StudyInstanceUID"]
        assert one.patient_id == row["PatientID"]
        assert (one.modality, one.body_part) == (
            row["Modality"],
            row["BodyPartExamined"],
        )
        assert one.images == int(row["instanceCount"])
        assert one.bytes == round(float(row["series_size_MB"]) * 1e6)
        assert one.licence_name == row["license_short_name"]
        assert one.doi.lower() == row["source_DOI"]


def test_collections_agree_with_the_index():
    with (RECORDED / "collections_idc.csv").open(newline="") as stream:
        expected = {row["collection_id"]: row for row in csv.DictReader(stream)}
    found = {c.id: c for c in load().collections.values()}
    assert set(found) == set(expected)
    for name, row in expected.items():
        assert found[name].name == row["collection_name"]
        assert all(licence in row["licenses"] for licence in found[name].licences)
        assert found[name].doi.lower() in row["original_source_dois"].lower()
