"""How a volume is looked at: radiological orientation, letters, position, scale.

Only the camera is turned; the data never is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components.overlays import TextOverlay

from napari_tcia.core.geometry import (
    Affine,
    axis_letters,
    direction_letters,
    image_number,
    index_to_patient,
    main_axes,
    patient_to_index,
)

PREFIX = "napari_tcia"
"""Prefix of every overlay that is ours."""
CREDIT = PREFIX
POSITION = f"{PREFIX}_position"
READ_OUT = f"{PREFIX}_readout"
_EDGES = {
    f"{PREFIX}_left": "middle_left",
    f"{PREFIX}_right": "middle_right",
    f"{PREFIX}_top": "top_center",
    f"{PREFIX}_bottom": "bottom_center",
}
OVERLAYS = {
    CREDIT: ("bottom_left", 7),
    POSITION: ("top_left", 8),
    READ_OUT: ("top_right", 8),
    **{name: (place, 11) for name, place in _EDGES.items()},
}
"""Where each of our canvas overlays stands, and its font size."""
POINT_DEPTH_MM = 40.0
"""How far from the slice a point is still looked for; its size decides.

The largest published node measures 56 mm."""


def orientation(
    affine: Affine, displayed: Sequence[int]
) -> tuple[tuple[str, str, str], dict[str, str]]:
    """Camera orientation and edge letters that show a world as radiologists do.

    Axial: the patient's right on the left, anterior on top. Coronal and
    sagittal: head on top. Depth keeps the picture unmirrored in 3D.

    Parameters
    ----------
    affine : (4, 4) float64
        Of the volume that set the world: its columns are the world's axes.
    displayed : sequence of int
        The world axes shown, ``dims.displayed``: 2 or 3 of 0, 1, 2.

    Returns
    -------
    orientation : (depth, vertical, horizontal)
        For ``camera.orientation``.
    letters : dict
        Letters per ``left``, ``right``, ``top``, ``bottom``; more than one where the
        volume lies across the patient.
    """
    vertical, horizontal = displayed[-2], displayed[-1]
    (depth,) = {0, 1, 2} - {vertical, horizontal}
    letters = axis_letters(affine)
    up = letters[vertical][1] in "SAR"
    right = letters[horizontal][1] in "LPS"

    axes = affine[:3, :3].T
    to_right = axes[horizontal] if right else -axes[horizontal]
    to_top = axes[vertical] if up else -axes[vertical]
    return (
        (
            "towards" if axes[depth] @ np.cross(to_right, to_top) > 0 else "away",
            "up" if up else "down",
            "right" if right else "left",
        ),
        {
            "left": direction_letters(-to_right),
            "right": direction_letters(to_right),
            "top": direction_letters(to_top),
            "bottom": direction_letters(-to_top),
        },
    )


def orient(viewer: Any, affine: Affine | None) -> None:
    """Turn the camera and set the letters for what `viewer` displays now."""
    shown = affine is not None and viewer.dims.ndim == 3
    texts = dict.fromkeys(_EDGES, "")
    if shown:
        turned, letters = orientation(affine, viewer.dims.displayed)
        if tuple(str(o) for o in viewer.scene.camera.orientation) != turned:
            viewer.scene.camera.orientation = turned
        if viewer.dims.ndisplay == 2:
            texts = {f"{PREFIX}_{edge}": letter for edge, letter in letters.items()}
    for name, text in texts.items():
        set_text(viewer, name, text)


def describe_position(
    viewer: Any, world: Affine, own: Affine, missing: Sequence[int], slices: int
) -> str:
    """Where the slice lies, in the words of a reading room.

    "k 366 (image 367), z -366.6 mm" along the volume's own slices; the
    patient axis and mm alone on the other planes.

    Parameters
    ----------
    world : (4, 4) float64
        Affine of the volume that set the world: its columns are the world's axes.
    own : (4, 4) float64
        Affine of the volume that is looked at.
    missing : sequence of int
        Its slices that are blank because they were not there.
    slices : int
        How many it has; beyond them the place alone is said.
    """
    dims = viewer.dims
    if dims.ndim != 3 or dims.ndisplay != 2:
        return ""
    axis = dims.not_displayed[0]
    # The world is an index frame in mm: undo it to get the place in the patient.
    scale = np.linalg.norm(world[:3, :3], axis=0)
    origin = (world[:3, :3] / scale).T @ world[:3, 3]
    patient = index_to_patient(world, (np.array(dims.point) - origin) / scale)[0]
    main = main_axes(world)[axis]
    stacked = own[:3, 0] / np.linalg.norm(own[:3, 0])
    along = abs(stacked @ world[:3, axis]) > 0.999 * scale[axis]
    (index,) = patient_to_index(own, patient)
    k = int(np.round(index[0]))  # as napari rounds
    if not (along and 0 <= k < slices):
        return f"{'xyz'[main]} {patient[main]:.1f} mm"
    # The slice that shows may lie beside the point where another series has one.
    patient = index_to_patient(own, (k, *index[1:]))[0]
    place = f"k {k} (image {image_number(k)}), {'xyz'[main]} {patient[main]:.1f} mm"
    return place + (", slice missing" if k in missing else "")


def set_text(viewer: Any, name: str, text: str, position: str = "") -> None:
    """Create, change or (with an empty text) hide one of `OVERLAYS`."""
    overlays = viewer.canvas.overlays
    if name not in overlays:
        if text:
            overlays[name] = _overlay(name, text)
            set_text(viewer, name, text, position)
        return
    overlay = overlays[name]
    position = position or OVERLAYS[name][0]
    if overlay.text != text:
        overlay.text = text
    if str(overlay.position) != position:
        overlay.position = position
    if overlay.opacity == 0.0:  # drawn once, unseen, to be ready
        overlay.opacity = 1.0
    if overlay.visible != bool(text):
        overlay.visible = bool(text)


def _overlay(name: str, text: str, opacity: float = 1.0) -> TextOverlay:
    place, size = OVERLAYS[name]
    return TextOverlay(
        text=text,
        visible=True,
        position=place,
        font_size=size,
        box=True,
        opacity=opacity,
    )


def draw_unseen(viewer: Any, name: str, text: str) -> None:
    """Draw one of `OVERLAYS` so that nobody sees it: its next drawing is quick."""
    overlays = viewer.canvas.overlays
    if name not in overlays:
        overlays[name] = _overlay(name, text, opacity=0.0)
    elif overlays[name].opacity == 0.0:
        overlays[name].text = text


def hide_unseen(viewer: Any) -> None:
    """Put away what was drawn so and is not wanted yet."""
    overlays = viewer.canvas.overlays
    for one in (overlays.scale_bar, *(overlays.get(name) for name in OVERLAYS)):
        if one is not None and one.opacity == 0.0:
            one.visible, one.opacity = False, 1.0


def prepare(viewer: Any) -> None:
    """Set what a viewer needs once a volume is in it: scale bar and point depth."""
    scale_bar = viewer.canvas.overlays.scale_bar
    if scale_bar.opacity == 0.0:  # drawn once, unseen, to be ready
        scale_bar.opacity = 1.0
    scale_bar.visible = True
    if viewer.dims.ndim == 3 and not any(viewer.dims.margin_left):
        for layer in viewer.layers:
            show_own_slice(layer)
        depth = (POINT_DEPTH_MM,) * 3
        viewer.dims.margin_left = depth
        viewer.dims.margin_right = depth


def show_own_slice(layer: Any) -> None:
    """Let an image show the slice it is at, not the mean over the depth of points.

    napari's default, "mean", is the slice itself only while that depth is nil.
    """
    if str(getattr(layer, "projection_mode", "")) == "mean":
        layer.projection_mode = "none"


def jump(viewer: Any, world: Sequence[float], zoom: float = 0.0) -> None:
    """Show `world` (z, y, x in mm), in the middle of the canvas."""
    viewer.dims.set_point(range(3), tuple(world))
    camera = viewer.scene.camera
    # The camera counts the axes as they are displayed.
    camera.center = tuple(world[axis] for axis in viewer.dims.order[-3:])
    if zoom:
        camera.zoom = max(camera.zoom, zoom)
