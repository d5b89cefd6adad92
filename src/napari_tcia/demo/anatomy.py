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
    LIVER,
    MUSCLE,
    VEIN,
)
from napari_tcia.demo.shapes import (
    Box,
    Canvas,
    Float,
    Path,
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

_BACK_MUSCLES = (
    ((27, 78, -400, 14), (28, 75, -240, 16.5), (27, 78, -110, 15.5), (24, 83, 20, 13),
     (20, 79, 100, 10), (16, 62, 150, 13), (15, 58, 260, 14)),
    ((10, 76, -380, 8), (10, 77, -100, 7), (9, 80, 90, 7)),
    ((58, 62, -300, 15), (52, 60, -240, 12), (44, 60, -190, 5)),
)  # fmt: skip
"""Erector of the spine, the short muscles beside it, square muscle of the loin."""
_NECK_MUSCLES = (
    ((122, 40, 112, 10), (96, 48, 122, 12), (66, 56, 136, 13), (44, 60, 158, 11),
     (30, 60, 200, 11)),
    ((60, 62, 118, 7), (44, 50, 132, 10), (37, 40, 160, 13), (35, 36, 260, 12)),
    ((52, 4, 98, 4), (42, 10, 118, 7), (33, 16, 140, 9), (26, 20, 175, 8)),
    ((9, 26, 96, 3), (9, 22, 130, 5), (8, 18, 175, 5)),
    ((16, -63, 76, 5), (30, -48, 106, 6), (42, -36, 140, 7), (47, -20, 180, 7)),
    ((20, -63, 76, 3), (36, -46, 106, 6), (51, -26, 140, 7.5), (52, -8, 180, 8)),
    ((7, -62, 78, 3), (7, -40, 116, 3.5), (9, -28, 150, 3.5)),
)  # fmt: skip
"""Trapezius, levator of the shoulder blade, scalene, long muscle of the neck,
the two heads of the sternocleidomastoid, strap muscles."""
_THICKENINGS = (
    (15, 0.72, 0.34, 46, 40),
    (8, 1.2, 0.5, -20, 60),
    (11, 2.05, 0.42, -30, 75),
    (6, 0.5, 0.35, -170, 70),
    (9, 1.5, 0.5, -200, 80),
    (6, 0.22, 0.16, -250, 90),
)
"""Muscles round the chest: mm, angle from the front, its width, z, its width."""
_SEAMS = ((10.5, 0.7, 12.5, -50.0), (15.5, 0.6, 18, -45.0))
"""Fat in the muscle: depth, half its width, least muscle that has it (mm), HU."""


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
    if body is None:
        return
    _skin_and_muscles(canvas, body)
    if cavity is not None:  # there is none in the neck
        _wall(canvas, cavity)
        box, inside = cavity
        _, y, _ = canvas.axes(box)
        canvas.paint(box, inside, -866 + 0.4 * y, 1.6)
        paint_lung_vessels(canvas, seed)
    # Strands and small vessels make this fat a little denser than that of the skin.
    paint_loft(canvas, FRONT, FAT + 20)
    paint_loft(canvas, BACK, FAT + 20)
    if cavity is not None:
        _abdomen(canvas, np.random.default_rng([seed, 6]), cavity)
    _heart(canvas)
    paint_airway_and_gullet(canvas)
    _thyroid(canvas)
    paint_vessels(canvas)
    paint_skeleton(canvas)


def _table(canvas: Canvas) -> None:
    """A curved carbon shell with foam inside, and the mat on it; all slices alike."""
    box = canvas.box((-1e3, 50, -1e4), (1e3, 1e3, 1e4))
    if box is None:
        return
    box = (slice(0, 1), *box[1:])
    z, y, x = canvas.axes(box)
    top = np.float32(108) - np.float32(0.0012) * x * x
    beside = np.abs(x) - np.float32(205) + 0 * z
    for upper, lower, hu in (
        (0, 8, -890.0), (8, 34, -950.0), (8, 10, -70.0), (32, 34, -120.0),
    ):  # fmt: skip
        depth = np.maximum(top + upper - y, y - top - lower)
        canvas.paint(box, np.maximum(depth, beside), hu, 1.2)
    canvas.hu[1:] = canvas.hu[0]


def _skin_and_muscles(canvas: Canvas, body: tuple[Box, Float]) -> None:
    """Skin, fat, and the muscles of back, shoulders and neck."""
    box, skin = body
    canvas.paint(box, skin, 15.0, 1.5)
    canvas.paint(box, skin + 2.2, FAT, 1.5)
    for side in (-1, 1):
        for centre, axes, turn in (
            ((112, 34, 84), (30, 17, 52), 0.0),
            ((86, -58, 74), (56, 11, 38), 0.34),
            ((92, -46, 66), (34, 7, 30), 0.42),
            ((128, 40, 20), (13, 22, 62), 0.0),
            ((141, 24, 92), (17, 32, 38), 0.0),
            ((92, 52, 100), (38, 15, 18), 0.2),
            ((50, 70, 108), (52, 13, 36), -0.12),
            ((76, 52, -396), (46, 21, 84), -0.45),
            ((34, 79, -440), (32, 17, 72), -0.1),
        ):
            place = (side * centre[0], *centre[1:])
            cosine, sine = math.cos(turn), side * math.sin(turn)
            axial = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
            paint_ellipsoid(canvas, place, axes, MUSCLE, axial)
        for path in (*_BACK_MUSCLES, *_NECK_MUSCLES):
            line = [(side * x, y, z, r) for x, y, z, r in path]
            paint_tube(canvas, smooth(line, 10), MUSCLE - 4)


def _wall(canvas: Canvas, cavity: tuple[Box, Float]) -> None:
    """The muscles round chest and abdomen, and the fat between them."""
    box, wall = cavity
    z, y, x = canvas.axes(box)
    # Round the chest, 0 in front and pi behind, and how thick the muscle is there.
    angle = np.abs(np.arctan2(x, -(y - 2)))
    height = np.stack([_bump(z[:, 0, 0], *bump[3:]) for bump in _THICKENINGS], axis=1)
    across = np.stack([bump[0] * _bump(angle[0], *bump[1:3]) for bump in _THICKENINGS])
    # Slice by slice: what is worked on stays in the cache.
    for k, (gap, weights) in enumerate(zip(wall, height, strict=True)):
        thick = np.float32(7.5) + np.tensordot(weights, across, axes=1)
        plane = (slice(box[0].start + k, box[0].start + k + 1), *box[1:])
        canvas.paint(plane, (gap - thick)[None], MUSCLE, 2.0)
        # Fat planes: under the outer muscles, and within them.
        for depth, half, least, hu in (
            (10.5, 0.7, 12.5, -50.0),
            (15.5, 0.6, 18, -45.0),
        ):
            seam = np.abs(gap - np.float32(depth)) - np.float32(half)
            seam[thick <= least] = 9
            canvas.paint(plane, seam[None], hu, 2.0)


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
        edge: float = 2.0,
    ) -> tuple[Box, Float] | None:
        reach = max(axes[:2]), max(axes[:2]), axes[2]
        low, high = np.subtract(centre, reach) - 2, np.add(centre, reach) + 2
        part = _overlap(canvas.box(low, high), box)
        if part is None:
            return None
        cosine, sine = math.cos(tilt), math.sin(tilt)
        rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        distance = ellipsoid_distance(canvas, part, centre, axes, rotation)
        np.maximum(distance, under[_relative(part, box)] + 3, out=distance)
        canvas.paint(part, distance, hu, edge)
        return part, distance

    lobe = LIVER.distance(canvas)
    part = _overlap(lobe[0], box) if lobe is not None else None
    if lobe is not None and part is not None:
        inside = lobe[1][_relative(part, lobe[0])]
        inside = np.maximum(inside, under[_relative(part, box)] + 3)
        canvas.paint(part, inside, 108.0, 2.0)
    organ((14, -46, -128), (62, 26, 38), 108.0, tilt=-0.2)
    for _ in range(14):
        hilum = np.array([-40.0, -6.0, -138.0])
        # Clipped, for none to leave the liver.
        turns = np.clip(rng.normal(size=(2, 3)), -1.2, 1.2)
        mid = hilum + turns[0] * (14, 16, 12) - (10, 0, 6)
        end = mid + turns[1] * (24, 24, 16)
        path = smooth([(*hilum, 4.5), (*mid, 3.4), (*end, 1.2)], 6)
        paint_tube(canvas, path, 148.0)
    organ((-52, -46, -206), (13, 15, 27), 40.0)
    organ((-52, -46, -206), (11.5, 13.5, 25.5), 11.0)
    organ((90, 34, -148), (25, 44, 52), 118.0, tilt=0.35)
    stomach = organ((60, -28, -142), (44, 42, 44), 70.0)
    if stomach is not None:
        part, inside = stomach
        canvas.paint(part, inside + 4, 22.0, 2.0)
        # Supine, the gas of the stomach gathers in front.
        front = canvas.axes(part)[1] + np.float32(42)
        canvas.paint(part, np.maximum(inside + 4, front), -960.0, 1.5)
    for side, lift in ((-1, -12.0), (1, 0.0)):
        kidney = organ(
            (side * 56.0, 40, -212 + lift), (24, 30, 54), 165.0, tilt=side * 0.5
        )
        if kidney is not None:
            canvas.paint(kidney[0], kidney[1] + 13, 75.0, 7.0)
        # Fat and vessels of the sinus, towards the middle.
        organ((side * 44.0, 33, -214 + lift), (13, 7, 24), -60.0, side * 0.5, 5.0)
        gland = [(side * 34, 27, -152, 2.2), (side * 38, 22, -166, 3),
                 (side * 44, 30, -176, 2)]  # fmt: skip
        paint_tube(canvas, gland, 82.0)
        psoas = [(24, 46, -190, 4), (38, 46, -260, 17), (44, 40, -360, 24),
                 (66, 2, -450, 20)]  # fmt: skip
        paint_tube(canvas, [(side * x, y, z, r) for x, y, z, r in psoas], MUSCLE)
    organ((18, -14, -178), (52, 10, 15), 98.0, tilt=-0.25)
    organ((0, -8, -452), (40, 32, 34), 40.0)
    organ((0, -8, -452), (37, 29, 31), 6.0)
    _bowel(canvas, rng)


def _overlap(first: Box | None, second: Box) -> Box | None:
    """The box that two boxes share; None when there is none."""
    if first is None:
        return None
    k, j, i = (
        slice(max(a.start, b.start), min(a.stop, b.stop))
        for a, b in zip(first, second, strict=True)
    )
    return (
        (k, j, i)
        if min(k.stop - k.start, j.stop - j.start, i.stop - i.start) > 0
        else None
    )


def _relative(part: Box, whole: Box) -> Box:
    """Where `part` lies in an array that covers `whole`."""
    k, j, i = (
        slice(p.start - w.start, p.stop - w.start)
        for p, w in zip(part, whole, strict=True)
    )
    return k, j, i


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
        if middle[0] < -24 and middle[2] > -268:
            continue  # the liver is there
        paint_tube(canvas, path, 78.0)
        paint_tube(canvas, path, inside, grow=-2.6)
    for course, filling in _COLON:
        tube = smooth(course, 5 * len(course))
        # Haustra: the colon is drawn in at intervals.
        tube[:, 3] *= 1 + 0.13 * np.sin(np.arange(len(tube)) * 1.9)
        paint_tube(canvas, tube, 70.0)
        paint_tube(canvas, tube, filling, grow=-2.2)
        gas = np.subtract(tube, (0, 5, 0, 7))
        paint_tube(canvas, gas, -920.0)
        for place in tube[2:-2:3]:
            offset = rng.normal(size=3) * 4 + (0, 5, 0)
            paint_ellipsoid(canvas, place[:3] + offset, (4, 3, 4), -180.0, edge=4.0)
    for _ in range(30):  # vessels of the mesentery
        start = rng.uniform((-12, -24, -330), (20, -6, -205))
        turn = np.clip(rng.normal(size=3), -1.5, 1.5)
        end = start + turn * (34, 9, 16) + (0, -8, -8)
        paint_tube(canvas, [(*start, 1.8), (*end, 0.9)], 120.0, edge=1.6)


_COLON: tuple[tuple[Path, float], ...] = (
    (((-80, 2, -385, 20), (-92, 8, -330, 20), (-90, 6, -285, 18), (-72, -16, -270, 16)),
     34.0),
    (((-72, -16, -270, 16), (-40, -48, -292, 15), (20, -52, -300, 14),
      (66, -40, -250, 14), (94, -4, -196, 14)), 20.0),
    (((94, -4, -196, 14), (102, 22, -230, 13), (100, 24, -300, 12), (88, 16, -370, 13),
      (50, 20, -420, 14), (8, 46, -430, 14)), 40.0),
)  # fmt: skip
"""Ascending, transverse and descending colon, each with what fills it, HU."""


def _thyroid(canvas: Canvas) -> None:
    """Two lobes beside the trachea, the right one larger, and the isthmus."""
    for lobe in (
        [(-14, -8, 112, 4), (-16, -10, 128, 8.5), (-18, -9, 158, 8), (-19, -6, 172, 4)],
        [(14, -8, 118, 4), (15, -10, 132, 7.5), (17, -9, 156, 7), (18, -6, 168, 4)],
    ):
        paint_tube(canvas, smooth(lobe, 8), 168.0)
    paint_ellipsoid(canvas, (-1, -20, 134), (14, 3.5, 8), 168.0)


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
