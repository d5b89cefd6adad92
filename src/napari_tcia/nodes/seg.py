"""DICOM Segmentation onto the grid of its CT, frame by frame, by position.

A frame is placed by its own plane position and orientation (DICOM PS3.3
C.7.6.16.2.3, C.7.6.16.2.4), never by its number: SEG files hold only frames
with foreground, in any order, may be cropped, and may run from head to foot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom

from napari_tcia.core.image import Check, LabelSet, Segment, Verdict, Volume
from napari_tcia.core.model import Provenance
from napari_tcia.errors import (
    GeometryMismatch,
    UnreadableAnnotation,
)
from napari_tcia.nodes.grid import on_missing_slices
from napari_tcia.nodes.seg_frames import (
    HALF,
    Labelled,
    group_of,
    labelled_voxels,
    plane_of,
    sources_of,
)
from napari_tcia.nodes.spread import spread
from napari_tcia.volume.instance import tolerant

_SEG = "1.2.840.10008.5.1.4.1.1.66.4"
_LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
_STEP_SHARE = 0.1
"""Share of the step by which the frames of another series may be apart."""


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
        dataset = open_seg(path)
        try:
            return _read(dataset, path, volume, provenance)
        except (AttributeError, KeyError, IndexError, TypeError) as error:
            raise UnreadableAnnotation(
                f"{path.name} lacks a part that a SEG must have: {error}.",
                "Ask its maker, or validate it with dciodvfy.",
            ) from error


def open_seg(path: Path) -> pydicom.Dataset:
    """Read a file as DICOM SEG; raises `UnreadableAnnotation` where it is none."""
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
    if checks[1].verdict == "fail" or not any(volume.sop_uids):
        _same_step(dataset, path, volume)
    kind = str(dataset.get("SegmentationType", ""))
    segments = tuple(
        # A labelmap may describe its background as segment 0 (PS3.3 C.8.20.2).
        _segment(item)
        for item in dataset.SegmentSequence
        if int(item.SegmentNumber)
    )
    frames = labelled_voxels(dataset, path, volume, kind)
    voxels, residual, slices = frames.voxels, frames.residual, frames.slices
    if kind == "FRACTIONAL":
        checks.append(_fractions(dataset, frames.weak, sum(map(len, voxels.values()))))
    checks += _source_slices(frames)
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
    none = np.empty(0, dtype=np.int64)
    arrays = spread(((s, voxels.get(s.value, none)) for s in segments), volume.shape)
    return [
        LabelSet(
            array=array,
            segments=members,
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
        named |= sources_of(frame)
    absent = named - known
    numbers = {"referenced": len(named), "absent": len(absent)}
    if not (named and known):
        message = "Its source images could not be compared with those of the volume."
        return Check(code, "warn", message, numbers)
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
    apart = group_of(first, shared, "PixelMeasuresSequence").get("SpacingBetweenSlices")
    vectors, _ = plane_of(first, shared)
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


def _fractions(dataset: pydicom.Dataset, weak: int, kept: int) -> Check:
    maximum = int(dataset.MaximumFractionalValue)
    meaning = str(dataset.get("SegmentationFractionalType", "")) or "unknown"
    return Check(
        "fractional_threshold",
        "warn",
        f"A fractional segmentation ({meaning.lower()}): voxels of {HALF:.0%} and "
        f"more of {maximum} are labelled ({kept}), those below are not ({weak}).",
        {
            "maximum": maximum,
            "share": HALF,
            "type": meaning,
            "voxels": kept,
            "voxels_below": weak,
        },
    )


def _source_slices(found: Labelled) -> list[Check]:
    """Say whether every frame lies on the image that it was drawn on."""
    if not found.compared:
        return []
    wrong = found.elsewhere
    numbers = {
        "frames": found.compared,
        "elsewhere": len(wrong),
        "k": [k for k, _ in wrong[:20]],
        "named_k": [named for _, named in wrong[:20]],
    }
    message = f"All {found.compared} frames lie on the images that they name."
    if wrong:
        k, named = wrong[0]
        message = (
            f"{len(wrong)} of {found.compared} frames lie elsewhere than the images "
            f"that they name (k {k}, named k {named}); their position was followed."
        )
    verdict: Verdict = "fail" if wrong else "pass"
    return [Check("source_slices", verdict, message, numbers)]
