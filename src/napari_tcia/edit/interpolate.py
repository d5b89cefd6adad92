"""Slices between those that were drawn, from their shapes.

Shape-based interpolation (Raya and Udupa 1990, doi:10.1109/42.52980): the signed
distances of two outlines are blended, each moved along the line of their centres.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_tcia.edit.change import Change, Mask, Spacing, node_of
from napari_tcia.errors import UsageError


def interpolate(
    labels: NDArray[Any], value: int, spacing: Spacing, *, axis: int = 0
) -> Change:
    """Fill the gaps between the drawn slices of a node.

    Parameters
    ----------
    labels : (K, J, I) ndarray of int
    value : int
    spacing : mm
    axis : int
        Along which slices were left out.

    Returns
    -------
    Change
        Voxels of empty background alone; slices that hold anything of the node
        stay as they are.

    Raises
    ------
    UsageError
        There is no gap to fill.
    """
    box, crop = node_of(labels, value, 0.0, spacing)
    # A rim around each plane, so that what lies at its edge has an outline there.
    rim = ((0, 0), (1, 1), (1, 1))
    own = np.pad(np.moveaxis(np.asarray(crop == value), axis, 0), rim)
    free = np.moveaxis(np.asarray(crop == 0), axis, 0)
    drawn = np.flatnonzero(own.any(axis=(1, 2)))
    gaps = [(a, b) for a, b in itertools.pairwise(drawn.tolist()) if b - a > 1]
    if not gaps:
        raise UsageError(
            "No slice is left out between those that are drawn.",
            "Draw the node in two slices with empty ones between.",
        )
    step = [s for n, s in enumerate(spacing) if n != axis]
    filled = np.zeros_like(own)
    for a, b in gaps:
        first, last = _signed(own[a], step), _signed(own[b], step)
        here, there = _centre(own[a]), _centre(own[b])
        for n in range(a + 1, b):
            share = (n - a) / (b - a)
            middle = here + share * (there - here)
            blend = (1 - share) * _moved(first, middle - here)
            blend += share * _moved(last, middle - there)
            filled[n] = blend > 0
    filled = filled[:, 1:-1, 1:-1] & free
    return Change(box, np.moveaxis(filled, 0, axis), value)


def _signed(plane: Mask, step: list[float]) -> NDArray[np.float64]:
    """Distance from the outline in mm, positive inside."""
    inside = ndimage.distance_transform_edt(plane, step)
    outside = ndimage.distance_transform_edt(~plane, step)
    return np.asarray(inside - outside)


def _centre(plane: Mask) -> NDArray[np.float64]:
    return np.asarray(np.argwhere(plane).mean(axis=0))


def _moved(field: NDArray[np.float64], by: NDArray[np.float64]) -> NDArray[np.float64]:
    if np.allclose(by, 0):
        return field
    moved: NDArray[np.float64] = ndimage.shift(field, by, order=1, mode="nearest")
    return moved
