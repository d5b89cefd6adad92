"""Three linked planes, by the plugin napari-orthogonal-views where it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

INSTALL = 'pip install "napari-tcia[views]"'


def toggle(session: Session) -> None:
    """Show three planes that follow one another, or the one again."""
    viewer = session.viewer
    if find_spec("napari_orthogonal_views") is None:
        session.tell([f"Three linked planes need an extra. Install it: {INSTALL}"])
        return
    from napari_orthogonal_views.ortho_view_manager import toggle_orthogonal_views

    toggle_orthogonal_views(viewer)
