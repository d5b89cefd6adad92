"""The number of each node, beside it in the picture through all of its slices.

Eight colours come round again; the number is what tells two nodes apart, and what
leads from the picture to the row of the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Layer, Points
from napari.utils.colormaps.standardize_color import transform_color
from numpy.typing import NDArray

from napari_tcia._napari import layers as case_layers
from napari_tcia._napari.window import is_closed
from napari_tcia.core.colours import colour_of
from napari_tcia.core.image import NodeRow

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

NAME = "Node numbers"
_SIZE = 10


def show(session: Session, image: Layer) -> None:
    """Put the numbers of the nodes of `image` into the picture, in place of older ones.

    What is chosen stays chosen; a layer that somebody hid stays hidden.
    """
    viewer = session.viewer
    if viewer is None or is_closed(viewer) or image not in viewer.layers:
        return
    rows = case_layers.node_rows(case_layers.metadata_of(image) or {})
    old = session.of_volume(image, session.ours(case_layers.NUMBERS))
    visible = image.visible and all(layer.visible for layer in old)
    for layer in old:
        viewer.layers.remove(layer)
    if not rows:
        return
    chosen = set(viewer.layers.selection)
    active = viewer.layers.selection.active
    layer = _layer(image, rows, visible)
    viewer.layers.append(layer)
    layer.editable = False  # napari sets it anew when a layer comes into a viewer
    viewer.layers.selection = chosen
    viewer.layers.selection.active = active


def withdraw(session: Session, image: Layer) -> None:
    """Take the numbers away with the image that they belong to."""
    viewer = session.viewer
    if viewer is None or is_closed(viewer):
        return
    if session.of_volume(image, session.ours("image")):
        return  # it came back, or a copy of it is there
    for layer in session.of_volume(image, session.ours(case_layers.NUMBERS)):
        viewer.layers.remove(layer)


def show_only(session: Session, image: Layer | None, node: int | None) -> None:
    """Show the number of one node alone; None for all of them."""
    for layer in session.of_volume(image, session.ours(case_layers.NUMBERS)):
        ids = layer.features["id"].to_numpy()
        layer.shown = np.ones(len(ids), bool) if node is None else ids == node


def _layer(image: Any, rows: tuple[NodeRow, ...], visible: bool) -> Points:
    ours = case_layers.metadata_of(image) or {}
    step = np.linalg.norm(np.asarray(ours["affine"], np.float64)[:3, :3], axis=0)
    places, sizes = zip(*(_corner(row, step) for row in rows), strict=True)
    colours = [
        _lightened(
            case_layers.POINT_COLOUR if row.label is None else colour_of(row.label)
        )
        for row in rows
    ]
    return Points(
        np.asarray(places),
        name=NAME,
        **case_layers.placed_like(image),
        size=np.asarray(sizes),
        face_color="transparent",
        border_color="transparent",
        border_width=0,
        projection_mode="rescale_spherical",
        features=pd.DataFrame({"id": [row.id for row in rows]}),
        text={
            "string": "{id}",
            "size": _SIZE,
            "color": colours,
            "anchor": "upper_left",
        },
        visible=visible,
        metadata=case_layers.belonging(image, case_layers.NUMBERS),
    )


def _corner(row: NodeRow, step: Any) -> tuple[tuple[float, float, float], float]:
    """Place (k, j, i) at the lower right of a node, and a size (pixels) as deep as it.

    A point is drawn in every slice that its ball meets, so that the ball has to
    be as thick along k as the node. The upper left is where its axes are told.
    """
    size = row.published_size_mm or case_layers.DEFAULT_POINT_MM
    depth, height, width = row.extent_mm or (size, size, size)
    k, j, i = row.index
    place = (k, j + height / 2 / step[1], i + width / 2 / step[2])
    return place, (depth + 2 * float(step[0])) / float(step[2])


def _lightened(colour: str) -> NDArray[np.float64]:
    """A colour of a node, light enough to be read on tissue and on air."""
    mixed: NDArray[np.float64] = 0.6 * transform_color(colour)[0] + 0.4
    return mixed
