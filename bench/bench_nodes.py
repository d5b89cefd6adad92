"""How fast the nodes of a full-size CT are measured and listed.

Prints one JSON object. Beside it stands what scikit-image's `regionprops` takes for its
own axes and areas of the same labels, slice-wise measures not among them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from typing import Any

import numpy as np

NODES = 60
TARGET_S = 1.0
"""Most for 60 nodes on 512 x 512 x 650, from labels to rows."""


def nodes(shape: tuple[int, int, int], count: int) -> np.ndarray:
    """Labels of ellipsoids of 6 to 30 mm, well apart."""
    random = np.random.default_rng(3)
    labels = np.zeros(shape, np.uint8)
    grid = np.stack(np.indices((41, 45, 45)), axis=-1) - (20, 22, 22)
    for value in range(1, count + 1):
        half = random.uniform(4, 20, 3)
        turned = np.linalg.qr(random.normal(size=(3, 3)))[0]
        inside = (((grid @ turned) / half) ** 2).sum(axis=-1) <= 1
        column, rest = value % 8, value // 8
        row, level = rest % 4, rest // 4
        corner = (30 + 60 * level, 40 + 110 * row, 20 + 58 * column)
        place = tuple(
            slice(a, a + n) for a, n in zip(corner, inside.shape, strict=True)
        )
        labels[place][inside] = value
    return labels


def measure(rounds: int, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Medians over `rounds`, alternating with `regionprops`."""
    from skimage.measure import regionprops

    from napari_tcia.core.geometry import make_affine
    from napari_tcia.core.image import LabelSet, Passport, Segment, Volume
    from napari_tcia.core.model import Provenance
    from napari_tcia.nodes import node_rows

    labels = nodes(shape, NODES)
    random = np.random.default_rng(1)
    array = random.integers(-100, 200, shape, dtype=np.int16)
    affine = make_affine((0, 0, 0), (1, 0, 0, 0, 1, 0), (1.0, 0.75, 0.75))
    volume = Volume(array, affine, np.ones(shape[0], bool), Passport(()), Provenance())
    segments = tuple(Segment(v, f"Node {v}") for v in range(1, NODES + 1))
    found = LabelSet(labels, segments, "nodes", "seg", Provenance())
    ours: list[float] = []
    theirs: list[float] = []
    count = 0
    for _ in range(rounds):
        start = time.perf_counter()
        count = len(node_rows(volume, found))
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        for one in regionprops(labels):
            _ = (one.area, one.axis_major_length, one.centroid)
        theirs.append(time.perf_counter() - start)
    taken = statistics.median(ours)
    return {
        "shape": shape,
        "rows": count,
        "rows_s": round(taken, 3),
        "regionprops_s": round(statistics.median(theirs), 3),
        "rows / regionprops": round(taken / statistics.median(theirs), 3),
        "targets": {
            "60 nodes to rows, s": {
                "measured": round(taken, 3),
                "at_most": TARGET_S,
                "met": taken <= TARGET_S,
            }
        },
        "cpus": os.cpu_count(),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="once")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    print(json.dumps(measure(rounds, (650, 512, 512)), indent=1))


if __name__ == "__main__":
    main()
