"""A change of labels: which voxels become which value, and what stays protected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia.errors import UsageError

Box = tuple[slice, slice, slice]
Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]
"""Millimetres per step of k, j and i."""


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """Voxels that become one value.

    Attributes
    ----------
    box : tuple of slice
        Part of the (K, J, I) labels that `mask` covers.
    mask : ndarray of bool
        Of the shape of the box.
    value : int
        What they become; 0 is background.
    """

    box: Box
    mask: Mask
    value: int


def changed(labels: NDArray[Any], change: Change) -> tuple[NDArray[np.intp], ...]:
    """Indices (k, j, i) of the voxels whose value really changes."""
    inside = change.mask & (labels[change.box] != change.value)
    starts = [part.start for part in change.box]
    return tuple(
        at + start for at, start in zip(np.nonzero(inside), starts, strict=True)
    )


def box_around(
    centre: Sequence[float], radius_mm: float, spacing: Spacing, shape: Sequence[int]
) -> Box:
    """Part of an array that holds a ball in mm; it may lie partly outside."""
    parts = []
    for at, step, size in zip(centre, spacing, shape, strict=True):
        reach = radius_mm / step
        low, high = int(np.floor(at - reach)), int(np.ceil(at + reach)) + 1
        low = min(max(low, 0), size)
        parts.append(slice(low, max(low, min(high, size))))
    return parts[0], parts[1], parts[2]


def distance_mm(box: Box, centre: Sequence[float], spacing: Spacing) -> NDArray[Any]:
    """Distance in mm of each voxel of a box from a place (k, j, i)."""
    squares = [
        ((np.arange(part.start, part.stop) - at) * step) ** 2
        for part, at, step in zip(box, centre, spacing, strict=True)
    ]
    k, j, i = np.ix_(*squares)
    return np.asarray(np.sqrt(k + j + i))


def box_of(mask: Mask, margin: Sequence[int] = (0, 0, 0)) -> Box:
    """Smallest part of an array that holds all of `mask`, and a margin.

    Raises
    ------
    UsageError
        Nothing is in it.
    """
    parts: list[slice] = []
    rest = mask
    for axis, more in enumerate(margin):
        others = tuple(n for n in range(3) if n != axis)
        found = np.flatnonzero(rest.any(axis=others))
        if not found.size:
            raise UsageError("There is no such node.", "Choose one that is drawn.")
        low, high = int(found[0]), int(found[-1]) + 1
        parts.append(slice(max(low - more, 0), min(high + more, mask.shape[axis])))
        if axis == 0:  # few slices hold anything of a node
            rest = mask[low:high]
    return parts[0], parts[1], parts[2]


def node_of(
    labels: NDArray[Any], value: int, margin_mm: float, spacing: Spacing
) -> tuple[Box, NDArray[Any]]:
    """Part of the labels around one node, and the labels there.

    Raises
    ------
    UsageError
        No voxel has that value.
    """
    margin = [int(np.ceil(margin_mm / step)) for step in spacing]
    box = box_of(np.asarray(labels == value), margin)
    return box, labels[box]


def require_inside(index: Sequence[float], shape: Sequence[int]) -> tuple[int, ...]:
    """The voxel at a place.

    Raises
    ------
    UsageError
        It lies outside.
    """
    at = tuple(round(float(n)) for n in index)
    if any(not 0 <= n < size for n, size in zip(at, shape, strict=True)):
        raise UsageError("That place is outside of the images.", "Click inside them.")
    return at
