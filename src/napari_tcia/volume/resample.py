"""What a person may choose to have made up: filled gaps, straightened tilt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.geometry import Affine


def fill_gaps(array: NDArray[Any], present: NDArray[np.bool_]) -> None:
    """Fill slices that are not present from their neighbours, in place.

    Parameters
    ----------
    array : (K, J, I) int16 or float32
    present : (K,) bool
        The first and the last slice are present.
    """
    there = np.flatnonzero(present)
    for k in np.flatnonzero(~present).tolist():
        below, above = there[there < k][-1], there[there > k][0]
        share = (k - below) / (above - below)
        mixed = (1 - share) * array[below] + share * array[above]
        array[k] = np.rint(mixed) if array.dtype.kind == "i" else mixed


def straighten(
    array: NDArray[Any], affine: Affine, background: float
) -> tuple[NDArray[Any], Affine]:
    """Resample a tilted stack to a grid whose slices follow their normal.

    Parameters
    ----------
    array : (K, J, I) ndarray
    affine : (4, 4) float64
        With a sheared first column.
    background : float
        Value outside of the slices.

    Returns
    -------
    array : (K, J', I') ndarray
        Linear in the plane of each slice; large enough for all of them.
    affine : (4, 4) float64
        With orthogonal columns.
    """
    from scipy import ndimage

    row, column = affine[:3, 2], affine[:3, 1]
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    step = affine[:3, 0]
    # Shift of each slice against the one before, in pixels of j and i.
    shift = np.array(
        [step @ axis / (axis @ axis) for axis in (column, row)], dtype=np.float64
    )
    last = (len(array) - 1) * shift
    low, high = np.floor(np.minimum(last, 0)), np.ceil(np.maximum(last, 0))
    grown = (high - low).astype(int)
    shape = (len(array), array.shape[1] + grown[0], array.shape[2] + grown[1])
    out = np.full(shape, background, dtype=array.dtype)
    for k, layer in enumerate(array):
        wide = np.full(shape[1:], background, dtype=np.float64)
        wide[: layer.shape[0], : layer.shape[1]] = layer
        moved = ndimage.shift(wide, k * shift - low, order=1, cval=background)
        out[k] = np.rint(moved) if array.dtype.kind == "i" else moved
    straight = affine.copy()
    straight[:3, 0] = (step @ normal) * normal
    straight[:3, 3] = affine[:3, 3] + low[0] * column + low[1] * row
    return out, straight
