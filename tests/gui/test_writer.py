"""What is saved from a layer holds the nodes and their credit."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel
import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel

from napari_tcia._napari import writer
from napari_tcia._napari.layers import add_case, node_rows
from napari_tcia.app.assemble import Case
from napari_tcia.core.image import Check, Passport
from napari_tcia.errors import BrokenGeometry, GeometryMismatch, NothingFound


def test_nodes_go_through_layer_metadata_unchanged(case):
    viewer = ViewerModel()
    (image, *_), _ = add_case(viewer, case)
    assert node_rows(image.metadata["napari_tcia"]) == case.nodes


def test_a_case_is_saved_as_csv_with_its_credit(case, tmp_path):
    viewer = ViewerModel()
    (image, *_), _ = add_case(viewer, case)
    path = tmp_path / "nodes.csv"
    assert image.save(str(path), plugin="napari-tcia") == [str(path)]
    assert "not patient data" in path.read_text(encoding="utf-8")
    rows = pd.read_csv(path, comment="#")
    assert list(rows["id"]) == [row.id for row in case.nodes]


def test_an_image_without_nodes_says_so(tmp_path):
    with pytest.raises(NothingFound, match="no lymph nodes"):
        writer.write_nodes(str(tmp_path / "x.csv"), None, {"name": "camera"})


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_the_reference_is_saved_where_it_lies(case, tmp_path, suffix):
    viewer = ViewerModel()
    (_, reference, *_), _ = add_case(viewer, case)
    path = tmp_path / f"nodes{suffix}"
    assert str(path) in reference.save(str(path), plugin="napari-tcia")
    _same_in_patient(path, case, reference.data)
    beside = json.loads((tmp_path / "nodes.json").read_text(encoding="utf-8"))
    assert "not patient data" in json.dumps(beside["credit"])
    assert [s["value"] for s in beside["segments"]] == [
        segment.value for segment in case.labels[0].segments
    ]


def _same_in_patient(path, case, data):
    image = nibabel.load(path)
    assert np.array_equal(np.asanyarray(image.dataobj).transpose(2, 1, 0), data)
    index = np.array([3.0, 20.0, 70.0])  # k, j, i
    x, y, z = (case.volume.affine @ (*index, 1))[:3]
    assert np.allclose(image.affine @ (*index[::-1], 1), (-x, -y, z, 1), atol=1e-3)


def test_own_labels_on_the_grid_of_the_ct_are_saved(make_napari_viewer, case, tmp_path):
    viewer = make_napari_viewer()
    (image, *_), _ = add_case(viewer, case)
    data = np.zeros(case.volume.shape, dtype=np.int64)
    data[5, 20:30, 40:60] = 3
    mine = viewer.add_labels(
        data, name="mine", scale=image.scale, translate=image.translate
    )
    path = tmp_path / "mine.nii.gz"
    mine.save(str(path), plugin="napari-tcia")
    _same_in_patient(path, case, data)


@pytest.mark.parametrize("how", ["elsewhere", "other shape", "no CT"])
def test_labels_without_a_place_are_refused(make_napari_viewer, case, tmp_path, how):
    viewer = make_napari_viewer()
    if how != "no CT":
        add_case(viewer, case)
    shape = (4, 4, 4) if how == "other shape" else case.volume.shape
    mine = viewer.add_labels(np.ones(shape, dtype=np.uint8), name="mine")
    path = tmp_path / "mine.nii.gz"
    with pytest.raises(GeometryMismatch, match="mine does not lie on the voxels"):
        mine.save(str(path), plugin="napari-tcia")
    assert not path.exists()


def test_labels_on_a_failed_volume_are_refused(make_napari_viewer, case, tmp_path):
    viewer = make_napari_viewer()
    failed = Passport((Check("gantry_tilt", "fail", "Slices are shifted."),))
    volume = replace(case.volume, passport=failed)
    (image,), _ = add_case(viewer, Case("A", volume))
    mine = viewer.add_labels(
        np.ones(image.data.shape, np.uint8),
        scale=image.scale,
        translate=image.translate,
    )
    with pytest.raises(BrokenGeometry):
        mine.save(str(tmp_path / "mine.nii.gz"), plugin="napari-tcia")
