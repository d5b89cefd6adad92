"""Cases spoilt on purpose, each in one way, and what readers must make of it.

Every variant starts from one good small case of the phantom. What is accepted
must land where the truth list says; what is doubted is read, unchanged, with a
check that says so; what is refused is refused by a named error.
"""

from __future__ import annotations

import gzip
import io
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydicom import Dataset, config, dcmread, dcmwrite

from napari_tcia.core.model import TWIN_UID_ROOT
from napari_tcia.demo.twin import Case, lymph_case, phantom_case

PATIENT = "MED_LYMPH_001"
_SIZE: dict[str, Any] = {"matrix": 96, "step": 5.0}
_STEM = f"annotations/{PATIENT}_lymphnodes"
_MASK = f"mask/{PATIENT}_mask.nii.gz"
_ZIP = "MED_ABD_LYMPH_ANNOTATIONS.zip"

Files = dict[str, bytes]
"""A case in memory: contents by path below its folder."""
Spoil = Callable[[Files], None]


@dataclass(frozen=True, slots=True)
class Variant:
    """One spoilt case.

    Attributes
    ----------
    what : str
        What is odd about it, in words.
    verdict : {"accepted", "doubted", "refused"}
    reason : str
        Code of the check that doubts it, or name of the error that refuses it;
        empty when accepted.
    opens : {"volume", "labels", "points", "case"}
        Which reader meets it.
    target : str
        What that reader is given, below the folder of the case.
    spoil : callable
        Changes the good case.
    """

    what: str
    verdict: Literal["accepted", "doubted", "refused"]
    reason: str
    opens: Literal["volume", "labels", "points", "case"]
    target: str
    spoil: Spoil


def good_case() -> Case:
    """The case that every variant starts from."""
    return lymph_case(PATIENT, **_SIZE)


def make_variant(name: str, folder: Path) -> Path:
    """Write variant `name` of the good case; deterministic.

    Parameters
    ----------
    name : str
        A key of `VARIANTS`.
    folder : Path
        Created when missing.

    Returns
    -------
    Path
        ``folder/<PatientID>``, laid out as by `phantom_case`.
    """
    files = dict(_good_files())
    VARIANTS[name].spoil(files)
    home = folder / PATIENT
    for place, data in files.items():
        path = home / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return home


@lru_cache(maxsize=1)
def _good_files() -> tuple[tuple[str, bytes], ...]:
    with tempfile.TemporaryDirectory() as folder:
        home = phantom_case(Path(folder), PATIENT, **_SIZE)
        return tuple(
            (path.relative_to(home).as_posix(), path.read_bytes())
            for path in sorted(home.rglob("*"))
            if path.is_file()
        )


def _unchanged(files: Files) -> None:
    """Leave the good case as it is."""


# CT ----------------------------------------------------------------------------


def _slices(files: Files) -> list[tuple[str, Dataset]]:
    """Paths and datasets of the CT, from the feet up."""
    found = [
        (place, dcmread(io.BytesIO(data)))
        for place, data in files.items()
        if place.startswith("CT/")
    ]
    return sorted(found, key=lambda one: float(one[1].ImagePositionPatient[2]))


def _save(files: Files, place: str, dataset: Dataset) -> None:
    stream = io.BytesIO()
    with config.disable_value_validation():
        dcmwrite(stream, dataset)
    files[place] = stream.getvalue()


def _slice_missing(files: Files) -> None:
    slices = _slices(files)
    del files[slices[len(slices) // 2][0]]


def _slice_duplicated(files: Files) -> None:
    slices = _slices(files)
    _, dataset = slices[len(slices) // 2]
    dataset.SOPInstanceUID = f"{TWIN_UID_ROOT}7001"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    _save(files, "CT/duplicate.dcm", dataset)


def _slice_of_another_series(files: Files) -> None:
    slices = _slices(files)
    place, dataset = slices[len(slices) // 2]
    dataset.SeriesInstanceUID = f"{TWIN_UID_ROOT}7002"
    _save(files, place, dataset)


def _numbers_reversed(files: Files) -> None:
    slices = _slices(files)
    for number, (place, dataset) in enumerate(reversed(slices), start=1):
        dataset.InstanceNumber = number
        _save(files, place, dataset)


def _turn_rows(dataset: Dataset) -> None:
    """The same picture, its rows written from the back to the front."""
    last = (dataset.Rows - 1) * float(dataset.PixelSpacing[0])
    x, y, z = dataset.ImagePositionPatient
    dataset.PixelData = dataset.pixel_array[::-1].tobytes()
    dataset.ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
    dataset.ImagePositionPatient = [x, f"{float(y) + last:.6f}", z]


def _rows_flipped(files: Files) -> None:
    for place, dataset in _slices(files):
        _turn_rows(dataset)
        _save(files, place, dataset)


def _one_slice_flipped(files: Files) -> None:
    slices = _slices(files)
    place, dataset = slices[len(slices) // 2]
    _turn_rows(dataset)
    _save(files, place, dataset)


# Masks and segmentations -------------------------------------------------------


def _change_mask(
    files: Files, change: Callable[[Any], Any], affine: Any = None
) -> None:
    """Write the mask again with its array (i, j, k) changed, and perhaps its affine."""
    import nibabel

    old: Any = nibabel.Nifti1Image.from_bytes(gzip.decompress(files[_MASK]))
    array = np.ascontiguousarray(change(np.asarray(old.dataobj)))
    new: Any = nibabel.Nifti1Image(  # type: ignore[no-untyped-call]
        array, old.affine if affine is None else affine
    )
    new.set_qform(new.affine, code=1)
    new.set_sform(new.affine, code=1)
    files[_MASK] = gzip.compress(new.to_bytes(), compresslevel=1, mtime=0)


def _mask_flipped(files: Files) -> None:
    _change_mask(files, lambda array: array[:, ::-1])


def _mask_of_another(files: Files) -> None:
    _change_mask(files, lambda array: array[:, :, :-1])


def _mask_with_identity(files: Files) -> None:
    _change_mask(files, lambda array: array, np.eye(4))


def _no_mask(files: Files) -> None:
    del files[_MASK]


def _seg_of_absent_instance(files: Files) -> None:
    place = next(place for place in files if place.startswith("SEG/"))
    seg = dcmread(io.BytesIO(files[place]))
    group = seg.PerFrameFunctionalGroupsSequence[0]
    source = group.DerivationImageSequence[0].SourceImageSequence[0]
    absent = f"{TWIN_UID_ROOT}7003"
    for series in seg.ReferencedSeriesSequence:
        for item in series.ReferencedInstanceSequence:
            if item.ReferencedSOPInstanceUID == source.ReferencedSOPInstanceUID:
                item.ReferencedSOPInstanceUID = absent
    source.ReferencedSOPInstanceUID = absent
    _save(files, place, seg)


# Text files --------------------------------------------------------------------


def _texts(change: Callable[[bytes], bytes]) -> Spoil:
    """Change every text file."""

    def spoil(files: Files) -> None:
        for place in files:
            if place.startswith("annotations/") and place.endswith(".txt"):
                files[place] = change(files[place])

    return spoil


def _rows(kind: str, change: Callable[[list[str]], list[str]]) -> Spoil:
    """Change each row of one text file; a point file takes its ``.mps`` along."""

    def spoil(files: Files) -> None:
        place = f"{_STEM}_{kind}.txt"
        rows = [line.split() for line in files[place].decode().splitlines()]
        changed = [change(row) for row in rows]
        files[place] = "".join(" ".join(row) + "\n" for row in changed).encode()
        if kind == "physicalPoints":
            del files[f"{_STEM}_{kind}.mps"]

    return spoil


def _negated(number: str) -> str:
    return f"{-float(number):.6g}"


def _from_head(row: list[str]) -> list[str]:
    return [*row[:2], str(good_case().scan.slices - 1 - int(row[2]))]


def _in_pixels_too(row: list[str]) -> list[str]:
    return [row[0], f"{float(row[0]) / good_case().scan.spacing:.6g}"]


def _lower_case(files: Files) -> None:
    for place in [place for place in files if "physicalPoints" in place]:
        files[place.replace("physicalPoints", "physicalpoints")] = files.pop(place)


def _mps_truncated(files: Files) -> None:
    place = f"{_STEM}_physicalPoints.mps"
    files[place] = files[place][: len(files[place]) // 2]


def _zipped(*tops: str, more: tuple[str, ...] = ()) -> Spoil:
    """Put the annotation files into a zip, below each of `tops`, with `more`."""

    def spoil(files: Files) -> None:
        stream = io.BytesIO()
        moved = [place for place in files if place.startswith("annotations/")]
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for place in moved:
                data = files.pop(place)
                name = place.removeprefix("annotations/")
                for top in tops:
                    archive.writestr(f"{top}/{PATIENT}/{name}", data)
            for name in more:
                archive.writestr(name, b"\x00\x05\x16\x07 not a text")
        files[_ZIP] = stream.getvalue()

    return spoil


_TOP = _ZIP.removesuffix(".zip")
_NAME = f"{PATIENT}_lymphnodes"

VARIANTS: dict[str, Variant] = {
    "good": Variant("nothing is odd", "accepted", "", "case", "", _unchanged),
    "slice_missing": Variant(
        "a slice in the middle is missing",
        "doubted", "missing_slices", "volume", "CT", _slice_missing,
    ),
    "slice_duplicated": Variant(
        "a slice is there twice, under two UIDs",
        "refused", "BrokenGeometry", "volume", "CT", _slice_duplicated,
    ),
    "slice_of_another_series": Variant(
        "one slice names another series",
        "refused", "MixedSeries", "volume", "CT", _slice_of_another_series,
    ),
    "instance_numbers_reversed": Variant(
        "InstanceNumber falls from feet to head",
        "accepted", "", "case", "", _numbers_reversed,
    ),
    "rows_flipped": Variant(
        "rows run from back to front, and the header says so",
        "accepted", "", "labels", "mask", _rows_flipped,
    ),
    "one_slice_flipped": Variant(
        "one slice of another orientation",
        "refused", "BrokenGeometry", "volume", "CT", _one_slice_flipped,
    ),
    "mask_flipped_in_y": Variant(
        "the mask is mirrored under an unchanged affine",
        "doubted", "points_in_labels", "case", "", _mask_flipped,
    ),
    "mask_of_another_patient": Variant(
        "the mask has one slice less",
        "refused", "GeometryMismatch", "labels", "mask", _mask_of_another,
    ),
    "mask_with_identity_affine": Variant(
        "the mask lost its affine",
        "refused", "GeometryMismatch", "labels", "mask", _mask_with_identity,
    ),
    "no_mask": Variant(
        "a patient without mask", "accepted", "", "case", "", _no_mask,
    ),
    "seg_of_absent_instance": Variant(
        "a frame of the SEG names a CT instance that is not there",
        "doubted", "referenced_images", "labels", "SEG", _seg_of_absent_instance,
    ),
    "points_in_ras": Variant(
        "x and y of the points have the other sign",
        "doubted", "indices_equal_points", "points", "annotations",
        _rows("physicalPoints", lambda r: [_negated(r[0]), _negated(r[1]), r[2]]),
    ),
    "indices_from_one": Variant(
        "indices count from 1",
        "doubted", "indices_equal_points", "points", "annotations",
        _rows("indices", lambda row: [str(int(n) + 1) for n in row]),
    ),
    "k_from_head": Variant(
        "k counts from the head",
        "doubted", "indices_equal_points", "points", "annotations",
        _rows("indices", _from_head),
    ),
    "sizes_in_two_columns": Variant(
        "sizes in mm and in pixels, as the abdominal files have them",
        "accepted", "", "points", "annotations", _rows("sizes", _in_pixels_too),
    ),
    "text_crlf": Variant(
        "lines end as on Windows", "accepted", "", "points", "annotations",
        _texts(lambda text: text.replace(b"\n", b"\r\n")),
    ),
    "text_tabs": Variant(
        "tabs between the numbers", "accepted", "", "points", "annotations",
        _texts(lambda text: text.replace(b" ", b"\t")),
    ),
    "text_blank_lines": Variant(
        "blank lines between the rows", "accepted", "", "points", "annotations",
        _texts(lambda text: text.replace(b"\n", b"\n\n")),
    ),
    "text_trailing_spaces": Variant(
        "spaces at the ends of lines", "accepted", "", "points", "annotations",
        _texts(lambda text: text.replace(b"\n", b"  \n")),
    ),
    "text_bom": Variant(
        "a byte order mark in front", "accepted", "", "points", "annotations",
        _texts(lambda text: b"\xef\xbb\xbf" + text),
    ),
    "lower_case_names": Variant(
        "physicalpoints without its capital",
        "accepted", "", "points", "annotations", _lower_case,
    ),
    "mps_truncated": Variant(
        "the MITK file is cut in half",
        "doubted", "mps_readable", "points", "annotations", _mps_truncated,
    ),
    "zip_double_folder": Variant(
        "the zip has its top folder twice, one in the other",
        "accepted", "", "points", _ZIP, _zipped(f"{_TOP}/{_TOP}"),
    ),
    "zip_macosx": Variant(
        "the zip was made on a Mac", "accepted", "", "points", _ZIP,
        _zipped(
            _TOP,
            more=(
                f"__MACOSX/{_TOP}/{PATIENT}/._{_NAME}_indices.txt",
                f"__MACOSX/{_TOP}/{PATIENT}/{_NAME}_indices.txt",
                f"{_TOP}/.DS_Store",
            ),
        ),
    ),
    "zip_path_traversal": Variant(
        "a member of the zip climbs out of its folder",
        "accepted", "", "points", _ZIP,
        _zipped(_TOP, more=(f"../../{_NAME}_climbed.txt",)),
    ),
}  # fmt: skip
"""All variants by name."""
