"""Downloads from the embedded archive over HTTP."""

import csv
import hashlib
import io
import uuid
import zipfile
from xml.etree import ElementTree

import numpy as np
import pydicom
import pytest
import requests
import SimpleITK as sitk

from embedded import LNQ, NC, ask, ct_of, image, series
from napari_tcia.archive.manifest import parse_manifest
from napari_tcia.core.model import object_uuid
from napari_tcia.demo.cases import all_cases, lymph_case
from napari_tcia.demo.manifests import MANIFESTS
from napari_tcia.demo.phantom import make_phantom
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.demo.twin import Twin


@pytest.fixture(scope="module")
def archive():
    with EmbeddedArchive() as running:
        yield running


def test_every_zip_holds_what_the_listing_says(archive):
    rows = series(archive)
    assert {row["Collection"] for row in rows} >= {
        "CT Lymph Nodes", LNQ, NC, "SYNTHETIC-Mixed", "SYNTHETIC-Head-Neck",
    }  # fmt: skip
    for row in rows:
        _, found = image(archive, row["SeriesInstanceUID"], NewFileNames="Yes")
        members = [m for m in found.infolist() if m.filename.endswith(".dcm")]
        assert found.testzip() is None
        assert len(members) == row["ImageCount"]
        assert sum(member.file_size for member in members) == row["FileSize"]
        names = found.namelist()
        assert (names[0] == "LICENSE") == ("LicenseName" in row)
        if "LicenseName" in row:
            assert row["LicenseURI"].encode() in found.read("LICENSE")


@pytest.mark.parametrize("full_size", [False, True])
def test_sizes_of_segmentations_are_exact(tmp_path, full_size):
    """Of named and of other cases, at the size of the twin and full."""
    names = ("ABD_LYMPH_002", "ABD_LYMPH_009", "MED_LYMPH_087", "MED_LYMPH_044")
    names = names[2:] if full_size else (*names, "MED_LYMPH_001", "ABD_LYMPH_070")
    cases = [lymph_case(name, full_size) for name in names]
    twin = Twin(tmp_path, (*cases, *all_cases(1)[1:3]))
    for uid, one in twin.series.items():
        if one.modality == "SEG":
            declared = twin.file_size(uid)
            assert twin.instance(uid, 0).stat().st_size == declared


def test_a_segmentation_of_one_node_has_its_size_too(tmp_path):
    case = lymph_case("MED_LYMPH_021", nodes=1)
    twin = Twin(tmp_path, (case,))
    uid = case.identity.seg_uid
    assert twin.file_size(uid) == twin.instance(uid, 0).stat().st_size


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
        ("MED_ABD_LYMPH_CANDIDATES.zip", 6),
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


def test_candidates_point_at_nodes(archive):
    reply = ask(archive, "/MED_ABD_LYMPH_CANDIDATES.zip", base="files")
    zipped = zipfile.ZipFile(io.BytesIO(reply.content))
    for case in archive.twin.cases[:3]:
        patient = case.identity.patient_id
        top = f"MED_ABD_LYMPH_CANDIDATES/{patient}/{patient}_"
        places, truths = {}, {}
        for kind in ("pos", "neg"):
            lines = zipped.read(f"{top}{kind}CADe_physicalPoints.txt").splitlines()
            places[kind] = np.array([line.split() for line in lines], dtype=float)
            truths[kind] = zipped.read(f"{top}{kind}CADe_grtIDs.txt").split()
            assert len(places[kind]) == len(truths[kind])
        assert set(truths["neg"]) <= {b"-1"}
        far = [
            min(np.linalg.norm(point - node.centre) for node in case.nodes)
            for point in places["pos"]
        ]
        assert max(far, default=0) < 15
        assert bool(far) == (patient != "MED_LYMPH_021")  # has none in reality either


def test_md5_may_come_with_the_licence_and_alone(archive):
    uid = ct_of(archive, NC)
    _, found = image(archive, uid, IncludeMD5="Yes")
    assert found.namelist()[0] == "LICENSE"
    table = list(csv.DictReader(io.StringIO(found.read("md5hashes.csv").decode())))
    data = found.read(table[0]["Filename"])
    sop = pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID
    alone = ask(archive, "/v4/getMD5HashForImage", SOPInstanceUID=sop).text
    assert alone == table[0]["MD5Hash"] == hashlib.md5(data).hexdigest()


def test_tags_are_those_of_the_first_image(archive):
    uid = series(archive, Collection=LNQ, Modality="SEG")[0]["SeriesInstanceUID"]
    rows = ask(archive, "/v4/getDicomTags", SeriesUID=uid).json()
    _, found = image(archive, uid)
    header = pydicom.dcmread(io.BytesIO(found.read("00000001.dcm")))
    values = {row["element"]: row["data"] for row in rows}
    assert values["(0008,0018)"] == header.SOPInstanceUID
    assert "(7FE0,0010)" not in values
    names = [row["element"] for row in rows]
    # The end of a sequence is a row of its own, and then its item goes on.
    end = names.index(">(0008,114A)", names.index(">(0008,114A)") + 1)
    assert names[end + 1] == ">(0020,000E)"
    referenced = header.ReferencedSeriesSequence[0].SeriesInstanceUID
    assert rows[end + 1]["data"] == referenced
    refused = ask(archive, "/v4/getDicomTags", SeriesUID="1.2.3")
    assert refused.status_code == 400


def keys_of(archive, prefix, **query):
    """Keys, sizes and tags below a prefix, and how many pages they came in."""
    space = "{http://s3.amazonaws.com/doc/2006-03-01/}"
    found, pages, query = [], 0, {"list-type": "2", "prefix": prefix, **query}
    while True:
        reply = ask(archive, "/idc-open-data", "idc", **query)
        assert reply.headers["Content-Type"] == "application/xml"
        root, pages = ElementTree.fromstring(reply.content), pages + 1
        for entry in root.iter(f"{space}Contents"):
            key, size, etag = (
                entry.find(space + n).text for n in ("Key", "Size", "ETag")
            )
            found.append((key, int(size), etag.strip('"')))
        if root.find(f"{space}IsTruncated").text == "false":
            return found, pages
        query["continuation-token"] = root.find(f"{space}NextContinuationToken").text


def test_bucket_lists_in_pages_what_the_zip_holds(archive):
    uid = ct_of(archive, LNQ)
    _, zipped = image(archive, uid)
    truth = sorted(
        (len(zipped.read(name)), hashlib.md5(zipped.read(name)).hexdigest())
        for name in zipped.namelist()
        if name.endswith(".dcm")
    )
    found, pages = keys_of(archive, f"{object_uuid(uid)}/")
    assert pages == 3
    assert sorted((size, etag) for _, size, etag in found) == truth
    assert [key for key, *_ in found] == sorted(key for key, *_ in found)
    for key, size, etag in found[:2]:
        reply = ask(archive, f"/idc-open-data/{key}", "idc")
        assert int(reply.headers["Content-Length"]) == len(reply.content) == size
        assert reply.headers["ETag"] == f'"{etag}"'
        assert reply.headers["Accept-Ranges"] == "bytes"
        assert hashlib.md5(reply.content).hexdigest() == etag
        stem = key.rpartition("/")[2].removesuffix(".dcm")
        assert str(uuid.UUID(stem)) == stem


def test_bucket_sends_ranges(archive):
    (key, size, _), *_ = keys_of(archive, f"{object_uuid(ct_of(archive, NC))}/")[0]
    url = f"{archive.bases['idc']}/idc-open-data/{key}"
    answer = requests.get(url, timeout=30)
    whole, whole_etag = answer.content, answer.headers["ETag"]
    for text, part in (
        ("bytes=100-", whole[100:]),
        ("bytes=0-9", whole[:10]),
        ("bytes=-7", whole[-7:]),
        ("bytes=5-999999999", whole[5:]),
    ):
        reply = requests.get(url, headers={"Range": text}, timeout=30)
        assert (reply.status_code, reply.content) == (206, part)
        assert reply.headers["Content-Range"].endswith(f"/{size}")
    beyond = requests.get(url, headers={"Range": f"bytes={size}-"}, timeout=30)
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{size}"
    strange = requests.get(url, headers={"Range": "lines=1-2"}, timeout=30)
    assert (strange.status_code, strange.content) == (200, whole)
    head = requests.head(url, timeout=30)
    assert int(head.headers["Content-Length"]) == size
    assert (head.headers["ETag"], head.content) == (whole_etag, b"")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("bytes=0-", 206),
        ("bytes=-999999999", 206),  # a suffix longer than the object is all of it
        ("bytes=-0", 416),
        ("bytes=999999999-", 416),
        ("bytes=999999999-9999999999", 416),
        ("bytes=5-2", 200),
        ("bytes=-", 200),
        ("bytes=0-1,5-6", 200),
        ("bytes=a-b", 200),
    ],
)
def test_odd_ranges(archive, text, status):
    (key, size, etag), *_ = keys_of(archive, f"{object_uuid(ct_of(archive, NC))}/")[0]
    url = f"{archive.bases['idc']}/idc-open-data/{key}"
    reply = requests.get(url, headers={"Range": text}, timeout=30)
    assert reply.status_code == status
    if status == 416:
        assert reply.headers["Content-Range"] == f"bytes */{size}"
        assert b"InvalidRange" in reply.content
    else:
        assert len(reply.content) == size
        assert reply.headers["ETag"] == f'"{etag}"'


def test_head_of_the_bucket_lists_nothing(archive):
    root = archive.bases["idc"]
    for name, status in (
        ("idc-open-data", 200), ("idc-closed-data", 403), ("idc-other-data", 404),
    ):  # fmt: skip
        reply = requests.head(f"{root}/{name}", timeout=30)
        assert (reply.status_code, reply.content) == (status, b"")


def test_pages_of_the_bucket_are_of_any_size(archive):
    prefix = f"{object_uuid(ct_of(archive, NC))}/"
    every, pages = keys_of(archive, prefix)
    assert pages == 2
    for most in (1, 3, 5, 12):
        found, pages = keys_of(archive, prefix, **{"max-keys": most})
        assert found == every
        assert pages == -(-len(every) // min(most, 10))
    assert keys_of(archive, prefix, **{"max-keys": 0}) == ([], 1)
    after = {"start-after": every[4][0]}
    assert keys_of(archive, prefix, **after)[0] == every[5:]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/idc-open-data/none/none.dcm", 404, "NoSuchKey"),
        ("/idc-other-data", 404, "NoSuchBucket"),
        ("/idc-closed-data", 403, "AccessDenied"),
        ("/idc-open-data?list-type=2&continuation-token=x", 400, "InvalidArgument"),
    ],
)
def test_bucket_errors_are_xml(archive, path, status, code):
    reply = ask(archive, path, "idc")
    assert reply.status_code == status
    assert ElementTree.fromstring(reply.content).find("Code").text == code


def test_bucket_has_folders(archive):
    reply = ask(archive, "/idc-open-data?list-type=2&delimiter=/", "idc").text
    assert f"<Prefix>{object_uuid(ct_of(archive, NC))}/</Prefix>" in reply or (
        "<IsTruncated>true" in reply
    )
    assert keys_of(archive, "ffffffff-0000", delimiter="/") == ([], 1)


def test_every_manifest_names_the_series(archive):
    listed = [
        r["SeriesInstanceUID"] for r in series(archive, Collection="CT Lymph Nodes")
    ]
    raw = {name: ask(archive, f"/{name}", "files").content for name in MANIFESTS}
    for name, data in raw.items():
        if name.endswith(".s5cmd"):
            for uid in listed:
                assert f"s3://idc-open-data/{object_uuid(uid)}/*".encode() in data
            continue
        found = parse_manifest(data.decode())
        ct_alone = "06-22-2015" in name
        assert list(found.series_uids) == (listed[::2] if ct_alone else listed)
    plain = raw["TCIA_CT_Lymph_Nodes_03-31-2023.tcia"]
    assert raw["crlf.tcia"] == plain.replace(b"\n", b"\r\n")
    assert not raw["no-last-newline.tcia"].endswith(b"\n")
    assert b"ListOfSeriesToDownload=\nSeries ID\n" in raw["series-id-line.tcia"]
    assert raw["duplicates.tcia"].count(listed[0].encode()) == 2
    assert b"Url=https://public." in raw["public-server.tcia"]
    url = f"{archive.bases['archive']}/v4/getManifestText"
    made = requests.post(url, data={"list": ",".join(listed)}, timeout=30)
    assert made.content == plain
    assert made.headers["Content-Type"] == "application/x-nbia-manifest-file"
