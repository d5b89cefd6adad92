"""The canvas as a figure: what was shown, and whom to credit for it."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.viewer import Viewer
from PIL import Image
from qtpy.QtWidgets import QFileDialog

from napari_tcia._napari.figure import ask_and_save, save_figure
from napari_tcia._napari.layers import add_case
from napari_tcia._napari.session import session_for
from napari_tcia.errors import NothingFound


@pytest.fixture
def viewer(make_napari_viewer, case):
    viewer = make_napari_viewer(show=True)
    session_for(viewer)
    add_case(viewer, case)
    return viewer


def test_the_view_is_saved_with_its_caption(viewer, case, tmp_path, qtbot):
    canvas = viewer.screenshot(canvas_only=True, flash=False)
    path, bib, text = save_figure(viewer, tmp_path / "view.png")
    with Image.open(path) as image:
        found, words = np.asarray(image), image.text
    rows, columns = canvas.shape[:2]
    left = (found.shape[1] - columns) // 2
    same = found[:rows, left : left + columns] == canvas[..., :3]
    assert same.all(axis=2).mean() > 0.99
    assert len(np.unique(canvas[..., 0])) > 10  # the CT was drawn
    caption = text.read_text(encoding="utf-8")
    assert "SYNTHETIC" in caption
    assert case.volume.provenance.series_uid in caption
    assert "(image " in caption
    assert "W 350 L 50 HU" in caption
    assert "Nodes (reference)" in caption
    assert caption.startswith(words["Description"])
    assert "napari-tcia-synthetic-phantom" in bib.read_text(encoding="utf-8")


def test_the_caption_follows_the_view(viewer, tmp_path):
    viewer.dims.order = (1, 0, 2)
    viewer.layers["Nodes (reference)"].visible = False
    *_, text = save_figure(viewer, tmp_path / "view.png")
    caption = text.read_text(encoding="utf-8")
    assert "View: y " in caption
    assert "Nodes (reference)" not in caption


def test_the_command_asks_for_a_name(viewer, tmp_path, monkeypatch):
    answers = iter([("", ""), (str(tmp_path / "mine"), "")])
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: next(answers))
    ask_and_save(viewer)
    assert list(tmp_path.iterdir()) == []
    ask_and_save(viewer)
    assert {p.name for p in tmp_path.iterdir()} == {"mine.png", "mine.bib", "mine.txt"}


def test_the_command_gets_its_viewer(viewer, tmp_path, monkeypatch):
    from app_model.types import CommandRule  # noqa: F401  napari's own dependency
    from napari._app_model import get_app_model

    name = str(tmp_path / "palette.png")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (name, ""))
    app = get_app_model()
    with app.injection_store.register(providers={Viewer: lambda: viewer}):
        app.commands.execute_command("napari-tcia.save_figure").result()
    assert (tmp_path / "palette.png").is_file()


def test_without_data_there_is_nothing_to_credit(tmp_path):
    with pytest.raises(NothingFound, match="No TCIA data"):
        save_figure(ViewerModel(), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
