"""A series is looked at while it is fetched, in a real window."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from qtpy.QtCore import QThreadPool, QTimer

from napari_tcia._napari.launch import build
from napari_tcia._napari.layers import FILLING, metadata_of
from napari_tcia._napari.session import session_for
from napari_tcia.app import agree
from napari_tcia.app.decoded import settle
from napari_tcia.app.search import search
from napari_tcia.core.model import SearchQuery

SLOW = 400_000
"""Bytes per second: the small CT takes some seconds."""


@pytest.fixture
def window(make_napari_viewer, qtbot, services, archive, monkeypatch):
    """A window with the terms accepted and a CT selected in the browser."""
    made = make_napari_viewer(show=True)
    monkeypatch.setattr("napari.Viewer", lambda **_: made)
    found = search(services, SearchQuery(patient="MED_LYMPH_021"))
    agree.accept(services, agree.terms(services, found.items), "Ada")
    viewer, browser = build(services)
    browser.search("MED_LYMPH_021")
    qtbot.waitUntil(lambda: bool(browser.tree.selected_rows()))
    yield viewer, browser, session_for(viewer)
    archive.rate = None


def _begin(window, qtbot, archive, rate=SLOW):
    viewer, browser, _ = window
    archive.rate = rate
    browser.open_selected()
    qtbot.waitUntil(lambda: len(viewer.layers) == 1)
    return viewer.layers[0]


def _end(window, qtbot, archive):
    _, _, session = window
    archive.rate = None
    qtbot.waitUntil(lambda: not session.runner.running("open") and not session.adding)


def _overlay(viewer, name="napari_tcia_position"):
    overlay = viewer.canvas.overlays[name]
    return overlay.text if overlay.visible else ""


def test_it_fills_in_place_and_becomes_the_verified_image(window, qtbot, archive):
    viewer, _, session = window
    layer = _begin(window, qtbot, archive)
    # It is marked, and nothing that measures, annotates or saves takes it.
    assert layer.name == "CT - MED_LYMPH_021 (filling)"
    assert metadata_of(layer)["role"] == FILLING
    assert session.image() is None
    assert session.ours("image") == []
    assert not viewer.canvas.overlays.scale_bar.visible
    qtbot.waitUntil(lambda: "of 56 slices here" in _overlay(viewer))
    assert "places provisional" in _overlay(viewer)
    assert "mm" not in _overlay(viewer)
    assert " mm " in layer.get_status((0, 0, 0), world=True)["coordinates"]
    # The credit is there with the first slice, and the letters.
    assert [p.series_uid for p in session.provenances()] == [
        metadata_of(layer)["series_uid"]
    ]
    assert _overlay(viewer, "napari_tcia_left") == "R"
    partly, memory = np.array(layer.data), layer.data
    _end(window, qtbot, archive)
    assert viewer.layers[0] is layer
    assert np.shares_memory(layer.data, memory)  # no second array beside it
    assert layer.name == "CT - MED_LYMPH_021"
    assert session.image() is layer
    assert [metadata_of(one)["role"] for one in viewer.layers][:2] == [
        "image",
        "reference",
    ]
    assert viewer.canvas.overlays.scale_bar.visible
    assert _overlay(viewer).startswith("k ")
    assert "coordinates" in layer.get_status((0, 0, 0), world=True)
    assert "verified" not in layer.get_status((0, 0, 0), world=True)["coordinates"]
    # What was shown of it was right, slice by slice.
    there = [k for k in range(56) if np.array_equal(partly[k], layer.data[k])]
    assert 2 <= len(there) < 56
    hatched = np.delete(partly, there, axis=0)
    assert len(np.unique(hatched)) == 2


def test_who_has_gone_on_stays_there(window, qtbot, archive):
    viewer, _, _ = window
    layer = _begin(window, qtbot, archive)
    layer.contrast_limits = (-1350, 150)
    viewer.dims.set_point(0, layer.data_to_world((5, 0, 0))[0])
    before = viewer.dims.point
    _end(window, qtbot, archive)
    assert viewer.dims.point == before
    assert tuple(layer.contrast_limits) == (-1350, 150)


def test_who_has_not_is_shown_the_largest_node(window, qtbot, archive):
    viewer, _, _ = window
    layer = _begin(window, qtbot, archive)
    _end(window, qtbot, archive)
    first = metadata_of(layer)["first_index"]
    assert viewer.dims.current_step[0] == first[0]


def test_a_slice_appears_where_it_is_waited_for(window, qtbot, archive):
    viewer, _, session = window
    layer = _begin(window, qtbot, archive)
    present = next(iter(session.filling._arriving.values())).filling.present
    k = int(np.flatnonzero(~present)[-1])
    viewer.dims.set_point(0, layer.data_to_world((k, 0, 0))[0])
    assert len(np.unique(layer._slice.image.raw)) == 2
    archive.rate = None
    qtbot.waitUntil(lambda: len(np.unique(layer._slice.image.raw)) > 50)


@pytest.mark.parametrize("how", ["cancel", "fault"])
def test_what_ends_early_is_labelled_and_can_be_had_whole(window, qtbot, archive, how):
    viewer, browser, session = window
    if how == "cancel":
        layer = _begin(window, qtbot, archive)
        browser.cancel()
    else:
        archive.fault = "cut@path=getImage,bytes=300000+error-500@path=idc/"
        layer = _begin(window, qtbot, archive, rate=None)
    qtbot.waitUntil(lambda: layer.name.endswith("(incomplete)"))
    qtbot.waitUntil(lambda: _overlay(viewer).startswith("Incomplete"))
    assert "only to look at" in _overlay(viewer)
    assert session.image() is None
    assert session.provenances()  # still to be credited
    archive.fault = None
    qtbot.waitUntil(lambda: not session.runner.running("open"))
    archive.rate = None
    browser.open_selected()
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    assert [one.name for one in viewer.layers].count("CT - MED_LYMPH_021") == 1
    assert not any("incomplete" in one.name for one in viewer.layers)


def test_the_window_closes_in_the_middle(window, qtbot, archive):
    viewer, _browser, _session = window
    with qtbot.captureExceptions() as raised:
        layer = weakref.ref(_begin(window, qtbot, archive))
        QTimer.singleShot(0, viewer.close)
        pool = QThreadPool.globalInstance()
        qtbot.waitUntil(lambda: pool.activeThreadCount() == 0)
        qtbot.wait(300)  # whatever still wants a turn
    assert raised == []
    gc.collect()
    assert layer() is None or layer() not in viewer.layers


def test_a_stored_series_is_seen_while_it_is_checked(window, qtbot, archive):
    viewer, browser, session = window
    seen = []
    viewer.layers.events.inserted.connect(
        lambda event: seen.append(metadata_of(event.value)["role"])
    )
    for _ in range(2):
        browser.open_selected()
        qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
        settle()  # the decoded copy is written
        data = session.image().data
        viewer.layers.clear()
    assert seen == [FILLING, "reference", "points", "numbers"] * 2
    assert len(np.unique(data)) > 50


def test_another_that_is_open_is_not_drawn_through_it(window, qtbot, archive, case):
    viewer, _, session = window
    session.add_cases([case])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    old = list(viewer.layers)
    archive.rate = SLOW
    window[1].open_selected()
    qtbot.waitUntil(lambda: len(viewer.layers) > len(old))
    assert not any(layer.visible for layer in old)
    assert session.image() is None  # no mm of another under the cursor
    _end(window, qtbot, archive)
    # Another patient: it stays out of sight, and says so.
    assert not any(layer.visible for layer in old)
    assert session.image().visible


def test_what_was_hidden_comes_back_with_what_ended_early_gone(
    window, qtbot, archive, case
):
    viewer, browser, session = window
    session.add_cases([case])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    seen = [layer for layer in viewer.layers if layer.visible]
    archive.rate = SLOW
    browser.open_selected()
    qtbot.waitUntil(lambda: not any(layer.visible for layer in seen))
    browser.cancel()
    qtbot.waitUntil(lambda: viewer.layers[-1].name.endswith("(incomplete)"))
    assert not any(layer.visible for layer in seen)
    viewer.layers.remove(viewer.layers[-1])
    assert all(layer.visible for layer in seen)
