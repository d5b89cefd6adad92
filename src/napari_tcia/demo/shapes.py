"""Soft-edged solids painted onto a grid of Hounsfield units.

Coordinates are millimetres in the body frame: x to the patient's left, y to
the back, z to the head. A solid is described by a distance in mm that is
negative inside; its edge blends over a few millimetres as the partial volume
of a scanner's voxels does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float32]
Box = tuple[slice, slice, slice]
Path = Sequence[Sequence[float]] | NDArray[np.float64]
"""Rows of x, y, z, radius."""
CACHED = 1 << 17
"""Voxels that are blended at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """Voxels (k, j, i) and the body coordinates of their axes.

    Attributes
    ----------
    hu : (K, J, I) float32
    z, y, x : 1-d float32
        Ascending, mm.
    """

    hu: Float
    z: Float
    y: Float
    x: Float

    def box(self, low: ArrayLike, high: ArrayLike) -> Box | None:
        """Index box that covers (x, y, z) `low` to `high`; None when outside."""
        found = []
        lows, highs = np.asarray(low)[::-1], np.asarray(high)[::-1]
        for axis, first, last in zip(
            (self.z, self.y, self.x), lows, highs, strict=True
        ):
            start, stop = np.searchsorted(axis, (first, last))
            if start == stop:
                return None
            found.append(slice(int(start), int(stop)))
        return found[0], found[1], found[2]

    def axes(self, box: Box) -> tuple[Float, Float, Float]:
        """Coordinates (z, y, x) of a box, shaped to broadcast."""
        return (
            self.z[box[0], None, None],
            self.y[None, box[1], None],
            self.x[None, None, box[2]],
        )

    def paint(self, box: Box, distance: Float, hu: float | Float, edge: float) -> None:
        """Blend `hu` into a box where `distance` is negative, over `edge` mm.

        `hu` is a number, or an array that broadcasts to every slice.
        """
        part = self.hu[box]
        # A few slices at a time and in place: what is worked on stays in the cache.
        layers = max(1, CACHED // max(1, part[0].size))
        for first in range(0, len(part), layers):
            cover = distance[first : first + layers] * np.float32(-1 / edge)
            cover += np.float32(0.5)
            np.clip(cover, 0, 1, out=cover)
            here = part[first : first + layers]
            change = np.subtract(hu, here, dtype=np.float32)
            change *= cover
            here += change


def paint_ellipsoid(
    canvas: Canvas,
    centre: ArrayLike,
    semi_axes: ArrayLike,
    hu: float,
    rotation: ArrayLike | None = None,
    edge: float = 2.0,
) -> None:
    """Paint an ellipsoid; columns of `rotation` are the directions of its axes."""
    middle = np.asarray(centre, dtype=np.float64)
    lengths = np.asarray(semi_axes, dtype=np.float64)
    axes = np.eye(3) if rotation is None else np.asarray(rotation)
    # Half the sides of the box round a turned ellipsoid.
    reach = np.sqrt(((axes * lengths) ** 2).sum(axis=1)) + edge
    box = canvas.box(middle - reach, middle + reach)
    if box is not None:
        distance = ellipsoid_distance(canvas, box, middle, lengths, axes)
        canvas.paint(box, distance, hu, edge)


def ellipsoid_distance(
    canvas: Canvas,
    box: Box,
    centre: ArrayLike,
    semi_axes: ArrayLike,
    rotation: ArrayLike | None = None,
) -> Float:
    """Distance to the surface along the ray from the centre, mm."""
    z, y, x = canvas.axes(box)
    cx, cy, cz = np.asarray(centre, dtype=np.float32)
    dx, dy, dz = x - cx, y - cy, z - cz
    axes = np.eye(3) if rotation is None else np.asarray(rotation)
    lengths = np.asarray(semi_axes, dtype=np.float64)
    form = ((axes / lengths**2) @ axes.T).astype(np.float32)
    # The quadratic form as planes that broadcast: few sums of the whole box.
    radius = (
        form[2, 2] * dz * dz + form[1, 1] * dy * dy + 2 * form[1, 2] * dz * dy
    ) + (form[0, 0] * dx * dx + 2 * form[0, 2] * dz * dx)
    if form[0, 1]:
        radius += 2 * form[0, 1] * dy * dx
    length: Float = (dz * dz + dy * dy) + dx * dx
    for squares in (radius, length):
        np.maximum(squares, 0, out=squares)
        np.sqrt(squares, out=squares)
    tiny = np.float32(1e-3)
    np.maximum(radius, tiny, out=radius)
    np.maximum(length, tiny * np.float32(lengths.min()), out=length)
    np.divide(length, radius, out=radius)
    length -= radius
    return length


def paint_tube(
    canvas: Canvas,
    path: Path,
    hu: float,
    edge: float = 2.0,
    grow: float = 0.0,
) -> None:
    """Paint a tube of varying radius along a smoothed path.

    Parameters
    ----------
    path : Path
        Body mm.
    grow : float
        Added to every radius, mm; negative for the lumen of a wall.
    """
    points = np.asarray(path, dtype=np.float32)
    points = points + np.array([0, 0, 0, grow], dtype=np.float32)
    reach = np.float32(points[:, 3].max() + edge)
    box = canvas.box(
        (points[:, :3] - reach).min(axis=0), (points[:, :3] + reach).max(axis=0)
    )
    if box is None:
        return
    distance = np.full(canvas.hu[box].shape, 1e3, dtype=np.float32)
    for start, end in pairwise(points):
        wide = max(start[3], end[3]) + edge
        low = np.minimum(start[:3], end[:3]) - wide
        high = np.maximum(start[:3], end[:3]) + wide
        part = canvas.box(low, high)
        if part is None:
            continue
        z, y, x = canvas.axes(part)
        step = end - start
        length2 = max(float(step[:3] @ step[:3]), 1e-6)
        dx, dy, dz = x - start[0], y - start[1], z - start[2]
        along = np.clip((dx * step[0] + dy * step[1] + dz * step[2]) / length2, 0, 1)
        gap = np.sqrt(
            (dx - along * step[0]) ** 2
            + (dy - along * step[1]) ** 2
            + (dz - along * step[2]) ** 2
        ) - (start[3] + along * step[3])
        inner = tuple(
            slice(p.start - b.start, p.stop - b.start)
            for p, b in zip(part, box, strict=True)
        )
        view = distance[inner]
        np.minimum(view, gap, out=view)
    canvas.paint(box, distance, hu, edge)


def smooth(path: Path, count: int = 12) -> NDArray[np.float64]:
    """Resample a path of control points along a smooth curve."""
    points = np.asarray(path, dtype=np.float64)
    steps = np.linalg.norm(np.diff(points[:, :3], axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    return monotone(along, points, np.linspace(0, along[-1], count))


def monotone(
    at: NDArray[np.float64], values: NDArray[np.float64], wanted: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Piecewise cubic through `values` that has no bump its points have not.

    Slopes of Fritsch and Butland (doi:10.1137/0905021), as in the PCHIP of
    scipy, whose import takes longer than the painting of a slab.

    Parameters
    ----------
    at : (n,) float64
        Ascending, two or more.
    values : (n, m) float64
    wanted : (w,) float
        Within `at`.

    Returns
    -------
    (w, m) ndarray of float64
    """
    steps = np.diff(at)[:, None]
    rises = np.diff(values, axis=0) / steps
    slopes = np.zeros_like(values)
    if len(at) == 2:
        slopes[:] = rises
    else:
        before, after = rises[:-1], rises[1:]
        near, far = 2 * steps[1:] + steps[:-1], steps[1:] + 2 * steps[:-1]
        same = before * after > 0
        # The weighted harmonic mean; flat where the direction changes.
        mean = np.divide(near, before, where=same, out=np.ones_like(before))
        mean += np.divide(far, after, where=same, out=np.ones_like(before))
        slopes[1:-1] = np.where(same, (near + far) / mean, 0)
        for end, first, second in ((0, 0, 1), (-1, -1, -2)):
            h, g, r, t = steps[first], steps[second], rises[first], rises[second]
            slope = ((2 * h + g) * r - h * t) / (h + g)
            slope = np.where(slope * r <= 0, 0, slope)
            steep = (r * t < 0) & (np.abs(slope) > 3 * np.abs(r))
            slopes[end] = np.where(steep, 3 * r, slope)
    piece = np.clip(np.searchsorted(at, wanted, side="right") - 1, 0, len(at) - 2)
    step, left, right = steps[piece], slopes[piece], slopes[piece + 1]
    share = (np.asarray(wanted, dtype=np.float64) - at[piece])[:, None] / step
    rise = rises[piece]
    bend = (left + right - 2 * rise) * share + 3 * rise - 2 * left - right
    return np.asarray(values[piece] + step * share * (left + share * bend))


@dataclass(frozen=True, slots=True, eq=False)
class Loft:
    """A solid given by its axial outlines.

    Attributes
    ----------
    table : (n, 5) sequence
        Rows of z, centre x, centre y, semi-axis x, semi-axis y; z ascending.
    power : float
        Exponent of the superellipse: 2 is an ellipse, more is boxier.
    waves : tuple
        (order, amplitude, phase) of ripples that make the outline irregular.
    """

    table: Sequence[Sequence[float]]
    power: float = 2.0
    waves: tuple[tuple[int, float, float], ...] = ()

    def at(self, z: ArrayLike) -> NDArray[np.float64]:
        """(n, 4): centre x and y, semi-axes x and y at heights `z`."""
        rows = np.asarray(self.table, dtype=np.float64)
        heights = np.asarray(z, dtype=np.float64)
        columns = [np.interp(heights, rows[:, 0], column) for column in rows.T[1:]]
        return np.stack(columns, axis=1)

    def distance(self, canvas: Canvas, margin: float = 6.0) -> tuple[Box, Float] | None:
        """Box around the solid, and the in-plane distance to its outline, mm."""
        rows = np.asarray(self.table, dtype=np.float64)
        wide = rows[:, 3:] * (1 + sum(abs(w[1]) for w in self.waves)) + margin
        low, high = rows[:, 1:3] - wide, rows[:, 1:3] + wide
        box = canvas.box(
            [*low.min(axis=0), rows[0, 0]], [*high.max(axis=0), rows[-1, 0]]
        )
        if box is None:
            return None
        z, y, x = canvas.axes(box)
        # Far coarser than the voxels, and filled in: the outlines are smooth.
        pitch = np.float32(canvas.x[1] - canvas.x[0])
        every = max(1, int(0.025 * rows[:, 3:].max() / pitch))
        dense = (y.shape[1], x.shape[2])
        if every > 1:
            y = _thinned(y[0, :, 0], every)[None, :, None]
            x = _thinned(x[0, 0], every)[None, None]
        shape = monotone(rows[:, 0], rows[:, 1:], z[:, 0, 0])
        cx, cy, a, b = shape.T.astype(np.float32)[..., None, None]
        dx, dy = x - cx, y - cy
        a, b = np.maximum(a, 0.1), np.maximum(b, 0.1)
        if self.power == 2.0:
            radius = np.sqrt((dx / a) ** 2 + (dy / b) ** 2)
        else:
            n = np.float32(self.power)
            radius = (np.abs(dx / a) ** n + np.abs(dy / b) ** n) ** (1 / n)
        if self.waves:
            angle = np.arctan2(dy / b, dx / a)
            for order, size, phase in self.waves:
                ripple = np.cos(np.float32(order) * angle + np.float32(phase))
                radius = radius / (1 + np.float32(size) * ripple)
        length = np.sqrt(dx * dx + dy * dy)
        gap = length - length / np.maximum(radius, np.float32(1e-3))
        if every > 1:
            gap = _filled(gap, every, dense)
        return box, gap


def _thinned(line: Float, every: int) -> Float:
    """Every n-th coordinate of a uniform axis, to beyond its end."""
    pitch = line[1] - line[0] if len(line) > 1 else np.float32(1)
    count = -(-len(line) // every) + 1
    thin: Float = line[0] + pitch * every * np.arange(count, dtype=np.float32)
    return thin


def _filled(coarse: Float, every: int, dense: tuple[int, int]) -> Float:
    """Linear interpolation of every slice, `every` times finer, cut to `dense`."""
    shares = np.arange(every, dtype=np.float32) / np.float32(every)
    fine = np.empty((len(coarse), *dense), dtype=np.float32)
    rows = np.empty((coarse.shape[1] - 1) * every * coarse.shape[2], dtype=np.float32)
    rows = rows.reshape(-1, coarse.shape[2])
    # Slice by slice: what is worked on stays in the cache.
    for plane, whole in zip(coarse, fine, strict=True):
        step = np.diff(plane, axis=0)
        for n, share in enumerate(shares):
            rows[n::every] = plane[:-1] + step * share
        few = rows[: dense[0]]
        step = np.diff(few, axis=1)
        for n, share in enumerate(shares):
            part = whole[:, n::every]
            np.multiply(step[:, : part.shape[1]], share, out=part)
            part += few[:, : part.shape[1]]
    return fine


def paint_loft(canvas: Canvas, loft: Loft, hu: float, edge: float = 2.0) -> None:
    """Paint a loft."""
    found = loft.distance(canvas)
    if found is not None:
        canvas.paint(found[0], found[1], hu, edge)
