"""How fast an annotator's tools answer, and a draft is kept, on a full-size CT.

Prints one JSON object: medians in seconds, and ratios. Growing stands beside a plain
flood (scikit-image) of the same crop; tools that look for their node first stand beside
one comparison of all labels with a number.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SPACING = (1.0, 0.7, 0.7)
RADIUS_MM = 15.0
TARGET_S = 0.5
"""Most for one click with a radius of 15 mm."""


def median(rounds: int, call: Callable[[], Any]) -> float:
    """Seconds of `call`, once warmed up."""
    call()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def scene(
    shape: tuple[int, int, int],
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """A node of 24 mm touching a vessel, in fat; its labels; its middle."""
    random = np.random.default_rng(1)
    seed = tuple(n // 2 for n in shape)
    image = np.full(shape, -100, np.int16)
    labels = np.zeros(shape, np.uint16)
    box = tuple(slice(s - 32, s + 32) for s in seed)
    mm = (np.moveaxis(np.indices((64, 64, 64)), 0, -1) - 32) * SPACING
    node = ((mm / (12, 10, 11)) ** 2).sum(axis=-1) <= 1
    vessel = mm[..., 1] ** 2 + (mm[..., 2] - 15) ** 2 <= 25
    around = np.where(vessel, 160, np.where(node, 60, -100))
    image[box] = around + random.normal(0, 12, around.shape)
    labels[box][node] = 1
    return image, labels, seed


def measure(rounds: int, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Medians over `rounds`."""
    from skimage.segmentation import flood

    from napari_tcia.edit.brush import brush
    from napari_tcia.edit.grow import METHODS, grow
    from napari_tcia.edit.interpolate import interpolate
    from napari_tcia.edit.smooth import smooth
    from napari_tcia.edit.split import delete, split

    image, labels, seed = scene(shape)
    nothing = np.zeros_like(labels)
    reach = [int(RADIUS_MM / step) + 2 for step in SPACING]
    crop = tuple(slice(s - r, s + r + 1) for s, r in zip(seed, reach, strict=True))
    plain = median(
        rounds, lambda: flood(image[crop].copy(), tuple(reach), tolerance=50)
    )
    grown = {
        method: median(
            rounds,
            lambda method=method: grow(
                image, nothing, seed, SPACING, value=1, method=method
            ),
        )
        for method in METHODS
    }
    sparse = labels.copy()
    sparse[seed[0] % 2 :: 2] = 0
    sparse[seed[0]] = labels[seed[0]]
    once = median(rounds, lambda: (labels == 1).any())
    left = (seed[0], seed[1], seed[2] - 6)
    right = (seed[0], seed[1], seed[2] + 6)
    tools: dict[str, Callable[[], Any]] = {
        "interpolate": lambda: interpolate(sparse, 1, SPACING),
        "smooth": lambda: smooth(labels, 1, SPACING),
        "split": lambda: split(labels, 1, SPACING, new_value=2, seeds=(left, right)),
        "delete": lambda: delete(labels, 1),
    }
    taken = {name: median(rounds, call) for name, call in tools.items()}
    ball = median(
        rounds,
        lambda: brush(labels, seed, RADIUS_MM, SPACING, value=1),
    )
    return {
        "shape": shape,
        "radius_mm": RADIUS_MM,
        "grow_s": {name: round(seconds, 4) for name, seconds in grown.items()},
        "grow / flood": {n: round(s / plain, 1) for n, s in grown.items()},
        "ball_s": round(ball, 4),
        "tools_s": {name: round(seconds, 3) for name, seconds in taken.items()},
        "tools / one comparison": {n: round(s / once, 2) for n, s in taken.items()},
        "targets": {
            f"one click by {name}, s": {
                "measured": round(seconds, 4),
                "at_most": TARGET_S,
                "met": seconds <= TARGET_S,
            }
            for name, seconds in grown.items()
        },
        "autosave": autosave(rounds, labels),
        "cpus": os.cpu_count(),
    }


def autosave(rounds: int, labels: np.ndarray) -> dict[str, float]:
    """What a draft takes from the window: its begin, a stroke, and its end."""
    from napari_tcia.review.autosave import Autosave
    from napari_tcia.review.draft import open_draft, prepare
    from napari_tcia.review.places import DraftCase
    from napari_tcia.review.watched import watched

    case = DraftCase("1.2.3", "own", labels.shape, tuple(map(tuple, np.eye(4))))
    taken: dict[str, list[float]] = {"begin": [], "stroke": [], "flush": [], "end": []}

    def clocked(name: str, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        found = call()
        taken[name].append(time.perf_counter() - start)
        return found

    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as place:
            ready = prepare(labels)  # beside the window
            draft = clocked(
                "begin",
                functools.partial(open_draft, Path(place), case, "R1", ready),
            )
            painted = watched(draft.labels, draft.slices)
            saving = Autosave(draft, painted)
            painted[100, 100:110, 100:110] = 3
            clocked("stroke", saving.tick)
            clocked("flush", saving.flush)
            clocked("end", saving.close)
            draft.close()
    return {f"{name}_s": round(statistics.median(t), 4) for name, t in taken.items()}


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
