"""What Qt knows of a viewer's window: its docks, and whether it is still there."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QCoreApplication, QThread
from qtpy.QtWidgets import QDockWidget


def dock_of(panel: Any) -> Any:
    """Dock that holds `panel`, None when it is docked nowhere."""
    try:
        parent = panel.parentWidget() if panel is not None else None
    except RuntimeError:  # deleted with its window
        return None
    return parent if isinstance(parent, QDockWidget) else None


def is_tabbed(dock: Any) -> bool:
    """Whether `dock` shares its place with others, as tabs."""
    window = dock.parentWidget()
    return bool(window is not None and window.tabifiedDockWidgets(dock))


def is_closed(viewer: Any) -> bool:
    """Whether the window of `viewer` is gone; a bare model has none to lose."""
    if not hasattr(viewer, "window"):
        return False
    try:
        viewer.window.geometry()
    except (AttributeError, RuntimeError):  # napari drops it when it closes
        return True
    return False


def in_event_loop() -> bool:
    """Whether a Qt event loop runs in this thread: a window is being used."""
    if QCoreApplication.instance() is None:
        return False
    return QThread.currentThread().loopLevel() > 0
