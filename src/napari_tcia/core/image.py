"""A volume and what lies on its grid: labels, points, nodes, and their checks.

Arrays are indexed (k, j, i); positions of the patient are LPS millimetres, as
in `napari_tcia.core.geometry`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.model import Provenance
from napari_tcia.errors import UsageError

Verdict = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One named check of a passport or of an annotation."""

    code: str
    verdict: Verdict
    message: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()


def worst(checks: tuple[Check, ...]) -> Verdict:
    """The verdict of the worst check; ``"pass"`` when there is none."""
    verdicts = {check.verdict for check in checks}
    if "fail" in verdicts:
        return "fail"
    return "warn" if "warn" in verdicts else "pass"


@dataclass(frozen=True, slots=True)
class Passport:
    """Why a volume can be trusted, or not."""

    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """Verdict of the worst check."""
        return worst(self.checks)


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person decided where a series leaves a doubt.

    The defaults invent nothing and leave nothing out.

    Attributes
    ----------
    stack : int or None
        Number, from 1, of the stack to read of a series that holds several.
    duplicates : {"refuse", "first", "last"}
        Of images at one place, the one to keep, in the order of InstanceNumber.
    gaps : {"blank", "interpolate", "refuse"}
        What takes the place of missing slices; they stay marked as missing.
    tilt : {"shear", "straighten"}
        Keep the voxels of a tilted series on their sheared grid, or resample
        them to a straight one, which is for looking only.
    labels : {"stored", "x", "y", "z", "xy", "xz", "yz", "xyz"}
        Axes of the patient in which masks and labelmaps are mirrored; a DICOM SEG
        says itself where it lies, and never is.
    points : {"millimetres", "indices"}
        Which of the published files places a point, where the two disagree.
    """

    stack: int | None = None
    duplicates: Literal["refuse", "first", "last"] = "refuse"
    gaps: Literal["blank", "interpolate", "refuse"] = "blank"
    tilt: Literal["shear", "straighten"] = "shear"
    labels: Literal["stored", "x", "y", "z", "xy", "xz", "yz", "xyz"] = "stored"
    points: Literal["millimetres", "indices"] = "millimetres"

    def with_choice(self, text: str) -> Choices:
        """Return these with one more, as a check names it: ``"duplicates=first"``.

        Raises
        ------
        UsageError
            There is no such choice.
        """
        name, _, value = text.partition("=")
        if name == "stack" and value.isdecimal() and int(value) > 0:
            return dataclasses.replace(self, stack=int(value))
        if value and value in _CHOICES.get(name, ()):
            changed: dict[str, Any] = {name: value}
            return dataclasses.replace(self, **changed)
        known = ["stack=N", *(f"{n}={v}" for n, vs in _CHOICES.items() for v in vs)]
        raise UsageError(f"{text!r} is no choice.", f"There are: {', '.join(known)}.")


_CHOICES = {
    "duplicates": ("refuse", "first", "last"),
    "gaps": ("blank", "interpolate", "refuse"),
    "tilt": ("shear", "straighten"),
    "labels": ("stored", "x", "y", "z", "xy", "xz", "yz", "xyz"),
    "points": ("millimetres", "indices"),
}


def _beyond_doubt() -> None:
    """The pixels were read from the files themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A stack of slices in patient space.

    Attributes
    ----------
    array : (K, J, I) ndarray
        Rescaled stored values: int16 when the rescale is exact, else float32.
        That of a stored series is read-only, and may be mapped from its decoded
        copy: work on ``array.copy()``.
    affine : (4, 4) float64
        (k, j, i, 1) to LPS mm; k rises along the slice normal.
    present : (K,) bool
        False where a slice is missing; its place is kept and filled.
    passport : Passport
    provenance : Provenance
    quantity : str
        ``"HU"`` only where the numbers are Hounsfield units, else what they are.
    window : (level, width) or None
        The header's own window, in units of `array`.
    sop_uids : tuple
        SOPInstanceUID of each slice, None where missing.
    files : tuple
        File of each slice, None where missing.
    description : str
        SeriesDescription.
    padding : (low, high) or None
        Values of `array` that pad the image and are no measurement.
    inverted : bool
        MONOCHROME1: low values are shown white. The values are as they are.
    confirm : callable
        Waits until the pixels of a decoded copy are checked, and raises
        `CorruptData` where they are damaged. Annotation, measuring and export
        call it.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    present: NDArray[np.bool_]
    passport: Passport
    provenance: Provenance
    quantity: str = "HU"
    window: tuple[float, float] | None = None
    sop_uids: tuple[str | None, ...] = ()
    files: tuple[Path | None, ...] = ()
    description: str = ""
    padding: tuple[float, float] | None = None
    inverted: bool = False
    confirm: Callable[[], None] = field(default=_beyond_doubt, repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(K, J, I)."""
        k, j, i = self.array.shape
        return k, j, i


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a label set.

    `value` is the number in the array: SegmentNumber of a SEG, mask label of
    a NIfTI. Codes are (value, scheme designator, meaning).
    """

    value: int
    label: str
    category: tuple[str, str, str] | None = None
    type: tuple[str, str, str] | None = None
    algorithm: str = ""
    tracking_uid: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class LabelSet:
    """Labels on the grid of a volume, without overlaps.

    Attributes
    ----------
    array : (K, J, I) uint8 or uint16
        0 is background.
    source : {"seg", "mask", "labelmap"}
        A DICOM SEG, a NIfTI mask, or a labelmap of another program (NRRD).
    checks : tuple of Check
        How well it was verified against the volume.
    """

    array: NDArray[Any]
    segments: tuple[Segment, ...]
    name: str
    source: str
    provenance: Provenance
    checks: tuple[Check, ...] = ()
    path: Path | None = None

    @property
    def is_import(self) -> bool:
        """Whether its file is no SEG and not named as a published mask is.

        A colleague or a model made it then: it is no reference, and may differ.
        """
        if self.source == "mask":
            return self.path is not None and not self.name.endswith("_mask")
        return self.source == "labelmap"


@dataclass(frozen=True, slots=True, eq=False)
class PointSet:
    """Positions of nodes: published ones, or those of a markups file.

    Attributes
    ----------
    points : (n, 3) float64
        LPS mm (x, y, z).
    indices : (n, 3) float64
        The same in (k, j, i) of the volume.
    sizes_mm : (n,) float64
        Published or marked diameter, NaN when missing.
    ids : (n,) tuple of int
        Row number in the files, from 1.
    source : {"published", "markups"}
    """

    points: NDArray[np.float64]
    indices: NDArray[np.float64]
    sizes_mm: NDArray[np.float64]
    ids: tuple[int, ...]
    name: str
    provenance: Provenance
    checks: tuple[Check, ...] = ()
    path: Path | None = None
    source: str = "published"


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One lymph node as a row of the table.

    Lengths are mm, volume mm3, HU in Hounsfield units; None is "not known".
    `source` names what the row rests on: ``"seg"``, ``"mask"``, ``"points"``,
    or two joined by ``"+"``. `k` is the slice to look at.
    """

    id: int
    label: int | None
    source: str
    centroid_lps: tuple[float, float, float]
    k: int
    long_axis_mm: float | None = None
    short_axis_mm: float | None = None
    published_size_mm: float | None = None
    volume_mm3: float | None = None
    hu_mean: float | None = None
    hu_sd: float | None = None
    size_class: str | None = None
    index: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """(k, j, i) to jump to: the centroid, or the published point."""
    long_axis_line: tuple[tuple[float, float, float], ...] = ()
    """Two (k, j, i) ends of the long axis, empty when not measured."""
    short_axis_line: tuple[tuple[float, float, float], ...] = ()
    hu_percentiles: tuple[float, ...] = ()
    """HU below which 5, 25, 50, 75 and 95 % of its voxels lie; empty if not known."""
    equivalent_diameter_mm: float | None = None
    """Diameter of the ball of its volume."""
    extent_mm: tuple[float, ...] = ()
    """Size of its bounding box along k, j and i; empty when not measured."""
    largest_area_k: int | None = None
    """Slice of its largest area, which need not be that of the axes."""
    piece: int = 1
    """Number of this piece of its label, largest first."""
    pieces: int = 1
    """How many pieces its label has: more than one means that it is split."""
    station: str = ""
    """What a reader named as its station; never part of the reference."""
