"""Three linked planes, by the plugin napari-orthogonal-views where it is installed.

It shows the other two planes as napari's axes run; here they are turned as the main
one is: head up, the patient's right on the left, with letters.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_tcia._napari import planes, view

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

INSTALL = 'pip install "napari-tcia[views]"'
_SETTLED_MS = 300
"""After which the canvases have their sizes."""


def toggle(session: Session) -> None:
    """Show three planes that follow one another, or the one again."""
    viewer = session.viewer
    if find_spec("napari_orthogonal_views") is None:
        session.tell([f"Three linked planes need an extra. Install it: {INSTALL}"])
        return
    from napari_orthogonal_views import ortho_view_manager

    ortho_view_manager.toggle_orthogonal_views(viewer)
    QTimer.singleShot(_SETTLED_MS, lambda: _turn(session, ortho_view_manager))


def _turn(session: Session, plugin: Any) -> None:
    """Have the planes beside the main one stand upright."""
    viewer, world = session.viewer, session.world()
    manager = plugin._VIEWER_MANAGERS.get(viewer) if viewer is not None else None
    if manager is None or world is None or not manager.is_shown():
        return
    others = [name for name in planes.PLANES if name != planes.current(viewer, world)]
    beside = (manager.right_widget, manager.bottom_widget)
    # The sagittal one fits beside, the coronal one below an axial.
    for widget, plane in zip(beside, reversed(others), strict=True):
        model = widget.vm_container.viewer_model
        model.dims.order = planes.order_of(world, plane)
        view.orient(model, world)
        model.fit_to_view()
