"""What a ruler and a circle on one slice say: millimetres, and the values inside.

Both are drawn in voxel indices and read in the patient: the affine of the volume
carries spacing, and the shear of a tilted gantry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_tcia.core.geometry import Affine


@dataclass(frozen=True, slots=True)
class RegionStatistics:
    """Values of the voxels whose centres lie in a region of one slice.

    Attributes
    ----------
    count : int
        Voxels, without padding and missing slices.
    mean, sd, minimum, maximum : float
        In units of the array; NaN where `count` is 0. `sd` is that of the sample.
    area_mm2 : float
        Of the region as drawn.
    """

    count: int
    mean: float
    sd: float
    minimum: float
    maximum: float
    area_mm2: float


def length_mm(affine: Affine, start: ArrayLike, end: ArrayLike) -> float:
    """Distance of two places in the patient.

    Parameters
    ----------
    affine : (4, 4) float64
        (k, j, i, 1) to LPS mm.
    start, end : (3,) array_like
        In (k, j, i), fractions allowed.
    """
    apart = np.asarray(end, np.float64) - np.asarray(start, np.float64)
    return float(np.linalg.norm(affine[:3, :3] @ apart))


def ellipse_statistics(
    array: NDArray[Any],
    affine: Affine,
    corners: ArrayLike,
    padding: tuple[float, float] | None = None,
    missing: Sequence[int] = (),
) -> RegionStatistics:
    """Values inside an ellipse on a slice along one of the array's axes.

    Parameters
    ----------
    array : (K, J, I) ndarray
    affine : (4, 4) float64
        (k, j, i, 1) to LPS mm.
    corners : (4, 3) array_like
        Of the parallelogram around it, in order, in (k, j, i); one of the three
        coordinates is the same for all, and rounded to the slice.
    padding : (low, high), optional
        Values that are no measurement, left out.
    missing : sequence of int
        Slices that were not there: what fills their place is no measurement either,
        also where another plane crosses them.

    Raises
    ------
    ValueError
        The corners do not lie on one slice.
    """
    points = np.asarray(corners, np.float64)
    flat = np.flatnonzero(np.ptp(points, axis=0) < 1e-6)
    if not flat.size:
        raise ValueError("the region does not lie on one slice")
    axis = int(flat[0])
    within = [n for n in range(3) if n != axis]
    one, two = (points[1] - points[0]) / 2, (points[3] - points[0]) / 2
    area = np.pi * float(
        np.linalg.norm(np.cross(affine[:3, :3] @ one, affine[:3, :3] @ two))
    )
    present = np.ones(array.shape[0], bool)
    present[list(missing)] = False
    at = round(float(points[0, axis]))
    values = _inside(array, present, axis, points[:, within], at)
    if padding is not None:
        values = values[(values < padding[0]) | (values > padding[1])]
    if not values.size:
        nan = float("nan")
        return RegionStatistics(0, nan, nan, nan, nan, area)
    return RegionStatistics(
        count=int(values.size),
        mean=float(values.mean(dtype=np.float64)),
        sd=float(values.std(ddof=1, dtype=np.float64)) if values.size > 1 else 0.0,
        minimum=float(values.min()),
        maximum=float(values.max()),
        area_mm2=area,
    )


def _inside(
    array: NDArray[Any],
    present: NDArray[np.bool_],
    axis: int,
    corners: NDArray[np.float64],
    at: int,
) -> NDArray[Any]:
    """Values of a slice whose centres lie in the ellipse between four corners."""
    if not 0 <= at < array.shape[axis] or (axis == 0 and not present[at]):
        return array[:0].reshape(-1)
    plane = array.take(at, axis=axis)
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, plane.shape)
    if (high <= low).any():
        return array[:0].reshape(-1)
    half = np.stack(
        [(corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2], axis=1
    )
    if abs(np.linalg.det(half)) < 1e-12:
        return array[:0].reshape(-1)
    grid = np.stack(
        np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1
    ) - corners.mean(axis=0)
    unit = grid @ np.linalg.inv(half).T
    inside = (unit**2).sum(axis=-1) <= 1
    if axis != 0:  # slices are the rows of this plane
        inside &= present[low[0] : high[0], None]
    part = plane[low[0] : high[0], low[1] : high[1]]
    found: NDArray[Any] = part[inside]
    return found
