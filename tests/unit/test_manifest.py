"""Manifests in the kinds that people have."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tcia.archive.catalogue import load
from napari_tcia.archive.manifest import parse_manifest, write_manifest
from napari_tcia.archive.places import place_of
from napari_tcia.core.model import Series
from napari_tcia.errors import NothingFound, StorageError, TciaError, UsageError

HEADER = """downloadServerUrl=https://public.cancerimagingarchive.net/servlet
includeAnnotation=true
noOfrRetry=4
databasketId=manifest-1.tcia
manifestVersion=3.0
ListOfSeriesToDownload=
"""
UIDS = ("61.7.0.999.1", "2.25.159938781348401988370074200042204937718")


def test_a_tcia_manifest():
    found = parse_manifest(HEADER + "\n".join(UIDS))
    assert found.series_uids == UIDS
    assert found.issues == ()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_repeats_comments_and_strays(end):
    text = HEADER + "Series ID\n" + "\n# note\n\n".join([*UIDS, UIDS[0]]) + "\n"
    found = parse_manifest(text.replace("\n", end))
    assert found.series_uids == UIDS
    (issue,) = found.issues
    assert issue.numbers == {"entries": ["Series ID"], "count": 1}


def test_the_server_of_a_manifest_is_not_a_series():
    text = "downloadServerUrl=https://1.2.3.4/\n" + HEADER + UIDS[0]
    assert parse_manifest(text).series_uids == UIDS[:1]


@pytest.mark.parametrize(
    "text",
    [
        "SeriesInstanceUID\n{0}\n{1}\n",
        "\ufeffPatient,Series UID,Size\nA,{0},1\nB,{1},2\n",
        "PatientID\tSeries Instance UID\nA\t{0}\nB\t{1}\n",
        '"PatientID";"SeriesInstanceUID"\n"A";"{0}"\n"B";"{1}"\n',
        '"Series UID","Description"\n"{0}","a, b"\n\n"{1}","c"\n',
    ],
)
def test_tables_with_a_column_of_series(text):
    assert parse_manifest(text.format(*UIDS)).series_uids == UIDS


def test_a_file_by_its_path(tmp_path):
    path = tmp_path / "m.tcia"
    path.write_bytes((HEADER + UIDS[0]).encode())
    assert parse_manifest(path).series_uids == UIDS[:1]
    assert parse_manifest(str(path)).series_uids == UIDS[:1]
    path.write_text("SeriesInstanceUID\n" + UIDS[0], encoding="utf-16")
    assert parse_manifest(path).series_uids == UIDS[:1]


def test_folders_of_the_public_bucket():
    catalogue = load()
    some = catalogue.series[:2]
    lines = ["# a comment"]
    for series in some:
        bucket, folder = catalogue.objects[series.series_uid]
        lines.append(f"cp s3://{bucket}/{folder}/* .")
    lines.append("cp s3://idc-open-data/00000000-0000-0000-0000-000000000000/* .")
    found = parse_manifest("\n".join(lines))
    assert found.series_uids == tuple(s.series_uid for s in some)
    (issue,) = found.issues
    assert issue.numbers["count"] == 1
    assert "00000000-0000" in issue.message


def test_a_manifest_of_nothing_is_empty():
    assert parse_manifest(HEADER).series_uids == ()


@pytest.mark.parametrize(
    "text", ["PatientID,Size\nA,1\n", "hello\nworld\n", "{}\n", "\n\n"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(UsageError, match="no manifest"):
        parse_manifest(text)


def test_a_missing_file(tmp_path):
    with pytest.raises(NothingFound):
        parse_manifest(tmp_path / "none.tcia")


@given(st.text())
def test_any_text_gives_uids_or_a_named_error(text):
    try:
        found = parse_manifest(HEADER + text)
        parse_manifest(text + "\n")
    except TciaError:
        return
    for uid in found.series_uids:
        assert set(uid) <= set("0123456789.")


# Out


REAL = load().series[:3]
TWIN = Series(
    "61.7.0.999.1",
    collection="=Twin",
    patient_id="P, 1",
    modality="CT",
    licence_name="CC BY 3.0",
    doi="10.7937/x",
)
UNPLACED = Series("1.2.3", collection="Elsewhere")


@pytest.mark.parametrize("suffix", [".tcia", ".csv", ".s5cmd", ".TCIA"])
def test_what_is_written_reads_the_same(suffix, tmp_path):
    path = tmp_path / f"löcher = mehr{suffix}"
    some = (*REAL, TWIN)
    written = write_manifest([*some, some[0]], path)
    assert (written.items, written.issues) == (some, ())
    assert parse_manifest(path).series_uids == tuple(s.series_uid for s in some)
    assert parse_manifest(path).issues == ()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_credit_travels_in_a_table_and_formulas_do_not(tmp_path):
    write_manifest([TWIN], tmp_path / "m.csv")
    with (tmp_path / "m.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["Licence"], row["DOI"]) == ("CC BY 3.0", "10.7937/x")
    assert (row["Collection"], row["PatientID"]) == ("'=Twin", "P, 1")


def test_a_tcia_file_has_the_header_of_its_readers(tmp_path):
    write_manifest([TWIN], tmp_path / "m y.tcia")
    lines = (tmp_path / "m y.tcia").read_text().splitlines()
    keys = [line.partition("=")[0] for line in lines[:6]]
    assert keys == [
        "downloadServerUrl", "includeAnnotation", "noOfrRetry", "databasketId",
        "manifestVersion", "ListOfSeriesToDownload",
    ]  # fmt: skip
    assert lines[3] == "databasketId=m-y.tcia"
    assert lines[6:] == [TWIN.series_uid]


def test_what_no_bucket_has_is_named_and_left_out(tmp_path):
    path = tmp_path / "m.s5cmd"
    if place_of(UNPLACED.series_uid):
        pytest.skip("The full index is installed and has it.")
    written = write_manifest([UNPLACED, REAL[0]], path)
    assert written.items == REAL[:1]
    (issue,) = written.issues
    assert (issue.code, issue.numbers["series_uids"]) == ("no_bucket", ["1.2.3"])
    with pytest.raises(NothingFound, match="No bucket"):
        write_manifest([UNPLACED], tmp_path / "n.s5cmd")
    assert [p.name for p in tmp_path.iterdir()] == ["m.s5cmd"]


def test_a_comment_does_not_move_a_series():
    """A UID above a folder counts only where the series is known to lie there."""
    bucket, folder = load().objects[REAL[0].series_uid]
    other = f"# {REAL[1].series_uid}\ncp s3://{bucket}/{folder}/* .\n"
    assert parse_manifest(other).series_uids == (REAL[0].series_uid,)
    strange = f"# {TWIN.series_uid}\ncp s3://{bucket}/{'0' * 8}-{folder[9:]}/* .\n"
    assert parse_manifest(strange).series_uids == ()


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match="no known kind"):
        write_manifest(REAL, tmp_path / "m.txt")
    with pytest.raises(UsageError, match="no series"):
        write_manifest([], tmp_path / "m.csv")
    with pytest.raises(UsageError):
        write_manifest([Series("../x")], tmp_path / "m.csv")
    with pytest.raises(StorageError):
        write_manifest(REAL, tmp_path / "m.csv" / "n.csv" / ("x" * 300 + ".csv"))
    assert not (tmp_path / "m.csv").is_file()
