"""Do image, labels and points of a case belong together? The badge's checks.

Only what the passport and the readers cannot see is asked here: an annotation
may lie exactly on the grid and still be mirrored in its content.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.geometry import spacing_of
from napari_tcia.core.image import Check, LabelSet, PointSet, Verdict, Volume
from napari_tcia.nodes.match import Regions, distances, match, regions
from napari_tcia.nodes.measure import NO_TISSUE_HU, Box
from napari_tcia.volume import require_sound

NODE_HU = (-20.0, 200.0)
"""Median HU in which lymph nodes lie, with and without contrast."""
NEAR_MM = 5.0
"""A point this close to a label, or within its own size, counts as on it."""
_BALL_MM = 3.0


def verify(
    volume: Volume,
    labels: Sequence[LabelSet] | LabelSet | None = None,
    points: PointSet | None = None,
) -> tuple[Check, ...]:
    """Check a case beyond its geometry.

    Parameters
    ----------
    volume : Volume
        Of sound geometry.
    labels : sequence of LabelSet, optional
    points : PointSet, optional

    Returns
    -------
    tuple of Check
        Those that apply, each with the numbers behind it: ``points_in_labels``
        (rule M3: a mirrored mask), ``label_hu`` (M4), ``label_point_match``
        (M5), ``point_hu`` (P5), ``seg_equals_mask`` (C1).

    Raises
    ------
    BrokenGeometry
        The volume's own geometry failed its check.
    """
    require_sound(volume, "annotations")
    sets = [labels] if isinstance(labels, LabelSet) else list(labels or ())
    boxes = regions(sets)
    checks: list[Check] = []
    if points is not None and len(points.ids):
        for source in dict.fromkeys(one.source for one in sets):
            same = [one for one in sets if one.source == source]
            own = {
                key: box for key, box in boxes.items() if sets[key[0]].source == source
            }
            checks.append(_mirrored(volume, same, points))
            checks.append(_joined(volume, sets, own, points))
        if volume.quantity == "HU":
            checks.append(_point_hu(volume, points))
    if volume.quantity == "HU":
        for source in dict.fromkeys(one.source for one in sets):
            check = _label_hu(volume, sets, boxes, source)
            checks += [check] if check else []
    if {"seg", "mask"} <= {one.source for one in sets if not one.is_import}:
        checks.append(_same_labels(sets, boxes))
    return tuple(checks)


def _mirrored(volume: Volume, sets: Sequence[LabelSet], points: PointSet) -> Check:
    """Share of points on a label, as stored and for each mirrored reading."""
    foreground = [one.array for one in sets]
    spacing = np.array(spacing_of(volume.affine))
    size = np.nan_to_num(points.sizes_mm)
    reach = np.maximum(NEAR_MM, size)
    last = np.array(volume.shape) - 1
    shares = {}
    for flips in itertools.product((False, True), repeat=3):
        at = np.where(flips, last - points.indices, points.indices)
        hits = [
            _near_foreground(foreground, index, mm, spacing)
            for index, mm in zip(at, reach.tolist(), strict=True)
        ]
        # (k, j, i) are z, y, x for people, and for the rule.
        name = "".join(axis for axis, flip in zip("zyx", flips, strict=True) if flip)
        shares[name[::-1] or "as stored"] = float(np.mean(hits))
    stored = shares.pop("as stored")
    other, best = max(shares.items(), key=lambda item: item[1])
    source = sets[0].source
    verdict: Verdict = "pass"
    message = f"{stored:.0%} of the points lie on or beside a label ({source})."
    if best >= stored + 0.2:
        verdict = "fail"
        message = (
            f"The labels ({source}) look mirrored in {other}: {best:.0%} of the points "
            f"would lie on them, {stored:.0%} do. Nothing was changed."
        )
    elif stored < 0.8 or best > stored - 0.2:
        verdict = "warn"
        message += (
            " Masks and points are independent and sparse."
            if stored < 0.8
            else f" Mirrored in {other}, it would be {best:.0%}."
        )
    numbers = {"rule": "M3", "as_stored": stored, "mirrored": shares, "source": source}
    if verdict == "fail" and source != "seg":  # a SEG says itself where it lies
        numbers["choices"] = [f"labels={other}"]
    return Check("points_in_labels", verdict, message, numbers)


def _near_foreground(
    arrays: Sequence[NDArray[Any]],
    index: NDArray[np.float64],
    reach: float,
    spacing: NDArray[np.float64],
) -> bool:
    box, offsets = _window(index, reach, spacing, arrays[0].shape)
    ball = offsets <= reach
    return any(bool((array[box].astype(bool) & ball).any()) for array in arrays)


def _window(
    index: NDArray[np.float64],
    reach: float,
    spacing: NDArray[np.float64],
    shape: tuple[int, ...],
) -> tuple[tuple[slice, ...], NDArray[np.float64]]:
    """Box around an index, and the distance in mm of each of its voxels."""
    low = np.clip(np.floor(index - reach / spacing), 0, shape).astype(np.int64)
    high = np.clip(np.ceil(index + reach / spacing) + 1, 0, shape).astype(np.int64)
    axes = [
        (np.arange(a, b) - at) * mm
        for a, b, at, mm in zip(low, high, index, spacing, strict=True)
    ]
    grid = np.meshgrid(*axes, indexing="ij")
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return box, np.sqrt(sum(axis**2 for axis in grid))


def _joined(
    volume: Volume, sets: Sequence[LabelSet], boxes: Regions, points: PointSet
) -> Check:
    """How labels and points pair up; leftovers are normal, and named."""
    reach = distances(volume, sets, boxes, points)
    pairs = match(reach)
    matched = {(pair.set, pair.value) for pair in pairs}
    rows = {pair.row for pair in pairs}
    alone = [value for number, value in reach if (number, value) not in matched]
    left = [points.ids[n] for n in range(len(points.ids)) if n not in rows]
    merged = {
        str(value): [points.ids[n] for n in np.flatnonzero(near == 0).tolist()]
        for (_, value), near in reach.items()
        if (near == 0).sum() > 1
    }
    split = _split(sets, boxes)
    words = [f"{len(pairs)} of {len(reach)} labels have a published point"]
    if left:
        words.append(f"{len(left)} points have no label")
    if merged:
        words.append(f"labels {', '.join(merged)} hold several points")
    if split:
        words.append(f"labels {', '.join(map(str, split))} have several parts")
    clean = not (alone or left or merged or split)
    numbers = {
        "rule": "M5",
        "pairs": [
            {"label": p.value, "row": points.ids[p.row], "distance_mm": p.distance_mm}
            for p in pairs
        ],
        "labels_alone": alone,
        "rows_alone": left,
        "merged": merged,
        "split": split,
    }
    return Check(
        "label_point_match",
        "pass" if clean else "warn",
        "; ".join(words) + ".",
        numbers,
    )


def _split(sets: Sequence[LabelSet], boxes: Regions) -> list[int]:
    """Values of labels with several parts (26-connected)."""
    from scipy import ndimage

    touching = np.ones((3, 3, 3))
    return [
        value
        for (number, value), box in boxes.items()
        if ndimage.label(sets[number].array[box] == value, touching)[1] > 1
    ]


def _point_hu(volume: Volume, points: PointSet) -> Check:
    """HU around each point; calcified and fatty nodes exist, so it only warns."""
    spacing = np.array(spacing_of(volume.affine))
    odd, medians = [], []
    for row, index in zip(points.ids, points.indices, strict=True):
        box, offsets = _window(index, _BALL_MM, spacing, volume.shape)
        seen = (offsets <= _BALL_MM) & volume.present[box[0], None, None]
        median = _tissue_median(volume.array[box][seen])
        medians.append(median)
        if median is None or not NODE_HU[0] <= median <= NODE_HU[1]:
            odd.append(row)
    share = 1 - len(odd) / len(points.ids)
    message = f"{share:.0%} of the points lie in tissue of {NODE_HU[0]:g} to "
    message += f"{NODE_HU[1]:g} HU."
    if share < 0.7:
        message += " That is few: another patient's points, or another orientation?"
    numbers = {"rule": "P5", "share": share, "rows": odd, "median_hu": medians}
    return Check("point_hu", "pass" if share >= 0.9 else "warn", message, numbers)


def _label_hu(
    volume: Volume, sets: Sequence[LabelSet], boxes: Regions, source: str
) -> Check | None:
    """HU of each label: air inside says that it lies elsewhere."""
    odd, medians = [], {}
    for (number, value), box in boxes.items():
        if sets[number].source != source:
            continue
        seen = sets[number].array[box] == value
        seen &= volume.present[box[0], None, None]
        values = volume.array[box][seen]
        median = _tissue_median(values)
        medians[str(value)] = median
        if median is None:
            continue
        airy = float((values < -200).mean())
        if not NODE_HU[0] <= median <= NODE_HU[1] or airy >= 0.1:
            odd.append(value)
    if not medians:
        return None
    verdict: Verdict = "pass"
    message = f"Every label ({source}) lies in tissue."
    if odd:
        verdict = "warn"  # calcified, necrotic and fatty nodes exist
        message = (
            f"{len(odd)} of {len(medians)} labels ({source}) do not look like "
            f"soft tissue: {', '.join(map(str, odd[:5]))}."
        )
    numbers = {"rule": "M4", "labels": odd, "median_hu": medians}
    return Check("label_hu", verdict, message, numbers)


def _tissue_median(values: NDArray[Any]) -> float | None:
    tissue = values[values >= NO_TISSUE_HU]
    return float(np.median(tissue)) if tissue.size else None


def _same_labels(sets: Sequence[LabelSet], boxes: Regions) -> Check:
    """Segment n of the SEG and label n of the mask should be the same voxels."""
    sides: dict[str, dict[int, tuple[NDArray[Any], Box]]] = {"seg": {}, "mask": {}}
    for (number, value), box in boxes.items():
        if not sets[number].is_import:
            sides[sets[number].source][value] = (sets[number].array, box)
    seg, mask = sides["seg"], sides["mask"]
    differing = {}
    for value in sorted(seg.keys() | mask.keys()):
        count = {
            name: int((side[value][0][side[value][1]] == value).sum())
            if value in side
            else 0
            for name, side in sides.items()
        }
        both = 0
        if value in seg and value in mask:
            array, box = seg[value]
            both = int(((array[box] == value) & (mask[value][0][box] == value)).sum())
        if not both == count["seg"] == count["mask"]:
            differing[str(value)] = {**count, "both": both}
    dice = [
        2 * each["both"] / (each["seg"] + each["mask"]) for each in differing.values()
    ]
    verdict: Verdict = "pass"
    message = "SEG and mask are the same, voxel by voxel."
    if differing:
        verdict = "warn" if min(dice) >= 0.95 else "fail"
        message = f"SEG and mask differ in labels {', '.join(differing)}."
    return Check(
        "seg_equals_mask", verdict, message, {"rule": "C1", "labels": differing}
    )
