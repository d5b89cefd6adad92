"""What lies under the cursor: slice, place in the patient, value with its unit."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.layers import Layer

from napari_tcia._napari import view
from napari_tcia._napari.layers import metadata_of
from napari_tcia.core.geometry import image_number, index_to_patient

_NARROW = 480
"""Canvas pixels in which two corners of words do not fit beside each other."""


def describe(layer: Layer, world: Sequence[float], depth: int) -> str:
    """The voxel of an image of ours at a place of the world, in words.

    "k 366 (image 367)   47 HU", below it "x 12.3  y -40.1  z -366.6 mm LPS".

    Parameters
    ----------
    layer : Layer
        An image with our metadata.
    world : sequence of 3 float
    depth : int
        The axis that is sliced: there the place is that of the slice that shows.

    Returns
    -------
    str
        Empty outside the volume.
    """
    ours = metadata_of(layer) or {}
    index = np.asarray(layer.world_to_data(world), dtype=np.float64)
    voxel = tuple(int(n) for n in np.round(index))  # as napari rounds
    if any(not 0 <= n < size for n, size in zip(voxel, layer.data.shape, strict=True)):
        return ""
    index[depth] = voxel[depth]
    # By the volume's own affine: a sheared one is drawn upright.
    affine = np.asarray(ours["affine"], dtype=np.float64)
    x, y, z = np.round(index_to_patient(affine, index)[0], 1) + 0.0  # no "-0.0"
    k = voxel[0]
    return (
        f"k {k} (image {image_number(k)})   {_value(layer, voxel, ours)}\n"
        f"x {x:.1f}  y {y:.1f}  z {z:.1f} mm LPS"
    )


def _value(layer: Any, voxel: tuple[int, ...], ours: Any) -> str:
    if voxel[0] in ours["missing"]:
        return "slice missing"
    value = layer.data[voxel].item()
    padding = ours.get("padding")
    if padding and padding[0] <= value <= padding[1]:
        return "padding"
    number = f"{value}" if isinstance(value, int) else f"{value:.6g}"
    return f"{number} {ours['quantity']}"


def follow(viewer: Any, looked_at: Callable[[], Layer | None]) -> Callable[[], None]:
    """Keep the words of what is under the cursor on the canvas of `viewer`.

    Parameters
    ----------
    viewer : Viewer
    looked_at : callable
        Gives the image whose values are read.

    Returns
    -------
    callable
        Says it anew, after another slice or image has come below a cursor that rests.
    """
    held = weakref.ref(viewer)  # the viewer keeps this, so this must not keep it
    pointed: list[float] = []  # in the world; empty where that is not known

    def say() -> None:
        shown = held()
        if shown is None:
            return
        dims, layer, text = shown.dims, looked_at(), ""
        flat = dims.ndim == 3 and dims.ndisplay == 2
        if len(pointed) == 3 and flat and layer is not None and layer.visible:
            place = list(pointed)
            (depth,) = dims.not_displayed
            # The wheel moves the slice below a cursor that rests.
            place[depth] = dims.point[depth]
            text = describe(layer, place, depth)
        _, width = shown.canvas.size
        corner = "top_right" if width > _NARROW else "top_left"  # below what is there
        view.set_text(shown, view.READ_OUT, text, corner)

    def moved(_: Any, event: Any) -> None:
        pointed[:] = event.position
        say()

    def forget(*_: Any) -> None:
        if pointed:
            pointed.clear()
            say()

    def left(*_: Any) -> None:
        shown = held()
        if shown is not None and not shown.mouse_over_canvas:
            forget()

    viewer.mouse_move_callbacks.append(moved)
    viewer.events.mouse_over_canvas.connect(left)
    # Another place comes below a cursor that rests, and napari tells it only once
    # the cursor moves.
    dims, camera = viewer.dims.events, viewer.scene.camera.events
    for event in (dims.order, dims.ndisplay, camera.center, camera.zoom):
        event.connect(forget)
    return say
