"""Radiological orientation, by the camera alone."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_tcia._napari import view
from napari_tcia._napari.layers import add_case
from napari_tcia._napari.session import session_for
from napari_tcia._napari.warm import warm
from napari_tcia.core.geometry import make_affine

AXIAL = make_affine((-150, -170, -400), (1, 0, 0, 0, 1, 0), (5, 0.8, 0.8))
SIGN = {"towards": 1, "away": -1, "up": 1, "down": -1, "right": 1, "left": -1}


@pytest.mark.parametrize(
    ("order", "left", "right", "top", "bottom"),
    [
        ((0, 1, 2), "R", "L", "A", "P"),
        ((1, 0, 2), "R", "L", "S", "I"),
        ((2, 0, 1), "A", "P", "S", "I"),
    ],
)
def test_letters_of_the_three_planes(order, left, right, top, bottom):
    _, letters = view.orientation(AXIAL, order[1:])
    assert letters == {"left": left, "right": right, "top": top, "bottom": bottom}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize(
    "cosines",
    [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1), (-1, 0, 0, 0, 1, 0)],
)
def test_the_patient_is_never_mirrored_in_3d(cosines, order):
    affine = make_affine((0, 0, 0), cosines, (2, 1, 1))
    (depth, vertical, horizontal), _ = view.orientation(affine, order)
    # Where each displayed axis points on the screen: right, up, towards.
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    towards, up, right = (
        axes[:, axis] * SIGN[word]
        for axis, word in zip(order, (depth, vertical, horizontal), strict=True)
    )
    assert np.allclose(np.cross(right, up), towards)


def test_letters_follow_the_plane(case):
    viewer = ViewerModel()
    session_for(viewer)
    add_case(viewer, case)

    def letters():
        shown = viewer.canvas.overlays
        return [
            shown[f"napari_tcia_{edge}"].text
            for edge in ("left", "right", "top", "bottom")
            if shown[f"napari_tcia_{edge}"].visible
        ]

    assert letters() == ["R", "L", "A", "P"]
    assert str(viewer.scene.camera.orientation[1]) == "down"
    viewer.dims.order = (1, 0, 2)
    assert letters() == ["R", "L", "S", "I"]
    assert str(viewer.scene.camera.orientation[1]) == "up"
    viewer.dims.order = (2, 0, 1)
    assert letters() == ["A", "P", "S", "I"]
    viewer.dims.ndisplay = 3
    assert letters() == []


def test_position_reads_as_people_say_it(case):
    viewer = ViewerModel()
    session_for(viewer)
    add_case(viewer, case)
    image = viewer.layers[0]
    viewer.dims.set_point(range(3), tuple(image.data_to_world((7, 10, 10))))
    z = case.volume.affine[2] @ (7, 10, 10, 1)
    text = viewer.canvas.overlays["napari_tcia_position"].text
    assert text == f"k 7 (image 8), z {z:.1f} mm\nW 350  L 50  mediastinum"
    image.contrast_limits = (-1350, 150)
    text = viewer.canvas.overlays["napari_tcia_position"].text
    assert text.endswith("W 1500  L -600  lung")


def test_scale_bar_and_first_slice(case):
    viewer = ViewerModel()
    session_for(viewer)
    add_case(viewer, case)
    assert viewer.canvas.overlays.scale_bar.visible
    largest = max(case.nodes, key=lambda row: row.short_axis_mm or 0)
    assert viewer.dims.current_step[0] == largest.k


def test_a_point_is_seen_through_its_node_and_not_beyond(case):
    viewer = ViewerModel()
    session_for(viewer)
    add_case(viewer, case)
    points = viewer.layers["Nodes (published points)"]
    image = viewer.layers[0]
    index = points.data[0]
    viewer.dims.set_point(range(3), tuple(image.data_to_world(np.round(index))))
    assert 0 in points._view_indices
    far = np.round(index) + np.array((view.POINT_DEPTH_MM // 5 + 1, 0, 0))
    viewer.dims.set_point(range(3), tuple(image.data_to_world(far)))
    assert 0 not in points._view_indices


def test_a_slice_shows_its_own_values(case):
    """The depth in which points are looked for must not average any picture."""
    viewer = ViewerModel()
    others = viewer.add_image(np.random.default_rng(0).random(case.volume.shape))
    session_for(viewer)
    (image, *_), _ = add_case(viewer, case)
    later = viewer.add_image(case.volume.array.astype(float), scale=image.scale)
    k = 17
    viewer.dims.set_point(range(3), tuple(image.data_to_world((k, 0, 0))))
    assert np.array_equal(image._slice.image.raw, case.volume.array[k])
    for layer in (others, later):
        step = round(layer.world_to_data(viewer.dims.point)[0])
        if 0 <= step < len(layer.data):
            assert np.array_equal(layer._slice.image.raw, layer.data[step])
    assert {str(layer.projection_mode) for layer in (others, later)} == {"none"}


def test_position_is_of_the_volume_that_is_looked_at(case):
    """A second volume of the same patient frame counts its own slices."""
    viewer = ViewerModel()
    session_for(viewer)
    (first, *_), _ = add_case(viewer, case)
    affine = case.volume.affine.copy()
    affine[:3, 3] = affine[:3, :3] @ (5, 0, 0) + affine[:3, 3]
    origin = replace(case.volume.provenance, series_uid="61.7.0.999.9.8")
    volume = replace(case.volume, affine=affine, provenance=origin)
    other = replace(case, volume=volume, labels=(), points=None, nodes=())
    (second, *_), _ = add_case(viewer, other)

    def shown():
        return viewer.canvas.overlays["napari_tcia_position"].text

    viewer.dims.set_point(range(3), tuple(first.data_to_world((17, 0, 0))))
    viewer.layers.selection.active = second
    assert shown().startswith("k 12 (image 13), ")
    viewer.layers.selection.active = first
    assert shown().startswith("k 17 (image 18), ")


def test_a_duplicate_leaves_the_view_where_it_is(case):
    viewer = ViewerModel()
    session_for(viewer)
    (image, *_), _ = add_case(viewer, case)
    viewer.dims.set_current_step(0, 2)
    viewer.layers.append(Layer.create(*image.as_layer_data_tuple()))
    assert viewer.dims.current_step[0] == 2


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_jump_has_its_place_in_the_middle_in_every_plane(case, order):
    viewer = ViewerModel()
    session_for(viewer)
    (image, *_), _ = add_case(viewer, case)
    viewer.dims.order = order
    world = tuple(image.data_to_world((7, 20, 60)))
    view.jump(viewer, world)
    assert np.allclose(viewer.scene.camera.center[-2:], [world[a] for a in order[1:]])
    assert np.allclose(viewer.dims.point, world)


def test_what_is_drawn_to_be_ready_is_never_seen(make_napari_viewer, qtbot, case):
    """Scale bar and words are there once a volume is, and not before."""
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    overlays = viewer.canvas.overlays
    warm(viewer, session)
    assert overlays.scale_bar.opacity == 0.0
    qtbot.waitUntil(lambda: not overlays.scale_bar.visible)
    drawn = [overlays[name] for name in view.OVERLAYS]
    assert [one.visible for one in drawn] == [False] * len(drawn)
    session.add_cases([case])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    assert (overlays.scale_bar.visible, overlays.scale_bar.opacity) == (True, 1.0)
    for name in (view.CREDIT, view.POSITION, f"{view.PREFIX}_left"):
        assert (overlays[name].visible, overlays[name].opacity) == (True, 1.0), name


def test_a_volume_that_comes_meanwhile_is_seen_with_its_words(
    make_napari_viewer, qtbot, case
):
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    overlays = viewer.canvas.overlays
    warm(viewer, session)
    qtbot.waitUntil(lambda: view.POSITION in overlays)
    add_case(viewer, case)
    for _ in range(2):
        assert (overlays.scale_bar.visible, overlays.scale_bar.opacity) == (True, 1.0)
        assert overlays[view.POSITION].text.startswith("k ")
        assert (overlays[view.POSITION].visible, overlays[view.POSITION].opacity) == (
            True,
            1.0,
        )
        qtbot.wait(200)
