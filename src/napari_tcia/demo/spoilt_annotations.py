"""Ways to spoil the mask and the text files of a case in memory."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from napari_tcia.demo.good_case import MASK, NAME, PATIENT, Files, Spoil, good_case

ANNOTATIONS = "MED_ABD_LYMPH_ANNOTATIONS"
MASKS = "MED_ABD_LYMPH_MASKS"
_STEM = f"annotations/{NAME}"
_OTHER = "MED_LYMPH_005"


# Masks -------------------------------------------------------------------------


def mask(change: Callable[[Any], Any]) -> Spoil:
    """Change the array (i, j, k) of the mask and keep its affine."""
    return lambda files: _write_mask(files, change)


def mask_with_identity(files: Files) -> None:
    """Take the affine from the mask."""
    _write_mask(files, lambda array: array, np.eye(4))


def mask_without_orientation(files: Files) -> None:
    """Say of both orientations of the mask that they mean nothing."""
    _write_mask(files, lambda array: array, code=0)


def labels_exchanged(array: Any) -> Any:
    """Exchange labels 1 and 2."""
    return np.where(array == 1, 2, np.where(array == 2, 1, array)).astype(array.dtype)


def mask_cut(files: Files) -> None:
    """Cut the file of the mask in half."""
    files[MASK] = files[MASK][: len(files[MASK]) // 2]


def without_seg(spoil: Spoil) -> Spoil:
    """Remove the SEG besides: nothing but the points speaks against the mask."""

    def both(files: Files) -> None:
        for place in [place for place in files if place.startswith("SEG/")]:
            del files[place]
        spoil(files)

    return both


def no_mask(files: Files) -> None:
    """Remove the mask."""
    del files[MASK]


def _write_mask(
    files: Files, change: Callable[[Any], Any], affine: Any = None, code: int = 1
) -> None:
    import nibabel

    old: Any = nibabel.Nifti1Image.from_bytes(gzip.decompress(files[MASK]))
    array = np.ascontiguousarray(change(np.asarray(old.dataobj)))
    new: Any = nibabel.Nifti1Image(  # type: ignore[no-untyped-call]
        array, old.affine if affine is None else affine
    )
    new.set_qform(new.affine, code=code)
    new.set_sform(new.affine, code=code)
    files[MASK] = gzip.compress(new.to_bytes(), compresslevel=1, mtime=0)


# Text files --------------------------------------------------------------------


def texts(change: Callable[[bytes], bytes]) -> Spoil:
    """Change every text file."""

    def spoil(files: Files) -> None:
        for place in files:
            if place.startswith("annotations/") and place.endswith(".txt"):
                files[place] = change(files[place])

    return spoil


def rows(kind: str, change: Callable[[list[str]], list[str]]) -> Spoil:
    """Change each row of one text file, and of nothing else."""

    def spoil(files: Files) -> None:
        place = f"{_STEM}_{kind}.txt"
        found = [line.split() for line in files[place].decode().splitlines()]
        changed = [change(row) for row in found]
        files[place] = "".join(" ".join(row) + "\n" for row in changed).encode()

    return spoil


def without(spoil: Spoil, *endings: str) -> Spoil:
    """Remove the annotation files with these endings besides."""

    def both(files: Files) -> None:
        spoil(files)
        for ending in endings:
            del files[f"{_STEM}_{ending}"]

    return both


def ras(row: list[str]) -> list[str]:
    """Give x and y the other sign."""
    return [*(f"{-float(number):.6g}" for number in row[:2]), row[2]]


def from_head(row: list[str]) -> list[str]:
    """Count k from the head."""
    return [*row[:2], str(good_case().scan.slices - 1 - int(row[2]))]


def in_pixels_too(row: list[str]) -> list[str]:
    """Say a size in pixels besides."""
    return [row[0], f"{float(row[0]) / good_case().scan.spacing:.6g}"]


def row_missing(files: Files) -> None:
    """Remove the first row of the indices."""
    place = f"{_STEM}_indices.txt"
    files[place] = files[place].partition(b"\n")[2]


def lower_case(files: Files) -> None:
    """Write physicalPoints without its capital."""
    for place in [place for place in files if "physicalPoints" in place]:
        files[place.replace("physicalPoints", "physicalpoints")] = files.pop(place)


def mps_truncated(files: Files) -> None:
    """Cut the MITK file in half."""
    place = f"{_STEM}_physicalPoints.mps"
    files[place] = files[place][: len(files[place]) // 2]


def of_another_patient(files: Files) -> None:
    """Name mask and text files after another patient."""
    for place in [p for p in files if p.startswith(("annotations/", "mask/"))]:
        files[place.replace(PATIENT, _OTHER)] = files.pop(place)


# Zips --------------------------------------------------------------------------


def zipped(name: str, top: str, *more: str) -> Spoil:
    """Put the mask, or the text files, into a zip below `top`, beside others.

    Parameters
    ----------
    name : {"MED_ABD_LYMPH_ANNOTATIONS", "MED_ABD_LYMPH_MASKS"}
        The zip without its ending.
    top : str
        Folder in the zip that holds the patient's folder.
    *more : str
        What stands before the names of further members, of other content.
    """
    folder = "annotations/" if name == ANNOTATIONS else "mask/"

    def spoil(files: Files) -> None:
        moved = [place for place in files if place.startswith(folder)]
        contents = {place.removeprefix(folder): files.pop(place) for place in moved}
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for other in more:
                for own in contents:
                    _add(archive, other + own, b"\x00\x05\x16\x07 not a text")
            for own, data in contents.items():
                _add(archive, f"{top}/{PATIENT}/{own}", data)
        files[f"{name}.zip"] = stream.getvalue()

    return spoil


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, (2015, 12, 14, 0, 0, 0)), data)


def double_folder(name: str) -> Spoil:
    """A zip with its top folder twice, one in the other."""
    return zipped(name, f"{name}/{name}")


def made_on_a_mac(name: str) -> Spoil:
    """A zip with what macOS leaves: __MACOSX and resource forks."""
    return zipped(
        name,
        name,
        f"__MACOSX/{name}/{PATIENT}/",
        f"__MACOSX/{name}/{PATIENT}/._",
        f"{name}/__MACOSX/{PATIENT}/",
    )


def climbing(name: str) -> Spoil:
    """A zip with members that leave its folder under the names of real ones."""
    return zipped(name, name, "../../", f"{name}/../../../", "/elsewhere/", "..\\..\\")
