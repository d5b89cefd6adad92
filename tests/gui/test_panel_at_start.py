"""Ways to have the citation panel before any data is open."""

from qtpy.QtCore import Qt

from napari_tcia._napari import launch
from napari_tcia._napari.session import session_for
from napari_tcia._napari.window import dock_of
from napari_tcia._qt.citation_panel import ALWAYS


def _is_below(viewer, qtbot):
    """Whether the panel is seen, in the place below the canvas."""
    panel = session_for(viewer).citations.panel
    qtbot.waitUntil(lambda: dock_of(panel) is not None and panel.isVisible())
    window = dock_of(panel).window()

    def below():
        area = window.dockWidgetArea(dock_of(panel))
        return area == Qt.DockWidgetArea.BottomDockWidgetArea

    qtbot.waitUntil(below)
    return not panel.visibleRegion().isEmpty()


def test_the_launcher_shows_it(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    launch.open_docks(viewer)
    assert _is_below(viewer, qtbot)


def test_napari_with_the_plugin_shows_it(make_napari_viewer, qtbot):
    # What `napari -w napari-tcia Citations Browser` does.
    viewer = make_napari_viewer(show=True)
    for name in ("Citations", "Browser"):
        viewer.window.add_plugin_dock_widget("napari-tcia", name, tabify=True)
    assert _is_below(viewer, qtbot)


def test_the_startup_script_shows_it(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    lines = [line.strip() for line in ALWAYS.splitlines() if line.startswith("    ")]
    code = "\n".join(line for line in lines if line.startswith(("import", "viewer")))
    exec(code, {})
    panel = session_for(viewer).citations.panel
    qtbot.waitUntil(lambda: not panel.visibleRegion().isEmpty())
