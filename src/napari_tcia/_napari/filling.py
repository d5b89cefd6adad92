"""Series that fill in place while they are fetched.

What is shown of them is marked: hatched where no slice is yet, without a position
in mm, and no image of ours to whatever measures, annotates or saves. Once the whole
is verified and read, the same layer becomes that image.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer

from napari_tcia._napari import layers as case_layers
from napari_tcia._napari import planes
from napari_tcia._napari.window import is_closed
from napari_tcia.app.arriving import Arriving
from napari_tcia.core.geometry import Affine

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

_LOOK_MS = 100
_ACROSS_S = 0.5
"""Between two redrawings of a plane that cuts through all slices."""


class FillingLayers(QObject):
    """The layers of a session that fill."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._arriving: WeakKeyDictionary[Layer, Arriving] = WeakKeyDictionary()
        self._drawn: WeakKeyDictionary[Layer, tuple[int, bool, float]]
        self._drawn = WeakKeyDictionary()
        self._hidden: list[Layer] = []
        self._point: tuple[float, ...] = ()
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)

    def show(self, one: Arriving) -> None:
        """Add the layer of a series of which the first slices have come."""
        viewer = self._session.viewer
        if viewer is None or is_closed(viewer):
            return
        for layer in self._session.ours():
            if _is_filling(layer, one.series.series_uid):
                viewer.layers.remove(layer)  # of a try that was given up
            elif layer.visible:
                # Whether they share a frame of reference is not known yet.
                layer.visible = False
                self._hidden.append(layer)
        with self._session.at_once():
            self._add(viewer, one)
        self._point = tuple(viewer.dims.point)
        self._timer.start()

    def _add(self, viewer: Any, one: Arriving) -> None:
        empty = not viewer.layers
        layer = case_layers.add_layer(viewer, case_layers.filling_data(one))
        # napari's own status would tell a place in mm, and stripes as values.
        layer.get_status = partial(_status, layer)  # type: ignore[method-assign]
        self._arriving[layer] = one
        filling = one.filling
        index = np.array(filling.array.shape) / 2
        index[0] = filling.start
        viewer.dims.set_point(range(3), tuple(layer.data_to_world(np.floor(index))))
        planes.begin(viewer, filling.affine)
        if not empty:
            viewer.fit_to_view(layers=[layer])
        viewer.layers.selection.active = layer

    def settle(self, data: case_layers.LayerTuple) -> Layer | None:
        """Make a layer that has filled the image that was read, and verified.

        Returns
        -------
        Layer or None
            None where the series was not shown before.
        """
        viewer = self._session.viewer
        array, kwargs, _ = data
        uid = kwargs["metadata"][case_layers.KEY]["series_uid"]
        found = [one for one in self._session.ours() if _is_filling(one, uid)]
        if not found:
            return None
        layer: Any = found[0]
        arriving = self._arriving.pop(layer, None)
        point = tuple(viewer.dims.point)
        as_begun = arriving is not None and np.allclose(
            layer.contrast_limits, case_layers.filling_limits(arriving)
        )
        vars(layer).pop("get_status", None)
        # Each of these draws the picture anew: only what is different is set.
        if layer.data is array:
            layer.refresh(extent=False)
        else:
            layer.data = array
        for name in ("scale", "translate", "affine"):
            if name in kwargs and not _same(getattr(layer, name), kwargs[name]):
                setattr(layer, name, kwargs[name])
        if layer.colormap.name != kwargs["colormap"]:
            layer.colormap = kwargs["colormap"]
        limits = kwargs.get("contrast_limits", layer.contrast_limits)
        if as_begun and not _same(layer.contrast_limits, limits):
            layer.contrast_limits = limits
        layer.metadata = kwargs["metadata"]
        layer.name = kwargs["name"]
        layer.visible = True
        self._session.dress(layer)
        if point != self._point:  # the user has gone on from where it began
            viewer.dims.set_point(range(3), point)
        return layer

    def bring_back(self) -> None:
        """Show again what was hidden while it was not known to fit."""
        for layer in self._hidden:
            layer.visible = True
        self._hidden.clear()

    def removed(self, layer: Layer) -> None:
        """Show again what was hidden for a layer that never became an image."""
        if _role(layer) == case_layers.FILLING and not any(
            _role(other) == case_layers.FILLING for other in self._session.ours()
        ):
            self.bring_back()

    def leave_hidden(self) -> None:
        """What was hidden does not fit."""
        self._hidden.clear()

    def world(self, layer: Layer | None) -> Affine | None:
        """How a layer that fills seems to lie in the patient; None for any other."""
        ours = case_layers.metadata_of(layer) if layer is not None else None
        if ours is None or ours.get("role") != case_layers.FILLING:
            return None
        return np.asarray(ours["seems"], dtype=np.float64)

    def words(self, layer: Layer | None) -> str:
        """How far a layer has filled, and what that means; empty for any other."""
        ours = case_layers.metadata_of(layer) if layer is not None else None
        if layer is None or ours is None or ours.get("role") != case_layers.FILLING:
            return ""
        count, images = ours["slices"]
        if (one := self._arriving.get(layer)) is not None:
            count = one.filling.count
        if one is not None and one.filling.whole:
            return "Checking the pixels"
        here = f"{count} of {images} slices"
        if one is None or one.state == "incomplete":
            return f"Incomplete: {here},\nnot verified, only to look at"
        return f"{here} here,\nplaces provisional"

    def _look(self) -> None:
        viewer = self._session.viewer
        if viewer is None or is_closed(viewer):
            self._timer.stop()
            return
        for layer, one in list(self._arriving.items()):
            if layer not in viewer.layers:
                del self._arriving[layer]
                continue
            self._redraw(layer, one)
            if one.state == "incomplete":
                self._give_up(layer, one)
        self._session.say_position()
        if not self._arriving:
            self._timer.stop()

    def _redraw(self, layer: Any, one: Arriving) -> None:
        """Draw what has come where it is looked at, and nothing else."""
        viewer, filling = self._session.viewer, one.filling
        count, now = filling.count, time.monotonic()
        before, was_there, at = self._drawn.get(layer, (0, False, 0.0))
        if viewer.dims.ndisplay == 2 and viewer.dims.not_displayed == (0,):
            k = round(float(layer.world_to_data(viewer.dims.point)[0]))
            there = bool(0 <= k < len(filling.present) and filling.present[k])
            if (there and not was_there) or count == filling.images != before:
                layer.refresh(extent=False)
            self._drawn[layer] = (count, there, now)
        elif count != before and now - at > _ACROSS_S:
            layer.refresh(extent=False)
            self._drawn[layer] = (count, False, now)

    def _give_up(self, layer: Any, one: Arriving) -> None:
        del self._arriving[layer]
        ours = case_layers.metadata_of(layer) or {}
        slices = [one.filling.count, one.filling.images]
        layer.metadata[case_layers.KEY] = {**ours, "slices": slices}
        layer.name = layer.name.replace("(filling)", "(incomplete)")
        layer.refresh(extent=False)


def _role(layer: Layer) -> Any:
    return (case_layers.metadata_of(layer) or {}).get("role")


def _same(one: Any, other: Any) -> bool:
    matrix = getattr(one, "affine_matrix", one)
    return np.shape(matrix) == np.shape(other) and bool(np.allclose(matrix, other))


def _status(layer: Layer, *args: Any, **kwargs: Any) -> dict[str, str]:
    found = Layer.get_status(layer)
    return {**found, "coordinates": ": no place in mm before it is verified"}


def _is_filling(layer: Layer, series_uid: str) -> bool:
    ours: Mapping[str, Any] = case_layers.metadata_of(layer) or {}
    return (ours.get("role"), ours.get("series_uid")) == (
        case_layers.FILLING,
        series_uid,
    )
