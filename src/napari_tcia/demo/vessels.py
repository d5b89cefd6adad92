"""Vessels, airway and gullet of the phantom."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from napari_tcia.demo.outlines import BLOOD, CAVITY, VEIN
from napari_tcia.demo.shapes import Canvas, Path, paint_tube, smooth

Place = tuple[float, ...]
# Every row is x, y, z, radius: body mm.
VEINS: tuple[Path, ...] = (
    ((-30, -30, 46, 8.5), (-31, -28, 10, 9.5), (-31, -27, -36, 10)),
    ((-36, -10, 260, 5), (-34, -20, 120, 6), (-36, -26, 80, 6.5)),
    ((37, -10, 260, 5), (34, -20, 120, 6), (33, -32, 76, 6)),
    ((-58, -22, 112, 6), (-38, -26, 76, 7), (-30, -30, 46, 8)),
    ((60, -24, 112, 6), (34, -34, 72, 6), (0, -42, 54, 6.5), (-30, -30, 44, 7.5)),
    (
        (-26, -6, -92, 13), (-22, 6, -118, 12), (-20, 14, -220, 11),
        (-16, 18, -300, 10.5),
    ),
    ((-14, 18, -296, 8), (-32, 26, -336, 6.5), (-54, 6, -400, 6), (-62, -26, -470, 6)),
    ((-14, 18, -296, 8), (20, 28, -336, 6.5), (52, 8, -400, 6), (60, -24, -470, 6)),
    (
        (-6, 24, -150, 2.5), (-7, 23, -40, 3.8), (-8, 22, 8, 4), (-20, 4, 16, 4),
        (-30, -24, 14, 4),
    ),
    ((14, -6, -205, 6), (-4, -10, -185, 7), (-24, -14, -160, 7), (-40, -8, -140, 6)),
    ((86, 30, -156, 4), (44, 6, -172, 4.5), (0, -8, -186, 6)),
    ((16, -20, -300, 4.5), (15, -16, -230, 5), (8, -8, -198, 5.5)),
)  # fmt: skip
LUNG_VESSELS: tuple[Path, ...] = (
    (
        (12, -52, -44, 13), (17, -46, -22, 14), (22, -24, -8, 12.5),
        (38, -2, -8, 10.5), (52, 12, -22, 8), (58, 20, -44, 5),
    ),
    (
        (18, -38, -16, 12), (0, -20, -18, 11.5), (-24, -9, -20, 11),
        (-44, -4, -24, 9), (-54, 6, -44, 5.5),
    ),
    ((-26, -2, -44, 7), (-44, -10, -34, 6), (-62, -18, -20, 3.5)),
    ((-26, 6, -56, 7), (-46, 16, -64, 5.5), (-62, 26, -76, 3)),
    ((36, -2, -42, 7), (50, -14, -32, 5.5), (64, -28, -16, 3.2)),
    ((34, 6, -54, 7), (50, 18, -64, 5.5), (62, 30, -80, 3)),
)  # fmt: skip
ARTERIES: tuple[Path, ...] = (
    (
        (6, -34, -52, 14), (-12, -40, -30, 16.5), (-18, -40, 0, 16),
        (-12, -32, 22, 14.5), (2, -18, 31, 13), (17, 4, 28, 12.5), (24, 24, 14, 12),
        (25, 31, -10, 11.8), (22, 32, -80, 11.5), (12, 26, -150, 11),
        (8, 20, -290, 9),
    ),
    (
        (8, 20, -286, 6.5), (-24, 14, -334, 5.5), (-58, -6, -400, 4.5),
        (-66, -36, -470, 4.5),
    ),
    (
        (8, 20, -286, 6.5), (30, 16, -334, 5.5), (58, -4, -400, 4.5),
        (64, -34, -470, 4.5),
    ),
    ((-12, -34, 24, 7), (-14, -32, 50, 7), (-24, -28, 78, 6), (-50, -20, 108, 4.5)),
    ((-22, -28, 74, 4.5), (-24, -14, 120, 3.6), (-30, -6, 260, 3.4)),
    ((2, -20, 30, 5), (8, -16, 56, 4.2), (18, -12, 120, 3.8), (30, -6, 260, 3.4)),
    ((12, -6, 30, 5.5), (20, 0, 56, 5), (36, -6, 86, 5), (66, -16, 108, 4.5)),
    ((10, 14, -158, 4), (10, -2, -166, 4), (30, -4, -166, 3), (70, 22, -162, 2.5)),
    ((9, 12, -184, 4), (9, -6, -196, 3.8), (4, -16, -260, 3), (0, -20, -320, 2)),
    ((-22, -58, 62, 1.8), (-20, -74, 0, 1.8), (-22, -78, -80, 1.6)),
    ((22, -58, 62, 1.8), (20, -74, 0, 1.8), (22, -78, -80, 1.6)),
    ((-116, -18, 84, 3.5), (-126, -12, 60, 3), (-130, 0, 20, 1.6)),
    ((116, -18, 84, 3.5), (126, -12, 60, 3), (130, 0, 20, 1.6)),
)  # fmt: skip
PLAQUE: Path = (
    (34.2, 33, -30, 0.8), (34.5, 33, -40, 1.6), (32.5, 36, -58, 1.3),
    (31, 37, -66, 0.5),
)  # fmt: skip
GULLET: Path = (
    (1, 4, 260, 6), (2, 16, 130, 7), (7, 18, 40, 7), (6, 20, -20, 7),
     (10, 22, -80, 7.5),
    (24, 8, -118, 9),
)  # fmt: skip
TRACHEA: Path = ((0, -16, 260, 9), (-1, -8, 140, 9), (0, -3, 60, 9), (0, 0, 8, 9.5))
BRONCHI: tuple[Path, ...] = (
    ((0, 0, 8, 8.5), (-10, 2, -6, 7.5), (-36, 7, -22, 6.5), (-48, 12, -44, 4)),
    ((0, 0, 8, 8.5), (12, 3, -8, 7), (40, 13, -28, 6), (54, 18, -48, 3.8)),
    ((-24, 4, -14, 5), (-46, 2, -6, 4.2), (-58, -2, 6, 3)),
    ((-48, 12, -44, 4), (-60, 26, -70, 2.8), (-70, 40, -96, 1.8)),
    ((54, 18, -48, 3.8), (64, 32, -72, 2.6), (72, 44, -96, 1.7)),
)


def paint_vessels(canvas: Canvas) -> None:
    """Great vessels of chest and abdomen; arteries last, over the veins."""
    for paths, hu in ((VEINS, VEIN), (LUNG_VESSELS, BLOOD - 8), (ARTERIES, BLOOD)):
        for path in paths:
            paint_tube(canvas, smooth(path, 4 * len(path)), hu)
    paint_tube(canvas, smooth(PLAQUE, 6), 620.0, edge=1.4)


def paint_airway_and_gullet(canvas: Canvas) -> None:
    """Gullet with a little air, trachea and bronchi with their walls."""
    gullet = smooth(GULLET, 18)
    paint_tube(canvas, gullet, 52.0)
    paint_tube(canvas, gullet[3:6], -600.0, grow=-5.0)
    tubes = [smooth(path, 12) for path in (TRACHEA, *BRONCHI)]
    for path in tubes:
        paint_tube(canvas, path, 35.0, grow=1.4, edge=1.5)
    for path in tubes:
        paint_tube(canvas, path, -1000.0, edge=1.5)


def paint_lung_vessels(canvas: Canvas, seed: int) -> None:
    """Branching vessels of both lungs."""
    low, high = canvas.z[0] - 6, canvas.z[-1] + 6
    for side in (-1, 1):
        for start, end in _branches(seed, side):
            if max(start[2], end[2]) > low and min(start[2], end[2]) < high:
                paint_tube(canvas, (start, end), 60.0, edge=1.7)


@lru_cache(maxsize=8)
def _branches(seed: int, side: int) -> tuple[tuple[Place, Place], ...]:
    """Branches from one hilum outwards, each a start and an end with radius.

    Places drawn evenly in the lung are reached one after the other, from near
    to far, each from the closest branch that leads outwards: the tree fills the
    lung to its rim, and a branch is as wide as what it feeds asks for.
    """
    rng = np.random.default_rng([seed, 5, side + 1])
    places = rng.uniform((24, -76, -118), (124, 80, 112), size=(1500, 3))
    places[:, 0] *= side
    cx, cy, a, b = CAVITY.at(places[:, 2]).T
    a, b = np.maximum(a - 4, 1), np.maximum(b - 4, 1)
    within = np.hypot((places[:, 0] - cx) / a, (places[:, 1] - cy) / b) < 1
    hilum = np.array([side * 40.0, 6.0, -18.0])
    far = np.linalg.norm(places - hilum, axis=1)
    places = places[within & (far > 12)]
    places = places[np.linalg.norm(places - hilum, axis=1).argsort()]
    points = np.vstack([hilum, places])
    out = np.linalg.norm(points - hilum, axis=1)
    parent = np.zeros(len(points), dtype=int)
    for number in range(1, len(points)):
        known = points[:number]
        steps = points[number] - known
        lengths = np.linalg.norm(steps, axis=1)
        # Long steps and turning back cost more.
        gain = out[number] - out[:number]
        cost = lengths + 1.6 * np.maximum(lengths - gain, 0)
        parent[number] = int(cost.argmin())
    fed = np.ones(len(points))
    for number in range(len(points) - 1, 0, -1):
        fed[parent[number]] += fed[number]
    radius = np.minimum(0.62 * fed**0.36, 5.2)
    return tuple(
        ((*points[up], min(radius[up], 1.5 * radius[n])), (*points[n], radius[n]))
        for n, up in enumerate(parent.tolist())
        if n
    )
