"""Ruler and circle: millimetres in the patient, values of the voxels inside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tcia.core.geometry import index_to_patient, make_affine
from napari_tcia.nodes.region import ellipse_statistics, length_mm

AXIAL = make_affine((-100, -80, -50), (1, 0, 0, 0, 1, 0), (2.5, 0.75, 0.5))
TILTED = AXIAL.copy()
TILTED[:3, 0] += (0.0, 0.9, 0.0)
places = st.tuples(*[st.floats(-50, 50)] * 3)


@given(start=places, end=places, affine=st.sampled_from([AXIAL, TILTED]))
def test_a_ruler_measures_in_the_patient(start, end, affine):
    one, two = index_to_patient(affine, [start, end])
    expected = np.linalg.norm(one - two)
    assert length_mm(affine, start, end) == pytest.approx(expected, abs=1e-9)


def test_a_sheared_grid_is_not_measured_by_its_spacing_alone():
    assert length_mm(TILTED, (0, 0, 0), (4, 0, 0)) == pytest.approx(
        4 * np.hypot(2.5, 0.9)
    )


def box(axis, at, low, high):
    """Corners of a rectangle on a slice, in the order that napari has."""
    (a0, b0), (a1, b1) = low, high
    flat = np.array([(a0, b0), (a0, b1), (a1, b1), (a1, b0)], float)
    return np.insert(flat, axis, at, axis=1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_voxels_inside_and_no_others(axis):
    array = np.random.default_rng(axis).integers(-1000, 1000, (20, 24, 28))
    array = array.astype(np.int16)
    found = ellipse_statistics(array, AXIAL, box(axis, 7.3, (2, 3), (12, 15)))
    a, b = np.ogrid[:28, :28]
    inside = ((a - 7) / 5) ** 2 + ((b - 9) / 6) ** 2 <= 1
    plane = array.take(7, axis=axis)
    values = plane[inside[: plane.shape[0], : plane.shape[1]]].astype(float)
    assert found.count == values.size
    assert found.mean == pytest.approx(values.mean())
    assert found.sd == pytest.approx(values.std(ddof=1))
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    spacing = np.delete((2.5, 0.75, 0.5), axis)
    assert found.area_mm2 == pytest.approx(np.pi * 5 * 6 * spacing.prod())


def test_turned_by_any_angle_it_covers_its_area():
    array = np.ones((3, 200, 200), np.int16)
    turn = np.radians(33)
    along = np.array((np.sin(turn), np.cos(turn))) * 40
    across = np.array((np.cos(turn), -np.sin(turn))) * 15
    middle = np.array((100.0, 100.0))
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    flat = [middle + a * along + b * across for a, b in signs]
    affine = make_affine((0, 0, 0), (1, 0, 0, 0, 1, 0), (1, 1, 1))
    found = ellipse_statistics(array, affine, np.insert(flat, 0, 1, axis=1))
    assert found.area_mm2 == pytest.approx(np.pi * 40 * 15)
    assert found.count == pytest.approx(found.area_mm2, rel=0.01)


def test_padding_is_no_measurement():
    array = np.full((1, 20, 20), 50, np.int16)
    array[0, :, :10] = -2000
    found = ellipse_statistics(
        array, AXIAL, box(0, 0, (2, 2), (18, 18)), (-2000, -2000)
    )
    assert (found.mean, found.sd, found.minimum) == (50, 0, 50)


@pytest.mark.parametrize("axis", [1, 2])
def test_nor_is_what_fills_a_missing_slice_on_a_plane_that_crosses_it(axis):
    array = np.full((20, 20, 20), 50, np.int16)
    array[[8, 9]] = -1024
    corners = box(axis, 10, (2, 2), (18, 18))
    whole = ellipse_statistics(array, AXIAL, corners)
    found = ellipse_statistics(array, AXIAL, corners, missing=(8, 9))
    assert (found.mean, found.sd, found.minimum) == (50, 0, 50)
    assert 0 < found.count < whole.count
    assert found.area_mm2 == whole.area_mm2


def test_on_a_missing_slice_itself_there_is_nothing():
    array = np.full((20, 20, 20), 50, np.int16)
    corners = box(0, 8, (2, 2), (18, 18))
    assert ellipse_statistics(array, AXIAL, corners).count > 0
    assert ellipse_statistics(array, AXIAL, corners, missing=(8,)).count == 0


@pytest.mark.parametrize(
    "corners",
    [
        box(0, 99, (2, 2), (8, 8)),
        box(0, 3, (-9, -9), (-3, -3)),
        box(0, 3, (5, 2), (5, 9)),
    ],
    ids=["no such slice", "beside it", "no width"],
)
def test_where_there_is_nothing_nothing_is_said(corners):
    found = ellipse_statistics(np.ones((5, 10, 10)), AXIAL, corners)
    assert found.count == 0
    assert np.isnan(found.mean)


def test_across_slices_there_is_no_circle():
    with pytest.raises(ValueError, match="one slice"):
        ellipse_statistics(
            np.ones((5, 5, 5)), AXIAL, [(0, 0, 0), (1, 1, 0), (1, 1, 1), (0, 0, 1.5)]
        )
