"""The embedded archive over HTTP, as an independent client sees it."""

import csv
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from urllib.parse import urlsplit

import numpy as np
import pydicom
import pytest
import requests
import SimpleITK as sitk

from napari_tcia.demo.faults import ELSEWHERE, FAULTS
from napari_tcia.demo.holdings import CONTROLLED
from napari_tcia.demo.phantom import make_phantom
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import UsageError

LNQ = "Mediastinal-Lymph-Node-SEG"
NC = "SYNTHETIC-NonCommercial"


@pytest.fixture(scope="module")
def archive():
    with EmbeddedArchive() as running:
        yield running


@pytest.fixture
def faulty(archive):
    """Set a fault for one test."""
    yield lambda name: setattr(archive, "fault", name)
    archive.fault = None


def ask(archive, path, base="archive", **query):
    return requests.get(archive.bases[base] + path, params=query, timeout=30)


def series(archive, **query):
    return ask(archive, "/v4/getSeries", **query).json()


def image(archive, uid, name="getImage", **query):
    reply = ask(archive, f"/v4/{name}", SeriesInstanceUID=uid, **query)
    assert reply.status_code == 200
    return reply, zipfile.ZipFile(io.BytesIO(reply.content))


def ct_of(archive, collection):
    return series(archive, Collection=collection, Modality="CT")[0]["SeriesInstanceUID"]


# Listings


def test_listing_paints_nothing(tmp_path):
    with EmbeddedArchive(cache_dir=tmp_path) as running:
        rows = series(running)
        assert len(rows) == 12
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


# Downloads


def test_every_zip_holds_what_the_listing_says(archive):
    for row in series(archive):
        _, found = image(archive, row["SeriesInstanceUID"], NewFileNames="Yes")
        members = [m for m in found.infolist() if m.filename.endswith(".dcm")]
        assert found.testzip() is None
        assert len(members) == row["ImageCount"]
        assert sum(member.file_size for member in members) == row["FileSize"]
        licensed = found.namelist()[0] == "LICENSE"
        assert licensed == ("LicenseName" in row)


def test_image_is_chunked_shuffled_and_licensed(archive):
    uid = ct_of(archive, LNQ)
    reply, found = image(archive, uid)
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in reply.headers
    assert reply.headers["Content-Type"] == "application/octet-stream"
    assert f'"{uid}.zip"' in reply.headers["Content-Disposition"]
    names = found.namelist()
    assert names[:2] == ["LICENSE", "00000001.dcm"]
    licence = found.read("LICENSE").decode()
    assert licence.startswith(
        f"License Information. The {LNQ} collection is distributed under the CC BY 4.0"
    )
    assert "SYNTHETIC" in licence
    numbers = [
        pydicom.dcmread(io.BytesIO(found.read(name))).InstanceNumber
        for name in names[1:]
    ]
    assert sorted(numbers) == list(range(1, 29))
    assert numbers != sorted(numbers)
    _, renamed = image(archive, uid, NewFileNames="Yes")
    assert renamed.namelist()[1] == "1-001.dcm"


def test_range_is_ignored(archive):
    uid = ct_of(archive, NC)
    url = f"{archive.bases['archive']}/v4/getImage?SeriesInstanceUID={uid}"
    whole = requests.get(url, timeout=30)
    part = requests.get(url, headers={"Range": "bytes=100-"}, timeout=30)
    assert (part.status_code, part.content) == (200, whole.content)


def test_md5_table_is_right(archive):
    _, found = image(archive, ct_of(archive, LNQ), "getImageWithMD5Hash")
    assert "LICENSE" not in found.namelist()
    assert found.namelist()[-1] == "md5hashes.csv"
    table = list(csv.DictReader(io.StringIO(found.read("md5hashes.csv").decode())))
    assert [row["Filename"] for row in table] != found.namelist()[:-1]
    assert {row["Filename"]: row["MD5Hash"] for row in table} == {
        name: hashlib.md5(found.read(name)).hexdigest()
        for name in found.namelist()[:-1]
    }


def test_single_image(archive):
    uid = ct_of(archive, NC)
    sops = ask(archive, "/v4/getSOPInstanceUIDs", SeriesInstanceUID=uid).json()
    sop = sops[3]["SOPInstanceUID"]
    query = {"SeriesInstanceUID": uid, "SOPInstanceUID": sop}
    reply = ask(archive, "/v4/getSingleImage", **query)
    assert reply.headers["Content-Type"] == "application/dicom"
    assert pydicom.dcmread(io.BytesIO(reply.content)).SOPInstanceUID == sop
    query["SOPInstanceUID"] = "1.2.3"
    assert ask(archive, "/v4/getSingleImage", **query).status_code == 500


def test_served_ct_is_the_phantom(archive, tmp_path):
    (row,) = series(archive, PatientID="MED_LYMPH_021", Modality="CT")
    _, found = image(archive, row["SeriesInstanceUID"])
    found.extractall(tmp_path)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    read = sitk.ReadImage(names)
    case = archive.twin.series[row["SeriesInstanceUID"]].case
    truth = make_phantom(case.scan)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), truth.array)
    spacing = (case.scan.spacing, case.scan.spacing, case.scan.step)
    assert read.GetSpacing() == pytest.approx(spacing, abs=1e-9)
    assert read.GetOrigin() == pytest.approx(case.scan.origin, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("MED_ABD_LYMPH_ANNOTATIONS.zip", 4),
        ("MED_ABD_LYMPH_MASKS.zip", 1),
    ],
)
def test_supplements_have_one_folder_per_patient(archive, name, files):
    reply = ask(archive, f"/{name}", base="files")
    assert int(reply.headers["Content-Length"]) == len(reply.content)
    members = zipfile.ZipFile(io.BytesIO(reply.content)).namelist()
    top = name.removesuffix(".zip")
    for patient in ("MED_LYMPH_001", "MED_LYMPH_021", "ABD_LYMPH_001"):
        inside = [m for m in members if m.startswith(f"{top}/{patient}/{patient}_")]
        assert len(inside) == files
    assert ask(archive, "/none.zip", base="files").status_code == 404


# Descriptions


def test_collection_manager_comes_in_pages(archive):
    first = ask(archive, "/v2/collections/", "collections", per_page=100).json()
    second = ask(archive, "/v2/collections/", "collections", page=2).json()
    assert (first["total_pages"], second["page"]) == (2, 2)
    rows = first["results"] + second["results"]
    assert rows[-1]["hide_from_browse_table"] == "1"
    assert rows[0]["program"] is False
    assert "<p>" in rows[0]["collection_summary"]
    downloads = [
        row
        for page in (1, 2)
        for row in ask(archive, "/v2/downloads/", "collections", page=page).json()[
            "results"
        ]
    ]
    labels = {row["id"]: (row["license"] or {}).get("label") for row in downloads}
    (controlled,) = (r for r in rows if r["collection_short_title"] == CONTROLLED.name)
    assert labels[controlled["collection_downloads"][0]] == "NIH Controlled Data Access"
    assert labels[rows[0]["collection_downloads"][0]] == "CC BY 3.0"


def test_collection_manager_v1_links_its_pages(archive):
    url = f"{archive.bases['collections']}/v1/collections/"
    seen = []
    while url:
        reply = requests.get(url, timeout=30)
        seen += reply.json()
        following = reply.links.get("next", {}).get("url")
        url = following and requests.compat.urljoin(url, following)
    assert len(seen) == 6


def test_citations_by_content_type(archive):
    doi = "10.7937/k9/tcia.2015.aqiidcnm"
    csl = ask(
        archive, f"/dois/application/vnd.citationstyles.csl+json/{doi}", "datacite"
    )
    assert csl.json()["author"][0] == {"family": "Roth", "given": "Holger"}
    apa = ask(archive, f"/dois/text/x-bibliography/{doi.upper()}", "datacite").text
    assert "&amp; Summers, R. M. (2015). <i>" in apa
    bibtex = ask(archive, f"/dois/application/x-bibtex/{doi}", "datacite").text
    assert bibtex.startswith("@misc{https://doi.org/10.7937/")
    ris = ask(
        archive, f"/dois/application/x-research-info-systems/{doi}", "datacite"
    ).content
    assert ris.startswith(b"TY  - DATA\r\n")
    record = ask(archive, f"/dois/{doi}", "datacite").json()
    assert record["data"]["attributes"]["publicationYear"] == 2015
    for unknown in ("/dois/10.7937/none", f"/dois/text/turtle/{doi}"):
        assert ask(archive, unknown, "datacite").status_code == 404


def test_no_body_names_the_archives_address(archive):
    uid = ct_of(archive, NC)
    for base, path in (
        ("archive", "/v4/getSeries"),
        ("archive", f"/v4/getImage?SeriesInstanceUID={uid}"),
        ("collections", "/v2/collections/"),
        ("collections", "/v1/collections/"),
        ("datacite", "/dois/10.7937/QVAZ-JA09"),
        ("idc", "/idc-open-data?list-type=2&prefix=x/"),
        ("files", "/MED_ABD_LYMPH_ANNOTATIONS.zip"),
    ):
        reply = requests.get(archive.bases[base] + path, timeout=30)
        sent = reply.content + str(reply.headers).encode()
        assert b"127.0.0.1" not in sent
        assert str(archive.port).encode() + b"/" not in sent


def test_log_tells_what_was_asked(archive):
    before = len(archive.log)
    reply = ask(archive, "/v4/getSeries", Collection=NC)
    (record,) = archive.log[before:]
    assert (record.method, record.status) == ("GET", 200)
    assert record.path == f"/nbia-api/services/v4/getSeries?Collection={NC}"
    assert record.bytes == len(reply.content)


def test_settings_point_at_it_alone(archive, tmp_path):
    settings = archive.settings(tmp_path)
    assert settings.archive_host == f"127.0.0.1:{archive.port}"
    assert settings.allowed_hosts == {settings.archive_host}


# Faults


def test_unknown_fault_is_named():
    with pytest.raises(UsageError, match="no fault named 'nonsense'"):
        EmbeddedArchive(fault="nonsense")


def test_taken_port_is_a_sentence(archive):
    with pytest.raises(UsageError, match=str(archive.port)):
        EmbeddedArchive(port=archive.port)


def test_short_zip_looks_whole(archive, faulty):
    uid = ct_of(archive, LNQ)
    faulty("short-zip")
    _, found = image(archive, uid)
    assert found.namelist()[0] == "LICENSE"
    assert len(found.namelist()) == 1 + 28 - 2
    _, table = image(archive, uid, "getImageWithMD5Hash")
    assert "md5hashes.csv" not in table.namelist()


def test_cut_breaks_off(archive, faulty):
    uid = ct_of(archive, LNQ)
    faulty("cut")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        image(archive, uid)


def test_stall_sends_a_little_then_nothing(archive, faulty):
    uid = ct_of(archive, LNQ)
    faulty("stall")
    url = f"{archive.bases['archive']}/v4/getImage?SeriesInstanceUID={uid}"
    with requests.get(url, stream=True, timeout=(5, 0.5)) as reply:
        chunks = reply.iter_content(None)
        assert next(chunks)
        with pytest.raises(requests.exceptions.ConnectionError, match="timed out"):
            list(chunks)


@pytest.mark.parametrize(
    ("fault", "status"), [("image-500", 500), ("busy", 429), ("error-500", 500)]
)
def test_failing_downloads(archive, faulty, fault, status):
    uid = ct_of(archive, NC)
    faulty(fault)
    reply = ask(archive, "/v4/getImage", SeriesInstanceUID=uid)
    assert reply.status_code == status
    listing = ask(archive, "/v4/getSeries")
    assert listing.status_code == (500 if fault == "error-500" else 200)


def test_html_instead_of_a_zip(archive, faulty):
    uid = ct_of(archive, NC)
    faulty("html-200")
    reply = ask(archive, "/v4/getImage", SeriesInstanceUID=uid)
    assert reply.status_code == 200
    assert not zipfile.is_zipfile(io.BytesIO(reply.content))


def test_wrong_series_is_another_patients(archive, faulty):
    uid = ct_of(archive, LNQ)
    faulty("wrong-series")
    _, found = image(archive, uid)
    header = pydicom.dcmread(io.BytesIO(found.read(found.namelist()[-1])))
    assert header.SeriesInstanceUID != uid
    assert header.Modality == "CT"


def test_wrong_bytes_differ_in_one_file(archive, faulty):
    uid = ct_of(archive, LNQ)
    _, good = image(archive, uid)
    faulty("wrong-bytes")
    _, bad = image(archive, uid)
    differ = [n for n in good.namelist() if good.read(n) != bad.read(n)]
    assert len(differ) == 1
    assert len(bad.read(differ[0])) == len(good.read(differ[0]))


def test_hostile_zip_climbs_out(archive, faulty):
    uid = ct_of(archive, NC)
    faulty("hostile-zip")
    _, found = image(archive, uid)
    assert "../escaped.dcm" in found.namelist()


def test_not_dicom_has_the_right_length(archive, faulty):
    row = series(archive, Collection=NC)[0]
    faulty("not-dicom")
    _, found = image(archive, row["SeriesInstanceUID"])
    members = [m for m in found.infolist() if m.filename.endswith(".dcm")]
    assert sum(m.file_size for m in members) == row["FileSize"]
    assert found.read(members[-1])[128:132] != b"DICM"


def test_licence_changes_after_the_first_look():
    with EmbeddedArchive(fault="licence-change") as running:
        first, second = (series(running, Collection=LNQ)[0] for _ in range(2))
        assert first["LicenseName"].endswith("4.0 International License")
        assert "NonCommercial" in second["LicenseName"]
        _, found = image(running, second["SeriesInstanceUID"])
        assert b"NonCommercial" in found.read("LICENSE")


def test_count_mismatch_is_in_the_listing_alone(archive, faulty):
    uid = ct_of(archive, NC)
    faulty("count-mismatch")
    (row,) = series(archive, Collection=NC)
    _, found = image(archive, uid)
    assert row["ImageCount"] == len(found.namelist()) - 1 + 3


def test_empty_and_broken_listings(archive, faulty):
    faulty("empty")
    assert ask(archive, "/v4/getSeries").content == b""
    faulty("broken-json")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        ask(archive, "/v4/getSeries").json()


def test_redirect_leads_elsewhere(archive, faulty):
    uid = ct_of(archive, NC)
    faulty("redirect")
    url = f"{archive.bases['archive']}/v4/getImage?SeriesInstanceUID={uid}"
    reply = requests.get(url, allow_redirects=False, timeout=30)
    assert (reply.status_code, reply.headers["Location"]) == (302, ELSEWHERE)


def test_every_fault_says_what_it_does():
    assert all(fault.sentence.endswith(".") for fault in FAULTS.values())


# Starting and stopping


def test_stop_ends_a_stalled_download_and_its_threads():
    before = set(threading.enumerate())
    running = EmbeddedArchive(fault="stall").start()
    uid = ct_of(running, NC)
    url = f"{running.bases['archive']}/v4/getImage?SeriesInstanceUID={uid}"
    reply = requests.get(url, stream=True, timeout=30)
    mine = set(threading.enumerate()) - before
    assert len(mine) >= 2
    assert all(thread.daemon for thread in mine)
    running.stop()
    with pytest.raises(requests.exceptions.RequestException):
        list(reply.iter_content(None))
    for thread in mine:
        thread.join(timeout=5)
        assert not thread.is_alive()
    assert not running.folder.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_prints_its_bases_and_obeys_signals(number):
    code = "from napari_tcia.demo.server import serve; serve(fault='stall')"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        line = json.loads(process.stdout.readline())
        try:
            assert set(line) == {
                "archive", "collections", "datacite", "idc", "files", "pid",
            }  # fmt: skip
            assert line["pid"] == process.pid
            assert urlsplit(line["archive"]).hostname == "127.0.0.1"
            query = {"Collection": NC}
            rows = requests.get(
                f"{line['archive']}/v4/getSeries", params=query, timeout=60
            ).json()
            # One connection idle, one in the middle of a download.
            port = urlsplit(line["archive"]).port
            idle = socket.create_connection(("127.0.0.1", port))
            uid = rows[0]["SeriesInstanceUID"]
            busy = requests.get(
                f"{line['archive']}/v4/getImage?SeriesInstanceUID={uid}",
                stream=True, timeout=60,
            )  # fmt: skip
            os.kill(process.pid, number)
            assert process.wait(timeout=5) == 0
            idle.close()
            busy.close()
        finally:
            process.kill()
