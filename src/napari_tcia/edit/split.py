"""One node into several, several into one, and the number of the next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_tcia.edit.change import Change, Spacing, node_of
from napari_tcia.errors import UsageError


def split(
    labels: NDArray[Any],
    value: int,
    spacing: Spacing,
    *,
    new_value: int,
    seeds: Sequence[Sequence[float]] | None = None,
) -> tuple[Change, ...]:
    """Split a node; the part with the first seed, or the largest, keeps its value.

    Parameters
    ----------
    labels : (K, J, I) ndarray of int
    value : int
    spacing : mm
    new_value : int
        Of the second part; further parts take the values above it.
    seeds : sequence of (k, j, i), optional
        One in each part; without them its pieces, else the two sides of its waist.

    Returns
    -------
    tuple of Change
        One for each new part.

    Raises
    ------
    UsageError
        There is no such node, a seed is not in it, or it has neither pieces nor waist.
    """
    box, crop = node_of(labels, value, max(spacing), spacing)
    own = np.asarray(crop == value)
    starts = [part.start for part in box]
    depth = ndimage.distance_transform_edt(own, spacing)
    if seeds is not None:
        places = [
            tuple(round(float(n)) - s for n, s in zip(seed, starts, strict=True))
            for seed in seeds
        ]
        if len(set(places)) < 2 or not all(_holds(own, at) for at in places):
            raise UsageError(
                f"Two different places inside node {value} are needed.",
                "Click once in each of its parts.",
            )
        parts = _sides(depth, own, places)
    else:
        pieces = _pieces(own)
        parts = (
            _sides(depth, own, _peaks(depth, spacing, value))
            if pieces is None
            else pieces
        )
    return tuple(
        Change(box, np.asarray(parts == number), new_value + number - 2)
        for number in range(2, int(parts.max()) + 1)
    )


def merge(labels: NDArray[Any], values: Iterable[int], into: int) -> tuple[Change, ...]:
    """Give the voxels of some nodes to another.

    Raises
    ------
    UsageError
        One of them has no voxel.
    """
    return tuple(
        Change(box, np.asarray(crop == value), into)
        for value in dict.fromkeys(values)
        if value != into
        for box, crop in [node_of(labels, value, 0.0, (1.0, 1.0, 1.0))]
    )


def delete(labels: NDArray[Any], value: int) -> Change:
    """Take a node away.

    Raises
    ------
    UsageError
        It has no voxel.
    """
    box, crop = node_of(labels, value, 0.0, (1.0, 1.0, 1.0))
    return Change(box, np.asarray(crop == value), 0)


def next_free(values: Iterable[int]) -> int:
    """Return the value above all that were ever used; gaps stay gaps."""
    return max(values, default=0) + 1


def _holds(own: NDArray[np.bool_], at: tuple[int, ...]) -> bool:
    inside = all(0 <= n < size for n, size in zip(at, own.shape, strict=True))
    return inside and bool(own[at])


def _pieces(own: NDArray[np.bool_]) -> NDArray[Any] | None:
    """Pieces numbered from the largest; None when there is one."""
    parts, count = ndimage.label(own, np.ones((3, 3, 3)))
    if count < 2:
        return None
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    order = np.empty(count + 1, np.int64)
    order[0] = 0
    order[1 + np.argsort(-sizes, kind="stable")] = np.arange(1, count + 1)
    return np.asarray(order[parts])


def _peaks(depth: NDArray[Any], spacing: Spacing, value: int) -> list[tuple[int, ...]]:
    """The two deepest places on both sides of a waist."""
    from skimage.feature import peak_local_max

    apart = max(1, round(2.0 / min(spacing)))
    found = peak_local_max(  # type: ignore[no-untyped-call]
        depth, min_distance=apart, exclude_border=False
    )
    for other in found[1:]:
        line = np.linspace(found[0], other, 30).round().astype(int)
        waist = depth[tuple(line.T)].min()
        if waist < 0.8 * depth[tuple(other)]:
            return [tuple(found[0].tolist()), tuple(other.tolist())]
    raise UsageError(
        f"Node {value} is one piece without a waist.",
        "Click once in each of its parts.",
    )


def _sides(
    depth: NDArray[Any], own: NDArray[np.bool_], places: Sequence[tuple[int, ...]]
) -> NDArray[Any]:
    from skimage.segmentation import watershed

    markers = np.zeros(depth.shape, np.int32)
    for number, at in enumerate(places, start=1):
        markers[at] = number
    found = watershed(-depth, markers, mask=own)  # type: ignore[no-untyped-call]
    return np.asarray(found)
