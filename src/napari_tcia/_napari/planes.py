"""Axial, coronal and sagittal, whichever way a volume was acquired.

A plane is an order of the axes; the camera turns them upright (`view.orient`),
and the data stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from napari_tcia.core.geometry import Affine, main_axes

PLANES = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
"""Axes of the patient (0 x, 1 y, 2 z) in depth, upwards and sideways."""


def order_of(world: Affine, plane: str) -> tuple[int, ...]:
    """``dims.order`` that shows `plane` of a world.

    Parameters
    ----------
    world : (4, 4) float64
        Affine of the volume that set the world: its columns are the world's axes.
    plane : {"axial", "coronal", "sagittal"}
        Of an oblique volume the one that is least turned from it.
    """
    followed = main_axes(world)
    return tuple(followed.index(axis) for axis in PLANES[plane])


def acquired(world: Affine) -> str:
    """Name of the plane of the slices themselves."""
    return _across(world, 0)


def current(viewer: Any, world: Affine) -> str:
    """Name of the plane in view; empty in 3D."""
    if viewer.dims.ndim != 3 or viewer.dims.ndisplay != 2:
        return ""
    return _across(world, viewer.dims.order[0])


def show(viewer: Any, world: Affine, plane: str) -> None:
    """Show `plane` through the point that is looked at, in 2D.

    Axial shows the patient's right on the left and anterior on top, coronal right on
    the left and the head on top, sagittal anterior on the left and the head on top.

    Parameters
    ----------
    viewer : Viewer
    world : (4, 4) float64
        Affine of the volume that set the world.
    plane : {"axial", "coronal", "sagittal"}
    """
    dims = viewer.dims
    if dims.ndim != 3:
        return
    order = order_of(world, plane)
    if tuple(dims.order) == order and dims.ndisplay == 2:
        return
    dims.order = order
    dims.ndisplay = 2
    # napari has fitted the view to all layers, hidden ones of elsewhere too.
    seen = [layer for layer in viewer.layers if layer.visible]
    if seen:
        viewer.fit_to_view(layers=seen)


def begin(
    viewer: Any, world: Any, others: Iterable[Mapping[str, Any] | None] = ()
) -> None:
    """Show the slices themselves where a volume has set a world of its own.

    Parameters
    ----------
    world : (4, 4) array_like
        The affine that set the world of the volume, as its metadata has it.
    others : iterable of mapping
        Metadata of what is open: whoever looks at that world already goes on as is.
    """
    if any(ours and ours.get("reference") == world for ours in others):
        return
    affine = np.asarray(world, dtype=np.float64)
    if viewer.dims.ndisplay == 2:
        show(viewer, affine, acquired(affine))
    elif viewer.dims.ndim == 3:
        viewer.dims.order = order_of(affine, acquired(affine))


def _across(world: Affine, axis: int) -> str:
    depth = main_axes(world)[axis]
    return next(name for name, axes in PLANES.items() if axes[0] == depth)
