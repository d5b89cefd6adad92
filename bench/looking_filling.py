"""How a full-size series looks while it is fetched and opened, for `bench_looking`.

Run in a window. A timer that wants a turn every few milliseconds tells how long the
window stood still; what a plain `add_image` of the same array costs napari in the
same run is told beside it.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bench_transfer
import numpy as np

RATE = 12_500_000.0
"""Bytes per second: 100 Mbit/s."""
TICK_MS = 5


class Heartbeat:
    """Longest time between two turns of the event loop, while it runs.

    Attributes
    ----------
    longest : float
        Seconds, less the interval of the timer.
    """

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.longest = 0.0
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._beat)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last - TICK_MS / 1000)
        self._last = now

    def __enter__(self) -> Heartbeat:
        self._last = time.perf_counter()
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._beat()
        self._timer.stop()


def turn(seconds: float) -> None:
    """Let the window work for some time."""
    from napari_tcia._napari import launch

    launch.wait(lambda: False, seconds)


def drawn(viewer: Any) -> None:
    """Let the window work until nothing waits."""
    from qtpy.QtWidgets import QApplication

    QApplication.processEvents()
    viewer.window._qt_viewer.canvas.native.update()
    QApplication.processEvents()


def plain_add(shape: tuple[int, int, int]) -> dict[str, float]:
    """Seconds of napari's own `add_image`, and how long the window stood still."""
    import napari

    array = np.zeros(shape, np.int16)
    array[:] = np.arange(shape[2])
    viewer = napari.Viewer()
    turn(0.5)
    scale, window = (1.0, 0.7, 0.7), (-125, 225)

    def add(data: Any) -> tuple[float, float]:
        start = time.perf_counter()
        with Heartbeat() as beat:
            layer = viewer.add_image(data, scale=scale, contrast_limits=window)
            taken = time.perf_counter() - start
            turn(0.7)
        viewer.layers.remove(layer)
        turn(0.3)
        return taken, beat.longest

    first, still_first = add(array)  # a window's first costs the most
    small, still_small = add(array[:2, :64, :64].copy())
    large, still = add(array)
    viewer.close()
    return {
        "first_in_a_window_s": round(first, 3),
        "first_in_a_window_still_s": round(still_first, 3),
        "add_image_s": round(large, 3),
        "still_s": round(still, 3),
        "tiny_s": round(small, 3),
        "tiny_still_s": round(still_small, 3),
    }


@contextmanager
def window_for(folder: Path, bases: dict[str, str]) -> Iterator[tuple[Any, Any, Any]]:
    """A viewer with the browser, the terms accepted, and the series of the zip."""
    from napari_tcia._napari import launch
    from napari_tcia._napari.session import session_for
    from napari_tcia.app import agree
    from napari_tcia.app.search import search
    from napari_tcia.app.services import Services
    from napari_tcia.core.model import SearchQuery
    from napari_tcia.core.settings import Settings

    services = Services.open(Settings(folder, **bases))
    listed = search(services, SearchQuery(collection="CT Lymph Nodes"))
    agree.accept(services, agree.terms(services, listed.items), "bench")
    viewer, browser = launch.build(services)
    turn(3.0)
    yield viewer, browser, listed.items[0]
    session_for(viewer).runner.cancel_all()


def filling(folder: Path, facts: dict[str, Any], rate: float) -> dict[str, Any]:
    """Fetch and look at it at `rate`; then open what is stored; then close.

    The volume is whole once it is verified and in the window; its nodes follow.
    Times are of one run; the bare transfer is curl's, of the same zip at the same
    rate.
    """
    from dataclasses import replace

    from napari_tcia._napari.session import session_for
    from napari_tcia.app.selection import open_rows

    found: dict[str, Any] = {}
    with (
        bench_transfer.archive_of(folder, 0.0, rate) as bases,
        tempfile.TemporaryDirectory() as home,
    ):
        url = f"{bases['archive']}/v4/getImage?SeriesInstanceUID={facts['uid']}"
        start = time.perf_counter()
        subprocess.run(["curl", "-sSf", "-o", "/dev/null", url], check=True)
        bare = time.perf_counter() - start
        bases.pop("doi", None)
        with window_for(Path(home) / "home", bases) as (viewer, browser, listed):
            session = session_for(viewer)
            one = replace(
                listed,
                series_uid=facts["uid"],
                modality="CT",
                images=facts["images"],
                bytes=facts["bytes"],
            )
            marks: dict[str, float] = {}
            nbia = session.services.nbia
            _clocked(nbia, lambda: marks.setdefault("byte", time.perf_counter()))

            def open_series() -> None:
                browser.work.start(
                    "open",
                    "Opening",
                    open_rows,
                    [one],
                    (),
                    {},
                    browser.acts._begun,
                    on_done=browser.acts._read,
                )

            def shown() -> bool:
                return bool(viewer.layers)

            def changed() -> None:
                if session.image() is not None:
                    marks.setdefault("verified", time.perf_counter())

            def slice_here(_: Any) -> None:
                marks["slice"] = time.perf_counter()

            # The last to be called: as when `add_image` returns, for the plain one.
            viewer.layers.events.inserted.connect(slice_here, position="last")
            session.layers_changed.connect(changed)

            def whole() -> bool:
                return session.image() is not None and not session.adding

            start = time.perf_counter()
            with Heartbeat() as beat:
                open_series()
                _until(shown)
                first = marks["slice"]
                turn(0.7)  # until it is drawn, as with the plain one
            with Heartbeat() as later:
                _until(whole)
                marks["whole"] = time.perf_counter()
                turn(0.5)
            found |= {
                "first_slice_after_first_byte_s": round(first - marks["byte"], 3),
                "whole_s": round(marks["verified"] - start, 3),
                "with_nodes_s": round(marks["whole"] - start, 3),
                "bare_s": round(bare, 3),
                "whole / bare": round((marks["verified"] - start) / bare, 3),
                "still_at_first_slice_s": round(beat.longest, 3),
                "still_while_it_fills_s": round(later.longest, 3),
            }
            viewer.layers.clear()
            turn(3.0)  # its copy is written beside the window
            start = time.perf_counter()
            with Heartbeat() as beat:
                open_series()
                _until(shown)
                first = marks["slice"] - start
                _until(whole)
                taken = time.perf_counter() - start
                turn(0.5)
            found["stored_first_slice_s"] = round(first, 3)
            found["stored_s"] = round(taken, 3)
            found["still_when_stored_s"] = round(beat.longest, 3)
            start = time.perf_counter()
            viewer.close()
            found["close_s"] = round(time.perf_counter() - start, 3)
    return found


def _until(condition: Callable[[], bool]) -> None:
    from napari_tcia._napari import launch

    if not launch.wait(condition, 300.0):
        raise SystemExit("It did not come to an end.")


def _clocked(nbia: Any, first: Callable[[], object]) -> None:
    """Call `first` at the first byte of a series."""
    inside = nbia.open_series

    @contextmanager
    def clocked(*args: Any) -> Iterator[Iterator[bytes]]:
        def chunks(arriving: Iterator[bytes]) -> Iterator[bytes]:
            for chunk in arriving:
                first()
                yield chunk

        with inside(*args) as arriving:
            yield chunks(arriving)

    nbia.open_series = clocked


def measure(folder: Path, facts: dict[str, Any], rate: float = RATE) -> dict[str, Any]:
    """Everything, as one JSON-able dict."""
    plain = plain_add((facts["images"], facts["matrix"], facts["matrix"]))
    return {"plain": plain, "filling": filling(folder, facts, rate)}
