"""One row per node: labels and published points, joined where they belong together.

Label values are no row numbers: masks and points come from other readers and
are numbered on their own. So they are joined in space, one to one; what is
left over stays as a row of its own, since a label may hold two published nodes
and a published node may have no label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.image import LabelSet, NodeRow, PointSet, Volume
from napari_tcia.nodes.measure import (
    Box,
    Measurement,
    label_boxes,
    measure_label,
    size_class,
)
from napari_tcia.nodes.pieces import pieces
from napari_tcia.volume import require_sound

if TYPE_CHECKING:
    import pandas

Key = tuple[int, int]
"""A label: position of its set in the list, and its value."""
Regions = Mapping[Key, Box]

REACH_MM = 10.0
"""Distance of a point from the boundary of a label that may still be its node."""
SAME_NODE_DICE = 0.5
"""Overlap from which a mask label and a SEG segment are one node."""

COLUMNS = (
    *("id", "label", "source", "centroid_lps", "k", "long_axis_mm", "short_axis_mm"),
    *("published_size_mm", "volume_mm3", "hu_mean", "hu_sd", "size_class"),
    *("hu_percentiles", "equivalent_diameter_mm", "extent_mm", "piece", "pieces"),
    "station",
)
"""Columns of `node_table`."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A point that was assigned to a label; distance 0 means inside."""

    set: int
    value: int
    row: int
    distance_mm: float


def regions(sets: Sequence[LabelSet]) -> Regions:
    """Bounding box of every label of every set, by (set, value)."""
    return {
        (number, value): box
        for number, one in enumerate(sets)
        for value, box in label_boxes(one.array).items()
    }


def distances(
    volume: Volume, sets: Sequence[LabelSet], boxes: Regions, points: PointSet
) -> dict[Key, NDArray[np.float64]]:
    """Distance of every point from every label of `boxes`, mm.

    Returns
    -------
    dict
        (set, value) to an (n,) array: 0 inside the label, else the distance to
        its nearest voxel centre; inf beyond `REACH_MM` of its bounding box.
    """
    matrix = volume.affine[:3, :3]
    found = {}
    for key, box in boxes.items():
        array, value = sets[key[0]].array, key[1]
        start = np.array([axis.start for axis in box])
        stop = np.array([axis.stop for axis in box]) - 1
        voxels = np.argwhere(array[box] == value) + start
        reach = np.full(len(points.indices), np.inf)
        for n, at in enumerate(points.indices):
            nearest = np.clip(at, start, stop)
            if np.linalg.norm(matrix @ (nearest - at)) > REACH_MM:
                continue
            home = np.rint(at).astype(np.int64)
            inside = (home >= start).all() and (home <= stop).all()
            if inside and array[tuple(home)] == value:
                reach[n] = 0.0
            else:
                reach[n] = np.linalg.norm((voxels - at) @ matrix.T, axis=1).min()
        found[key] = reach
    return found


def match(found: Mapping[Key, NDArray[np.float64]]) -> tuple[Pair, ...]:
    """Assign points to labels one to one, by least total distance.

    Containment counts as distance 0 and so comes first; pairs farther apart
    than `REACH_MM` are not made.

    Parameters
    ----------
    found : mapping
        As `distances` returns it.
    """
    from scipy.optimize import linear_sum_assignment

    if not found:
        return ()
    keys = list(found)
    cost = np.stack([found[key] for key in keys])
    # Farther than all real pairs together: never chosen instead of one.
    forbidden = REACH_MM * (min(cost.shape) + 1)
    chosen = zip(
        *linear_sum_assignment(np.where(cost <= REACH_MM, cost, forbidden)), strict=True
    )
    return tuple(
        Pair(keys[label][0], keys[label][1], int(row), float(cost[label, row]))
        for label, row in chosen
        if cost[label, row] <= REACH_MM
    )


def node_rows(
    volume: Volume,
    labels: Sequence[LabelSet] | LabelSet | None = None,
    points: PointSet | None = None,
) -> tuple[NodeRow, ...]:
    """List the nodes of a case.

    Parameters
    ----------
    volume : Volume
        Of sound geometry.
    labels : sequence of LabelSet, optional
        Of SEG and mask; a mask label that is the same node as a SEG segment
        is not listed twice.
    points : PointSet, optional
        Published positions and sizes.

    Returns
    -------
    tuple of NodeRow
        Labels by value, each piece of one by itself, with the point that was
        matched to it, then the points that match no label, in the order of their
        file. The size class is that of the measured short axis, else of the
        published size.

    Raises
    ------
    BrokenGeometry
        The volume's own geometry failed its check.
    """
    require_sound(volume, "measuring")
    given = [labels] if isinstance(labels, LabelSet) else list(labels or ())
    apart = [pieces(one) for one in sorted(given, key=lambda one: one.source != "seg")]
    sets = [one.labels for one in apart]
    boxes = {
        (n, value): box
        for n, one in enumerate(apart)
        for value, box in one.boxes.items()
    }
    twins = _same_nodes(sets, boxes)
    own = {key: box for key, box in boxes.items() if key not in twins}
    sources = {key: [sets[key[0]].source] for key in own}
    for (number, _), kept in twins.items():
        sources[kept].append(sets[number].source)
    rows = {
        key: _label_row(
            measure_label(volume, sets[key[0]].array, key[1], box),
            apart[key[0]].of[key[1]],
            sources[key],
        )
        for key, box in own.items()
    }
    left: list[NodeRow] = []
    if points is not None:
        pairs = match(distances(volume, sets, own, points))
        for pair in pairs:
            key = (pair.set, pair.value)
            row = rows[key]
            size = _known(points.sizes_mm[pair.row])
            rows[key] = replace(
                row, source=f"{row.source}+points", published_size_mm=size
            )
        taken = {pair.row for pair in pairs}
        left = [_point_row(points, n) for n in range(len(points.ids)) if n not in taken]
    ordered = [
        rows[key]
        for key in sorted(rows, key=lambda one: (apart[one[0]].of[one[1]][:2], one[0]))
    ]
    return tuple(
        replace(row, id=number) for number, row in enumerate([*ordered, *left], start=1)
    )


def node_table(
    volume: Volume,
    labels: Sequence[LabelSet] | LabelSet | None = None,
    points: PointSet | None = None,
) -> pandas.DataFrame:
    """List the nodes of a case as a table with the columns `COLUMNS`.

    See `node_rows`; values that are not known are missing.
    """
    import pandas

    rows = node_rows(volume, labels, points)
    table = pandas.DataFrame(
        [[getattr(row, name) for name in COLUMNS] for row in rows],
        columns=list(COLUMNS),
    )
    numbers = [
        name
        for name in COLUMNS
        if name.endswith(("_mm", "_mm3", "mean", "_sd")) and name != "extent_mm"
    ]
    return table.astype({**dict.fromkeys(numbers, "float64"), "label": "Int64"})


def _same_nodes(sets: Sequence[LabelSet], boxes: Regions) -> dict[Key, Key]:
    """Mask labels that repeat a SEG segment, each with the segment it repeats."""
    twins: dict[Key, Key] = {}
    segs = [n for n, one in enumerate(sets) if one.source == "seg"]
    for (number, value), box in boxes.items():
        if number in segs:
            continue
        mask = sets[number].array[box] == value
        for seg in segs:
            counts = np.bincount(sets[seg].array[box][mask], minlength=2)
            best = int(counts[1:].argmax()) + 1
            if not counts[best]:
                continue
            twin = (seg, best)
            size = int((sets[seg].array[boxes[twin]] == best).sum())
            dice = 2 * counts[best] / (mask.sum() + size)
            if dice >= SAME_NODE_DICE and twin not in twins.values():
                twins[number, value] = twin
                break
    return twins


def _label_row(
    m: Measurement, of: tuple[int, int, int], sources: Sequence[str]
) -> NodeRow:
    value, piece, count = of
    return NodeRow(
        id=0,
        label=value,
        source="+".join(dict.fromkeys(sources)),
        centroid_lps=m.centroid_lps,
        k=m.k,
        long_axis_mm=m.long_axis_mm,
        short_axis_mm=m.short_axis_mm,
        volume_mm3=m.volume_mm3,
        hu_mean=m.hu_mean,
        hu_sd=m.hu_sd,
        size_class=size_class(m.short_axis_mm),
        index=m.centroid,
        long_axis_line=m.long_axis_line,
        short_axis_line=m.short_axis_line,
        hu_percentiles=m.hu_percentiles,
        equivalent_diameter_mm=m.equivalent_diameter_mm,
        extent_mm=m.extent_mm,
        largest_area_k=m.largest_area_k,
        piece=piece,
        pieces=count,
    )


def _point_row(points: PointSet, n: int) -> NodeRow:
    k, j, i = (float(v) for v in points.indices[n])
    x, y, z = (float(v) for v in points.points[n])
    size = _known(points.sizes_mm[n])
    return NodeRow(
        id=0,
        label=None,
        source="points",
        centroid_lps=(x, y, z),
        k=round(k),
        published_size_mm=size,
        size_class=size_class(size),
        index=(k, j, i),
    )


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
