"""Facets: OR within, AND across, counts that say what a click would show."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tcia.app.facets import facets, narrow
from napari_tcia.app.rows import CaseRow, Results
from napari_tcia.core.model import Series

CODES = (
    "modality", "body_part", "labels", "nodes", "slices", "size", "spacing", "licence",
    "downloaded", "collection",
)  # fmt: skip

SERIES = st.builds(
    Series,
    series_uid=st.integers(1, 10**6).map("1.2.{}".format),
    study_uid=st.sampled_from(["1.9", "1.10", "1.11"]),
    patient_id=st.sampled_from(["MED_LYMPH_001", "LIDC-0002", ""]),
    collection=st.sampled_from(["CT Lymph Nodes", "LIDC-IDRI"]),
    modality=st.sampled_from(["CT", "MR", ""]),
    body_part=st.sampled_from(["CHEST", "Chest", ""]),
    images=st.sampled_from([None, 1, 99, 100, 599, 600]),
    bytes=st.sampled_from([None, 0, 10**7, 10**7 + 1, 10**10]),
    licence_name=st.sampled_from(["CC BY 3.0", "CC BY-NC 3.0", ""]),
    has_labels=st.sampled_from([None, False, True]),
    pixel_spacing=st.sampled_from([None, 0.7]),
    slice_thickness=st.sampled_from([None, 1.0, 2.5, 7.0]),
)


@st.composite
def results(draw):
    some = st.lists(SERIES, min_size=1, max_size=12, unique_by=lambda s: s.series_uid)
    series = draw(some)
    stored = draw(st.sets(st.sampled_from(series)))
    return Results(
        rows=tuple(map(CaseRow, series)),
        stored=frozenset(s.series_uid for s in stored),
        largest_nodes=draw(
            st.dictionaries(
                st.sampled_from(["1.9", "1.10"]),
                st.sampled_from([0.0, 9.9, 10.0, 14.9, 15.0]),
            )
        ),
    )


@given(results(), st.data())
def test_a_count_is_what_choosing_it_would_show(found, data):
    chosen = {}
    for facet in facets(found, {}):
        keys = [value.key for value in facet.values]
        chosen[facet.code] = frozenset(data.draw(st.sets(st.sampled_from(keys))))
    for facet in facets(found, chosen):
        for value in facet.values:
            only = {**chosen, facet.code: frozenset({value.key})}
            assert len(narrow(found, only)) == value.count


@given(results(), st.data())
def test_or_within_and_across(found, data):
    offered = facets(found, {})
    chosen = {
        facet.code: frozenset(
            data.draw(st.sets(st.sampled_from([v.key for v in facet.values])))
        )
        for facet in offered
    }
    shown = narrow(found, chosen)
    expected = set(found.rows)
    for code, keys in chosen.items():
        if keys:
            either = [set(narrow(found, {code: frozenset({key})})) for key in keys]
            expected &= set().union(*either)
    assert list(shown) == [row for row in found.rows if row in expected]


@given(results())
def test_every_row_is_counted_once_in_each_facet(found):
    for facet in facets(found, {}):
        assert sum(value.count for value in facet.values) == len(found.rows)
        assert len({value.key for value in facet.values}) == len(facet.values)


def row(**fields):
    return CaseRow(Series(**{"series_uid": "1.2", **fields}))


def test_only_what_is_stated_is_offered():
    codes = {f.code for f in facets(Results(rows=(row(modality="CT"),)), {})}
    assert codes == {"modality", "labels", "downloaded"}
    more = Results(rows=(row(modality="CT", slice_thickness=1.0),))
    assert "spacing" in {f.code for f in facets(more, {})}


def test_all_codes_in_their_order():
    whole = row(
        modality="CT", body_part="CHEST", images=3, bytes=4, collection="C",
        licence_name="CC BY 3.0", slice_thickness=1.0, study_uid="1.9",
    )  # fmt: skip
    found = Results(rows=(whole,), largest_nodes={"1.9": 12.0})
    assert tuple(f.code for f in facets(found, {})) == CODES
    assert facets(Results(), {}) == ()


def test_ranges_rise_and_what_is_not_stated_comes_last():
    rows = tuple(
        row(series_uid=f"1.{n}", images=n or None) for n in (700, 0, 1, 150, 50)
    )
    (slices,) = (f for f in facets(Results(rows=rows), {}) if f.code == "slices")
    labels = [v.label for v in slices.values]
    assert labels == ["1", "2–99", "100–299", "600 or more", "not stated"]


def test_a_chosen_value_stays_though_nothing_is_left_of_it():
    rows = (row(modality="CT"), row(series_uid="1.3", modality="MR", body_part="HEAD"))
    chosen = {"modality": frozenset({"CT"}), "body_part": frozenset({"HEAD"})}
    (modality,) = (
        f for f in facets(Results(rows=rows), chosen) if f.code == "modality"
    )
    assert {v.key: v.count for v in modality.values} == {"CT": 0, "MR": 1}


def test_cases_by_their_largest_node():
    sizes = {"1.1": 15.0, "1.2": 14.99, "1.3": 9.9, "1.4": 0.0}
    rows = [row(series_uid=f"9.{uid}", study_uid=uid) for uid in (*sizes, "1.5")]
    found = Results(rows=tuple(rows), largest_nodes=sizes)
    (nodes,) = (f for f in facets(found, {}) if f.code == "nodes")
    assert [(v.label, v.count) for v in nodes.values] == [
        ("none", 1),
        ("below 10 mm", 1),
        ("10 to below 15 mm", 1),
        ("15 mm or more", 1),
        ("not stated", 1),
    ]
    assert narrow(found, {"nodes": frozenset({"15 mm or more"})}) == (rows[0],)


def test_a_folder_counts_as_on_disk():
    found = Results(rows=(row(), row(series_uid="1.3")), folders={"1.3": Path("x")})
    assert narrow(found, {"downloaded": frozenset({"yes"})}) == (found.rows[1],)


@pytest.mark.parametrize(
    ("words", "count"),
    [("", 2), ("lymph", 1), ("LYMPH ct", 1), ("med lymph 001", 1), ("nodule", 0)],
)
def test_words(words, count):
    rows = (
        row(patient_id="MED_LYMPH_001", modality="CT"),
        row(series_uid="1.3", patient_id="LIDC-0002", modality="CT"),
    )
    assert len(narrow(Results(rows=rows), {}, words)) == count
