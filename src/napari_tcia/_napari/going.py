"""Go to a slice, a patient position or a node that was typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_tcia._napari import layers as case_layers
from napari_tcia._napari import walking
from napari_tcia._qt.ask_line import AskLine
from napari_tcia.app.places import EXAMPLES, Place, parse_place
from napari_tcia.core.geometry import display_transform, index_to_patient

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session


def ask(session: Session) -> None:
    """Show a box for a place, over the canvas."""
    viewer = session.viewer
    if viewer is None or session.image() is None:
        session.tell(["Open a volume first, and wait until it is verified."])
        return
    session.show_box(
        AskLine("Go to", EXAMPLES, lambda text: go(session, text), session.window())
    )


def go(session: Session, text: str) -> str:
    """Go there.

    Returns
    -------
    str
        Why not, as a sentence; empty when it is shown.
    """
    image, viewer, world = session.image(), session.viewer, session.world()
    place = parse_place(text)
    if place is None:
        return f"“{text[:40]}” is no place: write {EXAMPLES}."
    if image is None or viewer is None or world is None:
        return "The volume is gone."
    ours = case_layers.metadata_of(image) or {}
    if place.kind == "node":
        rows = [r for r in case_layers.node_rows(ours) if r.id == place.number]
        if not rows:
            count = len(case_layers.node_rows(ours))
            return f"There is no node {place.number:g}: this case has {count}."
        walking.choose(session, rows[0])
        return ""
    if place.kind in ("k", "image"):
        return _to_slice(session, place)
    own = np.asarray(ours["affine"], dtype=np.float64)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in image.data.shape])).T
    patient = index_to_patient(own, corners.reshape(-1, 3))
    axis = "xyz".index(place.kind)
    low, high = patient[:, axis].min(), patient[:, axis].max()
    if not low - 0.5 <= place.number <= high + 0.5:
        return (
            f"{place.kind} {place.number:g} mm lies outside: the volume reaches from "
            f"{low:.1f} to {high:.1f} mm."
        )
    scale, translate = (np.array(v) for v in display_transform(world))
    there = index_to_patient(world, (np.array(viewer.dims.point) - translate) / scale)
    there[0, axis] = place.number
    back = np.linalg.inv(world) @ np.append(there[0], 1.0)
    viewer.dims.set_point(range(3), tuple(back[:3] * scale + translate))
    return ""


def _to_slice(session: Session, place: Place) -> str:
    image, viewer = session.image(), session.viewer
    assert image is not None
    k = int(place.number) - (place.kind == "image")
    last = image.data.shape[0] - 1
    if not 0 <= k <= last:
        return (
            f"There is no {place.kind} {place.number:g}: k goes from 0 to {last}, "
            f"images from 1 to {last + 1}."
        )
    here = np.array(image.world_to_data(viewer.dims.point))
    here[0] = k
    viewer.dims.set_point(range(3), tuple(image.data_to_world(here)))
    return ""
