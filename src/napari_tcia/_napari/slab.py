"""Slabs: several slices as one, by mean or maximum, of so many millimetres.

Thin slices are too noisy to tell a node from a vessel. What is shown is always a
whole number of slices around the one that is looked at, of an even number one more
below it; the millimetres that are said are those of these slices.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from napari_tcia._napari import layers as case_layers
from napari_tcia._napari import view

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

THICKNESSES = (0.0, 1.0, 3.0, 5.0, 10.0)
"""In mm; 0 is the slice alone."""
_MODES = {"mean": "mean", "max": "MIP"}


def slices_of(thickness: float, step: float) -> int:
    """How many slices make a slab: the number nearest, of two the smaller.

    Parameters
    ----------
    thickness, step : float
        In mm.
    """
    return max(1, ceil(thickness / step - 0.5 - 1e-9))


class Slab:
    """The slab of one viewer.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._at = 0
        self._mode = "mean"

    @property
    def is_on(self) -> bool:
        """Whether more than the slice alone was asked for."""
        return self._at > 0

    def thicker(self, steps: int = 1) -> None:
        """Go to the next thickness, or with -1 to the one before."""
        self._at = min(max(self._at + steps, 0), len(THICKNESSES) - 1)
        self.apply()

    def switch(self) -> None:
        """Change between mean and maximum; turns a slab on."""
        self._mode = "max" if self._mode == "mean" else "mean"
        self._at = self._at or THICKNESSES.index(5.0)
        self.apply()

    def apply(self, event: Any = None) -> None:
        """Have the picture follow: after a choice, a turn, or a new layer."""
        viewer, image = self._session.viewer, self._session.image()
        if viewer is None or image is None or viewer.dims.ndim != 3:
            return
        below, above = ([view.POINT_DEPTH_MM] * 3 for _ in range(2))
        many = 1
        if self.is_on and viewer.dims.ndisplay == 2:
            axis = viewer.dims.not_displayed[0]
            step = _step(image, axis)
            many = slices_of(THICKNESSES[self._at], step)
            if many > 1:
                below[axis] = many // 2 * step
                above[axis] = (many - 1 - many // 2) * step
        for layer in self._session.ours("image"):
            layer.projection_mode = self._mode if many > 1 else "none"
        if tuple(viewer.dims.margin_left) != tuple(below):
            viewer.dims.margin_left = tuple(below)
        if tuple(viewer.dims.margin_right) != tuple(above):
            viewer.dims.margin_right = tuple(above)
        self._session.say_position()

    def words(self, image: Any) -> str:
        """What is shown, as "slab 5 mm mean"; empty for the slice alone."""
        viewer = self._session.viewer
        if not self.is_on or viewer is None or viewer.dims.ndisplay != 2:
            return ""
        axis = viewer.dims.not_displayed[0]
        step = _step(image, axis)
        many = slices_of(THICKNESSES[self._at], step)
        if many == 1:
            return f"one slice of {step:g} mm"
        # At the ends there are fewer; what fills a missing one is in the picture.
        at = round(image.world_to_data(viewer.dims.point)[axis])
        first = at - many // 2
        within = range(max(first, 0), min(first + many, image.data.shape[axis]))
        ours = case_layers.metadata_of(image) or {}
        gone = len(set(within) & set(ours["missing"])) if axis == 0 else 0
        thick = f"{len(within) * step:.3g} mm {_MODES[self._mode]}"
        return f"slab {thick} ({len(within)} slices{f', {gone} missing' * bool(gone)})"


def _step(image: Any, axis: int) -> float:
    """Millimetres from slice to slice of an image along an axis of the world."""
    matrix = image._data_to_world.linear_matrix
    return float(abs(matrix[axis, axis])) or 1.0
