"""What the first picture needs, made ready while nobody waits.

napari and scipy load modules, and the canvas draws each character and the scale bar,
at their first use: a good second in one piece, just when the first slice has come.
"""

from __future__ import annotations

import gc
import importlib
import threading
import weakref
from typing import Any

from qtpy.QtCore import QObject, QTimer

from napari_tcia._napari import view
from napari_tcia._napari.window import is_closed

_MODULES = (
    # The package, never a module of it: two threads that begin at two ends of what
    # imports each other both fail.
    "scipy.spatial",
    "scipy.ndimage",
    "scipy.optimize",
    "skimage.measure",
    "pydicom.filereader",
    "pydicom.pixels.decoders.base",
)
_CHARACTERS = "RLAPSI 0123456789kzimage,()-.WLmx:yTHECNDopdtnlusrfv"
_AT_ONCE = 4
_PAUSE_MS = 60
_loader: list[threading.Thread] = []
_spared: list[bool] = []


def warm(viewer: Any, parent: QObject) -> None:
    """Load modules beside the window, and draw, unseen, a little at a time.

    Parameters
    ----------
    viewer : napari.Viewer
        Nothing is seen of it, and nothing stays.
    parent : QObject
        With it goes the timer.
    """
    _loader.append(
        threading.Thread(target=_load, name="napari-tcia warming up", daemon=True)
    )
    _loader[-1].start()
    found = weakref.ref(viewer)
    characters = "".join(dict.fromkeys(_CHARACTERS))
    steps = [(name, "R") for name in view.OVERLAYS]
    steps += [
        (view.POSITION, characters[n : n + _AT_ONCE])
        for n in range(0, len(characters), _AT_ONCE)
    ]
    scale_bar = viewer.canvas.overlays.scale_bar
    if not scale_bar.visible:
        scale_bar.opacity, scale_bar.visible = 0.0, True
    timer = QTimer(parent)
    timer.setInterval(_PAUSE_MS)

    def draw() -> None:
        shown = found()
        if shown is None or is_closed(shown):
            timer.stop()
        elif steps and not shown.layers:
            view.draw_unseen(shown, *steps.pop(0))
        else:
            timer.stop()
            view.hide_unseen(shown)
            _spare_collector(shown)

    timer.timeout.connect(draw)
    timer.start()


def _spare_collector(viewer: Any) -> None:
    """Let the collector pass over what was loaded: 0.2 s, in the middle of a drawing.

    Once, and before there are layers: what is passed over is never looked at again.
    """
    if not _spared and not viewer.layers:
        _spared.append(True)
        gc.freeze()


def ready() -> None:
    """Wait until the modules are loaded: napari begins at another end of them."""
    while _loader:
        _loader.pop().join()


def _load() -> None:
    for name in _MODULES:
        importlib.import_module(name)
