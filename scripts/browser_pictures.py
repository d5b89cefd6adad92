"""Pictures of the browser, as shown in the docs.

    python scripts/browser_pictures.py [FOLDER [EVERYTHING]]

Opens the window against the embedded archive and writes ``browser.png`` and
``browser-dark.png`` to FOLDER, by default docs/images. With a second folder,
every state of the browser goes there, light and dark. Needs a screen.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # before napari is imported: nothing read or written

from napari.settings import get_settings
from PIL import Image
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_tcia._napari import launch
from napari_tcia._napari.session import session_for
from napari_tcia._napari.widgets import BrowserDock
from napari_tcia.app.services import Services
from napari_tcia.demo.server import EmbeddedArchive

NAME = "napari-tcia pictures"
CASE = "MED_LYMPH_001"


def main(folder: Path, everything: Path | None) -> None:
    """Two pictures for the docs, or all states of both themes."""
    with (
        tempfile.TemporaryDirectory(prefix="napari-tcia-pictures-") as place,
        EmbeddedArchive(cases=12, listing=1400) as archive,
    ):
        for theme, name in (("light", "browser"), ("dark", "browser-dark")):
            services = Services.open(archive.settings(Path(place) / theme))
            with _Window(services, theme) as window:
                window.browse(CASE, opened=True)
                window.browse("CT Lymph Nodes")
                window.browser.filters.toggle("modality", "CT")
                window.browser.filters.toggle("labels", "yes")
                window.shot(folder / f"{name}.png")
            if everything:
                _states(archive, Path(place) / f"{theme}-states", theme, everything)


def _states(archive: EmbeddedArchive, home: Path, theme: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    services = Services.open(archive.settings(home))
    with _Window(services, theme) as window:
        browser = window.browser

        def shot(name: str) -> None:
            window.shot(folder / f"{theme}-{name}.png")

        shot("1-start")
        window.viewer.window.activate()
        window.until(lambda: QApplication.activeWindow() is not None)
        browser.search_box.setFocus()
        QTest.keyClicks(browser.search_box, "med lymph 2")
        window.until(lambda: not browser.search_box.suggestions.isHidden())
        shot("2-suggestions")
        browser.search_box.put_away()
        window.browse("CT Lymph Nodes")
        browser.filters.toggle("modality", "CT")
        browser.filters.toggle("slices", "2–99")
        shot("3-results")
        _popup(browser.filters.menu, browser.filters.add_button)
        shot("4-filter-menu")
        browser.filters.menu.hide()
        _popup(browser.bar.menu, browser.bar.more_button)
        shot("5-bar-menu")
        browser.bar.menu.hide()
        browser.filters.clear()
        window.browse(CASE)
        browser.bar.entries["preview"].trigger()
        window.accept()
        window.until(lambda: browser.acts.preview is not None)
        shot("6-preview")
        browser.acts.preview.close()
        browser.acts.refresh()
        window.until(lambda: not browser.work.running("refresh"))
        shot("7-refreshed")
        archive.fault = "error-503"
        window.browse("CT Lymph Nodes")
        shot("8-outage")
        window.browse("MED_LYMPH_999")
        archive.fault = None
        window.browse("MED_LYMPH_999")
        shot("9-nothing")
    with EmbeddedArchive(listing=20000) as many:
        services = Services.open(many.settings(home.with_name(f"{theme}-many")))
        with _Window(services, theme) as window:
            window.browse("SYNTHETIC-Listing")
            window.shot(folder / f"{theme}-a-many.png")


def _popup(menu: object, button: object) -> None:
    menu.popup(button.mapToGlobal(QPoint(0, button.height())))


class _Window:
    def __init__(self, services: Services, theme: str) -> None:
        get_settings().appearance.theme = theme
        self.viewer, self.browser = launch.build(services)
        self.viewer.theme = theme

    def __enter__(self) -> _Window:
        self.until(lambda: False, 0.8)
        return self

    def __exit__(self, *_: object) -> None:
        session_for(self.viewer).runner.cancel_all()
        self.viewer.close()
        self.until(lambda: False, 0.3)

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        launch.wait(condition, seconds)

    def browse(self, text: str, *, opened: bool = False) -> None:
        browser: BrowserDock = self.browser
        browser.search(text, then_open=opened)
        self.until(lambda: not browser.work.running("search"))
        if opened:
            self.accept()
            session = session_for(self.viewer)
            self.until(lambda: bool(session.ours("image")) and not session.adding)

    def accept(self) -> None:
        browser = self.browser
        self.until(lambda: browser.dialog is not None)
        dialog = browser.dialog
        dialog.licence_box.setChecked(True)
        dialog.policy_box.setChecked(True)
        dialog.name_edit.setText(NAME)
        dialog.accept_button.click()

    def shot(self, path: Path) -> None:
        """The window with what hangs over it, as the screen shows it."""
        self.until(lambda: False, 0.6)
        window = self.viewer.window._qt_window
        picture = QApplication.primaryScreen().grabWindow(0)
        frame = window.frameGeometry()
        if QApplication.activePopupWidget() is not None:
            frame.setWidth(frame.width() + 200)  # menus may stand out
        picture.copy(frame).save(str(path))
        with Image.open(path) as image:
            image.convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(
                path, optimize=True
            )
        print(path)


if __name__ == "__main__":
    places = [Path(one) for one in sys.argv[1:]]
    default = Path(__file__).parents[1] / "docs" / "images"
    main(places[0] if places else default, places[1] if places[1:] else None)
