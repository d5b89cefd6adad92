"""Pictures of the Review tab, as shown in the docs.

    python scripts/review_pictures.py [FOLDER [EVERYTHING]]

Opens the window against the embedded archive and writes ``review.png`` and
``review-dark.png`` to FOLDER, by default docs/images. With a second folder, the
other states of the tab go there. Needs a screen.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # before napari is imported: nothing read or written

from napari.settings import get_settings
from qtpy.QtWidgets import QApplication

from napari_tcia._napari import launch, walking
from napari_tcia._napari.session import session_for
from napari_tcia._napari.widgets import ReviewDock
from napari_tcia._napari.window import dock_of
from napari_tcia.app import agree
from napari_tcia.app.search import search
from napari_tcia.app.services import Services
from napari_tcia.core.model import SearchQuery
from napari_tcia.demo.server import EmbeddedArchive

CASE = "MED_LYMPH_001"
NODE = 4


def main(folder: Path, everything: Path | None) -> None:
    """Two pictures for the docs, or all states as well."""
    with (
        tempfile.TemporaryDirectory(prefix="napari-tcia-pictures-") as place,
        EmbeddedArchive(cases=4) as archive,
    ):
        for theme, name in (("light", "review"), ("dark", "review-dark")):
            services = Services.open(archive.settings(Path(place) / theme))
            _pictures(services, theme, folder / f"{name}.png", everything)


def _pictures(
    services: Services, theme: str, path: Path, everything: Path | None
) -> None:
    get_settings().appearance.theme = theme
    listed = search(services, SearchQuery(collection="CT Lymph Nodes"))
    agree.accept(services, agree.terms(services, listed.items), "Ada")
    viewer, browser = launch.build(services)
    window = viewer.window._qt_window
    window.resize(1280, 800)
    session = session_for(viewer)
    (panel,) = window.findChildren(ReviewDock)
    launch.wait(lambda: False, 0.5)  # the browser is raised at the start
    dock_of(panel).raise_()

    def shot(name: str) -> None:
        launch.wait(lambda: False, 0.8)
        if everything:
            everything.mkdir(parents=True, exist_ok=True)
            launch.screenshot(viewer, everything / f"{name}-{theme}.png")

    shot("empty")
    browser.search(CASE, then_open=True)
    launch.wait(lambda: session.image() is not None and not session.adding, 60)
    review = session.review
    launch.wait(lambda: session.chosen_node > 0, 10)
    for decision in ("accept", "reject", "accept"):
        review.decide(decision)
    shot("decided")
    walking.choose(session, next(r for r in review.rows() if r.id == NODE))
    work = review.annotate()
    work.act("delete")
    work.use("grow")
    panel.tools.show_mode("grow")
    row = review.row()
    work._click(tuple(float(n) for n in row.index))
    launch.wait(lambda: False, 1.2)
    launch.screenshot(viewer, path)
    work.keep()
    shot("kept")
    review.show_others()
    shot("beside")
    review.show_others()
    review.leave("done")
    shot("left")
    viewer.layers.clear()
    session.blind = True
    browser.search("MED_LYMPH_021", then_open=True)
    launch.wait(lambda: session.image() is not None and not session.adding, 60)
    shot("blind")
    review.finish()
    viewer.close()
    QApplication.processEvents()


if __name__ == "__main__":
    given = [Path(one) for one in sys.argv[1:]]
    target = given[0] if given else Path(__file__).parents[1] / "docs/images"
    main(target, given[1] if len(given) > 1 else None)
    os._exit(0)
