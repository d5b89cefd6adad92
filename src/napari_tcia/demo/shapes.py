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
from scipy.interpolate import PchipInterpolator

Float = NDArray[np.float32]
Box = tuple[slice, slice, slice]
Path = Sequence[Sequence[float]] | NDArray[np.float64]
"""Rows of x, y, z, radius."""


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
        """Blend `hu` into a box where `distance` is negative, over `edge` mm."""
        cover = np.clip(0.5 - distance / np.float32(edge), 0, 1)
        part = self.hu[box]
        part += cover * (np.float32(hu) - part)


def paint_ellipsoid(
    canvas: Canvas,
    centre: ArrayLike,
    semi_axes: ArrayLike,
    hu: float,
    rotation: ArrayLike | None = None,
    edge: float = 2.0,
) -> None:
    """Paint an ellipsoid; columns of `rotation` are the directions of its axes."""
    middle = np.asarray(centre, dtype=np.float32)
    reach = float(np.max(semi_axes)) + edge
    box = canvas.box(middle - reach, middle + reach)
    if box is not None:
        distance = ellipsoid_distance(canvas, box, middle, semi_axes, rotation)
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
    radius = np.zeros((1, 1, 1), dtype=np.float32)
    for direction, length in zip(axes.T, np.asarray(semi_axes), strict=True):
        ux, uy, uz = (direction / length).astype(np.float32)
        radius = radius + (dx * ux + dy * uy + dz * uz) ** 2
    radius = np.sqrt(radius)
    length = np.sqrt(dx * dx + dy * dy + dz * dz)
    inner = np.full_like(length, np.min(semi_axes))
    surface: Float = np.divide(length, radius, out=inner, where=radius > 1e-3)
    return np.asarray(length - surface)


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
    curve = PchipInterpolator(along, points, axis=0)
    return np.asarray(curve(np.linspace(0, along[-1], count)))


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
        shape = PchipInterpolator(rows[:, 0], rows[:, 1:], axis=0)(z[:, 0, 0])
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
        return box, length - length / np.maximum(radius, np.float32(1e-3))


def paint_loft(canvas: Canvas, loft: Loft, hu: float, edge: float = 2.0) -> None:
    """Paint a loft."""
    found = loft.distance(canvas)
    if found is not None:
        canvas.paint(found[0], found[1], hu, edge)
