"""Listings of the embedded archive over HTTP."""

import csv
import io

import pytest
import requests

from embedded import LNQ, NC, ask, image, series
from napari_tcia.demo.holdings import CONTROLLED
from napari_tcia.demo.server import EmbeddedArchive


@pytest.fixture(scope="module")
def archive():
    with EmbeddedArchive() as running:
        yield running


def test_listing_paints_nothing(tmp_path):
    with EmbeddedArchive(cache_dir=tmp_path) as running:
        rows = series(running)
        assert len(rows) == 16
        assert ask(running, "/v4/getCollectionValuesAndCounts").json()
        assert list(tmp_path.iterdir()) == []
    assert tmp_path.exists()


def test_series_rows_have_the_keys_of_v4(archive):
    rows = series(archive, Collection="ct lymph NODES")
    ct, seg = rows[0], rows[1]
    assert len(rows) == 6
    assert "Manufacturer" not in ct
    assert "SeriesNumber" not in ct
    assert (seg["SeriesNumber"], seg["Manufacturer"]) == (300, "QIICR")
    assert ct["StudyInstanceUID"] == seg["StudyInstanceUID"]
    assert ct["StudyDate"] == "09-14-2014"
    assert isinstance(ct["ImageCount"], int)
    assert ct["LicenseURI"] == "http://creativecommons.org/licenses/by/3.0/"
    assert ct["DataDescriptionURI"].endswith("10.7937/K9/TCIA.2015.AQIIDCNM")
    assert ct["Authorized"] == 1
    found = series(archive, SeriesInstanceUID=seg["SeriesInstanceUID"])
    assert found == [seg]
    assert series(archive, Collection=LNQ, Modality="seg")[1]["SeriesDescription"] == (
        "Fully Annotated"
    )
    (bare,) = series(archive, Collection="SYNTHETIC-Unlicensed")
    assert "LicenseName" not in bare
    (nc,) = series(archive, Collection=NC)
    assert "NonCommercial" in nc["LicenseName"]


def test_v1_rows_keep_their_older_form(archive):
    rows = ask(archive, "/v1/getSeries", Collection="CT Lymph Nodes").json()
    assert rows[0]["TimeStamp"] == "2023-03-31 00:00:00.0"
    assert "CollectionURI" in rows[0]
    assert "Authorized" not in rows[0]
    shared = ask(archive, "/v1/getContentsByName", name="SYNTHETIC shared list")
    assert shared.json() == rows
    assert ask(archive, "/v4/getContentsByName", name="x").status_code == 404


def test_value_lists(archive):
    values = [r["Collection"] for r in ask(archive, "/v4/getCollectionValues").json()]
    assert values == sorted(values)
    assert "CT Lymph Nodes" in values
    assert CONTROLLED.name not in values
    modalities = ask(archive, "/v4/getModalityValues", Collection=NC).json()
    assert modalities == [{"Modality": "CT"}]
    assert ask(archive, "/v4/getBodyPartValues").json()[0] == {}
    makers = ask(archive, "/v4/getManufacturerValues").json()
    assert makers[0] == {}
    assert any('"' in row.get("Manufacturer", "") for row in makers)
    counts = ask(archive, "/v4/getCollectionValuesAndCounts").json()
    assert {"Collection": "CT Lymph Nodes", "Count": 3, "Authorized": 1} in counts


def test_patients_and_studies(archive):
    patients = ask(archive, "/v4/getPatient", Collection="CT Lymph Nodes").json()
    names = [row["PatientId"] for row in patients]
    assert names == ["MED_LYMPH_001", "MED_LYMPH_021", "ABD_LYMPH_001"]
    (study,) = ask(archive, "/v4/getPatientStudy", PatientID="med_lymph_021").json()
    assert (study["SeriesCount"], study["PatientAge"]) == (2, "068Y")
    ids = ask(
        archive, "/v4/getPatientByCollectionAndModality", Collection=LNQ, Modality="SEG"
    )
    assert ids.json() == [{"PatientId": "case_0002"}, {"PatientId": "case_0003"}]


@pytest.mark.parametrize(
    ("endpoint", "query"),
    [
        ("getSeries", {"Collection": "No Such"}),
        ("getSeries", {"Collection": CONTROLLED.name}),
        ("getPatient", {"Collection": "No Such"}),
        ("getSOPInstanceUIDs", {"SeriesInstanceUID": "1.2.3"}),
        ("getSeriesSize", {"SeriesInstanceUID": "1.2.3"}),
    ],
)
def test_nothing_found_is_an_empty_200(archive, endpoint, query):
    reply = ask(archive, f"/v4/{endpoint}", **query)
    assert (reply.status_code, reply.content) == (200, b"")


def test_metadata_is_quoted_csv(archive):
    rows = series(archive, Collection=LNQ)
    uids = [row["SeriesInstanceUID"] for row in rows[:2]]
    url = f"{archive.bases['archive']}/v4/getSeriesMetadata"
    reply = requests.post(url, data={"list": ",".join(uids)}, timeout=30)
    assert reply.headers["Content-Disposition"].endswith("SeriesMetaData.csv")
    assert reply.text.startswith('"PatientID","PatientName",')
    table = list(csv.DictReader(io.StringIO(reply.text)))
    assert [row["SeriesInstanceUID"] for row in table] == uids
    assert table[0]["FileSize"] == str(rows[0]["FileSize"])
    assert requests.get(url, timeout=30).status_code == 405


def test_size_and_instances(archive):
    row = series(archive, Collection=LNQ)[0]
    uid = row["SeriesInstanceUID"]
    assert ask(archive, "/v4/getSeriesSize", SeriesInstanceUID=uid).json() == [
        {"TotalSizeInBytes": row["FileSize"], "ObjectCount": row["ImageCount"]}
    ]
    sops = ask(archive, "/v4/getSOPInstanceUIDs", SeriesInstanceUID=uid).json()
    assert len({item["SOPInstanceUID"] for item in sops}) == row["ImageCount"]


@pytest.mark.parametrize(
    ("endpoint", "query", "text"),
    [
        ("getSeries", {"x": "1"}, "Invalid query parameter: 'x'. Allowed"),
        ("getImageWithMD5Hash", {"format": "x"}, "parameters are: [SeriesInstanceUID]"),
        ("getPatient", {"x": "1"}, "are: [Collection, PatientId, format]"),
        ("getImage", {}, "A parameter, SeriesInstanceUID, is required"),
        ("getImage", {"SeriesInstanceUID": "61.7.1"}, "has not been granted"),
        ("getImageWithMD5Hash", {"SeriesInstanceUID": "61.7.1"}, "Please contact"),
    ],
)
def test_refusals_are_400_with_a_sentence(archive, endpoint, query, text):
    reply = ask(archive, f"/v4/{endpoint}", **query)
    assert reply.status_code == 400
    assert text in reply.text
    assert reply.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
def test_any_authorization_on_v4_is_401_and_empty(archive, name):
    url = f"{archive.bases['archive']}/v4/getCollectionValues"
    reply = requests.get(url, headers={name: "Bearer undefined"}, timeout=30)
    assert (reply.status_code, reply.content) == (401, b"")


def test_policy_is_the_archives_own(archive):
    text = ask(archive, "/v1/getUserAgreementTxt").text
    assert "SYNTHETIC" in text
    assert ask(archive, "/v4/getUserAgreementTxt").status_code == 404


def test_a_collection_may_have_several_licences_and_none():
    with EmbeddedArchive(cases=1) as running:
        rows = series(running, Collection="SYNTHETIC-Mixed")
        names = [row.get("LicenseName", "") for row in rows]
        assert names[0] == "Creative Commons Attribution 4.0 International License"
        assert "NonCommercial" in names[1]
        assert "LicenseName" not in rows[2]
        assert "LicenseURI" not in rows[2]
        (neck,) = series(running, BodyPartExamined="headneck")
        assert neck["Collection"] == "SYNTHETIC-Head-Neck"


@pytest.mark.parametrize("count", [1378, 20_000])
def test_listings_may_be_long(count):
    with EmbeddedArchive(cases=1, listing=count) as running:
        rows = series(running)
        assert len(rows) == count
        assert len({row["SeriesInstanceUID"] for row in rows}) == count
        assert all(row["SeriesInstanceUID"].startswith("61.7.0.999.") for row in rows)
        last = rows[-1]
        assert series(running, PatientID=last["PatientID"])[-1] == last
        uid = last["SeriesInstanceUID"]
        reply = ask(running, "/v4/getImage", SeriesInstanceUID=uid)
        assert reply.status_code == 400


def test_a_listing_like_the_real_ones(tmp_path):
    with EmbeddedArchive(cases=176, listing=1384, cache_dir=tmp_path) as running:
        rows = series(running, Collection="CT Lymph Nodes")
        kinds = [row["Modality"] for row in rows]
        assert (kinds.count("CT"), kinds.count("SEG")) == (176, 176)
        patients = [row["PatientID"] for row in rows]
        assert {name[:3]: 0 for name in patients} == {"MED": 0, "ABD": 0}
        assert len({name for name in patients if name.startswith("ABD")}) == 86
        assert all(isinstance(row["FileSize"], int) for row in rows)
        assert len({row["SeriesInstanceUID"] for row in rows}) == 352
        lnq = series(running, Collection=LNQ)
        assert len(lnq) == 1026
        assert len({row["PatientID"] for row in lnq}) == 513
        assert len(series(running)) == 1384
        assert list(tmp_path.iterdir()) == []  # nothing was painted
        # Any of them can be had, in the length that was listed.
        (row,) = series(running, PatientID="ABD_LYMPH_086", Modality="SEG")
        _, found = image(running, row["SeriesInstanceUID"])
        assert found.getinfo("00000001.dcm").file_size == row["FileSize"]


def test_filters_of_v1_are_strict_but_for_names(archive):
    query = {"Collection": LNQ.upper(), "Modality": "CT"}
    assert len(ask(archive, "/v1/getSeries", **query).json()) == 2
    query["Modality"] = "ct"
    assert ask(archive, "/v1/getSeries", **query).content == b""
    assert len(ask(archive, "/v4/getSeries", **query).json()) == 2


def test_new_things_by_date_in_the_form_of_each_version(archive):
    new = ask(archive, "/v4/getUpdatedSeries", fromDate="03-31-2023").json()
    assert {row["Collection"] for row in new} == {LNQ}
    old = ask(archive, "/v1/getUpdatedSeries", fromDate="31/03/2023").json()
    assert [row["SeriesInstanceUID"] for row in old] == [
        row["SeriesInstanceUID"] for row in new
    ]
    query = {"Collection": LNQ, "fromDate": "03-31-2023"}
    patients = ask(archive, "/v4/NewPatientsInCollection", **query).json()
    assert [row["PatientId"] for row in patients] == ["case_0002", "case_0003"]
    query["fromDate"] = "01-22-2024"
    assert ask(archive, "/v4/NewPatientsInCollection", **query).content == b""
    studies = ask(
        archive, "/v1/NewStudiesInPatientCollection", Collection=LNQ, Date="2023/03/31"
    ).json()
    assert [row["StudyDate"] for row in studies] == ["2011-02-23 00:00:00.0"] * 2
    assert "Authorized" not in studies[0]
    bad = ask(archive, "/v4/getUpdatedSeries", fromDate="2023/03/31")
    assert (bad.status_code, bad.content) == (422, b"")


def test_v1_metadata_has_words_for_keys_and_text_for_numbers(archive):
    row = series(archive, Collection=LNQ)[1]
    uid = row["SeriesInstanceUID"]
    (words,) = ask(archive, "/v1/getSeriesMetaData", SeriesInstanceUID=uid).json()
    assert words["Number of Images"] == "1"
    assert words["File Size"] == str(row["FileSize"])
    assert words["Series Number"] == "300.000000"
    assert words["SOP Class UID"] == "1.2.840.10008.5.1.4.1.1.66.4"
    none = ask(archive, "/v1/getSeriesMetaData", SeriesInstanceUID="1.2.3")
    assert (none.status_code, none.content) == (204, b"")


def test_descriptions_and_dois_lead_to_series(archive):
    rows = ask(archive, "/v4/getCollectionDescriptions").json()
    assert CONTROLLED.name not in {row["collectionName"] for row in rows}
    found = ask(archive, "/v4/getCollectionDescriptions", collectionName=LNQ).json()
    assert found[0]["descriptionURI"].endswith("10.7937/QVAZ-JA09")
    none = ask(archive, "/v4/getCollectionDescriptions", collectionName="No Such")
    assert none.json() == []
    url = f"{archive.bases['archive']}/v4/getCollectionOrSeriesForDOI"
    form = {"DOI": found[0]["descriptionURI"], "CollectionOrSeries": "series"}
    listed = requests.post(url, data=form, timeout=30).json()
    assert [row["seriesInstanceUID"] for row in listed] == [
        row["SeriesInstanceUID"] for row in series(archive, Collection=LNQ)
    ]


def test_head_was_never_implemented(archive):
    reply = requests.head(f"{archive.bases['archive']}/v4/getImage", timeout=30)
    assert (reply.status_code, reply.content) == (500, b"")
    assert requests.get(f"{archive.bases['archive']}/up", timeout=30).text == "up"
