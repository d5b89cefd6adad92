"""Labels of any known kind onto a volume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_tcia.core.image import Check, LabelSet, Volume
from napari_tcia.core.model import Provenance
from napari_tcia.errors import NothingFound
from napari_tcia.nodes.masks import read_mask
from napari_tcia.nodes.nrrd import read_nrrd
from napari_tcia.nodes.seg import read_seg
from napari_tcia.volume import require_sound
from napari_tcia.volume.headers import scan


def read_labels(
    path: Path | str, volume: Volume, *, provenance: Provenance | None = None
) -> list[LabelSet]:
    """Read a DICOM SEG, a NIfTI mask or an NRRD labelmap onto the grid of `volume`.

    Parameters
    ----------
    path : path
        A SEG file or a folder that holds some; a NIfTI file, or a zip or folder
        with the masks of many patients, of which this patient's is taken; a
        ``.seg.nrrd`` of Slicer or a ``.nrrd``, or a folder that holds some.
    volume : Volume
    provenance : Provenance, optional
        Where the file came from; that of the volume by default.

    Returns
    -------
    list of LabelSet
        `LabelSet.array` is on the volume's grid, 0 for background, else the
        SegmentNumber or value in the file; overlaps are spread over several sets.

    Raises
    ------
    BrokenGeometry
        The volume's own geometry failed its check.
    GeometryMismatch
        The labels do not lie on its grid.
    UnreadableAnnotation, CorruptData, NothingFound
    """
    require_sound(volume, "annotations")
    path = Path(path)
    if path.suffix.lower() in (".nii", ".gz", ".zip"):
        return read_mask(path, volume, provenance=provenance)
    if path.suffix.lower() == ".nrrd":
        return read_nrrd(path, volume, provenance=provenance)
    if path.is_file():
        return read_seg(path, volume, provenance=provenance)
    if not path.exists():
        raise NothingFound(f"{path} does not exist.", "Check the path.")
    segs = [h.path for h in scan(path).headers if h.modality == "SEG"]
    found = [s for one in segs for s in read_seg(one, volume, provenance=provenance)]
    for file in sorted(path.rglob("*.nrrd")):
        found += read_nrrd(file, volume, provenance=provenance)
    return found or read_mask(path, volume, provenance=provenance)


def mirrored(labels: LabelSet, axes: str) -> LabelSet:
    """Labels mirrored on the grid of their volume, because somebody chose so.

    Parameters
    ----------
    labels : LabelSet
    axes : str
        Of ``"x"``, ``"y"`` and ``"z"``: those of an axial volume, i, j and k.
    """
    turned = tuple("zyx".index(axis) for axis in axes)
    check = Check(
        "labels_mirrored",
        "warn",
        f"Mirrored in {axes}, as you chose; the file says otherwise.",
        {"axes": axes},
    )
    return replace(
        labels,
        array=np.ascontiguousarray(np.flip(labels.array, turned)),
        checks=(*labels.checks, check),
    )
