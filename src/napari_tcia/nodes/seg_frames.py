"""Frames of a DICOM SEG: where each one lies, and the voxels that it labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from napari_tcia.core.image import Volume
from napari_tcia.errors import CorruptData, UnsupportedData
from napari_tcia.nodes.grid import flat_indices, place

HALF = 0.5
"""Share of MaximumFractionalValue from which a voxel belongs to a segment."""


@dataclass(slots=True)
class Labelled:
    """What the frames of a SEG hold, on the grid of the volume.

    Attributes
    ----------
    voxels : dict of int to (n,) int64
        Flat indices of each segment.
    residual : float
        Largest distance of a corner from the grid, in voxels.
    slices : set of int
        k with labels.
    weak : int
        Voxels of a fractional SEG that are above 0 and below the threshold.
    compared : int
        Frames that name a source image of this volume.
    elsewhere : list of (int, int)
        Of those that name none at their own place: their k, the nearest named k.
    """

    voxels: dict[int, NDArray[np.int64]]
    residual: float
    slices: set[int]
    weak: int = 0
    compared: int = 0
    elsewhere: list[tuple[int, int]] = field(default_factory=list)


def labelled_voxels(
    dataset: pydicom.Dataset, path: Path, volume: Volume, kind: str
) -> Labelled:
    """Place every frame by its own position and collect what it labels.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The SEG.
    path : Path
        Names it in errors.
    volume : Volume
    kind : str
        SegmentationType; of a FRACTIONAL one, voxels from `HALF` on count.

    Raises
    ------
    GeometryMismatch
        A frame is off the grid, or labels voxels outside it.
    CorruptData, UnsupportedData
    """
    shared = dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()]
    shape = (int(dataset.Rows), int(dataset.Columns))
    k_of = {uid: k for k, uid in enumerate(volume.sop_uids) if uid}
    plane = volume.shape[1] * volume.shape[2]
    parts: dict[int, list[NDArray[np.int64]]] = {}
    found = Labelled({}, 0.0, set())
    per_frame = dataset.PerFrameFunctionalGroupsSequence
    for own, pixels in zip(per_frame, _frames(dataset, path), strict=True):
        vectors, origin = plane_of(own, shared[0])
        at = place(volume.affine, vectors, origin, shape, path.name)
        found.residual = max(found.residual, at.residual)
        named = [k_of[uid] for uid in sources_of(own) if uid in k_of]
        # A frame that lies across the slices is drawn on many of them.
        if named and not at.steps[0].any():
            found.compared += 1
            k = int(at.origin[0])
            if k not in named:
                nearest = min(named, key=lambda one: abs(one - k))
                found.elsewhere.append((k, nearest))
        rows, columns = np.nonzero(pixels)
        values = pixels[rows, columns]
        if kind == "FRACTIONAL":
            strong = values >= HALF * int(dataset.MaximumFractionalValue)
            found.weak += int(values.size - strong.sum())
            rows, columns, values = rows[strong], columns[strong], values[strong]
        flat = flat_indices(at, np.stack([rows, columns], axis=1), volume, path.name)
        found.slices.update(np.unique(flat // plane).tolist())
        if kind == "LABELMAP":
            for value in np.unique(values).tolist():
                parts.setdefault(value, []).append(flat[values == value])
        else:
            number = group_of(own, shared[0], "SegmentIdentificationSequence")
            value = int(number.ReferencedSegmentNumber)
            parts.setdefault(value, []).append(flat)
    for value, pieces in parts.items():
        found.voxels[value] = np.unique(np.concatenate(pieces))
    return found


def sources_of(frame: pydicom.Dataset) -> set[str]:
    """UIDs of the images that a frame was drawn on."""
    return {
        str(source.ReferencedSOPInstanceUID)
        for derivation in frame.get("DerivationImageSequence") or ()
        for source in derivation.get("SourceImageSequence") or ()
    }


def group_of(own: pydicom.Dataset, shared: pydicom.Dataset, name: str) -> Any:
    """First item of functional group `name`, of the frame or of all frames."""
    sequence = own.get(name) or shared.get(name)
    if not sequence:
        raise AttributeError(name)
    return sequence[0]


def plane_of(
    own: pydicom.Dataset, shared: pydicom.Dataset
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the LPS steps (3, 2) along rows and columns of a frame, and its origin."""
    position = group_of(own, shared, "PlanePositionSequence").ImagePositionPatient
    cosines = np.array(
        group_of(own, shared, "PlaneOrientationSequence").ImageOrientationPatient,
        dtype=np.float64,
    )
    spacing = group_of(own, shared, "PixelMeasuresSequence").PixelSpacing
    down = cosines[3:] * float(spacing[0])
    right = cosines[:3] * float(spacing[1])
    return np.stack([down, right], axis=1), np.array(position, dtype=np.float64)


def _frames(dataset: pydicom.Dataset, path: Path) -> Iterator[NDArray[Any]]:
    """Frames one at a time: bits are unpacked here, since 600 frames are 150 MB."""
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    shape = (int(dataset.Rows), int(dataset.Columns))
    if count != len(dataset.PerFrameFunctionalGroupsSequence):
        raise CorruptData(
            f"{path.name} describes {len(dataset.PerFrameFunctionalGroupsSequence)} "
            f"frames and declares {count}.",
            "Fetch it again.",
        )
    data = dataset.get("PixelData") or b""
    compressed = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    size = shape[0] * shape[1]
    bits = int(dataset.BitsAllocated)
    if not compressed and len(data) * 8 < count * size * bits:
        raise CorruptData(
            f"{path.name} ends after {len(data)} of {count * size * bits // 8} bytes "
            "of pixels.",
            "Fetch it again.",
        )
    if bits == 1 and not compressed:
        packed = np.frombuffer(data, np.uint8)
        for frame in range(count):
            first, last = frame * size, (frame + 1) * size
            piece = np.unpackbits(packed[first // 8 : -(-last // 8)], bitorder="little")
            yield piece[first % 8 : first % 8 + size].reshape(shape)
        return
    from pydicom.pixels.utils import iter_pixels

    try:
        yield from iter_pixels(dataset, raw=True)
    except Exception as error:  # decoders raise whatever their C code maps to
        raise UnsupportedData(
            f"The frames of {path.name} cannot be decoded: {error}.",
            'Its codec may be missing: pip install "napari-tcia[codecs]"',
        ) from error
