"""Window and level: presets, and by dragging on a button that does not paint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from napari_tcia._napari import layers as case_layers
from napari_tcia.app.windows import PRESETS, Window

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

_RIGHT, _MIDDLE = 2, 3
_IDLE = ("pan_zoom", "transform", "pick")
"""Modes in which no layer answers to the right button, or draws."""
_ACROSS = 250.0
"""Canvas pixels of a drag that change the window by its own width."""
_SLACK = 3
"""Canvas pixels within which a press is no drag."""


def choose(session: Session, name: str) -> None:
    """Set a preset of `app.windows.PRESETS`; ``""`` is what the volume began with."""
    layer = shown(session)
    if layer is None:
        return
    ours = case_layers.metadata_of(layer) or {}
    if not name:
        if window := ours.get("window"):
            _set(layer, *window)
        return
    if ours.get("quantity") != "HU":
        session.tell(["The values of this volume are no HU: presets do not fit them."])
        return
    _set(layer, *PRESETS[name])


def shown(session: Session) -> Any:
    """The image whose window is to be changed: of ours, or filling; None for none."""
    viewer = session.viewer
    if viewer is None:
        return None
    active = viewer.layers.selection.active
    return active if session.filling.world(active) is not None else session.image()


def drag(session: Session, viewer: Any, event: Any) -> Iterator[None]:
    """Change the window while the right or the middle button is held.

    To the right is wider, up is a higher level. Where the right button belongs to
    the tool of a layer, only the middle one does; and while that is held nothing is
    painted.
    """
    layer = shown(session)
    active = viewer.layers.selection.active
    tool = "" if active is None else str(active.mode)
    idle = active is None or tool in _IDLE
    if (
        layer is None
        or viewer.dims.ndisplay != 2
        or event.modifiers
        or event.button not in (_RIGHT, _MIDDLE)
        or (event.button == _RIGHT and not idle)
        or getattr(active, "_is_creating", False)  # a shape that is half drawn
    ):
        return
    if not idle:
        active.mode = "pan_zoom"
    low, high = layer.contrast_limits
    x, y = event.pos
    begun = False
    try:
        yield
        while event.type == "mouse_move":
            across, up = event.pos[0] - x, y - event.pos[1]
            begun = begun or max(abs(across), abs(up)) > _SLACK
            if begun:
                event.handled = True
                share = (high - low) / _ACROSS
                width = max((high - low) + across * share, abs(high - low) / 100)
                _set(layer, (low + high) / 2 + up * share, width)
            yield
    finally:  # also where the release got lost
        if not idle:
            active.mode = tool


def _set(layer: Any, level: float, width: float) -> None:
    limits = (level - width / 2, level + width / 2)
    low, high = layer.contrast_limits_range
    if limits[0] < low or limits[1] > high:
        layer.contrast_limits_range = min(low, limits[0]), max(high, limits[1])
    layer.contrast_limits = limits


def words(low: float, high: float, quantity: str) -> str:
    """Width and level, with the name of the preset that they are."""
    window: Window = (round((low + high) / 2), round(high - low))
    name = {preset: name for name, preset in PRESETS.items()}.get(window, "")
    text = f"W {high - low:.0f}  L {(high + low) / 2:.0f}"
    return f"{text}  {name}" if name and quantity == "HU" else text
