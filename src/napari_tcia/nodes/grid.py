"""Does an annotation lie on the grid of its volume? The one place that decides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.geometry import Affine
from napari_tcia.core.image import Check, Volume
from napari_tcia.errors import GeometryMismatch

TOLERANCE = 0.1
"""Distance from the grid, in voxels, up to which no resampling is needed."""


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """An exact map of array indices onto a volume's (k, j, i).

    Attributes
    ----------
    steps : (3, n) ndarray of int
        Column m: where one step along array axis m leads.
    origin : (3,) ndarray of int
        Where array index 0 lies.
    residual : float
        Largest distance of a corner from the grid, in voxels.
    """

    steps: NDArray[np.int64]
    origin: NDArray[np.int64]
    residual: float

    def __call__(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Map (m, n) array indices to (m, 3) volume indices."""
        return np.asarray(indices @ self.steps.T + self.origin)


def place(
    volume_affine: Affine,
    vectors: NDArray[np.float64],
    origin: NDArray[np.float64],
    shape: tuple[int, ...],
    what: str,
    tolerance: float = TOLERANCE,
) -> Placement:
    """Map an array of `shape` onto the grid of a volume, exactly or not at all.

    Parameters
    ----------
    volume_affine : (4, 4) float64
        (k, j, i, 1) to LPS mm.
    vectors : (3, n) float64
        LPS mm per step along each of the n axes of the array.
    origin : (3,) float64
        LPS mm of array index 0.
    shape : tuple of n int
    what : str
        Names the array in the error.
    tolerance : float
        Voxels.

    Raises
    ------
    GeometryMismatch
        A corner is more than `tolerance` voxels off every voxel centre, or
        the axes do not run along those of the volume.
    """
    inverse = np.linalg.inv(volume_affine[:3, :3])
    steps = inverse @ vectors
    start = inverse @ (origin - volume_affine[:3, 3])
    whole = np.rint(steps).astype(np.int64)
    at = np.rint(start).astype(np.int64)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(
        len(shape), -1
    )
    ideal = whole @ corners + at[:, None]
    found = steps @ corners + start[:, None]
    residual = float(np.abs(found - ideal).max())
    # One voxel per step, each along an axis of its own: a permutation with signs.
    aligned = (np.abs(whole).sum(axis=0) == 1).all() and (
        np.abs(whole).sum(axis=1) <= 1
    ).all()
    if residual > tolerance or not aligned:
        raise GeometryMismatch(
            f"{what} does not lie on the grid of the volume: it is off by up to "
            f"{residual:.3g} voxels"
            + ("." if aligned else ", with axes or spacing of its own."),
            "It belongs to another scan or lost its geometry; it is not resampled.",
            residual_voxels=residual,
            origin_index=[round(float(v), 4) for v in start],
            steps_index=np.round(steps, 5).tolist(),
        )
    return Placement(whole, at, residual)


def flat_indices(
    at: Placement, indices: NDArray[np.int64], volume: Volume, what: str
) -> NDArray[np.int64]:
    """Voxels of the volume, as flat indices, where labelled array voxels lie.

    Parameters
    ----------
    at : Placement
    indices : (m, n) int
        Indices of the array that was placed.
    volume : Volume
    what : str
        Names the array in the error.

    Raises
    ------
    GeometryMismatch
        Some lie outside the volume.
    """
    inside = at(indices)
    outside = ((inside < 0) | (inside >= volume.shape)).any(axis=1)
    if outside.any():
        raise GeometryMismatch(
            f"{what} has {int(outside.sum())} labelled voxels outside the volume.",
            "Open the whole series that it was drawn on.",
            voxels=int(outside.sum()),
            shape=list(volume.shape),
        )
    flat = np.ravel_multi_index(tuple(inside.T), volume.shape)
    return np.asarray(flat, dtype=np.int64)


def points_inside(indices: NDArray[np.float64], shape: tuple[int, int, int]) -> Check:
    """Say which rows of (n, 3) indices (k, j, i) lie outside an array of `shape`."""
    limits = np.array(shape) - 0.5
    outside = ((indices < -0.5) | (indices >= limits)).any(axis=1)
    rows = (np.flatnonzero(outside) + 1).tolist()
    return Check(
        "points_inside",
        "fail" if rows else "pass",
        f"{len(rows)} of {len(indices)} points lie outside the volume."
        if rows
        else "Every point lies inside the volume.",
        {"rule": "P4", "rows": rows},
    )


def on_missing_slices(volume: Volume, labelled: Iterable[int]) -> list[Check]:
    """Warn of labels on slices k that the volume lacks; empty when there are none."""
    k = sorted(n for n in labelled if not volume.present[n])
    if not k:
        return []
    message = f"Labels lie on {len(k)} slices that the volume lacks."
    return [Check("labels_on_missing_slices", "warn", message, {"k": k})]
