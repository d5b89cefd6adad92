"""Long and short axis of the chosen node, drawn on their slice and open to correction.

What is drawn by hand stands beside what was measured; it never replaces it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Image, Shapes

from napari_tcia._napari import layers as case_layers
from napari_tcia.core.image import NodeRow
from napari_tcia.nodes.region import length_mm

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

NAME = "Axes"
COLOUR = "#ff6fd8"
_WIDTH_MM = 0.6
_HALF_MM = 5.0
"""Half the length of an axis that is not drawn yet."""
DRAWN = "drawn_axes"
"""Key of our metadata of an image: per node, the ends that were drawn by hand."""


def show(session: Session, row: NodeRow) -> None:
    """Draw the axes of a node: as corrected by hand, else as measured."""
    image, viewer = session.image(), session.viewer
    if image is None or viewer is None:
        return
    found = session.of_volume(image, session.ours(case_layers.AXES))
    lines = drawn(image, row.id) or [row.long_axis_line, row.short_axis_line]
    if not all(len(line) == 2 for line in lines):
        for layer in found:
            layer.visible = False  # of another node
        return
    layer: Any = found[0] if found else _add(session, image)
    _put(layer, image, row.id, np.asarray(lines, dtype=np.float64))
    layer.visible = True


def draw(session: Session, row: NodeRow) -> None:
    """Put two axes at a node that has none, to be dragged to where they belong."""
    image = session.image()
    if image is None:
        return
    if not drawn(image, row.id) and not row.long_axis_line:
        step = np.linalg.norm(_affine(image)[:3, :3], axis=0)
        k, j, i = row.index
        reach_j, reach_i = _HALF_MM / step[1], _HALF_MM / step[2]
        lines = [
            [[k, j, i - 1.4 * reach_i], [k, j, i + 1.4 * reach_i]],
            [[k, j - reach_j, i], [k, j + reach_j, i]],
        ]
        image.metadata[case_layers.KEY].setdefault(DRAWN, {})[row.id] = lines
        session.axes_drawn.emit(row.id, lines)
    show(session, row)
    for layer in session.of_volume(image, session.ours(case_layers.AXES)):
        session.viewer.layers.selection.active = layer


def drawn(image: Image, node: int) -> list[Any] | None:
    """Ends (k, j, i) of the long and the short axis that were drawn by hand."""
    ours = case_layers.metadata_of(image) or {}
    found: list[Any] | None = ours.get(DRAWN, {}).get(node)
    return found


def drawn_mm(image: Image, node: int) -> tuple[float, float] | None:
    """Long and short axis in mm as drawn by hand, None where they are as measured."""
    lines = drawn(image, node)
    return None if lines is None else _lengths(image, lines)


def words(image: Image, node: int) -> str:
    """What was drawn by hand, in words; empty where nothing was."""
    found = drawn_mm(image, node)
    return f"drawn by hand {found[1]:.1f} \u00d7 {found[0]:.1f} mm" if found else ""


def _lengths(image: Image, lines: Any) -> tuple[float, float]:
    affine = _affine(image)
    long_mm, short_mm = (length_mm(affine, *line) for line in lines)
    return long_mm, short_mm


def _affine(image: Image) -> Any:
    return np.asarray((case_layers.metadata_of(image) or {})["affine"], np.float64)


def _add(session: Session, image: Image) -> Shapes:
    ours = case_layers.metadata_of(image) or {}
    layer: Any = Shapes(
        ndim=3,
        name=NAME,
        **case_layers.placed_like(image),
        edge_color=COLOUR,
        face_color="transparent",
        edge_width=_WIDTH_MM / float(image.scale[-1]),
        features=pd.DataFrame({"mm": pd.Series([], dtype=str)}),
        text={"string": "{mm}", "size": 8, "color": COLOUR, "anchor": "upper_left"},
        metadata=case_layers.belonging(
            image, case_layers.AXES, reference=ours["reference"], node=0
        ),
    )
    active = session.viewer.layers.selection.active
    session.viewer.layers.append(layer)
    session.viewer.layers.selection.active = active
    layer.mode = "direct"  # a drag at an end corrects it, once the layer is active
    layer.events.data.connect(partial(_corrected, session, layer))
    return layer  # type: ignore[no-any-return]


def _put(layer: Any, image: Image, node: int, lines: Any) -> None:
    layer.metadata[case_layers.KEY]["node"] = 0  # what follows is nobody's correction
    layer.data = []
    layer.add(list(lines), shape_type="line", edge_color=COLOUR)
    _say(layer, image, node)
    layer.metadata[case_layers.KEY]["node"] = node


def _say(layer: Any, image: Image, node: int) -> None:
    long_mm, short_mm = _lengths(image, layer.data)
    # The words of two lines that cross would lie on each other.
    said = [f"{node}:  {short_mm:.1f} \u00d7 {long_mm:.1f} mm", ""]
    if list(layer.features["mm"]) != said:
        layer.features = pd.DataFrame({"mm": said})
        layer.refresh_text()


def _corrected(session: Session, layer: Any, event: Any = None) -> None:
    """Follow a dragged end: the numbers, and what the table says beside them."""
    ours = case_layers.metadata_of(layer) or {}
    image = next(iter(session.of_volume(layer, session.ours("image"))), None)
    node = ours.get("node", 0)
    if not node or image is None:
        return
    kinds = list(layer.shape_type)
    if kinds != ["line", "line"] or any(len(line) != 2 for line in layer.data):
        return  # something else was drawn there, or one was removed
    lines = [np.asarray(line).tolist() for line in layer.data]
    kept = image.metadata[case_layers.KEY].setdefault(DRAWN, {})
    before = kept.get(node) or _measured(image, node)
    if before is not None and np.allclose(before, lines, atol=1e-6):
        return
    kept[node] = lines
    _say(layer, image, node)
    session.axes_drawn.emit(node, lines)
    session.nodes_changed.emit()


def _measured(image: Image, node: int) -> Any:
    rows = case_layers.node_rows(case_layers.metadata_of(image) or {})
    for row in rows:
        if row.id == node and row.long_axis_line and row.short_axis_line:
            return [row.long_axis_line, row.short_axis_line]
    return None
