"""NIfTI masks onto the grid of their CT, by affine and by nothing else.

NIfTI is RAS with arrays [i, j, k]; it is turned into LPS and (k, j, i) here. A
mask whose affine does not meet the grid is refused, however well its shape
fits: recipes that flip arrays are right for one converter and wrong for the
next.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from napari_tcia.core.geometry import Affine, same_grid
from napari_tcia.core.image import Check, LabelSet, Segment, Volume
from napari_tcia.core.model import Provenance
from napari_tcia.errors import (
    CorruptData,
    GeometryMismatch,
    NothingFound,
    UnreadableAnnotation,
)
from napari_tcia.nodes.grid import Placement, on_missing_slices, place

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_NEAREST = 0.499
"""Voxels that a mask of the same shape may lie beside the grid: one is nearest."""
_EXACT_MM = 0.01
"""Corner distance in mm up to which two grids count as equal."""
_MEMBER_LIMIT = 1 << 30
"""Compressed size of a mask that is still taken out of a zip, bytes."""


def read_mask(
    path: Path | str, volume: Volume, *, provenance: Provenance | None = None
) -> list[LabelSet]:
    """Read a NIfTI mask as labels on the grid of `volume`.

    Parameters
    ----------
    path : path
        ``.nii``, ``.nii.gz``, or a zip or folder with ``<PatientID>_mask.nii.gz``
        at any depth.
    volume : Volume
        The images that it belongs to, of sound geometry.
    provenance : Provenance, optional
        Where the file came from; that of the volume by default.

    Returns
    -------
    list of LabelSet
        Exactly one. Each value of the mask is a segment; a value names a node
        of the mask and is no row number of the text files.

    Raises
    ------
    GeometryMismatch
        Shape or affine differ from the grid.
    UnreadableAnnotation
        Not NIfTI, or no label image.
    NothingFound
        The zip or folder holds no mask of this patient.
    CorruptData
        Cut short.
    """
    path = Path(path)
    patient = volume.provenance.patient_id
    try:
        stream, name = _open(path, patient)
        with stream:
            image = nibabel.Nifti1Image.from_stream(stream)
            at, check = _fit(image, volume, name)
            values = np.asanyarray(image.dataobj)
    except (ImageFileError, HeaderDataError, zipfile.BadZipFile) as error:
        raise UnreadableAnnotation(
            f"{path.name} cannot be read as NIfTI: {error}.", "Fetch it again."
        ) from error
    except (EOFError, OSError, zlib.error, ValueError) as error:
        raise CorruptData(
            f"{path.name} is cut short or damaged: {error}.", "Fetch it again."
        ) from error
    labels = whole_numbers(values.reshape(values.shape[:3]), name)
    array = np.ascontiguousarray(_onto(labels, at, volume.shape))
    values_present = np.zeros(int(array.max()) + 1, dtype=np.bool_)
    labelled = []
    for k, layer in enumerate(array):  # sorting all voxels would take seconds
        here = np.bincount(layer.reshape(-1)).nonzero()[0]
        values_present[here] = True
        labelled += [k] if here.any() else []
    found = [int(n) for n in values_present.nonzero()[0] if n]
    checks = [check, _same_patient(name, patient)]
    checks += on_missing_slices(volume, labelled)
    if not found:
        checks.append(Check("foreground", "warn", "The mask is empty."))
    base = volume.provenance if provenance is None else provenance
    return [
        LabelSet(
            array=array,
            segments=tuple(Segment(value, f"Node {value}") for value in found),
            name=PurePosixPath(name).name.removesuffix(".gz").removesuffix(".nii"),
            source="mask",
            provenance=replace(base, modality=""),
            checks=tuple(checks),
            path=path,
        )
    ]


def _open(path: Path, patient: str) -> tuple[io.IOBase, str]:
    """Stream of the uncompressed NIfTI file, and its name."""
    if path.is_dir():
        files = [f for f in path.rglob("*.nii*") if not f.name.startswith(".")]
        name = _choose([str(f) for f in files], patient, path)
        return _open(Path(name), patient)
    if not path.exists():
        raise NothingFound(f"{path} does not exist.", "Check the path.")
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [
                info.filename
                for info in archive.infolist()
                if _is_mask(info.filename) and info.file_size <= _MEMBER_LIMIT
            ]
            name = _choose(names, patient, path)
            data = io.BytesIO(archive.read(name))
    else:
        name, data = path.name, io.BytesIO(path.read_bytes())
    packed = data.getvalue()[:2] == b"\x1f\x8b"
    # Decompressed as it is read, so the header is judged before the array exists.
    return (gzip.GzipFile(fileobj=data) if packed else data), name


def _is_mask(member: str) -> bool:
    """Whether a member of a zip may be a mask: none of macOS, none that climbs out."""
    path = PurePosixPath(member.replace("\\", "/"))
    if member.endswith("/") or {"__MACOSX", "..", "/"} & set(path.parts):
        return False
    return ".nii" in path.name.lower() and not path.name.startswith(".")


def _choose(names: list[str], patient: str, path: Path) -> str:
    own = [
        name
        for name in names
        if patient
        and PurePosixPath(name.replace("\\", "/")).name.startswith(f"{patient}_")
    ]
    chosen = own or (names if len(names) == 1 else [])
    if len(chosen) != 1:
        raise NothingFound(
            f"{path.name} holds {len(own) or 'no'} mask{'s' if own else ''} of "
            f"{patient or 'this case'}.",
            "Choose the mask file itself.",
            masks=len(names),
        )
    return chosen[0]


def _fit(image: Any, volume: Volume, name: str) -> tuple[Placement, Check]:
    shape = tuple(image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    k, j, i = volume.shape
    if len(shape) != 3 or sorted(shape) != sorted(volume.shape):
        raise GeometryMismatch(
            f"{name} has shape {shape} where the volume has {(i, j, k)}.",
            "It belongs to another scan, or slices are absent.",
            mask_shape=list(shape),
            volume_shape=[i, j, k],
        )
    _same_forms(image, shape, name)
    affine = _RAS_TO_LPS @ np.asarray(image.affine, dtype=np.float64)
    at = place(
        volume.affine, affine[:3, :3], affine[:3, 3], shape, name, tolerance=_NEAREST
    )
    low = at(np.zeros((1, 3), dtype=np.int64))[0]
    high = at(np.array([shape]) - 1)[0]
    if (np.minimum(low, high) != 0).any() or (
        np.maximum(low, high) != np.array(volume.shape) - 1
    ).any():
        raise GeometryMismatch(
            f"{name} has the size of the volume but covers voxels "
            f"{np.minimum(low, high).tolist()} to {np.maximum(low, high).tolist()}.",
            "It belongs to another scan.",
            low=low.tolist(),
            high=high.tolist(),
        )
    ideal = np.eye(4)
    ideal[:3, :3] = volume.affine[:3, :3] @ at.steps
    ideal[:3, 3] = volume.affine[:3, :3] @ at.origin + volume.affine[:3, 3]
    off = same_grid(ideal, affine, shape)
    return at, Check(
        "on_grid",
        "pass" if off <= _EXACT_MM else "warn",
        f"Shape and affine meet the grid, within {off:.2g} mm."
        if off <= _EXACT_MM
        else f"{name} lies {off:.2g} mm ({at.residual:.2g} voxels) beside the grid; "
        "each of its voxels is shown at the nearest.",
        {"rule": "M1 M2", "residual_mm": off, "residual_voxels": at.residual},
    )


def _same_forms(image: Any, shape: tuple[int, ...], name: str) -> None:
    """Refuse a file whose two orientations contradict each other."""
    qform: Affine | None = image.header.get_qform(coded=True)[0]
    sform: Affine | None = image.header.get_sform(coded=True)[0]
    if qform is None and sform is None:
        raise GeometryMismatch(
            f"{name} states no orientation (qform and sform are not coded).",
            "It cannot be placed without guessing.",
        )
    if qform is None or sform is None:
        return
    gap = same_grid(qform, sform, shape)
    if gap > max(_EXACT_MM, 1e-4 * max(shape)):
        raise GeometryMismatch(
            f"The qform and sform of {name} contradict each other by {gap:.3g} mm.",
            "It cannot be placed without guessing.",
            gap_mm=gap,
        )


def whole_numbers(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Labels as uint8 or uint16; a float file holds whole numbers or is refused.

    Parameters
    ----------
    values : ndarray
        As stored, of any shape.
    name : str
        Names the file in the error.

    Raises
    ------
    UnreadableAnnotation
        Fractions, or values that are no labels.
    """
    if values.dtype.kind == "f":
        rounded = np.rint(values)
        if not np.allclose(values, rounded, atol=1e-3):
            raise UnreadableAnnotation(
                f"{name} holds fractions, so it is a probability map, not a mask.",
                "Threshold it first.",
            )
        values = rounded
    elif values.dtype.kind not in "iub":
        raise UnreadableAnnotation(f"{name} holds {values.dtype}, no labels.")
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > 65535:
        raise UnreadableAnnotation(
            f"{name} holds values from {low} to {high}, no labels.",
            "Labels are whole numbers from 0 to 65535.",
        )
    return values.astype(np.uint8 if high <= 255 else np.uint16)


def _onto(
    labels: NDArray[Any], at: Placement, shape: tuple[int, int, int]
) -> NDArray[Any]:
    """Permute and flip the file's axes as its affine says; no voxel is computed."""
    order = [int(np.flatnonzero(at.steps[axis])[0]) for axis in range(3)]
    flips = tuple(
        slice(None, None, int(at.steps[axis, order[axis]])) for axis in range(3)
    )
    placed = labels.transpose(order)[flips]
    if placed.shape != shape:
        raise GeometryMismatch(
            f"The mask is {placed.shape} along the volume's axes, which are {shape}."
        )
    return placed


def _same_patient(name: str, patient: str) -> Check:
    owner = PurePosixPath(name.replace("\\", "/")).name.split("_mask")[0]
    named = owner.startswith(("MED_LYMPH_", "ABD_LYMPH_")) and bool(patient)
    if named and owner != patient:
        return Check(
            "same_patient",
            "warn",
            f"The mask is named {owner}, the volume is {patient}.",
            {"mask": owner, "volume": patient},
        )
    return Check("same_patient", "pass", "Nothing in its name speaks against it.")
