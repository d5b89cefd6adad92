"""Brushes in millimetres: a disc in the plane, a ball, over a range of HU alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia.edit.change import Change, Spacing, box_around, distance_mm


def brush(
    labels: NDArray[Any],
    centre: Sequence[float],
    radius_mm: float,
    spacing: Spacing,
    *,
    value: int,
    plane: int | None = None,
    image: NDArray[Any] | None = None,
    hu: tuple[float, float] | None = None,
    erase: bool = False,
) -> Change:
    """One touch of a brush.

    Parameters
    ----------
    labels : (K, J, I) ndarray of int
        Other nodes in it are protected.
    centre : (k, j, i)
    radius_mm : float
    spacing : mm
    value : int
        Of the node that is painted, or erased.
    plane : int, optional
        Axis that the slice is perpendicular to: a disc in it. By default a ball.
    image, hu : optional
        Only voxels of this range are painted.
    erase : bool
        Take voxels of the node away instead.

    Returns
    -------
    Change
        Empty where the brush touches nothing.
    """
    at = [float(n) for n in centre]
    if plane is not None:
        at[plane] = float(round(at[plane]))
    box = list(box_around(at, radius_mm, spacing, labels.shape))
    if plane is not None:
        k = int(at[plane])
        inside = 0 <= k < labels.shape[plane]
        box[plane] = slice(k, k + 1) if inside else slice(0, 0)
    part = (box[0], box[1], box[2])
    mask = distance_mm(part, at, spacing) <= radius_mm
    mask &= labels[part] == (value if erase else 0)
    if hu is not None and image is not None:
        mask &= (image[part] >= hu[0]) & (image[part] <= hu[1])
    return Change(part, np.asarray(mask), 0 if erase else value)
