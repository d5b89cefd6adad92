"""A window is killed while another process paints in it: a few seconds are lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from napari_tcia.review.recovery import recover
from x_events import Mouse

WORKER = Path(__file__).parents[1] / "window_worker.py"
SECONDS = 5.0


@pytest.fixture
def mouse():
    try:
        return Mouse()
    except OSError as error:
        pytest.skip(f"No events can be sent to another window: {error}.")


class Window:
    """The window's process, and what it says."""

    def __init__(self, folder, home):
        environment = {**os.environ, "NAPARI_CONFIG": ""}
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), str(folder), str(home)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.said, self.canvas, self.value = [], None, 0
        self.ready = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            one = json.loads(line)
            if "canvas" in one:
                self.canvas, self.value = one["canvas"], one["value"]
            else:
                self.said.append((one["time"], one["painted"]))
            if self.canvas and self.said:
                self.ready.set()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        return time.time()


def _paint(mouse, canvas, seconds, seed):
    """Strokes over the middle of the canvas, one of them never ends."""
    x, y, width, height = canvas
    rng = np.random.default_rng(seed)
    end = time.time() + seconds
    while True:
        at = (rng.uniform(0.3, 0.7, 2) * (width, height) + (x, y)).astype(int)
        mouse.move(*at.tolist())
        mouse.button(True)
        for _ in range(12):
            at = at + rng.integers(-14, 15, 2)
            mouse.move(*at.tolist())
            if time.time() > end:
                return
        mouse.button(False)


def test_three_kills_while_strokes_are_painted(folder, tmp_path, mouse):
    before = 0
    for number in range(3):
        window = Window(folder, tmp_path / "home")
        assert window.ready.wait(120)
        _paint(mouse, window.canvas, 6.0 + number, number)
        killed = window.kill()
        mouse.button(False)
        painted = [count for _, count in window.said]
        assert painted[-1] > painted[0]  # the strokes have come through
        (place,) = (tmp_path / "home" / "drafts").glob("*/*/R1-*")
        for anew in (False, True):
            found = recover(place, anew=anew)
            edits = [r for r in found.records if r.kind == "edit"]
            assert found.fingerprint == edits[-1].after
        assert found.is_open
        drawn = int((found.labels == window.value).sum())
        # Strokes only add: what was painted 5 s before the kill is there.
        old = [count for at, count in window.said if at <= killed - SECONDS]
        assert drawn >= max(old, default=0)
        assert drawn > 0
        total = sum(int((found.labels == v).sum()) for v in found.state.values)
        assert total >= before
        before = total
