"""A node from one click: grown in 3D within a radius and a range of HU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_tcia.edit.change import (
    Change,
    Mask,
    Spacing,
    box_around,
    distance_mm,
    require_inside,
)
from napari_tcia.errors import UsageError

Method = Literal["region", "walker", "watershed"]
METHODS: tuple[Method, ...] = ("region", "watershed", "walker")
RADIUS_MM = 15.0
BELOW_HU, ABOVE_HU = 70.0, 50.0
"""From the seed's surroundings to half way to fat, and to a vessel with contrast."""
_SMOOTH_MM = 0.8
_SEED_MM = 2.0
_NECK_MM = 1.6
"""Half the width of what counts as a neck to something else."""
_AIR_HU = -400.0
_THICK = 2.5
"""Slices farther apart than so many pixels do not touch, for an edge between them."""


def hu_range(
    image: NDArray[Any], seed: Sequence[float], spacing: Spacing
) -> tuple[float, float]:
    """Range of values that a node at `seed` is grown in by default.

    Parameters
    ----------
    image : (K, J, I) ndarray
        HU.
    seed : (k, j, i)
    spacing : mm

    Raises
    ------
    UsageError
        The seed is outside, or lies in air.
    """
    at = require_inside(seed, image.shape)
    box = box_around(at, _SEED_MM, spacing, image.shape)
    near = image[box][distance_mm(box, at, spacing) <= _SEED_MM]
    middle = float(np.median(near[np.isfinite(near)])) if near.size else np.nan
    if not middle > _AIR_HU:
        raise UsageError(
            "There is air, or nothing, at that place.", "Click inside a node."
        )
    return middle - BELOW_HU, middle + ABOVE_HU


def grow(
    image: NDArray[Any],
    labels: NDArray[Any],
    seed: Sequence[float],
    spacing: Spacing,
    *,
    value: int,
    radius_mm: float = RADIUS_MM,
    hu: tuple[float, float] | None = None,
    method: Method = "region",
) -> Change:
    """Grow a node from one place.

    Parameters
    ----------
    image : (K, J, I) ndarray
        HU.
    labels : (K, J, I) ndarray of int
        Other nodes in it are not grown into.
    seed : (k, j, i)
    spacing : (3,) tuple of float
        mm per step.
    value : int
        Of the node.
    radius_mm : float
        How far from the seed it may reach.
    hu : (low, high), optional
        By default what `hu_range` tells.
    method : {"region", "walker", "watershed"}
        Connected voxels of the range without what hangs on by a neck; a random
        walker (Grady 2006, doi:10.1109/TPAMI.2006.233); a watershed of the gradient.

    Returns
    -------
    Change
        Connected, and with the seed in it.

    Raises
    ------
    UsageError
        The seed is outside, in air, beyond the range, or inside another node.
    """
    at = require_inside(seed, image.shape)
    low, high = hu if hu is not None else hu_range(image, at, spacing)
    if labels[at] not in (0, value):
        raise UsageError(
            f"Node {int(labels[at])} is there already.",
            "Click beside it, or choose it.",
        )
    box = box_around(at, radius_mm, spacing, image.shape)
    inside = distance_mm(box, at, spacing) <= radius_mm
    inside &= np.isin(labels[box], (0, value))
    crop = np.nan_to_num(np.asarray(image[box], np.float32), nan=-1000.0)
    sigma = [_SMOOTH_MM / step for step in spacing]
    smooth = ndimage.gaussian_filter(crop, sigma, mode="nearest")
    start = tuple(n - part.start for n, part in zip(at, box, strict=True))
    within = inside & (smooth >= low) & (smooth <= high)
    if not within[start]:
        raise UsageError(
            f"The value there, {smooth[start]:.0f}, is outside of "
            f"{low:.0f} to {high:.0f}.",
            "Click inside the node, or widen the range.",
        )
    if method == "watershed":
        found = _watershed(smooth, inside, within, start, spacing)
    elif method == "walker":
        found = _walker(smooth, inside, within, start, (low, high), spacing)
    else:
        found = _region(within, start, spacing)
    found = _whole(_without_spurs(found, spacing) & inside, start)
    return Change(box, found, value)


def _without_spurs(mask: Mask, spacing: Spacing) -> Mask:
    """What noise put on the outline goes: the half level of a light blur."""
    sigma = [0.7 if near else 0.0 for near in _across(spacing)]
    blurred = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest")
    return np.asarray(blurred > 0.5)


def _piece(mask: Mask, start: tuple[int, ...]) -> Mask:
    parts, _ = ndimage.label(mask)
    return np.asarray(parts == parts[start]) if mask[start] else np.zeros_like(mask)


def _whole(mask: Mask, start: tuple[int, ...]) -> Mask:
    """The piece with the seed, its holes filled."""
    mask[start] = True
    return np.asarray(ndimage.binary_fill_holes(_piece(mask, start)))


def _region(within: Mask, start: tuple[int, ...], spacing: Spacing) -> Mask:
    """Connected voxels; what hangs on by a neck is left behind."""
    region = _piece(within, start)
    step = _apart(spacing)
    # A border around it: the edge of the box is an edge of the region.
    depth = ndimage.distance_transform_edt(np.pad(region, 1), step)[1:-1, 1:-1, 1:-1]
    reach = min(_NECK_MM, 0.5 * float(depth[_near(region.shape, start, spacing)].max()))
    core, _ = ndimage.label(depth > reach)
    number = core[start] or _nearest(core, start, spacing)
    if not number:
        return region
    away = ndimage.distance_transform_edt(core != number, step)
    rim = max(s for s, near in zip(spacing, _across(spacing), strict=True) if near)
    return np.asarray(region & (away <= reach + rim))


def _apart(spacing: Spacing) -> list[float]:
    """Spacing for distances within slices, where these are far apart."""
    return [
        s if near else 1e6 for s, near in zip(spacing, _across(spacing), strict=True)
    ]


def _near(
    shape: tuple[int, ...], start: tuple[int, ...], spacing: Spacing
) -> tuple[slice, ...]:
    return box_around(start, 3 * _SEED_MM, spacing, shape)


def _nearest(core: NDArray[Any], start: tuple[int, ...], spacing: Spacing) -> int:
    """Number of the piece of `core` that is nearest to the seed; 0 for none."""
    places = np.argwhere(core)
    if not len(places):
        return 0
    away = ((places - start) * np.asarray(spacing)) ** 2
    return int(core[tuple(places[int(away.sum(axis=1).argmin())])])


def _across(spacing: Spacing) -> tuple[bool, ...]:
    """Axes along which neighbours are near enough to tell of an edge between them."""
    return tuple(step <= _THICK * min(spacing) for step in spacing)


def _deep(region: Mask, spacing: Spacing) -> Mask:
    """What lies deep in a region; of each slice, where slices are far apart."""
    step = _apart(spacing)
    depth = ndimage.distance_transform_edt(np.pad(region, 1), step)[1:-1, 1:-1, 1:-1]
    axes = tuple(n for n, near in enumerate(_across(spacing)) if near)
    top = depth.max(axis=axes, keepdims=True)
    return np.asarray(region & (depth > 0.35 * top))


def _watershed(
    smooth: NDArray[Any],
    inside: Mask,
    within: Mask,
    start: tuple[int, ...],
    spacing: Spacing,
) -> Mask:
    from skimage.segmentation import watershed

    edge = np.zeros(smooth.shape)
    joined = np.zeros((3, 3, 3), bool)
    for axis, near in enumerate(_across(spacing)):
        place = [slice(1, 2)] * 3
        place[axis] = slice(0, 3) if near else slice(1, 2)
        joined[tuple(place)] = True
        if near and smooth.shape[axis] > 1:
            edge += np.gradient(smooth, spacing[axis], axis=axis) ** 2
    beside = ndimage.distance_transform_edt(~within, spacing) <= 1.01 * min(spacing)
    markers = np.where(beside & inside, 0, 2).astype(np.int32)
    markers[_deep(_region(within, start, spacing), spacing)] = 1
    markers[start] = 1
    found = watershed(  # type: ignore[no-untyped-call]
        np.sqrt(edge), markers, connectivity=joined
    )
    return np.asarray(found == 1)


def _walker(
    smooth: NDArray[Any],
    inside: Mask,
    within: Mask,
    start: tuple[int, ...],
    hu: tuple[float, float],
    spacing: Spacing,
) -> Mask:
    from skimage.segmentation import random_walker

    region = _region(within, start, spacing)
    near = ndimage.distance_transform_edt(~region, spacing) <= 3 * min(spacing)
    tight = [slice(int(a.min()), int(a.max()) + 1) for a in np.nonzero(near)]
    part = (tight[0], tight[1], tight[2])
    markers = np.where((near & inside)[part], 0, 2).astype(np.int32)
    markers[_deep(region, spacing)[part]] = 1
    markers[tuple(n - s.start for n, s in zip(start, part, strict=True))] = 1
    if not (markers == 0).any() or not (markers == 2).any():
        return region
    low, high = hu
    level = np.clip((smooth[part] - low) / max(high - low, 1e-6), -1.0, 2.0)
    walked = random_walker(
        level, markers, beta=90, mode="cg_j", tol=1e-3, spacing=spacing, prob_tol=0.1
    )
    found = np.zeros(smooth.shape, bool)
    found[part] = walked == 1
    return found
