"""The wheel as in a reading room: alone it turns slices, with Ctrl it zooms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components._viewer_mouse_bindings import dims_scroll

from napari_tcia._napari.windowing import shown
from napari_tcia.core.geometry import axis_letters

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

_ZOOM = 1.15
"""Per notch of the wheel."""
_DOWN = "IPL"
"""Where a turn of the wheel towards oneself leads: feet, back, left."""


class Wheel:
    """Takes the place of napari's own callback in a viewer; without ours it is that.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._turned = 0.0

    def __call__(self, viewer: Any, event: Any) -> None:
        """Answer one event of the wheel."""
        if viewer.dims.ndisplay != 2 or shown(self._session) is None:
            dims_scroll(viewer, event)
            return
        notches = float(event.delta[1])
        if "Control" in event.modifiers:
            zoom_at(viewer, event.position, _ZOOM**notches)
            event.handled = True
        elif not event.modifiers:
            self._turned += float(np.clip(notches, -1, 1))
            whole = int(self._turned)
            self._turned -= whole
            event.handled = True
            if whole:
                self._turn(viewer, -whole)

    def _turn(self, viewer: Any, steps: int) -> None:
        axis = viewer.dims.not_displayed[0]
        world = self._session.world()
        if world is not None and axis_letters(world)[axis][1] not in _DOWN:
            steps = -steps
        at = viewer.dims.current_step[axis] + steps
        last = viewer.dims.nsteps[axis] - 1
        viewer.dims.set_current_step(axis, int(np.clip(at, 0, last)))


def install(session: Session, viewer: Any) -> None:
    """Put a `Wheel` in the place of napari's callback, or beside others."""
    callbacks = viewer.mouse_wheel_callbacks
    wheel = Wheel(session)
    if dims_scroll in callbacks:
        callbacks[callbacks.index(dims_scroll)] = wheel
    else:
        callbacks.insert(0, wheel)


def zoom_at(viewer: Any, position: Any, factor: float) -> None:
    """Zoom, and keep the place under the cursor where it is.

    Parameters
    ----------
    position : sequence of float
        World coordinates of the cursor.
    """
    camera = viewer.scene.camera
    centre = np.array(camera.center, float)
    place = np.asarray(position, float)[list(viewer.dims.displayed)]
    centre[-2:] = place + (centre[-2:] - place) / factor
    camera.zoom *= factor
    camera.center = tuple(centre)
