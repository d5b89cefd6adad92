"""Tidying one node: smoother, without holes, its largest piece alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_tcia.edit.change import Box, Change, Mask, Spacing, node_of

SIGMA_MM = 1.0


def smooth(
    labels: NDArray[Any], value: int, spacing: Spacing, *, sigma_mm: float = SIGMA_MM
) -> tuple[Change, ...]:
    """Smooth the outline of a node; its volume stays, to a voxel where it can.

    Parameters
    ----------
    labels : (K, J, I) ndarray of int
        Other nodes in it are protected.
    sigma_mm : float
        Of the Gaussian that its mask is blurred with.

    Returns
    -------
    tuple of Change
        What goes, and what comes.

    Raises
    ------
    UsageError
        There is no such node.
    """
    box, crop = node_of(labels, value, 4 * sigma_mm, spacing)
    own = np.asarray(crop == value)
    sigma = [sigma_mm / step for step in spacing]
    blurred = ndimage.gaussian_filter(own.astype(np.float32), sigma, mode="constant")
    blurred[(crop != 0) & ~own] = -1.0  # others stay theirs
    count = int(own.sum())
    level = np.partition(blurred.ravel(), -count)[-count]
    return _difference(box, own, blurred >= max(float(level), 1e-6), value)


def fill_holes(labels: NDArray[Any], value: int, spacing: Spacing) -> Change:
    """Fill what a node encloses and nobody else owns."""
    box, crop = node_of(labels, value, max(spacing), spacing)
    own = np.asarray(crop == value)
    holes = ndimage.binary_fill_holes(own) & ~own & (crop == 0)
    return Change(box, np.asarray(holes), value)


def largest_piece(labels: NDArray[Any], value: int, spacing: Spacing) -> Change:
    """Take away all but the largest piece (26-connected) of a node."""
    box, crop = node_of(labels, value, 0.0, spacing)
    parts, count = ndimage.label(crop == value, np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    rest = (parts > 0) & (parts != int(sizes.argmax()))
    return Change(box, np.asarray(rest), 0)


def _difference(box: Box, old: Mask, new: Mask, value: int) -> tuple[Change, ...]:
    return Change(box, old & ~new, 0), Change(box, new & ~old, value)
