"""Stations and their codes, held against DICOM's own list."""

from napari_tcia.nodes.stations import STATIONS, station


def test_codes_are_those_of_cid_7600():
    from pydicom.sr._cid_dict import cid_concepts
    from pydicom.sr._concepts_dict import concepts

    known = {
        code for name in cid_concepts[7600]["SCT"] for code in concepts["SCT"][name]
    }
    assert {one.code for one in STATIONS} - {""} <= known
    assert [one.name for one in STATIONS if not one.code] == ["3a"]


def test_the_map_is_whole_and_names_are_unique():
    names = [one.name for one in STATIONS]
    assert len(set(names)) == len(names)
    sided = (1, 2, 4, 8, 9, 10, 11, 12, 13, 14)
    assert {f"{n}{side}" for n in sided for side in "RL"} <= set(names)
    assert {"3a", "3p", "5", "6", "7"} <= set(names)
    assert station(" 4r ").meaning == "lower paratracheal"
    assert station("15R") is None
