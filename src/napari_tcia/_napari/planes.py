"""Axial, coronal and sagittal of the patient, whichever way a volume was acquired.

Which axes are shown, and in which order, is set here; which way each of them runs
on the screen is the camera's business (`view.orient`), never the data's.
"""

from __future__ import annotations

from typing import Any

from napari_tcia.core.geometry import Affine, main_axes

PLANES = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
"""Patient axes (0 x, 1 y, 2 z) through, up and across the screen."""


def show(viewer: Any, world: Affine, plane: str) -> None:
    """Show a plane of the patient in 2D.

    Axial shows the patient's right on the left and anterior on top, coronal right on
    the left and the head on top, sagittal anterior on the left and the head on top.
    Of a volume that lies across the patient, its own plane nearest to `plane`.

    Parameters
    ----------
    viewer : napari.Viewer
    world : (4, 4) float64
        Affine of the volume that set the world: its columns are the world's axes.
    plane : {"axial", "coronal", "sagittal"}
    """
    if viewer.dims.ndim != 3:
        return
    _order(viewer, world, plane)
    viewer.dims.ndisplay = 2


def current(viewer: Any, world: Affine) -> str:
    """Plane of the patient that `viewer` shows now; empty in 3D."""
    dims = viewer.dims
    if dims.ndim != 3 or dims.ndisplay != 2:
        return ""
    return _plane(world, dims.not_displayed[0])


def begin(viewer: Any, world: Affine) -> None:
    """Turn to the plane in which a volume was acquired, upright; 3D stays 3D."""
    if viewer.dims.ndim == 3:
        _order(viewer, world, _plane(world, 0))


def _order(viewer: Any, world: Affine, plane: str) -> None:
    axes = main_axes(world)
    viewer.dims.order = tuple(axes.index(axis) for axis in PLANES[plane])


def _plane(world: Affine, through: int) -> str:
    axis = main_axes(world)[through]
    return next(plane for plane, axes in PLANES.items() if axes[0] == axis)
