"""Saves what a layer carries in a form other programs read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_tcia._napari.layers import KEY, metadata_of, node_rows
from napari_tcia.app import credit
from napari_tcia.core.image import Check, LabelSet, Passport, Segment, Volume
from napari_tcia.core.model import Provenance
from napari_tcia.errors import GeometryMismatch, NothingFound
from napari_tcia.export import nifti, table

_PLACEMENT = ("scale", "translate", "rotate", "shear", "affine")


def write_nodes(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write the node table of a case as CSV, citations in its first lines.

    Parameters
    ----------
    path : str
        A ``.csv`` name.
    data : (K, J, I) ndarray
        Of the image layer.
    attributes : dict
        Of the image layer; the nodes are in its metadata.

    Raises
    ------
    NothingFound
        The layer carries no nodes.
    BrokenGeometry, StorageError
        As `napari_tcia.export.table.write`.
    """
    ours = attributes.get("metadata", {}).get(KEY, {})
    rows = node_rows(ours)
    if not rows:
        raise NothingFound(
            f"{attributes.get('name', 'The layer')} carries no lymph nodes to save.",
            "Choose the CT layer of a case that was opened with its annotations.",
        )
    provenance = Provenance.from_dict(ours)
    volume = grid_of(data, ours)
    written = table.write(Path(path), volume, rows, credit.citations([provenance]))
    return [str(file) for file in written]


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write labels as NIfTI on the grid of their volume, the credit beside it.

    Parameters
    ----------
    path : str
        A ``.nii.gz`` or ``.nii`` name.
    data : (K, J, I) ndarray of int
        A reference of ours, or labels made on the grid of an image of ours.
    attributes : dict
        Of the labels layer.

    Raises
    ------
    GeometryMismatch
        The labels lie on no volume that is open, or hold more than 65535 values.
    BrokenGeometry, StorageError, CorruptData
        As `napari_tcia.export.nifti.write`.
    """
    name = str(attributes.get("name", "The layer"))
    own = attributes.get("metadata", {}).get(KEY)
    ours = own or _grid_below(name, np.shape(data), attributes)
    provenance = Provenance.from_dict(ours)
    values = np.asarray(data)
    if values.size and not 0 <= values.min() <= values.max() <= 65535:
        raise GeometryMismatch(
            f"{name} holds values from {values.min()} to {values.max()}.",
            "Labels that can be saved are 0 to 65535.",
        )
    array = values.astype(np.min_scalar_type(int(values.max(initial=0))))
    segments = [Segment(**segment) for segment in ours.get("segments", ())] or [
        Segment(int(value), f"{name} {value}") for value in np.unique(array[array > 0])
    ]
    labels = LabelSet(
        array, tuple(segments), name, ours.get("drawn_as", "mask"), provenance
    )
    cited = credit.citations([provenance])
    volume = grid_of(array, ours)
    return [str(file) for file in nifti.write(Path(path), volume, [labels], cited)]


def grid_of(array: Any, ours: Mapping[str, Any]) -> Volume:
    """What the writers need of a volume: its grid, its origin and its verdict.

    Parameters
    ----------
    array : (K, J, I) ndarray
    ours : mapping
        Our metadata of a layer on it.
    """
    verdict = Check("passport", ours["verdict"], "As when the case was opened.")
    return Volume(
        array=array,
        affine=np.asarray(ours["affine"], dtype=np.float64),
        present=np.ones(len(array), dtype=bool),
        passport=Passport((verdict,)),
        provenance=Provenance.from_dict(ours),
        quantity=ours.get("quantity", ""),
    )


def _grid_below(
    name: str, shape: tuple[int, ...], attributes: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Metadata of the open image whose voxels are those of a user's own labels."""
    import napari

    viewer = napari.current_viewer()
    for layer in viewer.layers if viewer is not None else ():
        ours = metadata_of(layer)
        if ours is None or ours.get("role") != "image" or layer.data.shape != shape:
            continue
        placed = layer.as_layer_data_tuple()[1]
        if all(np.allclose(placed[p], attributes[p]) for p in _PLACEMENT):
            return ours
    raise GeometryMismatch(
        f"{name} does not lie on the voxels of an open CT, so its place in the "
        "patient is not known.",
        "Make labels with the CT's shape, scale and translate, and save them "
        "while the CT is open.",
    )
