"""Manifests in the kinds that people have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tcia.archive.catalogue import load
from napari_tcia.archive.manifest import parse_manifest
from napari_tcia.errors import NothingFound, TciaError, UsageError

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
