"""Index and patient space agree with each other and with SimpleITK."""

import numpy as np
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_tcia.core import geometry

coordinate = st.floats(-1000, 1000)
spacing = st.floats(0.3, 7)
orientations = st.integers(0, 2**32 - 1).map(
    lambda seed: Rotation.random(random_state=seed).as_matrix()
)


@st.composite
def affines(draw):
    rotation = draw(orientations)
    return geometry.make_affine(
        [draw(coordinate) for _ in range(3)],
        [*rotation[:, 0], *rotation[:, 1]],
        [draw(spacing) for _ in range(3)],
    )


@given(affines(), st.tuples(coordinate, coordinate, coordinate))
def test_patient_and_index_round_trip(affine, point):
    index = geometry.patient_to_index(affine, point)
    assert np.allclose(geometry.index_to_patient(affine, index), point, atol=1e-6)


@given(affines(), st.tuples(*[st.integers(0, 500)] * 3))
def test_affine_agrees_with_simpleitk(affine, kji):
    k, j, i = kji
    image = sitk.Image(1, 1, 1, sitk.sitkUInt8)
    steps = geometry.spacing_of(affine)
    axes = affine[:3, :3] / np.asarray(steps)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetSpacing(steps[::-1])
    image.SetDirection(axes[:, ::-1].flatten().tolist())
    expected = image.TransformContinuousIndexToPhysicalPoint((i, j, k))
    assert np.allclose(geometry.index_to_patient(affine, kji)[0], expected, atol=1e-6)


@given(affines(), affines(), st.tuples(*[st.floats(0, 500)] * 3))
def test_volumes_of_one_frame_coincide_in_the_world(first, second, index):
    """A patient point has one place in the world, whichever volume it came from."""
    patient = geometry.index_to_patient(second, index)
    scale, translate = geometry.display_transform(first)
    expected = geometry.patient_to_index(first, patient)[0] * scale + translate
    world = geometry.relative_transform(first, second) @ [*index, 1]
    assert np.allclose(world[:3], expected, atol=1e-5)


def test_axial_ct_shows_z_y_x_of_the_patient():
    affine = geometry.make_affine(
        (-195.5, -72.5, -732.6), (1, 0, 0, 0, 1, 0), (2, 1, 1)
    )
    scale, translate = geometry.display_transform(affine)
    assert scale == (2, 1, 1)
    assert translate == (-732.6, -72.5, -195.5)
    assert geometry.axis_letters(affine) == (("I", "S"), ("A", "P"), ("R", "L"))


def test_letters_follow_reversed_and_sagittal_axes():
    flipped = geometry.make_affine((0, 0, 0), (-1, 0, 0, 0, 1, 0), (1, 1, 1))
    assert geometry.axis_letters(flipped) == (("S", "I"), ("A", "P"), ("L", "R"))
    sagittal = geometry.make_affine((0, 0, 0), (0, 1, 0, 0, 0, -1), (1, 1, 1))
    assert geometry.axis_letters(sagittal) == (("L", "R"), ("S", "I"), ("A", "P"))


@given(affines(), st.floats(0.01, 3))
def test_same_grid_measures_the_gap(affine, shift):
    moved = affine.copy()
    moved[0, 3] += shift
    assert np.isclose(geometry.same_grid(affine, moved, (4, 5, 6)), shift, atol=1e-6)
