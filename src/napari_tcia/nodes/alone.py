"""A DICOM Segmentation by itself: its own grid, where the images are not here.

A SEG names the position of each of its frames (DICOM PS3.3 C.7.6.16.2.3) and the
images that they were drawn on (C.7.6.16.2.6 Derivation Image). That places its nodes
in the patient; which number a slice has in its series it does not tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from napari_tcia.core.image import Check, LabelSet, Passport, Volume
from napari_tcia.core.model import Provenance
from napari_tcia.errors import UnreadableAnnotation
from napari_tcia.nodes.grid import flat_indices, place
from napari_tcia.nodes.seg import open_seg, read_seg
from napari_tcia.nodes.seg_frames import group_of, plane_of
from napari_tcia.volume.instance import tolerant

_ASIDE = 0.1
"""Share of a voxel by which a frame may lie beside the grid of the others."""


@dataclass(frozen=True, slots=True, eq=False)
class Alone:
    """Segments on the grid that the SEG itself spans.

    Attributes
    ----------
    grid : Volume
        Without values: geometry, and in `sop_uids` the image of each slice that has
        foreground, None elsewhere. Its k counts from the lowest labelled slice.
    labels : tuple of LabelSet
    image_series_uid : str
        SeriesInstanceUID of the images, empty where the SEG does not name it.
    """

    grid: Volume
    labels: tuple[LabelSet, ...]
    image_series_uid: str


def read_alone(path: Path | str, *, provenance: Provenance | None = None) -> Alone:
    """Read a SEG without its images.

    Raises
    ------
    UnreadableAnnotation
        Not a SEG, no frame in it, or frames that span no regular grid.
    CorruptData
        Fewer pixels than frames.
    """
    path = Path(path)
    with tolerant():
        dataset = open_seg(path)
        try:
            grid = _grid(dataset, path, provenance or _origin(dataset))
            series = _series_of(dataset)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise UnreadableAnnotation(
                f"{path.name} lacks a part that places its frames: {error}.",
                "Fetch the images too, and open them together.",
            ) from error
    labels = read_seg(path, grid, provenance=provenance)
    return Alone(grid, tuple(labels), series)


def _origin(dataset: pydicom.Dataset) -> Provenance:
    return Provenance(
        series_uid=str(dataset.get("SeriesInstanceUID", "")),
        patient_id=str(dataset.get("PatientID", "")),
        modality="SEG",
        frame_of_reference_uid=str(dataset.get("FrameOfReferenceUID", "")),
    )


def _grid(dataset: pydicom.Dataset, path: Path, provenance: Provenance) -> Volume:
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    frames = list(dataset.PerFrameFunctionalGroupsSequence)
    planes = [plane_of(own, shared) for own in frames]
    vectors = planes[0][0]
    down, right = vectors[:, 0], vectors[:, 1]
    normal = np.cross(right, down)
    normal /= np.linalg.norm(normal)
    origins = np.array([origin for _, origin in planes])
    depths = origins @ normal
    step = _step(group_of(frames[0], shared, "PixelMeasuresSequence"), depths, path)
    lowest = int(depths.argmin())
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = normal * step, down, right
    affine[:3, 3] = origins[lowest]
    # Frames that are cropped each by itself would need a grid around them all.
    inside = np.linalg.solve(affine[:3, :3], (origins - origins[lowest]).T).T
    off = np.abs(inside - np.round(inside)).max()
    same = all(np.allclose(plane, vectors, atol=1e-4) for plane, _ in planes)
    if not same or off > _ASIDE or np.abs(inside[:, 1:]).max() > _ASIDE:
        raise UnreadableAnnotation(
            f"The frames of {path.name} span no regular grid by themselves "
            f"(up to {off:.2g} voxels beside it).",
            "Fetch the images too, and open them together.",
            residual_voxels=float(off),
        )
    places = np.round(inside[:, 0]).astype(int)
    count = int(places.max()) + 1
    shape = (count, int(dataset.Rows), int(dataset.Columns))
    named = _named(frames, places)
    return Volume(
        # Geometry alone: one zero stands for all voxels.
        array=np.broadcast_to(np.int16(0), shape),
        affine=affine,
        present=np.ones(count, dtype=bool),
        passport=Passport(
            (
                Check(
                    "labels_alone",
                    "warn",
                    "Placed by the segmentation alone: positions are the patient's, "
                    "image numbers and HU need the images.",
                    {"step_mm": step},
                ),
            )
        ),
        provenance=provenance,
        quantity="",
        sop_uids=tuple(named.get(k) for k in range(count)),
        files=(None,) * count,
    )


def _step(measures: Any, depths: NDArray[np.float64], path: Path) -> float:
    """Millimetres between slices: as the file says, else the least step."""
    told = float(measures.get("SpacingBetweenSlices") or 0)
    apart = np.diff(np.unique(np.round(depths, 4)))
    least = float(apart.min()) if apart.size else 0.0
    steps = apart / told if told > 0 else apart
    if told > 0 and np.allclose(steps, np.round(steps), atol=_ASIDE):
        return told
    thick = float(measures.get("SliceThickness") or 0)
    step = least or thick
    if step <= 0:
        raise UnreadableAnnotation(
            f"{path.name} has one slice and does not say how thick it is.",
            "Fetch the images too, and open them together.",
        )
    return step


def _named(
    frames: Sequence[pydicom.Dataset], places: NDArray[np.int_]
) -> Mapping[int, str]:
    """SOPInstanceUID of the image that each slice was drawn on."""
    found: dict[int, str] = {}
    for own, k in zip(frames, places.tolist(), strict=True):
        for derivation in own.get("DerivationImageSequence") or ():
            for source in derivation.get("SourceImageSequence") or ():
                found.setdefault(k, str(source.ReferencedSOPInstanceUID))
    return found


def _series_of(dataset: pydicom.Dataset) -> str:
    for series in dataset.get("ReferencedSeriesSequence") or ():
        return str(series.get("SeriesInstanceUID", ""))
    return ""


def onto(alone: Alone, volume: Volume, name: str) -> tuple[LabelSet, ...]:
    """Segments of another identity of the same scan, on the grid of `volume`.

    Placed by their millimetres alone: images and frame of reference have other UIDs.

    Parameters
    ----------
    alone : Alone
    volume : Volume
    name : str
        What the label sets are called.

    Raises
    ------
    GeometryMismatch
        The grids do not coincide: it is not the same scan, or not whole.
    """
    grid = alone.grid
    what = f"The segmentation of {name}"
    at = place(
        volume.affine, grid.affine[:3, :3], grid.affine[:3, 3], grid.array.shape, what
    )
    placed = []
    for labels in alone.labels:
        found = np.argwhere(labels.array)
        array = np.zeros(volume.shape, labels.array.dtype)
        array.reshape(-1)[flat_indices(at, found, volume, what)] = labels.array[
            tuple(found.T)
        ]
        placed.append(replace(labels, array=array, name=name))
    return tuple(placed)
