"""Saves what a layer carries in a form other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_tcia._napari.layers import KEY, node_rows
from napari_tcia.app import credit
from napari_tcia.core.image import Check, Passport, Volume
from napari_tcia.core.model import Provenance
from napari_tcia.errors import NothingFound
from napari_tcia.export import table


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
    verdict = Check("passport", ours["verdict"], "As when the case was opened.")
    volume = Volume(
        array=data,
        affine=np.asarray(ours["affine"], dtype=np.float64),
        present=np.ones(len(data), dtype=bool),
        passport=Passport((verdict,)),
        provenance=provenance,
        quantity=ours["quantity"],
    )
    written = table.write(Path(path), volume, rows, credit.citations([provenance]))
    return [str(file) for file in written]
