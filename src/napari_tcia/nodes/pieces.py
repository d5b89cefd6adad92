"""Labels in several pieces: a segment need not be one node.

A mask label or a SEG segment may hold several nodes that do not touch. Each piece
(26-connected) is then measured and listed by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from napari_tcia.core.image import LabelSet
from napari_tcia.nodes.measure import Box, label_boxes

SPECK_VOXELS = 4
"""A piece of fewer voxels beside a larger one is no node of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """A label set in which every connected piece has a value of its own.

    Attributes
    ----------
    labels : LabelSet
        The set itself where every label is in one piece. `segments` are those of
        the labels, whose values are found by `of`.
    boxes : dict of int to Box
        Bounding box of each piece.
    of : dict of int to (int, int, int)
        Of a piece: the value of its label, its number from 1, largest first, and
        how many pieces that label has.
    specks : dict of int to int
        Voxels of each label that lie in specks: in no piece.
    """

    labels: LabelSet
    boxes: Mapping[int, Box]
    of: Mapping[int, tuple[int, int, int]]
    specks: Mapping[int, int]


def pieces(labels: LabelSet) -> Pieces:
    """Take the labels of a set apart."""
    from scipy import ndimage

    boxes = label_boxes(labels.array)
    found: dict[int, Box] = {}
    of: dict[int, tuple[int, int, int]] = {}
    specks: dict[int, int] = {}
    array = labels.array
    following = max(boxes, default=0) + 1
    for value, box in boxes.items():
        parts, count = ndimage.label(labels.array[box] == value, np.ones((3, 3, 3)))
        if count == 1:
            found[value], of[value] = box, (value, 1, 1)
            continue
        if array is labels.array:
            array = labels.array.astype(np.uint32)
        sizes = np.bincount(parts.ravel())[1:]
        largest = [int(n) + 1 for n in np.argsort(-sizes, kind="stable")]
        kept = [n for n in largest if sizes[n - 1] >= SPECK_VOXELS] or largest[:1]
        inside = ndimage.find_objects(parts)
        for number, part in enumerate(kept, start=1):
            # The largest keeps the value of its label.
            named = value if number == 1 else following
            following += number > 1
            array[box][parts == part] = named
            found[named] = tuple(  # type: ignore[assignment]
                slice(outer.start + inner.start, outer.start + inner.stop)
                for outer, inner in zip(box, inside[part - 1], strict=True)
            )
            of[named] = (value, number, len(kept))
        left = ~np.isin(parts, [0, *kept])
        if left.any():
            specks[value] = int(left.sum())
            array[box][left] = 0
    return Pieces(replace(labels, array=array), found, of, specks)
