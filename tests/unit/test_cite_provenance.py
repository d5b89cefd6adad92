"""Recognising a user's own folder, and not recognising others."""

from dataclasses import dataclass, replace

import pytest

from napari_tcia.cite.citation import citations_for
from napari_tcia.cite.provenance import FolderFacts, recognise
from napari_tcia.core.model import TWIN_UID_ROOT, Provenance


@dataclass(frozen=True)
class Known:
    name: str
    doi: str
    licences: tuple[str, ...]


CATALOGUE = {
    one.name.casefold(): one
    for one in (
        Known("CT Lymph Nodes", "10.7937/K9/TCIA.2015.AQIIDCNM", ("CC BY 3.0",)),
        Known("LIDC-IDRI", "10.7937/K9/TCIA.2015.LO9QL9SX", ("CC BY 3.0", "CC BY 4.0")),
    )
}
PLAIN = FolderFacts("1.2.3", "1.2", "John^Doe", "CT", "1.9")
LICENSE = (
    "License Information. The CT Lymph Nodes collection is distributed under the "
    "Creative Commons Attribution 3.0\nUnported License at "
    "http://creativecommons.org/licenses/by/3.0/ By downloading the data, you agree."
)
METADATA = (
    "\ufeffSeries UID,Collection,3rd Party Analysis,Data Description URI,Subject ID\r\n"
    '1.2.9,Other,,,X\r\n1.2.3,"CT Lymph Nodes",,'
    "https://doi.org/10.7937/K9/TCIA.2015.AQIIDCNM,MED_LYMPH_001\r\n"
)


def find(name):
    return CATALOGUE.get(name.casefold())


@pytest.mark.parametrize(
    ("facts", "by"),
    [
        ({"catalogue_collection": "CT Lymph Nodes"}, "series UID in the catalogue"),
        ({"metadata_csv": METADATA}, "metadata.csv lists the series"),
        ({"ctp_collection": b"CT Lymph Nodes\x00"}, "private tag (0013,1010)"),
        ({"ctp_collection": "ct lymph nodes"}, "private tag (0013,1010)"),
        ({"licence_text": LICENSE}, "LICENSE beside the files"),
        ({"patient_id": "MED_LYMPH_090"}, "patient ID"),
        ({"patient_id": "ABD_LYMPH_001"}, "patient ID"),
    ],
)
def test_each_sign_is_enough(facts, by):
    found = recognise(replace(PLAIN, **facts), find)
    assert (found.origin, found.terms, found.source) == (
        "folder",
        "not recorded",
        "folder",
    )
    assert found.collection == "CT Lymph Nodes"
    assert found.doi == "10.7937/K9/TCIA.2015.AQIIDCNM"
    assert found.licence_name in (
        "CC BY 3.0",
        "Creative Commons Attribution 3.0 Unported License",
    )
    assert found.recognised_by.startswith(by)
    assert found.series_uid == "1.2.3"
    assert citations_for([found], lambda _: None)[0].doi == found.doi


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"patient_id": "case_0002"},
        {"patient_id": "MED_LYMPH_091"},
        {"patient_id": "ABD_LYMPH_087"},
        {"patient_id": "LIDC-IDRI-9999"},
        {"patient_id": "xMED_LYMPH_001"},
        {"ctp_collection": "Our Hospital Trial"},
        {"ctp_collection": b"\xff\xfe"},
        {"licence_text": "MIT License. Permission is hereby granted at https://x.org"},
        {"metadata_csv": METADATA.replace("1.2.3", "1.2.4")},
        {"metadata_csv": "not,a\ntable"},
        {"metadata_csv": "\x00"},
    ],
)
def test_weak_or_foreign_signs_leave_the_origin_unknown(facts):
    found = recognise(replace(PLAIN, **facts), find)
    assert found == Provenance(
        series_uid="1.2.3",
        study_uid="1.2",
        frame_of_reference_uid="1.9",
        modality="CT",
    )
    assert found.patient_id == found.collection == found.doi == ""
    assert citations_for([found], lambda _: None) == ()


def test_the_stronger_sign_wins_and_others_do_not_mix_in():
    found = recognise(
        replace(PLAIN, catalogue_collection="LIDC-IDRI", licence_text=LICENSE), find
    )
    assert found.collection == "LIDC-IDRI"
    assert found.doi == "10.7937/K9/TCIA.2015.LO9QL9SX"
    assert found.licence_name == ""
    assert "LICENSE" not in found.recognised_by


def test_signs_that_agree_add_up():
    found = recognise(
        replace(PLAIN, ctp_collection="CT Lymph Nodes", licence_text=LICENSE), find
    )
    assert found.licence_uri == "http://creativecommons.org/licenses/by/3.0/"
    assert "private tag" in found.recognised_by
    assert "LICENSE" in found.recognised_by


def test_a_collection_that_the_catalogue_lacks_is_still_named():
    text = LICENSE.replace("CT Lymph Nodes", "Brand-New Set")
    found = recognise(replace(PLAIN, licence_text=text), find)
    assert (found.collection, found.doi) == ("Brand-New Set", "")


@pytest.mark.parametrize(
    "facts",
    [
        {"synthetic": True},
        {"series_uid": TWIN_UID_ROOT + "7"},
        {"study_uid": TWIN_UID_ROOT},
    ],
)
def test_the_twin_is_synthetic_whatever_else_it_carries(facts):
    found = recognise(
        replace(PLAIN, patient_id="MED_LYMPH_001", licence_text=LICENSE, **facts), find
    )
    assert found.synthetic
    assert found.collection == found.doi == ""
    assert [c.kind for c in citations_for([found], lambda _: None)] == ["synthetic"]
