"""Three linked planes, by another plugin where it is installed."""

from __future__ import annotations

import pytest

from napari_tcia._napari import linked


def _letters(model):
    shown = model.canvas.overlays
    return "".join(
        shown[f"napari_tcia_{edge}"].text for edge in ("left", "right", "top", "bottom")
    )


def test_the_other_two_stand_upright(window, qtbot):
    plugin = pytest.importorskip(
        "napari_orthogonal_views.ortho_view_manager",
        reason="the extra views is not installed",
    )
    viewer, session = window
    linked.toggle(session)
    manager = plugin._VIEWER_MANAGERS[viewer]
    qtbot.waitUntil(manager.is_shown)
    models = [
        widget.vm_container.viewer_model
        for widget in (manager.right_widget, manager.bottom_widget)
    ]
    qtbot.waitUntil(lambda: "napari_tcia_left" in models[1].canvas.overlays)
    assert [_letters(model) for model in models] == ["APSI", "RLSI"]
    assert [tuple(model.dims.order) for model in models] == [(2, 0, 1), (1, 0, 2)]
    # They follow the one in the middle.
    viewer.dims.set_current_step(0, 7)
    qtbot.waitUntil(lambda: all(m.dims.current_step[0] == 7 for m in models))
    linked.toggle(session)
    qtbot.waitUntil(lambda: not manager.is_shown())


def test_without_the_plugin_it_says_how_to_get_it(window, monkeypatch):
    _, session = window
    said = []
    monkeypatch.setattr(linked, "find_spec", lambda name: None)
    monkeypatch.setattr(
        "napari_tcia._napari.session.show_warning", lambda text: said.append(text)
    )
    linked.toggle(session)
    assert said == [f"Three linked planes need an extra. Install it: {linked.INSTALL}"]
