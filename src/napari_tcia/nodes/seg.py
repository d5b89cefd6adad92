"""DICOM Segmentation onto the grid of its CT, frame by frame, by position.

A frame is placed by its own plane position and orientation (DICOM PS3.3
C.7.6.16.2.3, C.7.6.16.2.4), never by its number: SEG files hold only frames
with foreground, in any order, may be cropped, and may run from head to foot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from napari_tcia.core.image import Check, LabelSet, Segment, Volume
from napari_tcia.core.model import Provenance
from napari_tcia.errors import (
    CorruptData,
    GeometryMismatch,
    UnreadableAnnotation,
    UnsupportedData,
)
from napari_tcia.nodes.grid import on_missing_slices, place
from napari_tcia.volume.instance import tolerant

_SEG = "1.2.840.10008.5.1.4.1.1.66.4"
_LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
_STEP_SHARE = 0.1
"""Share of the step by which the frames of another series may be apart."""
_HALF = 0.5
"""Share of MaximumFractionalValue from which a voxel belongs to a segment."""


def read_seg(
    path: Path | str, volume: Volume, *, provenance: Provenance | None = None
) -> list[LabelSet]:
    """Read a DICOM SEG as labels on the grid of `volume`.

    Parameters
    ----------
    path : path
        A SEG instance: BINARY, FRACTIONAL or LABELMAP.
    volume : Volume
        The images that it belongs to, of sound geometry.
    provenance : Provenance, optional
        Where the file came from; that of the volume by default.

    Returns
    -------
    list of LabelSet
        One where segments do not overlap; an overlapping segment is put, whole,
        into a further set. Values are SegmentNumbers.

    Raises
    ------
    UnreadableAnnotation
        Not a SEG, or parts that it must have are absent.
    GeometryMismatch
        Another frame of reference, off the grid, or foreground outside it.
    CorruptData
        Fewer pixels than frames.
    """
    path = Path(path)
    with tolerant():
        dataset = _open(path)
        try:
            return _read(dataset, path, volume, provenance)
        except (AttributeError, KeyError, IndexError, TypeError) as error:
            raise UnreadableAnnotation(
                f"{path.name} lacks a part that a SEG must have: {error}.",
                "Ask its maker, or validate it with dciodvfy.",
            ) from error


def _open(path: Path) -> pydicom.Dataset:
    try:
        dataset = pydicom.dcmread(path)
        sop_class = str(dataset.get("SOPClassUID", ""))
    except Exception as error:  # pydicom maps damage to many types
        raise UnreadableAnnotation(
            f"{path.name} cannot be read as DICOM: {error}.", "Fetch it again."
        ) from error
    if sop_class not in (_SEG, _LABELMAP):
        raise UnreadableAnnotation(
            f"{path.name} is no DICOM Segmentation but "
            f"{dataset.get('Modality', 'of unknown modality')}.",
            "DICOM SEG and NIfTI masks can be read as labels.",
        )
    return dataset


def _read(
    dataset: pydicom.Dataset, path: Path, volume: Volume, provenance: Provenance | None
) -> list[LabelSet]:
    checks = [_frame_of_reference(dataset, path, volume), _references(dataset, volume)]
    if checks[1].verdict == "fail":
        _same_step(dataset, path, volume)
    kind = str(dataset.get("SegmentationType", ""))
    if kind == "FRACTIONAL":
        checks.append(
            Check(
                "fractional_threshold",
                "warn",
                "A fractional segmentation, cut at half of its maximum.",
                {"maximum": int(dataset.MaximumFractionalValue), "share": _HALF},
            )
        )
    segments = tuple(
        # A labelmap may describe its background as segment 0 (PS3.3 C.8.20.2).
        _segment(item)
        for item in dataset.SegmentSequence
        if int(item.SegmentNumber)
    )
    voxels, residual, slices = _voxels(dataset, path, volume, kind)
    unknown = sorted(set(voxels) - {segment.value for segment in segments})
    if unknown:
        raise UnreadableAnnotation(
            f"{path.name} has frames of segments {unknown[:5]} it does not describe."
        )
    count = sum(len(each) for each in voxels.values())
    checks += [
        Check(
            "on_grid",
            "pass",
            f"Every frame lies on the grid, within {residual:.2g} voxels.",
            {"residual_voxels": residual},
        ),
        Check(
            "foreground",
            "pass" if count else "warn",
            f"{count} voxels in {len(voxels)} segments." if count else "No foreground.",
            {"voxels": {str(n): len(v) for n, v in sorted(voxels.items())}},
        ),
    ]
    checks += on_missing_slices(volume, slices)
    name = str(dataset.get("SeriesDescription", "")) or path.stem
    base = volume.provenance if provenance is None else provenance
    if provenance is None or not provenance.series_uid:
        base = replace(
            base,
            series_uid=str(dataset.get("SeriesInstanceUID", "")),
            modality="SEG",
            patient_id=str(dataset.get("PatientID", "")) or base.patient_id,
            series_sha256="",  # that of the images is not its own
        )
    arrays = _layers(voxels, segments, volume.shape)
    return [
        LabelSet(
            array=array,
            segments=tuple(s for s in segments if s.value in members),
            name=name if number == 1 else f"{name} ({number})",
            source="seg",
            provenance=base,
            checks=tuple(checks),
            path=path,
        )
        for number, (array, members) in enumerate(arrays, start=1)
    ]


def _frame_of_reference(dataset: pydicom.Dataset, path: Path, volume: Volume) -> Check:
    code = "frame_of_reference"
    ours = volume.provenance.frame_of_reference_uid
    theirs = str(dataset.get("FrameOfReferenceUID", ""))
    if ours and theirs and ours != theirs:
        raise GeometryMismatch(
            f"{path.name} is in another frame of reference than the volume.",
            "It was drawn on other images; open those.",
            volume=ours,
            annotation=theirs,
        )
    if not (ours and theirs):
        return Check(
            code, "warn", "No frame of reference to compare; placed by position alone."
        )
    return Check(code, "pass", "Same frame of reference.", {"uid": ours})


def _references(dataset: pydicom.Dataset, volume: Volume) -> Check:
    """Compare the images that the SEG names with those of the volume."""
    code = "referenced_images"
    known = {uid for uid in volume.sop_uids if uid}
    named = {
        str(instance.ReferencedSOPInstanceUID)
        for series in dataset.get("ReferencedSeriesSequence") or ()
        for instance in series.get("ReferencedInstanceSequence") or ()
    }
    for frame in dataset.get("PerFrameFunctionalGroupsSequence") or ():
        for derivation in frame.get("DerivationImageSequence") or ():
            named |= {
                str(source.ReferencedSOPInstanceUID)
                for source in derivation.get("SourceImageSequence") or ()
            }
    absent = named - known
    numbers = {"referenced": len(named), "absent": len(absent)}
    if not named:
        return Check(code, "warn", "It names no source images.", numbers)
    if absent == named:
        message = f"None of its {len(named)} source images is in this volume."
        return Check(code, "fail", message, numbers)
    if absent:
        message = f"{len(absent)} of its {len(named)} source images are not here."
        return Check(code, "warn", message, numbers)
    return Check(code, "pass", f"All {len(named)} source images are here.", numbers)


def _same_step(dataset: pydicom.Dataset, path: Path, volume: Volume) -> None:
    """Refuse frames of another series that are farther apart than the slices.

    Thick slices of the same scan may lie exactly on thin ones: the labels would
    be in place, with unlabelled slices between them that the node fills.
    """
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    first = dataset.PerFrameFunctionalGroupsSequence[0]
    apart = _group(first, shared, "PixelMeasuresSequence").get("SpacingBetweenSlices")
    vectors, _ = _plane(first, shared)
    normal = np.cross(vectors[:, 0], vectors[:, 1])
    normal /= np.linalg.norm(normal)
    step = float(np.abs(normal @ volume.affine[:3, :3]).max())
    if apart and abs(float(apart) - step) > _STEP_SHARE * step:
        raise GeometryMismatch(
            f"{path.name} was drawn on images {float(apart):g} mm apart that are not "
            f"in this volume, whose slices are {step:g} mm apart.",
            "Open the series that it was drawn on.",
            spacing_mm=float(apart),
            volume_step_mm=step,
        )


def _segment(item: pydicom.Dataset) -> Segment:
    number = int(item.SegmentNumber)
    return Segment(
        value=number,
        label=str(item.get("SegmentLabel", "")) or f"Segment {number}",
        category=_code(item.get("SegmentedPropertyCategoryCodeSequence")),
        type=_code(item.get("SegmentedPropertyTypeCodeSequence")),
        algorithm=str(item.get("SegmentAlgorithmType", "")),
        tracking_uid=str(item.get("TrackingUID", "")),
    )


def _code(sequence: Sequence[pydicom.Dataset] | None) -> tuple[str, str, str] | None:
    for item in sequence or ():
        return (
            str(item.get("CodeValue", "")),
            str(item.get("CodingSchemeDesignator", "")),
            str(item.get("CodeMeaning", "")),
        )
    return None


def _voxels(
    dataset: pydicom.Dataset, path: Path, volume: Volume, kind: str
) -> tuple[dict[int, NDArray[np.int64]], float, set[int]]:
    """Flat indices of each segment's voxels; residual; labelled slices."""
    shared = dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()]
    shape = (int(dataset.Rows), int(dataset.Columns))
    found: dict[int, list[NDArray[np.int64]]] = {}
    residual = 0.0
    slices: set[int] = set()
    per_frame = dataset.PerFrameFunctionalGroupsSequence
    for own, pixels in zip(per_frame, _frames(dataset, path), strict=True):
        vectors, origin = _plane(own, shared[0])
        at = place(volume.affine, vectors, origin, shape, path.name)
        residual = max(residual, at.residual)
        rows, columns = np.nonzero(pixels)
        values = pixels[rows, columns]
        if kind == "FRACTIONAL":
            strong = values >= _HALF * int(dataset.MaximumFractionalValue)
            rows, columns, values = rows[strong], columns[strong], values[strong]
        indices = at(np.stack([rows, columns], axis=1))
        outside = ((indices < 0) | (indices >= volume.shape)).any(axis=1)
        if outside.any():
            raise GeometryMismatch(
                f"{path.name} has {int(outside.sum())} labelled voxels outside the "
                "volume.",
                "Open the whole series that it was drawn on.",
                voxels=int(outside.sum()),
                shape=list(volume.shape),
            )
        slices.update(np.unique(indices[:, 0]).tolist())
        flat = np.ravel_multi_index(tuple(indices.T), volume.shape)
        if kind == "LABELMAP":
            for value in np.unique(values).tolist():
                found.setdefault(value, []).append(flat[values == value])
        else:
            number = _group(own, shared[0], "SegmentIdentificationSequence")
            value = int(number.ReferencedSegmentNumber)
            found.setdefault(value, []).append(flat)
    voxels = {value: np.unique(np.concatenate(parts)) for value, parts in found.items()}
    return voxels, residual, slices


def _group(own: pydicom.Dataset, shared: pydicom.Dataset, name: str) -> Any:
    """First item of a functional group, of the frame or of all frames."""
    sequence = own.get(name) or shared.get(name)
    if not sequence:
        raise AttributeError(name)
    return sequence[0]


def _plane(
    own: pydicom.Dataset, shared: pydicom.Dataset
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the LPS steps (3, 2) along rows and columns of a frame, and its origin."""
    position = _group(own, shared, "PlanePositionSequence").ImagePositionPatient
    cosines = np.array(
        _group(own, shared, "PlaneOrientationSequence").ImageOrientationPatient,
        dtype=np.float64,
    )
    spacing = _group(own, shared, "PixelMeasuresSequence").PixelSpacing
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


def _layers(
    voxels: dict[int, NDArray[np.int64]],
    segments: Sequence[Segment],
    shape: tuple[int, int, int],
) -> list[tuple[NDArray[Any], set[int]]]:
    """Arrays that hold every segment whole; a new one wherever two overlap."""
    top = max((segment.value for segment in segments), default=0)
    dtype = np.uint8 if top <= 255 else np.uint16
    layers: list[tuple[NDArray[Any], set[int]]] = [(np.zeros(shape, dtype), set())]
    for segment in sorted(segments, key=lambda one: one.value):
        flat = voxels.get(segment.value, np.empty(0, dtype=np.int64))
        free = (one for one in layers if not one[0].reshape(-1)[flat].any())
        layer = next(free, None)
        if layer is None:
            layer = (np.zeros(shape, dtype), set())
            layers.append(layer)
        layer[0].reshape(-1)[flat] = segment.value
        layer[1].add(segment.value)
    return layers
