"""What the first picture needs, made ready while nobody waits.

napari and scipy load modules, and the canvas draws each character, at their first
use: a good second in one piece, just when the first slice has come.
"""

from __future__ import annotations

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
_NAME = f"{view.PREFIX}_characters"


def warm(viewer: Any, parent: QObject) -> None:
    """Load modules beside the window, and draw characters, unseen, a few at a time.

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
    characters = list(dict.fromkeys(_CHARACTERS))
    timer = QTimer(parent)
    timer.setInterval(_PAUSE_MS)

    def draw() -> None:
        shown = found()
        if shown is None or is_closed(shown) or not characters or shown.layers:
            timer.stop()
            if shown is not None and not is_closed(shown):
                shown.canvas.overlays.pop(_NAME, None)
            return
        text = "".join(characters[:_AT_ONCE])
        del characters[:_AT_ONCE]
        view.set_text(shown, _NAME, text, "top_left", opacity=0.0)

    timer.timeout.connect(draw)
    timer.start()


def ready() -> None:
    """Wait until the modules are loaded: napari begins at another end of them."""
    while _loader:
        _loader.pop().join()


def _load() -> None:
    for name in _MODULES:
        importlib.import_module(name)
