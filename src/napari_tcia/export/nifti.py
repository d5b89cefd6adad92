"""Image and labels as NIfTI, in RAS, with a JSON beside each for the credit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.files import write_json
from napari_tcia.core.geometry import Affine, same_grid
from napari_tcia.core.image import LabelSet, Volume
from napari_tcia.core.model import Citation, to_json
from napari_tcia.export.files import (
    case_stem,
    credit_lines,
    is_file_name,
    label_paths,
    require_equal,
    staged,
)
from napari_tcia.volume import require_sound

_SUFFIXES = (".nii.gz", ".nii")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_KJI_TO_IJK = np.eye(4)[[2, 1, 0, 3]]
_FLOAT32_MM = 1e-3
"""NIfTI keeps its affine in float32: what that may move a corner by."""


def write(
    out: Path | str,
    volume: Volume,
    labels: Sequence[LabelSet],
    citations: Sequence[Citation],
) -> list[Path]:
    """Write the image and its labels, or labels alone.

    Parameters
    ----------
    out : path
        A folder: image and every label set go into it. A ``.nii.gz`` or
        ``.nii`` name: the labels, or the image where there are none.
    volume : Volume
        Of sound geometry.
    labels : sequence of LabelSet
        May be empty.
    citations : sequence of Citation

    Returns
    -------
    list of Path
        NIfTI files, each followed by its ``.json``, after nibabel read the same
        voxels and affine from them.

    Raises
    ------
    BrokenGeometry, StorageError, CorruptData
    """
    require_sound(volume, "export")
    out = Path(out)
    written: list[Path] = []
    if not labels or not is_file_name(out, _SUFFIXES):
        path = (
            out
            if is_file_name(out, _SUFFIXES)
            else out / f"{case_stem(volume)}_image.nii.gz"
        )
        about = {"quantity": volume.quantity, "missing_slices": _missing(volume)}
        written += _save(path, volume, volume.array, citations, about)
    paths = label_paths(out, volume, labels, _SUFFIXES)
    for path, one in zip(paths, labels, strict=True):
        about = {"name": one.name, "segments": one.segments, "checks": one.checks}
        written += _save(path, volume, one.array, citations, about)
    return written


def ras_affine(affine: Affine) -> Affine:
    """Affine of the same grid for NIfTI: (i, j, k, 1) to RAS mm."""
    return np.asarray(_LPS_TO_RAS @ affine @ _KJI_TO_IJK)


def _missing(volume: Volume) -> list[int]:
    return [int(k) for k in np.flatnonzero(~volume.present)]


def _save(
    path: Path,
    volume: Volume,
    array: NDArray[Any],
    citations: Sequence[Citation],
    about: dict[str, Any],
) -> list[Path]:
    affine = ras_affine(volume.affine)
    make: Any = nibabel.Nifti1Image  # nibabel leaves its constructor untyped
    image = make(array.transpose(2, 1, 0), affine)
    image.set_sform(affine, code=1)
    # A quaternion cannot hold the shear of a tilted gantry: then sform alone.
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    straight = np.allclose(columns.T @ columns, np.eye(3), atol=1e-4)
    image.set_qform(affine if straight else None, code=1 if straight else 0)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = _descrip(citations)
    suffix = next(s for s in _SUFFIXES if path.name.lower().endswith(s))
    with staged(path, suffix) as temporary:
        nibabel.save(image, temporary)
        again = nibabel.Nifti1Image.from_filename(temporary)
        same = np.array_equal(np.asanyarray(again.dataobj), array.transpose(2, 1, 0))
        require_equal(same, path, "voxels")
        off = same_grid(np.asarray(again.affine), affine, again.shape)
        require_equal(off <= _FLOAT32_MM, path, "geometry")
    side = path.with_name(path.name[: -len(suffix)] + ".json")
    credit = credit_lines(volume, citations)
    provenance = volume.provenance.to_dict()
    if volume.provenance.origin == "unknown":
        provenance.pop("patient_id")
    content = {"credit": credit, "citations": citations, "provenance": provenance}
    write_json(side, to_json({**content, **about}))
    return [path, side]


def _descrip(citations: Sequence[Citation]) -> bytes:
    """Return licence and DOI in the 79 bytes that the header has for words."""
    words = [
        f"{c.licence} doi:{c.doi}".strip() for c in citations if c.kind == "dataset"
    ]
    words = words or [c.text for c in citations]
    return (words[0] if words else "origin unknown").encode("ascii", "replace")[:79]
