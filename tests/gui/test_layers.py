"""Layers lie where the patient is."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_tcia._napari import layers as case_layers
from napari_tcia.core.geometry import index_to_patient
from napari_tcia.errors import GeometryMismatch

NAMES = ["CT - MED_LYMPH_001", "Nodes (reference)", "Nodes (published points)"]


def _by_name(case, reference=None):
    made = case_layers.layer_data(case, reference)
    return {data[1]["name"]: Layer.create(*data) for data in made}


def test_layers_are_named_after_the_case(case):
    assert list(_by_name(case)) == NAMES


def test_files_of_others_go_by_their_own_names(case):
    labels = dataclasses.replace(case.labels[0], name="model 7", source="mask")
    points = dataclasses.replace(case.points, name="reader B", source="markups")
    more = dataclasses.replace(
        case, labels=(*case.labels, labels), further=(points,), candidates=()
    )
    made = _by_name(more)
    names = [*NAMES[:2], "Nodes (model 7)", NAMES[2], "Nodes (reader B)"]
    assert list(made) == names
    assert [layer.visible for layer in made.values()] == [1, 1, 0, 1, 0]
    alone = dataclasses.replace(more, labels=(labels,), points=points, further=())
    assert list(_by_name(alone)) == [NAMES[0], "Nodes (model 7)", "Nodes (reader B)"]
    assert [layer.visible for layer in _by_name(alone).values()] == [1, 1, 1]


def test_world_of_a_label_centroid_is_its_place_in_the_patient(case, truth):
    layer = _by_name(case)["Nodes (reference)"]
    assert truth.nodes
    for node in truth.nodes:
        centroid = np.argwhere(layer.data == node.label).mean(axis=0)
        z, y, x = layer.data_to_world(centroid)
        # voxels are 5 mm high and the mask is a sampling of the ellipsoid
        assert np.allclose((x, y), node.centre[:2], atol=2.0)
        assert abs(z - node.centre[2]) < 3.0


def test_points_are_the_published_millimetres_and_inside_their_label(case):
    layers = _by_name(case)
    points, labels = layers["Nodes (published points)"], layers["Nodes (reference)"]
    world = np.array([points.data_to_world(p) for p in points.data])
    assert np.allclose(world[:, ::-1], case.points.points, atol=1e-6)
    places = np.rint([labels.world_to_data(w) for w in world]).astype(int)
    assert labels.data[tuple(places.T)].all()
    assert np.allclose(points.scale, layers["CT - MED_LYMPH_001"].scale)
    diameter = points.size * points.scale[-1]
    assert np.allclose(diameter, case.points.sizes_mm)


def test_every_layer_is_in_mm_with_the_same_axes(case):
    for layer in _by_name(case).values():
        assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
        assert layer.axis_labels == ("z", "y", "x")
        assert all(s > 0 for s in layer.scale)


@pytest.mark.parametrize("flip", [False, True])
def test_a_second_volume_of_the_same_frame_meets_the_first(case, flip):
    first = case.volume.affine
    sign = -1 if flip else 1  # prone: rows and columns run the other way
    second = first.copy()
    second[:3, :3] = first[:3, :3] * np.array([0.9, 1.1 * sign, 1.3 * sign])
    second[:3, 3] += (3.0, -7.0, 11.0)
    volume = dataclasses.replace(case.volume, affine=second)
    other = dataclasses.replace(case, volume=volume, labels=(), points=None, nodes=())
    (image,) = _by_name(other, first).values()
    index = (4, 7, 9)
    z, y, x = image.data_to_world(index)
    assert np.allclose((x, y, z), index_to_patient(second, index)[0])


@pytest.mark.parametrize("turn", ["coronal", "oblique", "tilted"])
def test_a_volume_cut_in_another_direction_sets_its_own_world(case, turn):
    affine = case.volume.affine.copy()
    if turn == "coronal":
        affine[:3, :3] = affine[:3, [1, 0, 2]]
    elif turn == "oblique":
        c, s = np.cos(0.02), np.sin(0.02)
        affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ affine[:3, :3]
    else:
        affine[1, 0] += 0.1
    origin = dataclasses.replace(case.volume.provenance, series_uid="61.7.0.999.9.3")
    volume = dataclasses.replace(case.volume, affine=affine, provenance=origin)
    viewer = ViewerModel()
    case_layers.add_case(viewer, case)
    reference, issues = case_layers.reference_for(viewer.layers, volume)
    assert reference is None
    assert [issue.code for issue in issues] == ["other_plane"]
    with pytest.raises(GeometryMismatch):
        case_layers.layer_data(
            dataclasses.replace(case, volume=volume), case.volume.affine
        )


def test_rounding_of_a_header_is_no_other_direction(case):
    """Cosines of six digits: a corner moves by hundredths of a voxel."""
    affine = case.volume.affine.copy()
    affine[:3, :3] += 1e-6
    volume = dataclasses.replace(case.volume, affine=affine)
    viewer = ViewerModel()
    case_layers.add_case(viewer, case)
    reference, issues = case_layers.reference_for(viewer.layers, volume)
    assert issues == ()
    assert reference is not None


def test_another_frame_of_reference_is_not_overlaid_without_a_word(case):
    viewer = ViewerModel()
    _, issues = case_layers.add_case(viewer, case)
    assert "other_frame_of_reference" not in {i.code for i in issues}
    elsewhere = dataclasses.replace(
        case.volume.provenance, series_uid="61.7.0.999.9.1", frame_of_reference_uid="9"
    )
    volume = dataclasses.replace(case.volume, provenance=elsewhere)
    other = dataclasses.replace(case, volume=volume)
    layers, issues = case_layers.add_case(viewer, other)
    assert "other_frame_of_reference" in {i.code for i in issues}
    assert np.allclose(layers[0].translate, viewer.layers[0].translate)


def test_the_same_frame_is_recognised_by_uid(case):
    assert case.volume.provenance.frame_of_reference_uid
    viewer = ViewerModel()
    case_layers.add_case(viewer, case)
    other = dataclasses.replace(case.volume.provenance, series_uid="61.7.0.999.9.2")
    volume = dataclasses.replace(case.volume, provenance=other)
    reference, issues = case_layers.reference_for(viewer.layers, volume)
    assert issues == ()
    assert np.array_equal(reference, case.volume.affine)


def test_first_view_is_the_slice_of_the_largest_node(case):
    largest = max(case.nodes, key=lambda row: row.short_axis_mm or 0)
    assert case_layers.first_index(case)[0] == largest.k


@pytest.mark.parametrize(
    ("name", "window", "quantity", "limits"),
    [
        ("MED_LYMPH_001", None, "HU", (-125.0, 225.0)),
        ("ABD_LYMPH_001", None, "HU", (-160.0, 240.0)),
        ("MED_LYMPH_001", (40.0, 80.0), "HU", (0.0, 80.0)),
        ("MED_LYMPH_001", None, "stored values", None),
    ],
)
def test_first_window(case, name, window, quantity, limits):
    volume = dataclasses.replace(case.volume, window=window, quantity=quantity)
    changed = dataclasses.replace(case, name=name, volume=volume)
    kwargs = case_layers.layer_data(changed)[0][1]
    assert kwargs.get("contrast_limits") == limits


def test_the_reference_cannot_be_painted_on_but_a_copy_can(case):
    viewer = ViewerModel()
    (_, reference, points), _ = case_layers.add_case(viewer, case)
    assert not reference.editable
    assert not points.editable
    copy = Layer.create(*reference.as_layer_data_tuple())
    viewer.layers.append(copy)
    case_layers.dress(copy, viewer.layers)
    assert copy.editable


def test_contrast_can_go_wider_than_the_first_window(case):
    viewer = ViewerModel()
    (image, *_), _ = case_layers.add_case(viewer, case)
    low, high = image.contrast_limits_range
    assert low <= -1350
    assert high >= 450
    assert tuple(image.contrast_limits) == (-125.0, 225.0)


def test_metadata_is_json(case):
    for _, kwargs, _ in case_layers.layer_data(case):
        ours = kwargs["metadata"][case_layers.KEY]
        assert json.loads(json.dumps(ours)) == ours
        assert ours["synthetic"] is True
