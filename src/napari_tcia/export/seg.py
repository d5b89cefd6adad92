"""Labels as DICOM Segmentation, written by highdicom."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
from numpy.typing import NDArray

from napari_tcia.cite.provenance import line_of
from napari_tcia.core.geometry import spacing_of
from napari_tcia.core.image import LabelSet, Segment, Volume
from napari_tcia.core.model import Citation
from napari_tcia.errors import NothingFound, UsageError
from napari_tcia.export.files import (
    credit_lines,
    label_paths,
    public_provenance,
    require_equal,
    staged,
)
from napari_tcia.nodes.seg import read_seg
from napari_tcia.volume import require_sound
from napari_tcia.volume.instance import tolerant

ANATOMY = ("123037004", "SCT", "Anatomical Structure")
LYMPH_NODE = ("59441001", "SCT", "Structure of lymph node")
_FAMILIES = {
    "SEMIAUTOMATIC": ("123109", "DCM", "Manual Processing"),
    "AUTOMATIC": ("123110", "DCM", "Artificial Intelligence"),
}
"""Algorithm family (CID 7162) where the source gave only the kind of algorithm."""
_COMMENT_LIMIT = 10240
"""Characters of an LT value (DICOM PS3.5 section 6.2)."""


def write(
    out: Path | str,
    volume: Volume,
    labels: Sequence[LabelSet],
    citations: Sequence[Citation],
) -> list[Path]:
    """Write each label set as a BINARY DICOM SEG that refers to its images.

    Segments are numbered from 1 in the order of their values, as DICOM asks;
    labels, codes and tracking UIDs are kept. Labels that overlap are in several
    sets and so in several files. Credit goes into ImageComments.

    Parameters
    ----------
    out : path
        A ``.dcm`` name, or a folder.
    volume : Volume
        Of sound geometry, read from files that are still there.
    labels : sequence of LabelSet
        At least one, with foreground.
    citations : sequence of Citation

    Returns
    -------
    list of Path
        The files, after highdicom and our own reader found the same voxels.

    Raises
    ------
    NothingFound
        No set has foreground.
    UsageError
        Labels lie on slices that the volume lacks, or the image is multi-frame.
    BrokenGeometry, StorageError, CorruptData
    """
    require_sound(volume, "export")
    files = [file for file in volume.files if file is not None]
    if len(set(files)) < len(files):
        raise UsageError(
            f"{files[0].name} is a multi-frame image, for which no SEG is written yet.",
            "Export NIfTI or Slicer files, which hold the same labels.",
        )
    filled = [one for one in labels if one.array.any()]
    if not filled:
        raise NothingFound("There are no labels to export.", "Draw or load some first.")
    paths = label_paths(Path(out), volume, filled, (".dcm",))
    for path, one in zip(paths, filled, strict=True):
        with staged(path, ".dcm") as temporary, tolerant():
            _save(temporary, volume, one, citations)
            _reread(temporary, path, volume, one)
    return paths


def _save(
    path: Path, volume: Volume, labels: LabelSet, citations: Sequence[Citation]
) -> None:
    used = np.flatnonzero([layer.any() for layer in labels.array])
    absent = [int(k) for k in used if volume.files[k] is None]
    if absent:
        raise UsageError(
            f"Labels lie on {len(absent)} slices that the volume lacks; a SEG refers "
            "to images that exist.",
            "Erase them there, or fetch the whole series.",
            k=absent,
        )
    segments = _segments(labels)
    planes = _planes(used, volume)
    frames = labels.array[planes]
    numbered = np.zeros(frames.shape, labels.array.dtype)
    for number, segment in enumerate(segments, start=1):
        numbered[frames == segment.value] = number
    with warnings.catch_warnings():
        # Patient names of the collection are plain IDs, which highdicom doubts.
        warnings.simplefilter("ignore", UserWarning)
        seg = highdicom.seg.Segmentation(
            source_images=[_source(volume, int(k)) for k in planes],
            pixel_array=numbered,
            segmentation_type="BINARY",
            segment_descriptions=[
                _description(segment, number)
                for number, segment in enumerate(segments, start=1)
            ],
            series_instance_uid=highdicom.UID(),
            series_number=300,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="napari-tcia",
            manufacturer_model_name="napari-tcia",
            software_versions=version("napari-tcia"),
            device_serial_number="0",
            content_description="Lymph node segmentation",
            omit_empty_frames=len(planes) == len(used),
        )
    # highdicom takes the gap between the frames for the step.
    (shared,) = seg.SharedFunctionalGroupsSequence
    shared.PixelMeasuresSequence[0].SpacingBetweenSlices = _step(volume)
    seg.SpecificCharacterSet = "ISO_IR 192"  # UTF-8: names in citations and labels
    seg.SeriesDescription = labels.name[:64]
    seg.ImageComments = _comments(volume, labels, citations)
    seg.save_as(path)


def _comments(volume: Volume, labels: LabelSet, citations: Sequence[Citation]) -> str:
    """Credit for people, then the provenance for our own reader, which stays whole."""
    origin = line_of(public_provenance(labels.provenance))
    credit = "\n".join(credit_lines(volume, citations))
    return f"{credit[: _COMMENT_LIMIT - len(origin) - 1]}\n{origin}"


def _planes(used: NDArray[np.int64], volume: Volume) -> NDArray[np.int64]:
    """Slices to write: those with labels, and one beside them where all are apart.

    Other programs take the smallest gap between frames for the slice step: labels
    on every fifth slice alone would be read as five times as thick.
    """
    if len(used) == 1 or (np.diff(used) == 1).any():
        return used
    beside = [k for n in used.tolist() for k in (n + 1, n - 1)]
    there = [k for k in beside if 0 <= k < len(volume.files) and volume.files[k]]
    return np.sort(np.append(used, there[:1]))


def _step(volume: Volume) -> str:
    """Distance of slices along their normal in mm, as a DS value."""
    _, down, right = spacing_of(volume.affine)
    return f"{abs(np.linalg.det(volume.affine[:3, :3])) / (down * right):.10g}"


def _source(volume: Volume, k: int) -> pydicom.Dataset:
    """Header of a slice in memory, completed for highdicom; the file is untouched."""
    file = volume.files[k]
    assert file is not None
    dataset = pydicom.dcmread(file, stop_before_pixels=True)
    # CT Lymph Nodes states no thickness: the measured step stands for it.
    dataset.SliceThickness = _step(volume)
    return dataset


def _segments(labels: LabelSet) -> list[Segment]:
    """Segments that have voxels, by value; unnamed values get a plain name."""
    named = {segment.value: segment for segment in labels.segments}
    found = [int(v) for v in np.unique(labels.array[labels.array > 0])]
    return [named.get(value, Segment(value, f"Node {value}")) for value in found]


def _description(segment: Segment, number: int) -> Any:
    algorithm = segment.algorithm if segment.algorithm in _FAMILIES else "MANUAL"
    extra: dict[str, Any] = {}
    if algorithm != "MANUAL":
        extra["algorithm_identification"] = highdicom.AlgorithmIdentificationSequence(
            name="not stated by the source",
            family=_concept(_FAMILIES[algorithm]),
            version="unknown",
        )
    if segment.tracking_uid:
        extra["tracking_uid"] = segment.tracking_uid
        extra["tracking_id"] = segment.label
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.label[:64],
        segmented_property_category=_concept(segment.category or ANATOMY),
        segmented_property_type=_concept(segment.type or LYMPH_NODE),
        algorithm_type=algorithm,
        **extra,
    )


def _concept(code: tuple[str, str, str]) -> Any:
    return highdicom.sr.CodedConcept(*code)


def _reread(path: Path, name: Path, volume: Volume, labels: LabelSet) -> None:
    expected = _renumbered(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        seg = highdicom.seg.segread(path)
        used = np.flatnonzero([layer.any() for layer in labels.array])
        found = seg.get_pixels_by_source_instance(
            [str(volume.sop_uids[k]) for k in used], combine_segments=True
        )
    require_equal(bool(np.array_equal(found, expected[used])), name, "voxels")
    (ours,) = read_seg(path, volume)
    require_equal(bool(np.array_equal(ours.array, expected)), name, "positions")


def _renumbered(labels: LabelSet) -> NDArray[Any]:
    lookup = np.zeros(int(labels.array.max()) + 1, dtype=np.uint16)
    for number, segment in enumerate(_segments(labels), start=1):
        lookup[segment.value] = number
    return np.asarray(lookup[labels.array])
