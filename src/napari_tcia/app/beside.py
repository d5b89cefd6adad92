"""Files that lie beside the images of a folder: masks, labelmaps, points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_tcia.core.model import Issue

_POINT_ZIP = "MED_ABD_LYMPH_*.zip"
_POINT_FILES = ("*_lymphnodes_indices.txt", "*_lymphnodes_[pP]hysical[pP]oints.txt")
_MASK_ZIP = "MED_ABD_LYMPH_MASKS*.zip"
_MASK_FILES = ("*.nii.gz", "*.nii", "*.nrrd")
_MARKUPS = "*.mrk.json"


@dataclass(frozen=True)
class Beside:
    """What was found beside images, and whose it is.

    Attributes
    ----------
    points : tuple of Path
        Folders and zips of published positions; markups where one series lies there.
    issues : tuple of Issue
        A word for files that one of several series may own.
    """

    points: tuple[Path, ...]
    issues: tuple[Issue, ...]
    _masks: dict[str, tuple[Path, ...]]
    _of_all: tuple[Path, ...]

    def masks(self, patient: str) -> tuple[Path, ...]:
        """Masks and labelmaps for the series of a patient, zips of many last."""
        return self._masks.get(patient, ()) + self._of_all


def files_beside(root: Path, patients: Sequence[str]) -> Beside:
    """Look for annotations below `root`, besides DICOM.

    Parameters
    ----------
    root : Path
    patients : sequence of str
        PatientID of each image series below it. Where there are several, a file
        belongs to one only by its name, ``<PatientID>_mask.nii.gz``; zips and
        published positions name their patients themselves.
    """
    masks = sorted({f for pattern in _MASK_FILES for f in root.rglob(pattern)})
    markups = sorted(root.rglob(_MARKUPS))
    folders = {f.parent for pattern in _POINT_FILES for f in root.rglob(pattern)}
    points = (*sorted(folders), *sorted(root.rglob(_POINT_ZIP)))
    zips = tuple(sorted(root.rglob(_MASK_ZIP)))
    if len(patients) == 1:
        return Beside((*points, *markups), (), {patients[0]: tuple(masks)}, zips)
    named = {
        patient: tuple(f for f in masks if f.name.startswith(f"{patient}_mask."))
        for patient in patients
        if patient
    }
    owned = {file for files in named.values() for file in files}
    left = [file for file in (*masks, *markups) if file not in owned]
    issues = (_whose(left, len(patients)),) if left else ()
    return Beside(points, issues, named, zips)


def _whose(files: Sequence[Path], count: int) -> Issue:
    """A word for labels and points that one of several series may own."""
    return Issue(
        "warn",
        "files_of_one_of_several_series",
        f"{files[0].name}"
        + (f" and {len(files) - 1} other files are" if len(files) > 1 else " is")
        + f" not shown: which of the {count} series here it was drawn on, it does not "
        "say. Open the folder of one series, or open the file onto it.",
        {"files": [file.name for file in files]},
    )
