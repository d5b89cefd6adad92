"""Spine, ribs, breastbone, shoulder blades and collarbones of the phantom."""

from __future__ import annotations

import math

import numpy as np

from napari_tcia.demo.outlines import CAVITY, MUSCLE
from napari_tcia.demo.shapes import (
    Canvas,
    Loft,
    paint_ellipsoid,
    paint_loft,
    paint_tube,
    smooth,
)

LEVEL = 23.0
"""Height of a vertebra with its disc, mm."""


def paint_skeleton(canvas: Canvas) -> None:
    """Paint all bones that a scan may meet."""
    first = max(int((canvas.z[0] - 40) // LEVEL), -14)
    last = int((canvas.z[-1] + 40) // LEVEL)
    for level in range(first, last + 1):
        _vertebra(canvas, level * LEVEL + 6)
    _pelvis(canvas)
    for side in (-1, 1):
        for number in range(11):
            _rib(canvas, number, side)
        _shoulder(canvas, side)
    for grow, hu in ((0.0, 430.0), (2.0, 165.0)):
        breastbone = Loft(
            [
                (-82, 0, -83, 10 - grow, 4 - grow),
                (-30, 0, -84, 18 - grow, 6 - grow),
                (20, 0, -82, 17 - grow, 6.5 - grow),
                (34, 0, -80, 22 - grow, 7 - grow),
                (66, 0, -70, 27 - grow, 7.5 - grow),
            ],
            power=2.6,
        )
        paint_loft(canvas, breastbone, hu)


def _pelvis(canvas: Canvas) -> None:
    """Sacrum, wings of the ilium, heads of the femurs."""
    if canvas.z[0] > -270:
        return
    for inset, hu in ((0.0, 400.0), (2.2, 190.0)):
        sacrum = [(0, 46, -326, 19 - inset), (0, 62, -360, 17 - inset),
                  (0, 78, -400, 12 - inset), (0, 76, -440, 6 - inset)]  # fmt: skip
        paint_tube(canvas, smooth(sacrum, 8), hu)
        for side in (-1, 1):
            ala = [(side * 8, 54, -338, 15 - inset), (side * 36, 60, -350, 13 - inset)]
            paint_tube(canvas, ala, hu)
            turn = side * 0.62
            wing = np.array(
                [
                    [math.cos(turn), -math.sin(turn), side * 0.28],
                    [math.sin(turn), math.cos(turn), 0],
                    [0, 0, 1],
                ]
            )
            wing /= np.linalg.norm(wing, axis=0)
            axes = (7 - inset, 46 - inset, 66 - inset)
            paint_ellipsoid(canvas, (side * 82, 22, -356), axes, hu, wing)
            head = [
                (side * 84, 6, -452, 23 - inset),
                (side * 104, 10, -462, 15 - inset),
            ]
            paint_tube(canvas, head, hu)


def _vertebra(canvas: Canvas, z: float) -> None:
    """Body with cortex and disc, canal with cord, and the processes.

    Towards the neck they are smaller, and the spine bends forward.
    """
    neck = min(max((z - 95) / 75, 0.0), 1.0)
    front, size = 41.0 - 10 * neck, 1 - 0.25 * neck
    bow = 1 - 0.5 * neck
    for inset, hu in ((0.0, 430.0), (1.9, 205.0)):
        half = 9.4 - inset
        wide, waist = (
            (18.5 * size - inset, 16.0 * size - inset),
            (16.8 * size - inset, 14.6 * size - inset),
        )  # fmt: skip
        body = Loft(
            [
                (z - half, 0, front, *wide),
                (z, 0, front, *waist),
                (z + half, 0, front, *wide),
            ],
            power=2.4,
        )
        paint_loft(canvas, body, hu)
    wide = (18 * size, 15.6 * size)
    disc = Loft([(z + 9.4, 0, front, *wide), (z + 13.6, 0, front, *wide)])
    paint_loft(canvas, disc, 88.0)
    back = front + 20.5 * size
    spinous = [
        (0, back + 10.5, z - 2, 4.2),
        (0, back + 10.5 + 14 * bow, z - 12 * bow, 3.2),
        (0, back + 10.5 + 24 * bow, z - 20 * bow, 3.4),
    ]
    paint_tube(canvas, spinous, 420.0)
    for side in (-1, 1):
        arch = [
            (side * 12, back - 9.5, z + 4, 4.2),
            (side * 12.5, back + 0.5, z + 3, 4.6),
            (0, back + 11.5, z, 3.6),
        ]
        paint_tube(canvas, arch, 400.0)
        tip = (side * 33 * bow, back + 0.5 + 9 * bow * (1 - 2 * neck), z + 4, 4.2)
        paint_tube(canvas, [arch[1], tip], 360.0)
    paint_tube(canvas, [(0, back, z - 11.5, 8.4), (0, back, z + 11.5, 8.4)], 6.0)
    cord = back - 0.5
    paint_tube(canvas, [(0, cord, z - 11.5, 4.6), (0, cord, z + 11.5, 4.6)], 42.0)


def _rib(canvas: Canvas, number: int, side: int) -> None:
    """One rib from the spine round to its cartilage, sloping down to the front."""
    head = 104 - LEVEL * number
    drop = 26 + 6.5 * number if number < 6 else 66 - 4 * (number - 6)
    end = 158 - 8 * max(0, number - 5)
    if head < canvas.z[0] - 8 or head - drop > canvas.z[-1] + 8:
        return
    angles = np.radians(np.linspace(26, end, 22))
    heights = head - drop * (1 - np.cos(angles)) / 2
    outline = CAVITY.at(np.minimum(heights, 96))
    x = side * (outline[:, 2] + 5) * np.sin(angles) ** 0.9
    y = outline[:, 1] + (outline[:, 3] + 5) * np.cos(angles)
    bone = np.stack([x, y, heights, np.full(22, 5.0)], axis=1)
    split = 18 if number < 7 else 21
    paint_tube(canvas, bone[split:], 115.0)
    paint_tube(canvas, bone[: split + 1], 520.0)
    paint_tube(canvas, bone[: split + 1], 190.0, grow=-2.2)


def _shoulder(canvas: Canvas, side: int) -> None:
    """Blade between its muscles, and the collarbone."""
    turn = math.radians(-32 * side)
    cosine, sine = math.cos(turn), math.sin(turn)
    plate = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    centre = np.array([side * 101.0, 60.0, 34.0])
    normal = plate[:, 1]
    for offset, axes in ((-9, (30, 9, 56)), (9, (32, 8, 58))):
        paint_ellipsoid(canvas, centre + offset * normal, axes, MUSCLE, plate)
    paint_ellipsoid(canvas, centre, (33, 2.6, 64), 420.0, plate)
    ridge = [(76, 82, 56, 2.5), (100, 80, 74, 3.5), (126, 62, 94, 6), (136, 40, 108, 9)]
    neck = [(124, 46, 60, 5), (128, 39, 82, 8), (131, 32, 94, 9)]
    head = [(136, 27, 98, 17), (137, 26, 102, 17)]
    collar = [
        (20, -62, 68, 8.5),
        (50, -58, 86, 6),
        (90, -34, 102, 6),
        (124, -6, 112, 8),
    ]
    for path, hu, grow in (
        (ridge, 400.0, 0.0),
        (neck, 420.0, 0.0),
        (neck, 230.0, -2.2),
        (head, 420.0, 0.0),
        (head, 230.0, -2.2),
        (collar, 540.0, 0.0),
        (collar, 250.0, -2.6),
    ):
        line = [(side * x, y, z, r) for x, y, z, r in path]
        paint_tube(canvas, smooth(line, 10), hu, grow=grow)
