"""The anatomy of the phantom: chest and upper abdomen after contrast, supine.

Body frame: millimetres, x to the patient's left, y to the back, z to the
head; the carina is at the origin. The body is deliberately asymmetric: heart
and descending aorta left, liver right, stomach and spleen left.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from napari_tcia.demo.outlines import (
    BACK,
    BLOOD,
    BODY,
    CAVITY,
    FAT,
    FRONT,
    MUSCLE,
    NECK,
    VEIN,
)
from napari_tcia.demo.shapes import (
    Box,
    Canvas,
    Float,
    ellipsoid_distance,
    paint_ellipsoid,
    paint_loft,
    paint_tube,
    smooth,
)
from napari_tcia.demo.skeleton import paint_skeleton
from napari_tcia.demo.vessels import (
    paint_airway_and_gullet,
    paint_lung_vessels,
    paint_vessels,
)


def paint_anatomy(canvas: Canvas, seed: int) -> None:
    """Paint everything but the lymph nodes.

    Parameters
    ----------
    canvas : Canvas
        Filled with air, -1000 HU.
    seed : int
        Decides the vessels of lungs and liver, and the bowel.
    """
    _table(canvas)
    body, cavity = BODY.distance(canvas), CAVITY.distance(canvas, margin=42.0)
    if body is None or cavity is None:
        return
    _wall(canvas, body, cavity)
    box, inside = cavity
    _, y, _ = canvas.axes(box)
    canvas.paint(box, inside, -866 + 0.4 * y, 1.6)
    paint_lung_vessels(canvas, seed)
    paint_loft(canvas, FRONT, FAT)
    paint_loft(canvas, BACK, FAT)
    _abdomen(canvas, np.random.default_rng([seed, 6]), cavity)
    _heart(canvas)
    paint_airway_and_gullet(canvas)
    paint_vessels(canvas)
    paint_skeleton(canvas)


def _table(canvas: Canvas) -> None:
    """A curved carbon shell with foam inside, and the mat on it."""
    box = canvas.box((-1e3, 50, -1e4), (1e3, 1e3, 1e4))
    if box is None:
        return
    z, y, x = canvas.axes(box)
    top = np.float32(108) - np.float32(0.0012) * x * x
    beside = np.abs(x) - np.float32(205) + 0 * z
    for upper, lower, hu in (
        (0, 8, -890.0), (8, 34, -950.0), (8, 10, -70.0), (32, 34, -120.0),
    ):  # fmt: skip
        depth = np.maximum(top + upper - y, y - top - lower)
        canvas.paint(box, np.maximum(depth, beside), hu, 1.2)


def _wall(canvas: Canvas, body: tuple[Box, Float], cavity: tuple[Box, Float]) -> None:
    """Skin, fat, and the muscles around the chest."""
    box, skin = body
    canvas.paint(box, skin, 15.0, 1.5)
    canvas.paint(box, skin + 2.2, FAT, 1.5)
    for side in (-1, 1):
        for centre, axes in (
            ((26, 82, -110), (21, 15, 170)),
            ((23, 82, 60), (18, 11, 70)),
            ((52, 80, 78), (40, 8, 44)),
            ((112, 34, 84), (30, 17, 52)),
            ((84, -61, 78), (58, 11, 36)),
            ((128, 40, 20), (13, 22, 62)),
        ):
            place = (side * centre[0], *centre[1:])
            paint_ellipsoid(canvas, place, axes, MUSCLE)
    paint_loft(canvas, NECK, MUSCLE)
    box, wall = cavity
    z, y, x = canvas.axes(box)
    # Round the chest, 0 in front and pi behind, and how thick the muscle is there.
    angle = np.abs(np.arctan2(x, -(y - 2)))
    thick = (
        7.5
        + 15 * _bump(angle, 0.72, 0.34) * _bump(z, 46, 40)
        + 8 * _bump(angle, 1.2, 0.5) * _bump(z, -20, 60)
        + 11 * _bump(angle, 2.05, 0.42) * _bump(z, -30, 75)
        + 6 * _bump(angle, 0.5, 0.35) * _bump(z, -170, 70)
        + 9 * _bump(angle, 1.5, 0.5) * _bump(z, -200, 80)
    )
    canvas.paint(box, wall - thick, MUSCLE, 2.0)
    # Fat planes: under the outer muscles, and within them.
    seam = np.where(thick > 12.5, np.abs(wall - 10.5) - 0.7, 9)
    canvas.paint(box, seam, -50.0, 2.0)
    inner = np.where(thick > 18, np.abs(wall - 15.5) - 0.6, 9)
    canvas.paint(box, inner, -45.0, 2.0)


def _bump(value: Any, centre: float, width: float) -> Any:
    """A smooth bump of height 1."""
    return np.exp(-(((value - centre) / np.float32(width)) ** 2))


def _abdomen(
    canvas: Canvas, rng: np.random.Generator, cavity: tuple[Box, Float]
) -> None:
    """Everything under the diaphragm."""
    box, wall = cavity
    stop = int(np.searchsorted(canvas.z[box[0]], -70.0))
    if stop == 0:
        return
    box = (slice(box[0].start, box[0].start + stop), *box[1:])
    wall = wall[:stop]
    z, y, x = canvas.axes(box)
    right = -79 - 56 * (((x + 60) / 72) ** 2 + ((y + 4) / 70) ** 2)
    left = -95 - 56 * (((x - 62) / 70) ** 2 + ((y + 2) / 68) ** 2)
    middle = -104 - 40 * (((x - 5) / 60) ** 2 + ((y + 30) / 45) ** 2)
    dome = np.maximum(np.maximum(right, left), middle)
    under = np.maximum((z - dome) * np.float32(0.8), wall)
    # Into the wall, for no rim of lung to stay where two soft edges meet.
    canvas.paint(box, under - 2, 52.0, 2.0)
    canvas.paint(box, under + 4, FAT, 2.0)

    def organ(
        centre: tuple[float, float, float],
        axes: tuple[float, float, float],
        hu: float,
        tilt: float = 0.0,
    ) -> Float:
        cosine, sine = math.cos(tilt), math.sin(tilt)
        rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        distance = ellipsoid_distance(canvas, box, centre, axes, rotation)
        inside: Float = np.maximum(distance, under + 3)
        canvas.paint(box, inside, hu, 2.0)
        return inside

    organ((-58, -4, -158), (76, 84, 88), 108.0)
    organ((14, -46, -128), (62, 26, 38), 108.0, tilt=-0.2)
    for _ in range(10):
        hilum = np.array([-40.0, -6.0, -138.0])
        mid = hilum + rng.normal(size=3) * (14, 16, 12) - (10, 0, 6)
        end = mid + rng.normal(size=3) * (24, 24, 16)
        path = smooth([(*hilum, 4.5), (*mid, 3.4), (*end, 1.2)], 6)
        paint_tube(canvas, path, 148.0)
    organ((90, 34, -148), (25, 44, 52), 118.0, tilt=0.35)
    stomach = organ((60, -28, -142), (44, 42, 44), 70.0)
    canvas.paint(box, stomach + 4, 22.0, 2.0)
    # Supine, the gas of the stomach gathers in front.
    canvas.paint(box, np.maximum(stomach + 4, y + 42), -960.0, 1.5)
    for side, lift in ((-1, -12.0), (1, 0.0)):
        kidney = organ(
            (side * 56.0, 40, -212 + lift), (24, 30, 54), 165.0, tilt=side * 0.5
        )
        canvas.paint(box, kidney + 13, 60.0, 6.0)
        psoas = [(24, 46, -190, 4), (38, 46, -260, 17), (42, 44, -400, 24)]
        paint_tube(canvas, [(side * x, y, z, r) for x, y, z, r in psoas], MUSCLE)
    organ((18, -14, -178), (52, 10, 15), 98.0, tilt=-0.25)
    _bowel(canvas, rng)


def _bowel(canvas: Canvas, rng: np.random.Generator) -> None:
    """Loops with fluid, contrast or gas, in front of the great vessels."""
    for _ in range(52):
        middle = rng.uniform((-78, -50, -390), (80, -14, -205))
        radius = float(rng.uniform(8, 13))
        turn = rng.normal(size=3)
        bend = rng.normal(scale=7, size=3)
        along = np.outer((-1, 0, 1), turn / np.linalg.norm(turn) * 18)
        loop = middle + along + np.outer((0, 1, 0), bend)
        path = smooth([(*place, radius) for place in loop], 7)
        inside = float(rng.choice((18.0, 24.0, 30.0, 240.0, -850.0)))
        paint_tube(canvas, path, 78.0)
        paint_tube(canvas, path, inside, grow=-2.6)


def _heart(canvas: Canvas) -> None:
    """Myocardium and four chambers, the apex to the left and front."""
    long = np.array([0.78, -0.52, -0.35])
    long /= np.linalg.norm(long)
    across = np.array([0.52, 0.85, -0.1])
    across -= long * (across @ long)
    across /= np.linalg.norm(across)
    axes = np.stack([long, across, np.cross(long, across)], axis=1)
    for centre, semi, hu, edge in (
        ((38, -28, -72), (48, 33, 36), 108.0, 2.5),
        ((42, -25, -73), (37, 20, 23), BLOOD, 3.5),
        ((10, -52, -68), (41, 18, 31), 96.0, 2.5),
        ((10, -52, -68), (38, 15, 28), 152.0, 2.5),
    ):
        paint_ellipsoid(canvas, centre, semi, hu, axes, edge)
    for centre, semi, hu in (
        ((-30, -30, -60), (23, 27, 32), VEIN),
        ((3, 0, -48), (35, 17, 20), BLOOD - 5),
        ((41, -19, -30), (9, 12, 12), BLOOD - 5),
    ):
        paint_ellipsoid(canvas, centre, semi, hu, edge=2.5)
    # Trabeculae and papillary muscles in the left ventricle.
    for x, y, z, radius in (
        (50, -36, -74, 4),
        (46, -18, -80, 4.5),
        (60, -34, -80, 3.5),
    ):
        paint_ellipsoid(canvas, (x, y, z), (radius * 2, radius, radius), 112.0, axes)
