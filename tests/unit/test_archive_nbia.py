"""Rows of the archive, tolerant in and strict out."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from napari_tcia.archive.http import Reply
from napari_tcia.archive.nbia import parse_series
from napari_tcia.archive.rows import json_of, rows_of
from napari_tcia.core.model import Series
from napari_tcia.core.text import bare_doi, one_line, same_doi
from napari_tcia.errors import TciaError, UnexpectedReply

UID = "61.7.0.999.1"
V4 = {
    "SeriesInstanceUID": UID,
    "StudyInstanceUID": "61.7.0.999.9",
    "Modality": "CT",
    "SeriesDescription": "mediastinal_lymph_nodes",
    "BodyPartExamined": "MEDIASTINUM",
    "Collection": "CT Lymph Nodes",
    "PatientID": "MED_LYMPH_001",
    "ImageCount": 666,
    "FileSize": 349917034,
    "MaxSubmissionTimestamp": "02-25-2019",
    "LicenseName": "Creative Commons Attribution 3.0 Unported License",
    "LicenseURI": "http://creativecommons.org/licenses/by/3.0/",
    "DataDescriptionURI": "https://doi.org/10.7937/K9/TCIA.2015.AQIIDCNM",
    "Authorized": 1,
}
EXPECTED = Series(
    UID,
    "61.7.0.999.9",
    "MED_LYMPH_001",
    "CT Lymph Nodes",
    "CT",
    "mediastinal_lymph_nodes",
    "MEDIASTINUM",
    666,
    349917034,
    "Creative Commons Attribution 3.0 Unported License",
    "http://creativecommons.org/licenses/by/3.0/",
    "10.7937/K9/TCIA.2015.AQIIDCNM",
    sources=("nbia",),
)
SPELLINGS = {
    "TimeStamp": "MaxSubmissionTimestamp",
    "CollectionURI": "DataDescriptionURI",
    "PatientId": "PatientID",
    "Series UID": "SeriesInstanceUID",
    "Study UID": "StudyInstanceUID",
    "Number of Images": "ImageCount",
    "File Size": "FileSize",
    "License URL": "LicenseURI",
    "License Name": "LicenseName",
    "Body Part Examined": "BodyPartExamined",
}


def reply(body: bytes, content_type: str = "application/json") -> Reply:
    return Reply(200, content_type, body, "https://archive.example/v4/getSeries")


def test_a_row_of_v4():
    found = parse_series([V4])
    assert found.items == (EXPECTED,)
    assert found.issues == ()


@pytest.mark.parametrize("other", SPELLINGS)
def test_other_spellings_of_a_key(other):
    row = {({SPELLINGS[other]: other}).get(k, k): v for k, v in V4.items()}
    assert other in row
    assert parse_series([row]).items == (EXPECTED,)


def test_numbers_as_texts():
    row = V4 | {"ImageCount": "666", "FileSize": " 349917034.0 "}
    assert parse_series([row]).items == (EXPECTED,)


def test_missing_and_null_values():
    found = parse_series([{"SeriesInstanceUID": UID, "Modality": "null"}]).items[0]
    assert found == Series(UID, sources=("nbia",))
    assert found.images is None
    assert found.bytes is None


@pytest.mark.parametrize(
    "broken", [{}, {"Modality": "CT"}, {"SeriesInstanceUID": "../x"}, None, 7, "row"]
)
def test_a_broken_row_is_left_out_with_an_issue(broken):
    found = parse_series([broken, V4])
    assert found.items == (EXPECTED,)
    (issue,) = found.issues
    assert (issue.level, issue.code, issue.numbers) == (
        "warn",
        "broken_row",
        {"rows": [0]},
    )


@pytest.mark.parametrize("count", ["many", -1, 1.5, True, float("nan")])
def test_a_broken_count_is_unknown_with_an_issue(count):
    found = parse_series([V4 | {"ImageCount": count}])
    assert found.items[0].images is None
    assert found.items[0].bytes == V4["FileSize"]
    assert [issue.code for issue in found.issues] == ["broken_count"]


def test_only_broken_rows_are_an_unexpected_reply():
    with pytest.raises(UnexpectedReply):
        parse_series([{"uid": "1"}, {"uid": "2"}])
    assert parse_series([]).items == ()


def test_a_repeated_series_is_listed_once():
    found = parse_series([V4, V4 | {"ImageCount": 1}])
    assert found.items == (EXPECTED,)
    assert [issue.code for issue in found.issues] == ["repeated_row"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from([*V4, *SPELLINGS]) | st.text(), json_values)
        | json_values,
        max_size=4,
    )
)
@example([{"ImageCount": [], "SeriesInstanceUID": 0}])
@example([{"ImageCount": 10**400, "SeriesInstanceUID": "1.2"}])
def test_any_rows_give_series_or_a_named_error(rows):
    try:
        found = parse_series(rows)
    except TciaError:
        return
    for one in found.items:
        assert set(one.series_uid) <= set("0123456789.")
        assert one.images is None or one.images >= 0
        assert "\n" not in one.description


def test_an_empty_body_is_nothing():
    assert rows_of(reply(b"")) == []
    assert rows_of(reply(b" \n")) == []
    assert rows_of(reply(b"[]")) == []


@pytest.mark.parametrize(
    "body",
    [
        b"<html><h1>Maintenance</h1></html>",
        b'[{"a": 1}, {"b"',
        b'[{"a": Infinity}]',
        b'[{"a": NaN}]',
        b"[" * 200_000,
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_json_is_an_unexpected_reply(body):
    with pytest.raises(UnexpectedReply) as caught:
        json_of(reply(body))
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


def test_an_object_is_no_list():
    with pytest.raises(UnexpectedReply, match="a list was expected"):
        rows_of(reply(b'{"error": "no"}'))


@pytest.mark.parametrize(
    ("text", "doi"),
    [
        (
            "https://doi.org/10.7937/K9/TCIA.2015.AQIIDCNM",
            "10.7937/K9/TCIA.2015.AQIIDCNM",
        ),
        ("http://dx.doi.org/10.7937/qvaz-ja09", "10.7937/qvaz-ja09"),
        ("doi:10.1007/s10278-013-9622-7.", "10.1007/s10278-013-9622-7"),
        ("10.7937/K9/TCIA.2015.A", "10.7937/K9/TCIA.2015.A"),
        ("CT Lymph Nodes", ""),
        ("", ""),
    ],
)
def test_bare_doi(text, doi):
    assert bare_doi(text) == doi


def test_dois_are_compared_without_case():
    assert same_doi("https://doi.org/10.7937/K9/TCIA.X", "10.7937/k9/tcia.x")
    assert not same_doi("", "")
    assert not same_doi("10.7937/a", "10.7937/b")


@given(st.text() | st.binary())
def test_one_line_is_one_clean_line(text):
    line = one_line(text, 40)
    assert len(line) <= 40
    assert line == line.strip()
    assert line.isprintable()


def test_one_line_takes_the_words_of_a_page():
    page = b"<style>p {x}</style><p>It&amp;s <b>down</b>\r\n now\x1b[0m</p>"
    assert one_line(page) == "It&s down now [0m"
