"""A thorax phantom with lymph nodes whose truth is known exactly.

The pixels are analytic and deterministic by seed; no patient is behind them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.geometry import Affine, make_affine, patient_to_index

SLAB = 32
"""Slices painted together: bounds the memory, and the wait for the first."""
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""ImageOrientationPatient of every slice."""

_CHEST = {
    "4R": (-18.5, -11, 16, 9.5),
    "7": (1.5, 4, -19, 10.5),
    "5": (30, -13, 9, 7.5),
    "10R": (-47, 9, -6, 7.5),
    "2R": (-14.5, -14, 50, 6.5),
    "6": (13, -60, 8, 8),
    "3A": (-12, -63, 26, 6.5),
    "8": (-6, 24, -62, 6),
    "10L": (58, 2, -28, 7),
    "axillary right": (-120, -26, 62, 10),
    "axillary left": (122, -24, 56, 8.5),
    "internal mammary": (24, -71, -8, 5),
}
_ABDOMEN = {
    "para-aortic left": (29, 24, -206, 11),
    "aortocaval": (-4.5, 22, -228, 7),
    "para-aortic low": (27, 22, -242, 9.5),
    "mesenteric": (16, -14, -222, 9),
    "gastrohepatic": (26, -8, -138, 8),
    "retrocaval": (-24, 34, -204, 7),
    "retrocrural": (-2, 25, -142, 5.5),
    "portocaval": (-34, 8, -176, 7.5),
    "mesenteric right": (-22, -22, -236, 8),
}
"""Stations: body mm and the largest semi-axis that fits, mm."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What is scanned, and how.

    Attributes
    ----------
    seed : int
        Decides nodes, vessels and noise.
    matrix, slices : int
        Rows = columns, and number of slices.
    fov, step : float
        Field of view and distance of slices, mm.
    bottom : float
        Body z of the lowest slice, mm; the carina is at 0.
    region : {"chest", "abdomen"}
        Where the nodes lie.
    nodes, unlisted : int
        Nodes, and how many of them only the masks know.
    offset : (3,) tuple of float
        LPS position of the carina, mm.
    scale : float
        Size of the body.
    """

    seed: int
    matrix: int = 320
    slices: int = 92
    fov: float = 344.0
    step: float = 2.5
    bottom: float = -122.0
    region: str = "chest"
    nodes: int = 5
    unlisted: int = 0
    offset: tuple[float, float, float] = (3.5, -148.75, -391.25)
    scale: float = 1.0

    @property
    def spacing(self) -> float:
        """Pixel spacing, mm; short enough for a DS, which holds 16 characters."""
        return round(self.fov / self.matrix, 10)

    @property
    def origin(self) -> tuple[float, float, float]:
        """ImagePositionPatient of the lowest slice, LPS mm."""
        x, y, z = self.offset
        # The body lies a little above the middle, for the table to be seen.
        return (
            round(x - self.fov / 2, 4),
            round(y - self.fov / 2 + 20, 4),
            round(z + self.bottom * self.scale, 4),
        )

    @property
    def affine(self) -> Affine:
        """(k, j, i, 1) to LPS mm."""
        return make_affine(self.origin, AXIAL, (self.step, self.spacing, self.spacing))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(K, J, I)."""
        return self.slices, self.matrix, self.matrix


@dataclass(frozen=True, slots=True)
class Node:
    """The truth about one lymph node.

    Attributes
    ----------
    label : int
        Its number in masks and segmentations, from 1, by descending z.
    station : str
    centre : (3,) tuple
        LPS mm.
    semi_axes : (3,) tuple
        mm, along the columns of `rotation`.
    rotation : (3, 3) nested tuple
        Columns are unit vectors in LPS.
    hu : float
    listed : bool
        Whether the text files know it.
    """

    label: int
    station: str
    centre: tuple[float, float, float]
    semi_axes: tuple[float, float, float]
    rotation: tuple[tuple[float, ...], ...]
    hu: float
    listed: bool = True

    @property
    def axial_axes(self) -> tuple[float, float]:
        """Long and short axis (mm) of the axial section through the centre."""
        axes = np.asarray(self.rotation) / np.asarray(self.semi_axes)
        quadric = (axes @ axes.T)[:2, :2]
        long, short = 2 / np.sqrt(np.linalg.eigvalsh(quadric))
        return float(long), float(short)


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


def make_nodes(scan: Scan) -> tuple[Node, ...]:
    """The nodes of a scan, numbered by descending z, well apart and inside."""
    rng = np.random.default_rng([scan.seed, 1])
    stations = list((_CHEST if scan.region == "chest" else _ABDOMEN).items())
    order = [0, 1, *(2 + rng.permutation(len(stations) - 2))]
    low, high = scan.origin[2], scan.origin[2] + (scan.slices - 1) * scan.step
    found: list[Node] = []
    for position in order:
        station, (x, y, z, limit) = stations[position]
        semi = _semi_axes(rng, limit) * scan.scale
        centre = np.array([x, y, z]) + rng.uniform(-1, 1, size=3)
        centre = centre * scan.scale + scan.offset
        reach = float(semi.max()) + scan.step
        if not low + reach <= centre[2] <= high - reach:
            continue
        found.append(
            Node(
                label=0,
                station=station,
                centre=tuple(np.round(centre, 3).tolist()),
                semi_axes=tuple(np.round(semi, 3).tolist()),
                rotation=tuple(map(tuple, _rotation(rng).tolist())),
                hu=round(float(rng.uniform(62, 96)), 1),
            )
        )
        if len(found) == scan.nodes:
            break
    found.sort(key=lambda node: -node.centre[2])
    small = sorted(found, key=lambda node: node.axial_axes[1])[: scan.unlisted]
    return tuple(
        replace(node, label=number, listed=node not in small)
        for number, node in enumerate(found, start=1)
    )


def make_labels(scan: Scan, nodes: tuple[Node, ...]) -> NDArray[np.uint8]:
    """Label array (K, J, I): a voxel belongs to the node that holds its centre."""
    labels = np.zeros(scan.shape, dtype=np.uint8)
    for node in nodes:
        reach = max(node.semi_axes)
        corners = np.add.outer((-reach, reach), node.centre)
        low, high = patient_to_index(scan.affine, corners)
        box = tuple(
            slice(max(0, int(np.floor(first))), int(np.ceil(last)) + 1)
            for first, last in zip(low, high, strict=True)
        )
        indices = np.moveaxis(np.mgrid[box], 0, -1)
        offsets = indices @ scan.affine[:3, :3].T + scan.affine[:3, 3] - node.centre
        scaled = offsets @ np.asarray(node.rotation) / np.asarray(node.semi_axes)
        inside = (scaled**2).sum(axis=-1) <= 1
        labels[box][inside] = node.label
    return labels


def make_ct(
    scan: Scan, nodes: tuple[Node, ...], first: int, stop: int
) -> NDArray[np.int16]:
    """Hounsfield units of slices `first` to `stop` (excluded).

    Returns
    -------
    (stop - first, J, I) ndarray of int16
        With partial volume and correlated noise; the same whatever the range.
    """
    # Late, as scipy comes with them: the archive is up before anything is painted.
    from napari_tcia.demo.anatomy import paint_anatomy
    from napari_tcia.demo.shapes import Canvas, paint_ellipsoid

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
        centre = (np.asarray(node.centre) - scan.offset) / scan.scale
        semi = np.asarray(node.semi_axes) / scan.scale
        paint_ellipsoid(canvas, centre, semi, node.hu, np.asarray(node.rotation), 1.8)
    for k, plane in enumerate(canvas.hu, start=first):
        plane += _noise(scan, k)
    np.clip(canvas.hu, -1024, 3071, out=canvas.hu)
    # A scanner fills what lies outside its circle of reconstruction.
    circle = np.hypot(*np.ogrid[-1 : 1 : scan.matrix * 1j, -1 : 1 : scan.matrix * 1j])
    canvas.hu[:, circle > 1] = -1024
    return np.rint(canvas.hu).astype(np.int16)


def _noise(scan: Scan, k: int) -> NDArray[np.float32]:
    """Noise of 12 HU, correlated over about a pixel as a soft kernel does."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng([scan.seed, 4, k])
    noise = rng.standard_normal((scan.matrix, scan.matrix), dtype=np.float32)
    noise = gaussian_filter(noise, sigma=0.6, truncate=2.5)
    return np.asarray(noise * np.float32(12.0 / noise.std()))


def _semi_axes(rng: np.random.Generator, limit: float) -> NDArray[np.float64]:
    """Three semi-axes, mm: the shortest 4 to 12.5, the longest at most `limit`+."""
    short = max(4.2, limit * rng.uniform(0.72, 0.95))
    return np.array(
        [short, short * rng.uniform(1.05, 1.3), short * rng.uniform(1.15, 1.6)]
    )


def _rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """A rotation drawn evenly from all, by a unit quaternion."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
