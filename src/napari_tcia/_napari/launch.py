"""A window with everything in its place, for the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import QEventLoop, QTimer

from napari_tcia._napari.session import session_for
from napari_tcia._napari.widgets import BrowserDock, open_docks
from napari_tcia.app.services import Services

SIZE = (1280, 800)


def build(services: Services) -> tuple[Any, BrowserDock]:
    """A viewer whose session uses `services`, with browser and nodes docked."""
    viewer = napari.Viewer(title="napari-tcia")
    session_for(viewer).services = services
    browser = open_docks(viewer)
    viewer.window.resize(*SIZE)
    return viewer, browser


def run(services: Services, target: str | Path | None = None) -> None:
    """Show a window and return when it is closed.

    Parameters
    ----------
    target : str or Path, optional
        What to open: a folder or file of the user, or what the browser
        understands; terms are asked for where they are not accepted.
    """
    viewer, browser = build(services)
    start(viewer, browser, target)
    napari.run()


def start(viewer: Any, browser: BrowserDock, target: str | Path | None) -> None:
    """Begin opening `target` in a window of `build`."""
    if isinstance(target, Path) and target.suffix not in (".tcia", ".s5cmd", ".csv"):
        session_for(viewer).open(target)
    elif target:
        browser.search(str(target), then_open=True)


def wait(condition: Any, seconds: float = 60.0) -> bool:
    """Run the event loop until `condition()` holds; False when it never did."""
    loop = QEventLoop()
    tick, limit = QTimer(), QTimer()
    tick.setInterval(20)
    tick.timeout.connect(lambda: condition() and loop.quit())
    limit.setSingleShot(True)
    limit.timeout.connect(loop.quit)
    tick.start()
    limit.start(round(1000 * seconds))
    if not condition():
        loop.exec()
    return bool(condition())


def screenshot(viewer: Any, path: Path) -> Path:
    """Write the picture of the whole window as PNG, once it has settled."""
    from PIL import Image

    session = session_for(viewer)
    wait(lambda: not session.adding)
    for _ in range(3):  # docks are laid out and painted over several turns
        wait(lambda: False, 0.15)
    picture = viewer.window.screenshot(flash=False, canvas_only=False)
    Image.fromarray(picture).save(path)
    return path
