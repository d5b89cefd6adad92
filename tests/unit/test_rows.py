"""A CT and its SEG are one row; what opening rows costs is said before."""

from pathlib import Path

import pytest

from napari_tcia.app.rows import CaseRow, case_rows
from napari_tcia.app.state import cost
from napari_tcia.archive.nbia import Details, parse_details
from napari_tcia.core.model import Series


def one(uid, modality, study="9", **fields):
    return Series(uid, study, "P", "C", modality, **fields)


def test_an_image_and_its_annotations_are_one_row():
    ct, other = one("1", "CT"), one("2", "CT", study="8")
    seg, lost = one("3", "SEG"), one("4", "SEG", study="7")
    nowhere = one("5", "SEG", study="")
    rows = case_rows([seg, ct, other, lost, nowhere])
    assert {(r.series, r.annotations) for r in rows} == {
        (ct, (seg,)),
        (other, ()),
        (lost, ()),
        (nowhere, ()),
    }


def test_series_without_a_study_are_not_joined():
    rows = case_rows([one("1", "CT", study=""), one("2", "SEG", study="")])
    assert [r.annotations for r in rows] == [(), ()]


@pytest.mark.parametrize(
    ("kept", "accepted", "beginning", "end"),
    [
        ((), None, "1 case, 30 MB, ", " free"),
        ((), frozenset("C"), "1 case, 30 MB, ", "terms accepted"),
        ((), frozenset(), "1 case, 30 MB, ", "terms to be read first"),
        (("1",), frozenset(), "1 case, 10 MB, ", "terms to be read first"),
        (("1", "2"), frozenset(), "1 case, on disk", "1 case, on disk"),
    ],
)
def test_cost(kept, accepted, beginning, end, tmp_path):
    row = CaseRow(
        one("1", "CT", bytes=20_000_000), (one("2", "SEG", bytes=10_000_000),)
    )
    words = cost([row], frozenset(kept), Path(tmp_path), accepted)
    assert words.startswith(beginning)
    assert words.endswith(end)


def test_details_of_any_spelling():
    found = parse_details(
        [
            {
                "SeriesInstanceUID": "1.1",
                "PixelSpacing(mm)-Row": "0.703125",
                "SliceThickness(mm)": 2.5,
            },
            {"Series UID": "1.2", "Pixel Spacing (mm) - Row": "", "Slice Thickness": 0},
            {"SeriesInstanceUID": "1.3", "SliceThickness(mm)": "inf"},
            {"PixelSpacing(mm)-Row": "1"},
            None,
        ]
    )
    assert found == {
        "1.1": Details(0.703125, 2.5),
        "1.2": Details(),
        "1.3": Details(),
    }
