"""The truth of the phantom: what is scanned, and its lymph nodes in LPS mm.

Nothing here is shared with the readers, so that an error of theirs cannot cancel
out: affine, lattice and membership are written out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Affine = NDArray[np.float64]
"""(4, 4): maps (k, j, i, 1) to LPS mm."""
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
_CHAINS = (
    ("para-aortic chain", 30, 23, 5.6),
    ("mesenteric chain", 8, -20, 5.6),
    ("aortocaval chain", -5, 16, 4.6),
    ("paracaval chain", -39, 16, 5.2),
    ("mesenteric left chain", 42, -18, 5.0),
)
"""Chains along the great vessels: name, body x and y, and what fits, mm."""


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
    nodes, unlisted, unmasked : int
        Nodes, how many of them only the masks know, and how many only the text
        files.
    jitter : float
        Noise of the z that is written for each slice, mm.
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
    unmasked: int = 0
    jitter: float = 0.0
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
            round(x - self.fov / 2, 6),
            round(y - self.fov / 2 + 20 * self.scale, 4),
            round(z + self.bottom * self.scale, 4),
        )

    @property
    def affine(self) -> Affine:
        """(k, j, i, 1) to LPS mm."""
        affine = np.zeros((4, 4))
        affine[0, 2] = affine[1, 1] = self.spacing
        affine[2, 0] = self.step
        affine[:, 3] = (*self.origin, 1)
        return affine

    def lattice(self, kji: ArrayLike) -> NDArray[np.float64]:
        """(n, 3) LPS mm of (n, 3) indices (k, j, i)."""
        k, j, i = np.asarray(kji, dtype=np.float64).reshape(-1, 3).T
        steps = np.stack([i * self.spacing, j * self.spacing, k * self.step], axis=1)
        return np.asarray(steps + self.origin)

    def nearest(self, points: ArrayLike) -> NDArray[np.int64]:
        """(n, 3) indices (k, j, i) of the voxels nearest to (n, 3) LPS mm."""
        offsets = np.asarray(points, dtype=np.float64).reshape(-1, 3) - self.origin
        steps = offsets / (self.spacing, self.spacing, self.step)
        return np.rint(steps[:, ::-1]).astype(np.int64)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(K, J, I)."""
        return self.slices, self.matrix, self.matrix


@dataclass(frozen=True, slots=True)
class Node:
    """The truth about one lymph node: an ellipsoid at any angle, perhaps bent.

    Attributes
    ----------
    label : int
        Its number in masks and segmentations, from 1, by descending z; 0 when
        only the text files know it.
    station : str
    centre : (3,) tuple
        LPS mm; the centroid.
    semi_axes : (3,) tuple
        mm, along the columns of `rotation`; the last is the longest.
    rotation : (3, 3) nested tuple
        Columns are unit vectors in LPS.
    hu : float
    listed : bool
        Whether the text files know it.
    bend : float
        How far its ends are drawn along the first axis, mm: 0 is straight.
    hilum, calcified : bool
        Fat in its hilum; a calcification in it.
    """

    label: int
    station: str
    centre: tuple[float, float, float]
    semi_axes: tuple[float, float, float]
    rotation: tuple[tuple[float, ...], ...]
    hu: float
    listed: bool = True
    bend: float = 0.0
    hilum: bool = False
    calcified: bool = False

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Whether points (..., 3) LPS mm lie in the node."""
        offsets = np.asarray(points, dtype=np.float64) - self.centre
        return np.asarray(self.radius(offsets @ np.asarray(self.rotation)) <= 1)

    def radius(self, own: NDArray[Any]) -> NDArray[Any]:
        """How far out places (..., 3) along its own axes lie: 1 is its surface."""
        scaled = own / np.asarray(self.semi_axes, dtype=own.dtype)
        if self.bend:
            # A shear that keeps the volume; the fifth keeps the centroid.
            share = own.dtype.type(self.bend / self.semi_axes[0])
            scaled[..., 0] -= share * (scaled[..., 2] ** 2 - own.dtype.type(0.2))
        return np.asarray(np.sqrt((scaled**2).sum(axis=-1)))

    @property
    def reach(self) -> tuple[float, float, float]:
        """Half the sides of a box that holds it, mm along x, y and z."""
        axes = np.asarray(self.rotation) * np.asarray(self.semi_axes)
        sides = np.sqrt((axes**2).sum(axis=1))
        sides += np.abs(np.asarray(self.rotation)[:, 0] * self.bend)
        x, y, z = sides.tolist()
        return x, y, z

    @property
    def axial_axes(self) -> tuple[float, float]:
        """Long and short axis (mm) of the axial section through the centre.

        The short axis is the longest chord perpendicular to the long one.
        """
        axes = np.asarray(self.rotation) / np.asarray(self.semi_axes)
        quadric = (axes @ axes.T)[:2, :2]
        if not self.bend:
            long, short = 2 / np.sqrt(np.linalg.eigvalsh(quadric))
            return float(long), float(short)
        side = 1.1 * (max(self.semi_axes) + abs(self.bend))
        line = np.linspace(-side, side, 301)
        grid = np.stack(np.meshgrid(line, line), axis=-1)
        flat = np.concatenate([grid, np.zeros((*grid.shape[:2], 1))], axis=-1)
        section = grid[self.contains(flat + self.centre)]
        # The farthest pair lies on the hull: the outermost point of each direction.
        turns = np.linspace(0, np.pi, 361)
        rays = np.stack([np.cos(turns), np.sin(turns)])
        along = section @ rays
        ends = section[along.argmax(axis=0)] - section[along.argmin(axis=0)]
        widest = ends[np.hypot(*ends.T).argmax()]
        long = float(np.hypot(*widest))
        across = section @ (np.array([-widest[1], widest[0]]) / long)
        place = np.rint(section @ widest / long / (line[1] - line[0])).astype(int)
        chords = [np.ptp(across[place == at]) for at in np.unique(place)]
        return long, float(max(chords))


def make_nodes(scan: Scan) -> tuple[Node, ...]:
    """The nodes of a scan, numbered by descending z, well apart and inside."""
    rng = np.random.default_rng([scan.seed, 1])
    kinds = np.random.default_rng([scan.seed, 7])
    low, high = scan.origin[2], scan.origin[2] + (scan.slices - 1) * scan.step
    found: list[Node] = []
    for station, (x, y, z, limit) in _places(scan, rng):
        semi = _semi_axes(rng, limit) * scan.scale
        centre = np.array([x, y, z]) + rng.uniform(-1, 1, size=3)
        centre = centre * scan.scale + scan.offset
        node = _kind(
            Node(
                label=0,
                station=station,
                centre=tuple(np.round(centre, 3).tolist()),
                semi_axes=tuple(np.round(semi, 3).tolist()),
                rotation=tuple(map(tuple, _rotation(rng).tolist())),
                hu=round(float(rng.uniform(62, 96)), 1),
            ),
            kinds,
        )
        reach = float(semi.max()) + scan.step
        inside = low + reach <= centre[2] <= high - reach
        if inside and not any(_touch(node, other, scan) for other in found):
            found.append(node)
        if len(found) == scan.nodes:
            break
    found.sort(key=lambda node: -node.centre[2])
    # Those that only masks or only texts know are the smallest.
    small = sorted(found, key=lambda node: float(np.prod(node.semi_axes)))
    unlisted = small[: scan.unlisted]
    unmasked = small[scan.unlisted : scan.unlisted + scan.unmasked]
    masked = [node for node in found if node not in unmasked]
    return (
        *(
            replace(node, label=number, listed=node not in unlisted)
            for number, node in enumerate(masked, start=1)
        ),
        *unmasked,
    )


def _places(
    scan: Scan, rng: np.random.Generator
) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Stations in the order in which they are taken, then chains of the abdomen."""
    stations = list((_CHEST if scan.region == "chest" else _ABDOMEN).items())
    order = [0, 1, *(2 + rng.permutation(len(stations) - 2))]
    for position in order:
        yield stations[position]
    if scan.region == "abdomen":
        for level in range(16):
            for name, x, y, limit in _CHAINS:
                yield f"{name} {level + 1}", (x, y, -178 - 10.5 * level, limit)


def _kind(node: Node, rng: np.random.Generator) -> Node:
    """Some nodes are bent, some have a fatty hilum or a calcification."""
    draw, size = rng.random(3), node.semi_axes[0]
    return replace(
        node,
        bend=round(1.1 * size, 3) if draw[0] < 0.22 and size > 4.5 else 0.0,
        hilum=bool(draw[1] < 0.25 and size > 5.5),
        calcified=bool(draw[2] < 0.12),
    )


def _touch(node: Node, other: Node, scan: Scan) -> bool:
    """Whether two nodes may share voxels, by their boxes."""
    gap = np.abs(np.subtract(node.centre, other.centre))
    room = np.add(node.reach, other.reach)
    return bool((gap < np.add(room, (scan.spacing, scan.spacing, scan.step))).all())


def make_labels(scan: Scan, nodes: tuple[Node, ...]) -> NDArray[np.uint8]:
    """Label array (K, J, I): a voxel belongs to the node that holds its centre."""
    labels = np.zeros(scan.shape, dtype=np.uint8)
    for node in nodes:
        box = box_of(scan, node)
        k, j, i = np.mgrid[box]
        points = scan.lattice(np.stack([k, j, i], axis=-1)).reshape(*k.shape, 3)
        labels[box][node.contains(points)] = node.label
    return labels


def box_of(scan: Scan, node: Node) -> tuple[slice, slice, slice]:
    """Slices of (k, j, i) that hold all voxels of a node."""
    corners = np.add(node.centre, np.outer((-1, 1), node.reach))
    (k, j, i), (top, last, right) = scan.nearest(corners).tolist()
    return (
        slice(max(0, k - 1), top + 2),
        slice(max(0, j - 1), last + 2),
        slice(max(0, i - 1), right + 2),
    )


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
