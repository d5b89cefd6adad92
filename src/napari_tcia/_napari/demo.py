"""The demonstration: the embedded archive and a window, all over HTTP."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import napari

from napari_tcia._napari import launch
from napari_tcia._napari.session import session_for
from napari_tcia._napari.widgets import BrowserDock
from napari_tcia._qt.browser import START
from napari_tcia.app.decoded import settle
from napari_tcia.app.services import Services
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import NothingFound, TciaError

NAME = "napari-tcia demo"
"""Who accepts the terms of the synthetic data when nobody is at the screen."""


def run(screenshot: Path | None = None, case: str = "") -> None:
    """Search, terms, CT, nodes and citation panel, with a throw-away home.

    Parameters
    ----------
    screenshot : Path, optional
        Do it without a user, write the window's picture, print the archive's
        request log to stdout and return.
    case : str
        Patient ID to look for instead of the whole collection.

    Raises
    ------
    TciaError
        A step of the demonstration failed; the sentence is the browser's.
    """
    with (
        tempfile.TemporaryDirectory(prefix="napari-tcia-demo-") as folder,
        contextlib.ExitStack() as kept,
        EmbeddedArchive() as archive,
    ):
        kept.callback(settle)  # nobody writes there once the folder is removed
        services = Services.open(archive.settings(Path(folder) / "home"))
        viewer, browser = launch.build(services)
        browser.search(case or START)
        if screenshot is None:
            napari.run()
            return
        try:
            _without_a_user(viewer, browser)
            launch.screenshot(viewer, screenshot)
        finally:
            viewer.close()
        for record in archive.log:
            sys.stdout.write(
                f"{record.time} {record.method} {record.path} {record.status}\n"
            )
        sys.stderr.write(f"The window's picture: {screenshot.resolve()}\n")


def _without_a_user(viewer: Any, browser: BrowserDock) -> None:
    session = session_for(viewer)
    _finish(browser, lambda: not session.runner.running("search"))
    if not browser.tree.selected_rows():
        raise NothingFound(browser.empty.text(), "Leave --case out to see all cases.")
    browser.open_selected()
    _finish(browser, lambda: browser.dialog is not None)
    dialog = browser.dialog
    if dialog is not None:
        dialog.licence_box.setChecked(True)
        dialog.policy_box.setChecked(True)
        dialog.name_edit.setText(NAME)
        dialog.accept_button.click()
    _finish(browser, lambda: bool(session.ours("image")) and not session.adding)


def _finish(browser: BrowserDock, condition: Any) -> None:
    failed = browser.retry_button
    launch.wait(lambda: condition() or not failed.isHidden(), 120)
    if not condition():
        raise TciaError(browser.problem.text() or "The demonstration took too long.")
