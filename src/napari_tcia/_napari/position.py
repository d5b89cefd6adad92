"""Where the picture lies, and how it is shown: the words in its corner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_tcia._napari import apart, view, windowing
from napari_tcia._napari import layers as case_layers

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session


def words(session: Session) -> str:
    """Slice and millimetres, window, slab, doubts; or how far it has filled."""
    viewer, layer, world = session.viewer, session.image(), session.world()
    if viewer is None:
        return ""
    if layer is None or world is None:
        return session.filling.words(viewer.layers.selection.active)
    ours = case_layers.metadata_of(layer) or {}
    own = np.asarray(ours["affine"], dtype=np.float64)
    lines = [
        view.describe_position(viewer, world, own, ours["missing"], len(layer.data)),
        windowing.words(*layer.contrast_limits, ours["quantity"]),
        session.slab.words(layer),
    ]
    if ours["verdict"] == "fail":
        lines.append("Geometry failed its check: only to look at")
    away = [one.name for one in apart.elsewhere(session, ours)]
    lines += [f"Not in one place with {name}" for name in away]
    return "\n".join(line for line in lines if line)
