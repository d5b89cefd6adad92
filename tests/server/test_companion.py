"""The nodes of a scan under its other identity, on the voxels of the open one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_tcia.app import agree
from napari_tcia.app.case import open_case
from napari_tcia.app.companion import companion_nodes
from napari_tcia.app.search import search
from napari_tcia.app.services import Services
from napari_tcia.core.geometry import index_to_patient
from napari_tcia.core.model import SearchQuery
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import GeometryMismatch, NothingFound

ONE, OTHER = "ABD_LYMPH_001", "MED_LYMPH_002"


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    with EmbeddedArchive(cases=4) as running:
        found = Services.open(running.settings(tmp_path_factory.mktemp("home")))
        listed = search(found, SearchQuery(patient=ONE))
        agree.accept(found, agree.terms(found, listed.items), "Ada")
        yield found


@pytest.fixture(scope="module")
def cases(services):
    return [open_case(services, patient)[0] for patient in (ONE, OTHER)]


def _places(case):
    """Label values and their voxels in patient millimetres."""
    found = {}
    for labels in case.labels:
        if labels.source == "seg":
            voxels = np.argwhere(labels.array)
            for value in np.unique(labels.array[labels.array > 0]).tolist():
                own = voxels[labels.array[tuple(voxels.T)] == value]
                found[value] = index_to_patient(case.volume.affine, own)
    return found


def test_they_lie_where_they_lie_on_their_own_images(services, cases):
    here, there = cases
    laid = companion_nodes(services, here.volume)
    expected, found = _places(there), _places(laid)
    assert found.keys() == expected.keys()
    assert found
    for value, places in expected.items():
        np.testing.assert_allclose(found[value], places, atol=1e-3)
    assert {one.name for one in laid.labels} == {OTHER}
    assert {one.provenance.patient_id for one in laid.labels} == {OTHER}
    assert laid.issues[0].code == "companion_scan"
    assert OTHER in laid.issues[0].message


def test_another_scan_takes_none_of_it(services, cases):
    volume = cases[0].volume
    affine = volume.affine.copy()
    affine[:3, 3] += 0.4  # half a voxel aside
    with pytest.raises(GeometryMismatch, match=OTHER):
        companion_nodes(services, replace(volume, affine=affine))
    short = replace(
        volume, array=volume.array[:5], present=volume.present[:5], files=()
    )
    with pytest.raises(GeometryMismatch, match="outside the volume"):
        companion_nodes(services, short)


def test_a_scan_with_one_identity_says_so(services, cases):
    volume = cases[0].volume
    other = replace(
        volume, provenance=replace(volume.provenance, patient_id="MED_LYMPH_001")
    )
    with pytest.raises(NothingFound, match="MED_LYMPH_001"):
        companion_nodes(services, other)
