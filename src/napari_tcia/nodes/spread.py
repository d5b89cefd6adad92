"""Segments into arrays that hold each of them whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.image import Segment

Voxels = tuple[Segment, NDArray[np.int64]]
"""A segment, and its voxels as flat indices into the grid."""


def spread(
    found: Iterable[Voxels], shape: tuple[int, int, int]
) -> list[tuple[NDArray[Any], tuple[Segment, ...]]]:
    """Draw segments into as few label arrays as hold every one whole.

    Two segments share an array where they share neither a voxel nor a value: no
    segment is cut by another, and every value stays the one of its file.

    Parameters
    ----------
    found : iterable of (Segment, (n,) int64)
        Indices are flat, without repetition, in C order of `shape`.
    shape : (K, J, I)

    Returns
    -------
    list of ((K, J, I) uint8 or uint16, tuple of Segment)
        Never empty: one array of zeros where there is no segment.
    """
    segments = sorted(found, key=lambda one: one[0].value)
    top = segments[-1][0].value if segments else 0
    dtype = np.uint8 if top <= 255 else np.uint16
    arrays: list[tuple[NDArray[Any], list[Segment]]] = [(np.zeros(shape, dtype), [])]
    for segment, flat in segments:
        for array, members in arrays:
            known = segment.value in {one.value for one in members}
            if not known and not array.reshape(-1)[flat].any():
                break
        else:
            array, members = np.zeros(shape, dtype), []
            arrays.append((array, members))
        array.reshape(-1)[flat] = segment.value
        members.append(segment)
    return [(array, tuple(members)) for array, members in arrays]
