"""Named faults of the embedded archive, and when they happen."""

import hashlib
import io
import os
import re
import socket
import stat
import subprocess
import sys
import zipfile

import pydicom
import pytest
import requests
from urllib3.exceptions import ProtocolError

from embedded import LNQ, NC, ask, ct_of, image, series
from napari_tcia.core.model import object_uuid
from napari_tcia.demo.faults import FAULTS
from napari_tcia.demo.hooks import ELSEWHERE
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import UsageError


@pytest.fixture(scope="module")
def archive():
    with EmbeddedArchive(cases=1) as running:
        yield running


@pytest.fixture
def faulty(archive):
    """Set a fault for one test."""
    yield lambda name: setattr(archive, "fault", name)
    archive.fault = None


def test_unknown_fault_is_named():
    with pytest.raises(UsageError, match="no fault named 'nonsense'"):
        EmbeddedArchive(fault="nonsense")


@pytest.mark.parametrize(
    ("endpoint", "query", "first"),
    [
        ("getImage", {}, 1),
        ("getImage", {"IncludeMD5": "Yes"}, 1),
        ("getImageWithMD5Hash", {}, 0),
    ],
)
def test_short_zip_looks_whole(archive, faulty, endpoint, query, first):
    uid = ct_of(archive, LNQ)
    faulty("short-zip")
    _, found = image(archive, uid, endpoint, **query)
    assert found.testzip() is None
    assert found.namelist()[:first] == ["LICENSE"][:first]
    images = [name for name in found.namelist() if name.endswith(".dcm")]
    assert len(images) == 28 - 2
    assert len(found.namelist()) == len(images) + first
    (seg, *_) = series(archive, Collection=LNQ, Modality="SEG")
    _, found = image(archive, seg["SeriesInstanceUID"], endpoint, **query)
    assert found.namelist() == ["LICENSE"][:first]


def test_cut_breaks_off(archive, faulty):
    uid = ct_of(archive, LNQ)
    faulty("cut")
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="Incomplete"):
        image(archive, uid)


def test_stall_may_send_nothing_but_headers(archive, faulty):
    uid = ct_of(archive, LNQ)
    faulty("stall@bytes=0")
    path = f"/nbia-api/services/v4/getImage?SeriesInstanceUID={uid}"
    with socket.create_connection(("127.0.0.1", archive.port), timeout=10) as plain:
        plain.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += plain.recv(1 << 16)
        assert got.startswith(b"HTTP/1.1 200 ")
        assert got.endswith(b"\r\n\r\n")
        plain.settimeout(0.5)
        with pytest.raises(TimeoutError):
            plain.recv(1)


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
    listing = ask(archive, "/v4/getSeries", Collection=NC)
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


@pytest.mark.parametrize(
    ("endpoint", "query"),
    [
        ("getImage", {}),
        ("getImage", {"IncludeMD5": "Yes"}),
        ("getImageWithMD5Hash", {}),
        ("getDCMImage", {"MD5Verification": "true"}),
    ],
)
@pytest.mark.parametrize("fault", ["wrong-bytes", "not-dicom"])
def test_wrong_bytes_are_those_of_one_image(archive, faulty, fault, endpoint, query):
    uid = ct_of(archive, LNQ)
    _, good = image(archive, uid, endpoint, **query)
    faulty(fault)
    _, bad = image(archive, uid, endpoint, **query)
    assert bad.testzip() is None
    (name,) = (n for n in good.namelist() if good.read(n) != bad.read(n))
    assert name.endswith(".dcm")
    assert len(bad.read(name)) == len(good.read(name))
    if "md5hashes.csv" in bad.namelist():
        lines = bad.read("md5hashes.csv").decode().splitlines()[1:]
        wrong = [
            line.split(",")[0]
            for line in lines
            if hashlib.md5(bad.read(line.split(",")[0])).hexdigest()
            != line.split(",")[1]
        ]
        assert wrong == [name]


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
        assert b"under the CC BY-NC 3.0 at http" in found.read("LICENSE")


def test_the_licence_of_a_zip_may_be_another_than_listed(archive, faulty):
    faulty("licence-file")
    for _ in range(2):
        row = series(archive, Collection=LNQ)[0]
        assert row["LicenseName"].endswith("4.0 International License")
        _, found = image(archive, row["SeriesInstanceUID"])
        text = found.read("LICENSE").decode()
        assert "under the CC BY-NC 3.0 at http://" in text
        assert row["LicenseURI"] not in text


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


def test_the_help_of_serve_names_every_fault():
    done = subprocess.run(
        [sys.executable, "-m", "napari_tcia", "serve", "--help"],
        capture_output=True, text=True, check=True,
        env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    words = set(done.stdout.split())
    assert set(FAULTS) <= words
    assert {"--fault", "--certificate", "--rate", "--latency"} <= words


# More of what can go wrong


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ("unknown-parameter", 400, "Invalid query parameter"),
        ("missing-uid", 400, "is required for this API call."),
        ("no-access", 400, "has not been granted the access"),
        ("error-401", 401, ""),
        ("busy-silent", 429, ""),
        ("text-200", 200, "is required"),
        ("moved", 301, ""),
        ("moved-https", 301, ""),
    ],
)
def test_refused_downloads(archive, faulty, fault, status, text):
    uid = ct_of(archive, NC)
    faulty(fault)
    url = f"{archive.bases['archive']}/v4/getImage?SeriesInstanceUID={uid}"
    reply = requests.get(url, allow_redirects=False, timeout=30)
    assert reply.status_code == status
    assert text in reply.text
    assert bool(text) == bool(reply.content)
    assert "Retry-After" not in reply.headers


def test_slow_sizes_are_right_and_late(archive, faulty):
    uid = ct_of(archive, NC)
    right = ask(archive, "/v4/getSeriesSize", SeriesInstanceUID=uid).json()
    faulty("slow@seconds=0.5")
    url = f"{archive.bases['archive']}/v4/getSeriesSize?SeriesInstanceUID={uid}"
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(url, timeout=0.2)
    assert ask(archive, "/v4/getSeriesSize", SeriesInstanceUID=uid).json() == right


def members_with(archive, faulty, fault):
    uid = ct_of(archive, NC)
    faulty(fault)
    return image(archive, uid)[1]


def test_hostile_members(archive, faulty):
    assert "/escaped.dcm" in members_with(archive, faulty, "absolute-zip").namelist()
    faulty(None)
    names = members_with(archive, faulty, "duplicate-zip").namelist()
    assert len(set(names)) == len(names) - 1
    faulty(None)
    found = members_with(archive, faulty, "symlink-zip")
    assert stat.S_ISLNK(found.getinfo("link.dcm").external_attr >> 16)
    faulty(None)
    found = members_with(archive, faulty, "nested-zip")
    assert zipfile.is_zipfile(io.BytesIO(found.read("inner.zip")))
    faulty(None)
    found = members_with(archive, faulty, "no-licence-file")
    assert "LICENSE" not in found.namelist()
    faulty(None)
    found = members_with(archive, faulty, "bomb-zip@bytes=50000000")
    info = found.getinfo("00000000.dcm")
    assert info.file_size > 40_000_000 > 100 * info.compress_size


def test_wrong_crc_is_in_one_member(archive, faulty):
    found = members_with(archive, faulty, "wrong-crc")
    assert found.testzip() == found.namelist()[-1]
    _, summed = image(archive, ct_of(archive, NC), "getImageWithMD5Hash")
    assert summed.testzip() == summed.namelist()[-2]


def test_listings_with_numbers_and_escapes_that_json_has_not(archive, faulty):
    faulty("infinite-json")
    assert b":Infinity" in ask(archive, "/v4/getSeries", Collection=NC).content
    faulty("escaped-json")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        ask(archive, "/v4/getSeries", Collection=NC).json()


def test_schema_drift_changes_keys_dates_and_types(archive, faulty):
    (row,) = series(archive, Collection=NC)
    faulty("schema-drift")
    (old,) = series(archive, Collection=NC)
    assert old["TimeStamp"].endswith(" 00:00:00.0")
    assert old["ImageCount"] == str(row["ImageCount"])
    assert old["CollectionURI"] == row["DataDescriptionURI"]
    url = f"{archive.bases['archive']}/v4/getSeriesMetadata"
    form = {"list": row["SeriesInstanceUID"]}
    header, line, _ = requests.post(url, data=form, timeout=30).text.split("\n")
    assert '"Series Instance UID"' in header
    assert '"Patient ID"' in header
    assert '"Collection URI"' in header
    assert '"Time Stamp"' in header
    assert header.count(",") == line.count(",")


def test_collection_manager_faults(archive, faulty):
    def page(number, name="downloads"):
        return ask(archive, f"/v2/{name}/", "collections", page=number)

    faulty("page-two")
    assert (page(1).status_code, page(2).status_code) == (200, 503)
    faulty("licence-missing")
    assert all("license" not in row for row in page(1).json()["results"])
    faulty("licence-unclear")
    labels = {row["license"]["label"] for row in page(1).json()["results"]}
    assert labels == {"License review needed"}
    faulty("hidden")
    flags = {
        r["hide_from_browse_table"] for r in page(1, "collections").json()["results"]
    }
    assert flags == {"1"}


def test_datacite_faults(archive, faulty):
    doi = "10.7937/QVAZ-JA09"
    csl = f"/dois/application/vnd.citationstyles.csl+json/{doi}"
    right = ask(archive, csl, "datacite").json()
    faulty("datacite-404")
    assert ask(archive, csl, "datacite").json()["errors"][0]["status"] == "404"
    faulty("datacite-500")
    reply = ask(archive, csl, "datacite")
    assert (reply.status_code, reply.json()["status"]) == (500, 400)
    faulty("datacite-html")
    reply = ask(archive, csl, "datacite")
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "text/html")
    faulty("datacite-case")
    other = ask(archive, csl, "datacite").json()
    assert other["DOI"] == right["DOI"].swapcase() != right["DOI"]
    assert other["author"] == right["author"]
    faulty("datacite-label")
    text = ask(archive, f"/dois/text/x-bibliography/{doi}", "datacite").text
    assert "[Data set]" in text


def test_bucket_faults(archive, faulty):
    folder = object_uuid(ct_of(archive, NC))
    listed = ask(archive, f"/idc-open-data?list-type=2&prefix={folder}/", "idc").text
    key = re.search("<Key>(.+?)</Key>", listed)[1]
    for fault, status, code in (
        ("bucket-404", 404, "NoSuchKey"),
        ("bucket-403", 403, "AccessDenied"),
        ("bucket-503", 503, "SlowDown"),
    ):
        faulty(fault)
        reply = ask(archive, f"/idc-open-data/{key}", "idc")
        assert reply.status_code == status
        assert f"<Code>{code}</Code>" in reply.text
    faulty("bucket-cut@bytes=100")
    url = f"{archive.bases['idc']}/idc-open-data/{key}"
    with requests.get(url, stream=True, timeout=30) as reply:
        assert int(reply.headers["Content-Length"]) > 100
        assert len(reply.raw.read(100, decode_content=False)) == 100
        with pytest.raises((ProtocolError, OSError)):
            assert reply.raw.read(1, decode_content=False) != b""
