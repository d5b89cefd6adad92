"""The bundled catalogue, and what it must and must not hold."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from importlib.resources import files

import pytest

from napari_tcia.archive.catalogue import FILE, load
from napari_tcia.core.files import check_uid
from napari_tcia.core.model import SearchQuery

PACKED = files("napari_tcia.archive").joinpath(FILE).read_bytes()


@pytest.mark.parametrize(
    ("name", "doi", "licence", "patients", "series"),
    [
        ("CT Lymph Nodes", "10.7937/K9/TCIA.2015.AQIIDCNM", "CC BY 3.0", 176, 352),
        ("Mediastinal-Lymph-Node-SEG", "10.7937/QVAZ-JA09", "CC BY 4.0", 513, 1026),
        ("LIDC-IDRI", "10.7937/K9/TCIA.2015.LO9QL9SX", "CC BY 3.0", 1010, 1308),
    ],
)
def test_collections_by_name_id_and_doi(name, doi, licence, patients, series):
    catalogue = load()
    found = catalogue.collections[name]
    assert (found.doi, found.licence) == (doi, licence)
    assert (found.patients, found.series_count) == (patients, series)
    for key in (
        name.upper(),
        f" {name.lower()} ",
        found.id,
        doi.lower(),
        f"https://doi.org/{doi}",
    ):
        assert catalogue.find_collection(key) is found
    assert catalogue.find_collection("No Such Collection") is None
    assert catalogue.find_collection("") is None


def test_every_collection_can_be_cited():
    collections = load().collections.values()
    assert len(collections) == 179
    assert len({c.doi.lower() for c in collections}) == 179
    for one in collections:
        assert one.doi.startswith("10.")
        assert one.title
        assert one.licences
        assert one.doi in one.citation_text
        assert "<" not in one.citation_text
        assert "&amp;" not in one.citation_text
        assert one.citation_text.isprintable()


def test_the_publication_by_tcia_is_preferred():
    assert load().find_collection("NLST").doi == "10.7937/TCIA.HMQ8-J677"


def test_lymph_node_series():
    catalogue = load()
    assert Counter((s.collection, s.modality) for s in catalogue.series) == {
        ("CT Lymph Nodes", "CT"): 176,
        ("CT Lymph Nodes", "SEG"): 176,
        ("Mediastinal-Lymph-Node-SEG", "CT"): 513,
        ("Mediastinal-Lymph-Node-SEG", "SEG"): 513,
    }
    smallest = catalogue.find_series("61.7.99546452981266801445853797078261520601")
    assert smallest.patient_id == "MED_LYMPH_021"
    assert smallest.images == 56
    assert smallest.has_labels is True
    assert smallest.licence_name == "CC BY 3.0"
    assert smallest.sources == ("catalogue",)
    known = catalogue.find_series("61.7.338133024060269626651520600539598241004")
    assert (known.images, known.bytes) == (148, 77759514)
    for one in catalogue.series:
        check_uid(one.series_uid)
        assert one.has_labels is (True if one.modality == "CT" else None)
        assert one.images > 0
        assert one.bytes > 0
        folder = catalogue.objects[one.series_uid][1]
        assert catalogue.find_folder(folder.upper()) is one


def test_search_narrows_by_every_field():
    search = load().search
    assert len(search(SearchQuery())) == 1378
    assert len(search(SearchQuery(collection="ct lymph nodes"))) == 352
    assert len(search(SearchQuery(collection="10.7937/qvaz-ja09"))) == 1026
    case = search(SearchQuery(patient="med_lymph_021"))
    assert {s.modality for s in case} == {"CT", "SEG"}
    assert search(SearchQuery(study_uid=case[0].study_uid)) == case
    assert search(SearchQuery(patient="MED_LYMPH_021", modality="ct")) == case[:1]
    assert search(SearchQuery(series_uid=case[1].series_uid)) == case[1:]
    assert len(search(SearchQuery(text="MED_LYMPH", modality="CT"))) == 90
    assert len(search(SearchQuery(has_labels=True))) == 689
    assert search(SearchQuery(collection="No Such")) == ()


def test_the_file_is_small_and_holds_facts_only():
    assert len(PACKED) < 700_000
    assert PACKED[4:8] == bytes(4)  # no time of making, so that bytes repeat
    value = json.loads(gzip.decompress(PACKED))
    keys = set().union(*(row.keys() for row in value["collections"]))
    assert keys == {
        "name",
        "id",
        "title",
        "doi",
        "licences",
        "licence_url",
        "access",
        "patients",
        "series_count",
        "modalities",
        "citation_text",
    }
    longest = max(len(row["citation_text"]) for row in value["collections"])
    assert longest < 1500  # a citation, not an abstract


def test_nothing_heavy_is_needed():
    script = (
        "import sys; from napari_tcia.archive.catalogue import load; load();"
        "print([m for m in ('requests', 'pandas', 'pydicom') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
