"""Index and patient space.

Arrays are indexed (k, j, i): slice, row, column. An `affine` is 4x4 float64
and maps (k, j, i, 1) to DICOM patient coordinates in millimetres, LPS: x
grows to the patient's left, y to the back, z to the head (DICOM PS3.3
C.7.6.2.1.1). This is the convention of ``highdicom.Volume.affine``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Affine = NDArray[np.float64]
_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))
"""Per LPS axis: the letter of the negative and of the positive end."""
_LEANING = float(np.sin(np.pi / 8))
_ASIDE = 0.1
"""Share of a voxel by which a corner may be off where two grids count as parallel."""


def make_affine(
    origin: ArrayLike, orientation: Sequence[float], spacing: Sequence[float]
) -> Affine:
    """Affine of a stack whose slices follow the normal of the plane.

    Parameters
    ----------
    origin : (3,) array_like
        ImagePositionPatient of slice k = 0, LPS mm.
    orientation : (6,) sequence of float
        ImageOrientationPatient: direction of a row (growing column index),
        then of a column (growing row index).
    spacing : (3,) sequence of float
        mm along k, j and i.

    Returns
    -------
    (4, 4) ndarray of float64
    """
    row = np.asarray(orientation[:3], dtype=np.float64)
    column = np.asarray(orientation[3:], dtype=np.float64)
    affine = np.eye(4)
    affine[:3, 0] = np.cross(row, column) * spacing[0]
    affine[:3, 1] = column * spacing[1]
    affine[:3, 2] = row * spacing[2]
    affine[:3, 3] = np.asarray(origin, dtype=np.float64)
    return affine


def spacing_of(affine: Affine) -> tuple[float, float, float]:
    """Millimetres per step of k, j and i."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return float(lengths[0]), float(lengths[1]), float(lengths[2])


def index_to_patient(affine: Affine, indices: ArrayLike) -> NDArray[np.float64]:
    """Map (n, 3) indices (k, j, i) to (n, 3) LPS millimetres."""
    points = np.atleast_2d(np.asarray(indices, dtype=np.float64))
    return np.asarray(points @ affine[:3, :3].T + affine[:3, 3])


def patient_to_index(affine: Affine, points: ArrayLike) -> NDArray[np.float64]:
    """Map (n, 3) LPS millimetres to (n, 3) fractional indices (k, j, i)."""
    offsets = np.atleast_2d(np.asarray(points, dtype=np.float64)) - affine[:3, 3]
    return np.asarray(np.linalg.solve(affine[:3, :3], offsets.T).T)


def display_transform(
    affine: Affine,
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Scale and translate that show a volume in its own index frame.

    The scale is the spacing, always positive; the translate is the position of
    voxel (0, 0, 0) measured along the volume's own axes, so that for axial CT
    the world coordinates are (z, y, x) of the patient in mm.

    Returns
    -------
    scale, translate : tuple of 3 float
        For (k, j, i), mm.
    """
    spacing = spacing_of(affine)
    axes = affine[:3, :3] / np.asarray(spacing)
    along = axes.T @ affine[:3, 3]
    return spacing, (float(along[0]), float(along[1]), float(along[2]))


def relative_transform(reference: Affine, affine: Affine) -> Affine:
    """Affine from indices of one volume to the world that `reference` set.

    Both must share a frame of reference. For `reference` itself the result is
    the diagonal scale with the translate of `display_transform`.
    """
    scale, translate = display_transform(reference)
    world = np.diag([*scale, 1.0])
    world[:3, 3] = translate
    return np.asarray(world @ np.linalg.inv(reference) @ affine)


def parallel_transform(
    reference: Affine, affine: Affine, shape: Sequence[int]
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Scale and translate that bring a volume into the world that `reference` set.

    Returns
    -------
    scale, translate : tuple of 3 float
        For (k, j, i), mm; a scale is negative where the two run against each
        other. None where axes are turned, swapped or sheared against those of the
        reference by more than a tenth of a voxel at a corner: scale and translate
        alone would then put the volume where it is not.
    """
    world = relative_transform(reference, affine)
    scale = np.diag(world)[:3]
    turned = world[:3, :3] - np.diag(scale)
    middle = (np.asarray(shape, dtype=np.float64) - 1) / 2
    voxel = min(*spacing_of(reference), *spacing_of(affine))
    # Without its diagonal the volume is no parallel one, however small it is.
    if np.abs(scale).min() < _ASIDE * voxel:
        return None
    if (np.abs(turned) @ middle).max() > _ASIDE * voxel:
        return None
    # What is left of a rotation (rounding of the header) is shared by both ends.
    translate = world[:3, 3] + turned @ middle
    return tuple(map(float, scale)), tuple(map(float, translate))


def same_grid(first: Affine, second: Affine, shape: Sequence[int]) -> float:
    """Largest distance in mm between equal indices of two grids of one shape."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1).T
    gap = index_to_patient(first, corners) - index_to_patient(second, corners)
    return float(np.abs(gap).max())


def main_axes(affine: Affine) -> tuple[int, int, int]:
    """Patient axis (0 x, 1 y, 2 z) that k, j and i follow most, each taken once.

    For a volume that lies across the patient two of its axes may be nearest to one
    and the same; then what all three share best decides.
    """
    cosines = np.abs(affine[:3, :3]) / np.asarray(spacing_of(affine))
    best = max(
        permutations(range(3)),
        key=lambda axes: sum(cosines[axis, n] for n, axis in enumerate(axes)),
    )
    return best[0], best[1], best[2]


def axis_letters(affine: Affine) -> tuple[tuple[str, str], ...]:
    """Patient letters at the low and high end of k, j and i.

    The LPS component of `main_axes` decides; an axial CT gives
    ``(("I", "S"), ("A", "P"), ("R", "L"))``.
    """
    letters = []
    for axis, main in zip(affine[:3, :3].T, main_axes(affine), strict=True):
        low, high = _LETTERS[main]
        letters.append((low, high) if axis[main] > 0 else (high, low))
    return tuple(letters)


def direction_letters(direction: ArrayLike) -> str:
    """Letters of where a direction in the patient leads, the nearest first.

    One letter along an axis of the patient; another follows where the direction
    leans to it by more than 22.5 degrees, as in "SA" (DICOM PS3.3 C.7.6.1.1.1).
    """
    cosines = np.asarray(direction, dtype=np.float64)
    cosines = cosines / np.linalg.norm(cosines)
    return "".join(
        _LETTERS[axis][int(cosines[axis] > 0)]
        for axis in np.argsort(-np.abs(cosines), kind="stable")
        if abs(cosines[axis]) > _LEANING
    )


def image_number(k: int) -> int:
    """Number of slice `k` as people count, from 1."""
    return k + 1
