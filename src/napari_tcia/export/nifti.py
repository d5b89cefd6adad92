"""Image and labels as NIfTI, in RAS, with a JSON beside each for the credit."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from napari_tcia.cite.provenance import restored
from napari_tcia.core.files import write_json
from napari_tcia.core.geometry import Affine, same_grid
from napari_tcia.core.image import Check, LabelSet, Passport, Segment, Volume
from napari_tcia.core.model import Citation, Provenance, to_json
from napari_tcia.errors import CorruptData, GeometryMismatch, UnreadableAnnotation
from napari_tcia.export.files import (
    case_stem,
    credit_lines,
    is_file_name,
    label_paths,
    public_provenance,
    require_equal,
    staged,
)
from napari_tcia.volume import require_sound

SUFFIXES = (".nii.gz", ".nii")
FORMAT = "napari-tcia-1"
"""Marks content that we wrote, and its version."""
_COMMENT = 6
"""Code of a NIfTI header extension that holds plain text."""
_MAX_SIDE = 16 << 20
_DAMAGE = (ImageFileError, WrapStructError, EOFError, OSError, zlib.error)
"""How nibabel says that a file is no NIfTI, or not a whole one."""
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
    if not labels or not is_file_name(out, SUFFIXES):
        path = (
            out
            if is_file_name(out, SUFFIXES)
            else out / f"{case_stem(volume)}_image.nii.gz"
        )
        about: dict[str, Any] = {
            "kind": "image",
            "name": case_stem(volume),
            "quantity": volume.quantity,
            "window": volume.window,
            "missing_slices": _missing(volume),
        }
        written += _save(
            path, volume, volume.array, volume.provenance, citations, about
        )
    paths = label_paths(out, volume, labels, SUFFIXES)
    for path, one in zip(paths, labels, strict=True):
        about = {
            "kind": "labels",
            "name": one.name,
            "source": one.source,
            "segments": one.segments,
            "checks": one.checks,
        }
        written += _save(path, volume, one.array, one.provenance, citations, about)
    return written


@dataclass(frozen=True, eq=False)
class Saved:
    """What `write` had written, read again.

    Attributes
    ----------
    volume : Volume
        The grid; its array is the image, or the labels where `labels` is given.
    labels : LabelSet or None
        None for an image.
    name : str
    """

    volume: Volume
    labels: LabelSet | None
    name: str


def is_saved(path: Path) -> bool:
    """Whether `path` is a NIfTI file that carries our content; voxels stay unread."""
    return _content(path) is not None


def read(path: Path | str) -> Saved:
    """Read a file of `write` again: voxels, place in the patient, provenance.

    The affine is the exact one that was kept beside the float32 of NIfTI, as
    long as the two agree.

    Raises
    ------
    UnreadableAnnotation
        No file of ours, or content that is none.
    GeometryMismatch
        Its header was changed since: it lies elsewhere than it says.
    CorruptData
        Cut short.
    """
    path = Path(path)
    content = _content(path)
    if content is None:
        raise UnreadableAnnotation(
            f"{path.name} was not written by napari-tcia, or lost its credit.",
            "Open the folder of its images, with the mask in it.",
        )
    try:
        image = nibabel.Nifti1Image.from_filename(path)
        array = np.asanyarray(image.dataobj).transpose(2, 1, 0)
    except _DAMAGE as error:
        raise CorruptData(
            f"{path.name} is cut short or damaged: {error}.", "Save it again."
        ) from error
    try:
        affine = np.asarray(content["affine_lps"], dtype=np.float64).reshape(4, 4)
        there = np.asarray(image.affine)
        off = same_grid(there, ras_affine(affine), image.shape)
        present = np.ones(len(array), dtype=bool)
        present[content.get("missing_slices", [])] = False
        check = Check("passport", content["verdict"], "As when it was saved.")
        window = content.get("window")
        volume = Volume(
            array=array,
            affine=affine,
            present=present,
            passport=Passport((check,)),
            provenance=_origin(content["volume"]),
            quantity=str(content.get("quantity", "")),
            window=(float(window[0]), float(window[1])) if window else None,
        )
        labels = None
        if content["kind"] == "labels":
            labels = LabelSet(
                array=array,
                segments=tuple(Segment(**one) for one in content["segments"]),
                name=str(content["name"]),
                source=str(content["source"]),
                provenance=_origin(content["provenance"]),
            )
        found = Saved(volume, labels, str(content["name"]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UnreadableAnnotation(
            f"What {path.name} says of itself is damaged ({error}).", "Save it again."
        ) from error
    if off > _FLOAT32_MM:
        raise GeometryMismatch(
            f"{path.name} lies {off:.3g} mm from where it was saved.",
            "Its header was changed by another program; save it again here.",
            off_mm=off,
        )
    return found


def _origin(value: object) -> Provenance:
    found = restored(value)
    if found is None:
        raise ValueError("no provenance")
    return found


def _content(path: Path) -> dict[str, Any] | None:
    """What we wrote into a file, else beside it; None for files of others."""
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
    if suffix is None or not path.is_file():
        return None
    try:
        found = _inside(nibabel.Nifti1Image.from_filename(path))
        side = path.with_name(path.name[: -len(suffix)] + ".json")
        if found is None and side.is_file() and side.stat().st_size <= _MAX_SIDE:
            found = json.loads(side.read_bytes())
    except (*_DAMAGE, ValueError):
        return None
    ours = isinstance(found, dict) and found.get("format") == FORMAT
    return found if ours else None


def _extension(content: dict[str, Any]) -> Any:
    make: Any = nibabel.nifti1.Nifti1Extension
    return make(_COMMENT, json.dumps(content).encode("ascii"))


def _inside(image: Any) -> Any:
    """Our content in the header extensions of an image, None where it has none."""
    for one in image.header.extensions:
        text = one.get_content()
        raw = text if isinstance(text, bytes) else str(text).encode()
        if one.get_code() == _COMMENT and FORMAT.encode() in raw:
            return json.loads(raw.rstrip(b"\0 "))
    return None


def ras_affine(affine: Affine) -> Affine:
    """Affine of the same grid for NIfTI: (i, j, k, 1) to RAS mm."""
    return np.asarray(_LPS_TO_RAS @ affine @ _KJI_TO_IJK)


def _missing(volume: Volume) -> list[int]:
    return [int(k) for k in np.flatnonzero(~volume.present)]


def _save(
    path: Path,
    volume: Volume,
    array: NDArray[Any],
    provenance: Provenance,
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
    suffix = next(s for s in SUFFIXES if path.name.lower().endswith(s))
    side = path.with_name(path.name[: -len(suffix)] + ".json")
    content = to_json(
        {
            "format": FORMAT,
            "credit": credit_lines(volume, citations),
            "citations": citations,
            "provenance": public_provenance(provenance),
            "volume": public_provenance(volume.provenance),
            "affine_lps": volume.affine,
            "verdict": volume.passport.verdict,
            **about,
        }
    )
    # Inside as well: a file is passed on without the one beside it.
    image.header.extensions.append(_extension(content))
    with staged(path, suffix) as temporary:
        nibabel.save(image, temporary)
        again = nibabel.Nifti1Image.from_filename(temporary)
        same = np.array_equal(np.asanyarray(again.dataobj), array.transpose(2, 1, 0))
        require_equal(same, path, "voxels")
        off = same_grid(np.asarray(again.affine), affine, again.shape)
        require_equal(off <= _FLOAT32_MM, path, "geometry")
        require_equal(_inside(again) == content, path, "credit")
    write_json(side, content)
    return [path, side]


def _descrip(citations: Sequence[Citation]) -> bytes:
    """Return licence and DOI in the 79 bytes that the header has for words."""
    words = [
        f"{c.licence} doi:{c.doi}".strip() for c in citations if c.kind == "dataset"
    ]
    words = words or [c.text for c in citations]
    return (words[0] if words else "origin unknown").encode("ascii", "replace")[:79]
