"""Long axis, short axis, volume and HU of labelled nodes.

The short axis is that of RECIST 1.1 (doi:10.1016/j.ejca.2008.10.028): in the
acquisition plane, perpendicular to the longest diameter, on the slice where it
is largest. It is taken as a chord inside the node, not as an extent, which
would overread bent nodes; and on the half-height contour of the slightly
smoothed mask, since the hull of pixel corners reads a pixel too long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.geometry import index_to_patient, spacing_of
from napari_tcia.core.image import LabelSet, Volume

Point = tuple[float, float, float]
Box = tuple[slice, slice, slice]

SMOOTHING_PX = 0.75
"""Sigma of the in-plane smoothing; bias then stays below 0.4 px."""
NO_TISSUE_HU = -1024
"""HU below this are padding, left out of statistics."""
PERCENTILES = (5, 25, 50, 75, 95)
"""Of the HU of a node."""
_MAX_LINES = 256
"""Lines on which the longest perpendicular chord is looked for."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a label measures; lengths mm, volume mm3, points in (k, j, i).

    Attributes
    ----------
    k : int
        Slice of the axes: a present one, unless the label lies on none.
    largest_area_k : int
        Slice of the largest area, which may be another one.
    components : int
        Separate parts in 3D (26-connected); a segment need not be one node.
    hu_mean, hu_sd : float or None
        Over voxels of present slices, without padding; None where the volume
        is not in HU. The deviation is that of the population.
    hu_percentiles : tuple of float
        At `PERCENTILES`, of the same voxels; empty where there are none.
    equivalent_diameter_mm : float
        Of the ball of the same volume: (6 V / pi) to the power of 1/3.
    extent_mm : tuple of float
        Of the bounding box along k, j and i.
    """

    value: int
    centroid: Point
    centroid_lps: Point
    k: int
    largest_area_k: int
    components: int
    long_axis_mm: float
    short_axis_mm: float
    long_axis_line: tuple[Point, Point]
    short_axis_line: tuple[Point, Point]
    volume_mm3: float
    hu_mean: float | None
    hu_sd: float | None
    hu_percentiles: tuple[float, ...]
    equivalent_diameter_mm: float
    extent_mm: tuple[float, ...]


def size_class(short_axis_mm: float | None) -> str | None:
    """Size class by RECIST 1.1 thresholds of the short axis; no diagnosis."""
    if short_axis_mm is None or not np.isfinite(short_axis_mm):
        return None
    if short_axis_mm < 10:
        return "<10 mm"
    return "10-15 mm" if short_axis_mm < 15 else ">=15 mm"


def label_boxes(array: NDArray[Any]) -> dict[int, Box]:
    """Bounding box of each label value; 0.3 s for a whole CT, so call it once."""
    from scipy import ndimage

    k = np.flatnonzero([layer.any() for layer in array])
    if not k.size:
        return {}
    first = int(k[0])
    found = ndimage.find_objects(array[first : k[-1] + 1])
    return {
        value: (slice(box[0].start + first, box[0].stop + first), box[1], box[2])
        for value, box in enumerate(found, start=1)
        if box is not None
    }


def measure(volume: Volume, labels: LabelSet) -> tuple[Measurement, ...]:
    """Measure every label of a set, in the order of values."""
    return tuple(
        measure_label(volume, labels.array, value, box)
        for value, box in label_boxes(labels.array).items()
    )


def measure_label(
    volume: Volume, array: NDArray[Any], value: int, box: Box
) -> Measurement:
    """Measure the label `value` of `array` inside its bounding box."""
    from scipy import ndimage

    mask = array[box] == value
    start = np.array([axis.start for axis in box])
    spacing = spacing_of(volume.affine)
    centroid = np.argwhere(mask).mean(axis=0) + start
    areas = mask.sum(axis=(1, 2))
    # A slice that is missing shows nothing to check an axis against.
    seen = areas * volume.present[box[0]]
    slices = np.flatnonzero(seen if seen.any() else areas).tolist()
    best = max(
        ((*plane_axes(mask[k], spacing[1:]), k) for k in slices),
        key=lambda found: found[1],
    )
    long_mm, short_mm, long_line, short_line, k = best
    mean, deviation, percentiles = _hounsfield(volume, mask, box)
    cubic = float(mask.sum() * abs(np.linalg.det(volume.affine[:3, :3])))

    def lifted(line: NDArray[np.float64]) -> tuple[Point, Point]:
        ends = [(float(k + start[0]), *map(float, end + start[1:])) for end in line]
        return ends[0], ends[1]  # type: ignore[return-value]

    return Measurement(
        value=value,
        centroid=_point(centroid),
        centroid_lps=_point(index_to_patient(volume.affine, centroid)[0]),
        k=int(k + start[0]),
        largest_area_k=int(areas.argmax() + start[0]),
        components=int(ndimage.label(mask, np.ones((3, 3, 3)))[1]),
        long_axis_mm=long_mm,
        short_axis_mm=short_mm,
        long_axis_line=lifted(long_line),
        short_axis_line=lifted(short_line),
        volume_mm3=cubic,
        hu_mean=mean,
        hu_sd=deviation,
        hu_percentiles=percentiles,
        equivalent_diameter_mm=float((6 * cubic / np.pi) ** (1 / 3)),
        extent_mm=tuple(n * mm for n, mm in zip(mask.shape, spacing, strict=True)),
    )


def plane_axes(
    mask: NDArray[np.bool_], spacing: tuple[float, ...]
) -> tuple[float, float, NDArray[np.float64], NDArray[np.float64]]:
    """Long and short axis of a region of one slice.

    Parameters
    ----------
    mask : (J, I) ndarray of bool
        Not empty; holes are filled, and of several parts the one with the
        longest short axis counts.
    spacing : (2,) tuple of float
        mm along j and i.

    Returns
    -------
    long_mm, short_mm : float
    long_line, short_line : (2, 2) ndarray of float64
        End points in (j, i).
    """
    scale = np.asarray(spacing, dtype=np.float64)
    found = [_axes(contour * scale) for contour in _outlines(mask)]
    long_line, short_line = max(found, key=lambda pair: _length(pair[1]))
    return (
        _length(long_line),
        _length(short_line),
        long_line / scale,
        short_line / scale,
    )


def _outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Closed half-height contours in (j, i)."""
    from scipy import ndimage
    from skimage.measure import find_contours

    margin = 4
    padded = np.pad(ndimage.binary_fill_holes(mask), margin).astype(np.float64)
    smooth = ndimage.gaussian_filter(padded, SMOOTHING_PX)
    # A region of a pixel or two never reaches half height when smoothed.
    contours = find_contours(smooth, 0.5)  # type: ignore[no-untyped-call]
    if not contours:
        contours = find_contours(  # type: ignore[no-untyped-call]
            padded, 0.5, fully_connected="high"
        )
    return [np.asarray(contour) - margin for contour in contours]


def _axes(
    outline: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longest diameter of a closed polygon, and the longest chord across it."""
    # The package first: it imports its modules and they import it, so that a thread
    # that begins with a module fails while another is at the package.
    from scipy.spatial import distance

    corners = outline[:-1] if len(outline) > 1 else outline
    thinned = corners[:: max(1, len(corners) // 1024)]
    gaps = distance.squareform(distance.pdist(thinned))
    first, second = np.unravel_index(int(gaps.argmax()), gaps.shape)
    long_line = np.stack([thinned[first], thinned[second]])
    length = _length(long_line)
    if length == 0:
        return long_line, long_line
    along = (long_line[1] - long_line[0]) / length
    across = np.array([-along[1], along[0]])
    u, v = outline @ along, outline @ across
    levels = np.unique(u)
    lines = (levels[:-1] + levels[1:]) / 2
    lines = lines[:: max(1, len(lines) // _MAX_LINES)]
    du, dv = np.diff(u), np.diff(v)
    # Every line against every edge at once; what is not crossed sorts behind.
    crossed = (u[:-1] < lines[:, None]) != (u[1:] < lines[:, None])
    most = int(crossed.sum(axis=1).max(initial=0))
    if not most:
        return long_line, np.stack([long_line[0], long_line[0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        at = v[:-1] + dv * (lines[:, None] - u[:-1]) / du
    at = np.sort(np.where(crossed, at, np.inf), axis=1)[:, : most + most % 2]
    # From where a line enters to where it leaves: a closed outline is crossed evenly.
    enters, leaves = at[:, ::2], at[:, 1::2]
    there = np.isfinite(leaves)
    inside = np.subtract(leaves, enters, out=np.zeros_like(leaves), where=there)
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    line, low, high = lines[row], enters[row, column], leaves[row, column]
    ends = [line * along + low * across, line * along + high * across]
    return long_line, np.stack(ends)


def _length(line: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(line[1] - line[0]))


def _hounsfield(
    volume: Volume, mask: NDArray[np.bool_], box: Box
) -> tuple[float | None, float | None, tuple[float, ...]]:
    if volume.quantity != "HU":
        return None, None, ()
    seen = mask & volume.present[box[0], None, None]
    values = volume.array[box][seen].astype(np.float64)
    values = values[values >= NO_TISSUE_HU]
    if volume.padding is not None:
        low, high = volume.padding
        values = values[(values < low) | (values > high)]
    if not values.size:
        return None, None, ()
    percentiles = tuple(np.percentile(values, PERCENTILES).tolist())
    return float(values.mean()), float(values.std()), percentiles


def _point(values: NDArray[np.float64]) -> Point:
    first, second, third = map(float, values)
    return first, second, third
