"""A phantom of the trunk with lymph nodes whose truth is known exactly.

The pixels are analytic and deterministic by seed; no patient is behind them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_tcia.demo.anatomy import paint_anatomy
from napari_tcia.demo.shapes import Canvas, paint_ellipsoid
from napari_tcia.demo.truth import (
    AXIAL,
    Affine,
    Node,
    Scan,
    make_labels,
    make_nodes,
)

__all__ = [
    "AXIAL",
    "SLAB",
    "Node",
    "Phantom",
    "Scan",
    "make_ct",
    "make_labels",
    "make_nodes",
    "make_phantom",
]

SLAB = 32
"""Slices painted together: bounds the memory, and the wait for the first."""


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A finished phantom.

    Attributes
    ----------
    array : (K, J, I) int16
        Hounsfield units.
    labels : (K, J, I) uint8
        Label of the node that holds the voxel's centre.
    affine : (4, 4) float64
    nodes : tuple of Node
        By label.
    """

    array: NDArray[np.int16]
    labels: NDArray[np.uint8]
    affine: Affine
    nodes: tuple[Node, ...]


def make_phantom(scan: Scan) -> Phantom:
    """Pixels, labels and truth of a scan."""
    nodes = make_nodes(scan)
    slabs = [
        make_ct(scan, nodes, first, min(first + SLAB, scan.slices))
        for first in range(0, scan.slices, SLAB)
    ]
    labels = make_labels(scan, nodes)
    return Phantom(np.concatenate(slabs), labels, scan.affine, nodes)


def make_ct(
    scan: Scan, nodes: tuple[Node, ...], first: int, stop: int
) -> NDArray[np.int16]:
    """Hounsfield units of slices `first` to `stop` (excluded).

    Returns
    -------
    (stop - first, J, I) ndarray of int16
        With partial volume and correlated noise; the same whatever the range.
    """
    z, y, x = (
        ((scan.origin[axis] + size * steps - scan.offset[axis]) / scan.scale).astype(
            np.float32
        )
        for axis, size, steps in (
            (2, scan.step, np.arange(first, stop)),
            (1, scan.spacing, np.arange(scan.matrix)),
            (0, scan.spacing, np.arange(scan.matrix)),
        )
    )
    air = np.full((stop - first, scan.matrix, scan.matrix), -1000, dtype=np.float32)
    canvas = Canvas(air, z, y, x)
    paint_anatomy(canvas, scan.seed)
    for node in nodes:
        _paint_node(canvas, scan, node)
    texture, strength = _noise(scan.seed, scan.matrix)
    # A scanner fills what lies outside its circle of reconstruction.
    circle = np.hypot(*np.ogrid[-1 : 1 : scan.matrix * 1j, -1 : 1 : scan.matrix * 1j])
    outside = circle > 1
    pixels = np.empty(air.shape, dtype=np.int16)
    for k, (plane, whole) in enumerate(
        zip(canvas.hu, pixels, strict=True), start=first
    ):
        down, right = np.random.default_rng([scan.seed, 4, k]).integers(
            0, np.array(texture.shape) - scan.matrix, endpoint=True
        )
        patch = texture[down : down + scan.matrix, right : right + scan.matrix]
        plane += patch * strength
        np.clip(plane, -1024, 3071, out=plane)
        plane[outside] = -1024
        whole[:] = np.rint(plane, out=plane)
    return pixels


def _paint_node(canvas: Canvas, scan: Scan, node: Node) -> None:
    """Soft edges over 1.8 mm, then what lies in the node."""
    centre = (np.asarray(node.centre) - scan.offset) / scan.scale
    semi = np.asarray(node.semi_axes) / scan.scale
    axes = np.asarray(node.rotation)
    reach = np.asarray(node.reach) / scan.scale + 2
    box = canvas.box(centre - reach, centre + reach)
    if box is None:
        return
    z, y, x = canvas.axes(box)
    offsets = np.stack(
        np.broadcast_arrays(x - centre[0], y - centre[1], z - centre[2]), axis=-1
    ).astype(np.float32)
    own = offsets @ axes.astype(np.float32)
    radius = node.radius(own * np.float32(scan.scale))
    # Distance along the ray from the centre; of a bent node, about that.
    length = np.maximum(np.sqrt((own**2).sum(axis=-1)), np.float32(1e-3))
    ray = length / np.maximum(radius, np.float32(1e-3))
    ray = np.clip(ray, semi.min(), semi.max())
    canvas.paint(box, (radius - 1) * ray, node.hu, 1.8)
    if node.hilum:
        # At the rim, drawn in along the second axis; the centre stays node.
        place = centre + 0.72 * semi[1] * axes[:, 1]
        fat = semi * (0.3, 0.3, 0.5)
        paint_ellipsoid(canvas, place, fat, -45.0, axes, 1.4)
    if node.calcified:
        place = centre - 0.5 * semi[2] * axes[:, 2]
        grain = np.minimum(semi * (0.28, 0.22, 0.3), 1.8)
        paint_ellipsoid(canvas, place, grain, 420.0, axes, 1.2)


@lru_cache(maxsize=4)
def _noise(seed: int, matrix: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A field of noise of 12 HU, and how strong it is across a slice.

    Filtered back projection leaves little noise of long wavelength, and most
    of it in the middle of the body. Every slice takes its own patch of the
    field, which is drawn once.
    """
    side = matrix + 512
    white = np.random.default_rng([seed, 4]).standard_normal((side, side))
    down, right = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)
    square = -2 * np.pi**2 * (down**2 + right**2)
    # Two Gaussian filters of 0.6 and 2 pixels, the second taken from the first.
    band = np.exp(square * 0.6**2) - 0.8 * np.exp(square * 2.0**2)
    field = np.fft.irfft2(np.fft.rfft2(white) * band, s=white.shape)
    noise = (field * (12.0 / field.std())).astype(np.float32)
    y, x = np.ogrid[-1 : 1 : matrix * 1j, -1 : 1 : matrix * 1j]
    strength = np.asarray(1.12 - 0.35 * np.minimum(x * x + y * y, 1), dtype=np.float32)
    return noise, strength
