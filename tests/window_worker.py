"""A window with a case and a working copy, until it is killed.

Run as ``python window_worker.py FOLDER HOME``: opens the case in FOLDER, starts an
annotation and says, a few times a second, how many voxels are painted.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QPoint, QTimer

from napari_tcia._napari.session import session_for
from napari_tcia._napari.widgets import NodesDock, ReviewDock
from napari_tcia.app.case import open_case
from napari_tcia.app.services import Services
from napari_tcia.core.settings import Settings


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(folder: str, home: str) -> None:
    viewer = napari.Viewer()
    session = session_for(viewer)
    session.services = Services.open(Settings(home=Path(home)))
    for dock, name in ((NodesDock(viewer), "Nodes"), (ReviewDock(viewer), "Review")):
        viewer.window.add_dock_widget(dock, name=name, area="right")
    viewer.window._qt_window.move(0, 0)
    session.add_cases(open_case(session.services, Path(folder)))
    state = {"begun": False}

    def look() -> None:
        if session.image() is None or session.adding or not session.chosen_node:
            return
        if not state["begun"]:
            work = session.review.annotate()
            assert work is not None
            value = work.new_node()
            work.use("disc")
            canvas = viewer.window._qt_viewer.canvas.native
            corner = canvas.mapToGlobal(QPoint(0, 0))
            state["begun"] = True
            say(
                canvas=[corner.x(), corner.y(), canvas.width(), canvas.height()],
                value=value,
            )
        work = session.review.annotation
        painted = int((np.asarray(work.layer.data) == work.value).sum())
        say(time=time.time(), painted=painted)

    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(250)
    napari.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
