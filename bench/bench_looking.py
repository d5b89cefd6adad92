"""How smoothly a full-size series is looked at, filled, opened and closed.

Prints one JSON object. A timer that wants a turn every few milliseconds tells how long
the window stood still; beside it stands what napari's own `add_image` of an array of
that size costs in the same run, and its own scrolling. Without a display it starts
itself under Xvfb.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import bench_transfer
import looking_filling
import numpy as np

STEPS = 60
"""Most turns of the wheel."""
STILL_S = 0.1
"""Most that the window may stand still beyond napari's own `add_image`."""


def scrolling(shape: tuple[int, int, int]) -> dict[str, Any]:
    """Turns of the wheel over a volume of ours, and over a plain image."""
    import napari

    from napari_tcia._napari.layers import add_case
    from napari_tcia._napari.session import session_for
    from napari_tcia.app.assemble import Case
    from napari_tcia.core.geometry import make_affine
    from napari_tcia.core.image import Passport, Volume
    from napari_tcia.core.model import Provenance

    array = np.zeros(shape, np.int16)
    array[:] = np.arange(shape[2])
    steps = min(STEPS, shape[0] // 2 - 1)  # from the middle to one end
    found: dict[str, Any] = {}
    for name in ("plain", "ours"):
        viewer = napari.Viewer()
        if name == "plain":
            viewer.add_image(array, scale=(1, 0.7, 0.7), contrast_limits=(-125, 225))
        else:
            session_for(viewer)
            affine = make_affine((0, 0, 0), (1, 0, 0, 0, 1, 0), (1, 0.7, 0.7))
            volume = Volume(
                array, affine, np.ones(shape[0], bool), Passport(()), Provenance()
            )
            add_case(viewer, Case("bench", volume))
        looking_filling.turn(1.0)
        # Where the plain wheel zooms, Ctrl scrolls.
        ctrl = name == "plain"
        taken = []
        before = viewer.dims.current_step[0]
        with looking_filling.Heartbeat() as beat:
            for _ in range(steps):
                start = time.perf_counter()
                _wheel(viewer, ctrl)
                looking_filling.drawn(viewer)
                taken.append(time.perf_counter() - start)
        moved = abs(viewer.dims.current_step[0] - before)
        if moved != steps:
            raise SystemExit(f"The wheel moved {moved} of {steps} slices.")
        found[name] = {
            "ms_per_slice": round(1000 * statistics.median(taken), 1),
            "still_s": round(beat.longest, 3),
        }
        viewer.close()
    ours, plain = (found[name]["ms_per_slice"] for name in ("ours", "plain"))
    return {**found, "ours / plain": round(ours / plain, 2)}


def _wheel(viewer: Any, ctrl: bool) -> None:
    from qtpy.QtCore import QPoint, QPointF, Qt
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtWidgets import QApplication

    native = viewer.window._qt_viewer.canvas.native
    middle = QPointF(native.rect().center())
    modifier = Qt.KeyboardModifier
    event = QWheelEvent(
        middle,
        QPointF(native.mapToGlobal(middle.toPoint())),
        QPoint(),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        modifier.ControlModifier if ctrl else modifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(native, event)


def measure(
    folder: Path, facts: dict[str, Any], matrix: int, rounds: int
) -> dict[str, Any]:
    """All of it; of the rounds of filling the medians count."""
    shape = (facts["images"], matrix, matrix)
    plain = looking_filling.plain_add(shape)
    each = [
        looking_filling.filling(folder, facts, looking_filling.RATE)
        for _ in range(rounds)
    ]
    filling = {key: statistics.median(one[key] for one in each) for key in each[0]}
    first = plain["first_in_a_window_still_s"]
    again = plain["still_s"]
    within = {
        "first slice after the first byte, s": (
            filling["first_slice_after_first_byte_s"],
            1.0,
        ),
        "whole / bare transfer": (filling["whole / bare"], 1.05),
        "still at the first slice, s": (
            filling["still_at_first_slice_s"],
            round(first + STILL_S, 3),
        ),
        "still while it fills, s": (
            filling["still_while_it_fills_s"],
            round(again + STILL_S, 3),
        ),
        "still when stored, s": (
            filling["still_when_stored_s"],
            round(again + STILL_S, 3),
        ),
        "first slice of a stored series, s": (
            filling["stored_first_slice_s"],
            round(plain["tiny_s"] + STILL_S, 3),
        ),
    }
    return {
        **facts,
        "plain": plain,
        "filling": filling,
        "rounds": each,
        "scrolling": scrolling(shape),
        "targets": {
            name: {"measured": found, "at_most": most, "met": found <= most}
            for name, (found, most) in within.items()
        },
        "cpus": os.cpu_count(),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=648)
    parser.add_argument("--matrix", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a small series")
    parser.add_argument("--folder", type=Path, help="where the zip is kept, or made")
    options = parser.parse_args()
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        if not shutil.which("xvfb-run"):
            raise SystemExit("A display is needed, or Xvfb.")
        command = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24", sys.executable]
        raise SystemExit(subprocess.call([*command, *sys.argv]))
    if options.quick:
        options.slices, options.matrix, options.rounds = 80, 128, 1
    with contextlib.ExitStack() as stack:
        folder, facts = bench_transfer.series(stack, options)
        print(
            json.dumps(measure(folder, facts, options.matrix, options.rounds), indent=1)
        )


if __name__ == "__main__":
    main()
