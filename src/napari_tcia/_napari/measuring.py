"""Ruler and circle: a layer of lines and ellipses that says what they measure."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Image, Layer, Shapes

from napari_tcia._napari import layers as case_layers
from napari_tcia.nodes.region import RegionStatistics, ellipse_statistics, length_mm

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

NAME = "Measurements"
COLOUR = "#4fd6ff"
_WIDTH_MM = 1.0


def ruler(session: Session) -> None:
    """Let a line be drawn, which says its length."""
    _draw(session, "add_line")


def circle(session: Session) -> None:
    """Let an ellipse be drawn, which says what lies inside; round with Shift."""
    _draw(session, "add_ellipse")


def _draw(session: Session, mode: str) -> None:
    viewer, image = session.viewer, session.image()
    if viewer is None:
        return
    if image is None:
        session.tell(["Nothing can be measured before a volume is open and verified."])
        return
    ours = case_layers.metadata_of(image) or {}
    if ours["verdict"] == "fail":
        session.tell(
            ["The geometry of this volume failed its check: it can be looked at, not "
             "measured."]
        )  # fmt: skip
        return
    if viewer.dims.ndisplay != 2:
        session.tell(["Measuring is done on a slice: turn 3D off first."])
        return
    found = session.of_volume(image, session.ours(case_layers.MEASUREMENTS))
    layer: Any = found[0] if found else _add(session, image)
    layer.visible = True
    viewer.layers.selection.active = layer
    layer.mode = mode


def _add(session: Session, image: Layer) -> Layer:
    ours = case_layers.metadata_of(image) or {}
    layer: Any = Shapes(
        ndim=3,
        name=NAME,
        **case_layers.placed_like(image),
        edge_color=COLOUR,
        face_color="transparent",
        opacity=1.0,
        edge_width=_WIDTH_MM / float(image.scale[-1]),
        features=pd.DataFrame({"measured": pd.Series([], dtype=str)}),
        text={
            "string": "{measured}",
            "size": 8,
            "color": COLOUR,
            "anchor": "upper_left",
        },
        metadata=case_layers.belonging(
            image, case_layers.MEASUREMENTS, reference=ours["reference"]
        ),
    )
    session.viewer.layers.append(layer)
    layer.events.data.connect(partial(_measure, session, layer))
    layer.current_edge_color = COLOUR
    return layer  # type: ignore[no-any-return]


def _measure(session: Session, layer: Any, event: Any = None) -> None:
    """Say anew what each shape measures."""
    image = next(
        iter(session.of_volume(layer, session.ours("image"))),
        None,
    )
    if image is None or not len(layer.data):
        return
    said = [
        words(image, kind, _on(image, layer, corners))
        for kind, corners in zip(layer.shape_type, layer.data, strict=True)
    ]
    if list(layer.features["measured"]) != said:
        layer.features = pd.DataFrame({"measured": said})
        layer.refresh_text()


def _on(image: Image, layer: Shapes, corners: Any) -> Any:
    """Corners of a shape in indices of an image, which may have been read anew."""
    return np.array(
        [image.world_to_data(layer.data_to_world(corner)) for corner in corners]
    )


def words(image: Image, kind: str, corners: Any) -> str:
    """What a shape on the grid of an image of ours measures, in words.

    Parameters
    ----------
    image : Image
        A volume of ours.
    kind : str
        Shape type of napari; other than lines and ellipses measure nothing.
    corners : (n, 3) ndarray
        In (k, j, i) of the image.
    """
    ours = case_layers.metadata_of(image) or {}
    affine = np.asarray(ours["affine"], dtype=np.float64)
    if kind == "line":
        return f"{length_mm(affine, corners[0], corners[1]):.1f} mm"
    if kind != "ellipse":
        return ""
    padding = ours.get("padding")
    found = ellipse_statistics(
        np.asarray(image.data),
        affine,
        corners,
        tuple(padding) if padding else None,
        ours["missing"],
    )
    flat = np.ptp(np.asarray(corners), axis=0) < 1e-6
    at = round(float(np.asarray(corners)[0, 0]))
    if flat[0] and at in ours["missing"]:
        return "slice missing"
    return _statistics(found, "HU" if ours["quantity"] == "HU" else "")


def _statistics(found: RegionStatistics, unit: str) -> str:
    if not found.count:
        return "no voxels"
    values = f"{found.mean:.1f} ± {found.sd:.1f} {unit}".rstrip()
    ends = f"{found.minimum:g} to {found.maximum:g}"
    return f"{values}\n{ends}\n{found.area_mm2:.0f} mm², {found.count} voxels"
