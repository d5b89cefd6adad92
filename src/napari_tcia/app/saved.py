"""Files that we wrote, opened again with the credit they carry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_tcia.app.folder import admit, as_saved
from napari_tcia.app.services import Services
from napari_tcia.core.image import Check, LabelSet, Passport, PointSet, Volume
from napari_tcia.errors import UnreadableAnnotation
from napari_tcia.export import nifti, table


@dataclass(frozen=True, eq=False)
class Saved:
    """An image, labels or nodes of one file, with the grid that they lie on.

    Attributes
    ----------
    name : str
    volume : Volume
        The grid; for labels and nodes its array holds no image.
    labels : LabelSet or None
    points : PointSet or None
    """

    name: str
    volume: Volume
    labels: LabelSet | None = None
    points: PointSet | None = None


def is_saved(path: Path) -> bool:
    """Whether `path` is a NIfTI file or a table of nodes that we wrote."""
    return nifti.is_saved(path) or table.is_saved(path)


def open_saved(services: Services, path: Path) -> Saved:
    """Read a file of `napari_tcia.export.nifti` or `table` again.

    It is the user's own and opens freely; "accepted" is said of its terms only
    where the ledger here says so too.

    Raises
    ------
    TermsNotAccepted
        It lies below HOME, among what is kept there.
    UnreadableAnnotation, GeometryMismatch, CorruptData
        As the readers say.
    """
    admit(services, path)
    if not is_saved(path):
        raise UnreadableAnnotation(
            f"{path.name} was not written by napari-tcia.", "Open its folder instead."
        )
    if table.is_saved(path):
        points, affine = table.read(path)
        points = replace(points, provenance=as_saved(services, points.provenance))
        grid = Volume(
            array=np.zeros((1, 1, 1), dtype=np.uint8),
            affine=affine,
            present=np.ones(1, dtype=bool),
            passport=Passport((Check("passport", "pass", "Measured when saved."),)),
            provenance=points.provenance,
            quantity="",
        )
        return Saved(points.name, grid, points=points)
    found = nifti.read(path)
    origin = as_saved(services, found.volume.provenance)
    volume = replace(found.volume, provenance=origin)
    labels = found.labels
    if labels is not None:
        labels = replace(labels, provenance=as_saved(services, labels.provenance))
    return Saved(found.name, volume, labels)
