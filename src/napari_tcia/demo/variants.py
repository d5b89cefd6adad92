"""Cases spoilt on purpose, each in one way, and what readers must make of it.

Every variant starts from one good small case of the phantom. What is accepted
must land where the truth list says; what is doubted is read, unchanged, with a
check that warns or fails; what is refused is refused by a named error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_tcia.demo import spoilt_annotations as marks
from napari_tcia.demo import spoilt_images as images
from napari_tcia.demo.good_case import PATIENT, Spoil, good_files
from napari_tcia.demo.spoilt_annotations import (
    ANNOTATIONS,
    MASKS,
    mask,
    rows,
    texts,
    without,
    without_seg,
    zipped,
)


@dataclass(frozen=True, slots=True)
class Variant:
    """One spoilt case.

    Attributes
    ----------
    what : str
        What is odd about it, in words.
    verdict : {"accepted", "warned", "failed", "refused"}
        Read as good; read with a check that warns, or that fails; not read.
    reason : str
        Code of that check, or name of the error that refuses it; empty when
        accepted.
    opens : {"volume", "labels", "points", "case"}
        Which reader meets it.
    target : str
        What that reader is given, below the folder of the case.
    spoil : callable
        Changes the good case.
    tells : str
        Words that the check, or the error, must say.
    """

    what: str
    verdict: Literal["accepted", "warned", "failed", "refused"]
    reason: str
    opens: Literal["volume", "labels", "points", "case"]
    target: str
    spoil: Spoil
    tells: str = ""


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
    files = good_files()
    VARIANTS[name].spoil(files)
    home = folder / PATIENT
    for place, data in files.items():
        path = home / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return home


_IMAGES: dict[str, Variant] = {
    "good": Variant("nothing is odd", "accepted", "", "case", "", images.unchanged),
    "slice_missing": Variant(
        "a slice in the middle is missing",
        "warned", "missing_slices", "volume", "CT", images.slice_missing, "k 23",
    ),
    "slice_duplicated": Variant(
        "a slice is there twice, under two UIDs",
        "refused", "BrokenGeometry", "volume", "CT", images.slice_duplicated,
        "duplicate.dcm",
    ),
    "slice_copied": Variant(
        "the file of a slice is there twice",
        "refused", "BrokenGeometry", "volume", "CT", images.slice_copied, "copy.dcm",
    ),
    "slice_of_another_series": Variant(
        "one slice names another series",
        "refused", "MixedSeries", "volume", "CT", images.slice_of_another_series,
    ),
    "instance_numbers_reversed": Variant(
        "InstanceNumber falls from feet to head",
        "accepted", "", "case", "", images.numbers_reversed,
    ),
    "rows_flipped": Variant(
        "rows run from back to front, and the header says so",
        "accepted", "", "labels", "mask", images.rows_flipped,
    ),
    "one_slice_flipped": Variant(
        "one slice of another orientation",
        "refused", "BrokenGeometry", "volume", "CT", images.one_slice_flipped,
        "orientation",
    ),
    "seg_of_absent_instance": Variant(
        "a frame of the SEG names a CT instance that is not there",
        "warned", "referenced_images", "labels", "SEG", images.seg_of_absent_instance,
        "1 of its",
    ),
    "seg_of_other_images": Variant(
        "the SEG names CT instances of which none is there",
        "failed", "referenced_images", "labels", "SEG", images.seg_of_other_images,
    ),
}  # fmt: skip

_MASKS: dict[str, Variant] = {
    "mask_flipped_in_y": Variant(
        "the mask is mirrored under an unchanged affine",
        "failed", "points_in_labels", "case", "",
        without_seg(mask(lambda array: array[:, ::-1])), "mirrored in y:",
    ),
    "mask_flipped_in_x": Variant(
        "left and right of the mask are exchanged under an unchanged affine",
        "failed", "points_in_labels", "case", "",
        without_seg(mask(lambda array: array[::-1])), "mirrored in x:",
    ),
    "mask_flipped_in_z": Variant(
        "the mask runs from head to feet under an unchanged affine",
        "failed", "points_in_labels", "case", "",
        without_seg(mask(lambda array: array[..., ::-1])), "mirrored in z:",
    ),
    "mask_one_slice_off": Variant(
        "the mask lies one slice too high, beside a SEG",
        "failed", "seg_equals_mask", "case", "",
        mask(lambda array: array[..., [-1, *range(array.shape[2] - 1)]]),
    ),
    "labels_exchanged": Variant(
        "labels 1 and 2 of the mask are exchanged, beside a SEG",
        "failed", "seg_equals_mask", "case", "",
        mask(marks.labels_exchanged), "labels 1, 2.",
    ),
    "mask_of_another_patient": Variant(
        "the mask has one slice less",
        "refused", "GeometryMismatch", "labels", "mask",
        mask(lambda array: array[:, :, :-1]), "shape (96, 96, 45)",
    ),
    "mask_with_identity_affine": Variant(
        "the mask lost its affine",
        "refused", "GeometryMismatch", "labels", "mask",
        marks.mask_with_identity,
    ),
    "mask_without_orientation": Variant(
        "the mask says that its affine means nothing",
        "refused", "GeometryMismatch", "labels", "mask",
        marks.mask_without_orientation, "not coded",
    ),
    "mask_cut": Variant(
        "the mask is cut in half",
        "refused", "CorruptData", "labels", "mask", marks.mask_cut,
    ),
    "no_mask": Variant(
        "a patient without mask", "accepted", "", "case", "", marks.no_mask,
    ),
    "mask_zip_double_folder": Variant(
        "the zip of masks has its top folder twice, one in the other",
        "accepted", "", "labels", f"{MASKS}.zip", marks.double_folder(MASKS),
    ),
    "mask_zip_macosx": Variant(
        "the zip of masks was made on a Mac",
        "accepted", "", "labels", f"{MASKS}.zip", marks.made_on_a_mac(MASKS),
    ),
    "mask_zip_path_traversal": Variant(
        "members of the zip of masks climb out of its folder",
        "accepted", "", "labels", f"{MASKS}.zip", marks.climbing(MASKS),
    ),
}  # fmt: skip

_RAS = rows("physicalPoints", marks.ras)
_POINTS: dict[str, Variant] = {
    "points_in_ras": Variant(
        "x and y of the points have the other sign",
        "failed", "indices_equal_points", "points", "annotations",
        without(_RAS, "physicalPoints.mps"), "x, y negated (RAS);",
    ),
    "points_in_ras_beside_mps": Variant(
        "x and y have the other sign in the text, not in the MITK file",
        "failed", "mps_equals_points", "points", "annotations", _RAS, "differ by",
    ),
    "points_in_ras_alone": Variant(
        "x and y have the other sign, and there are no indices",
        "failed", "points_inside", "points", "annotations",
        without(_RAS, "physicalPoints.mps", "indices.txt"),
    ),
    "indices_from_one": Variant(
        "indices count from 1",
        "failed", "indices_equal_points", "points", "annotations",
        rows("indices", lambda row: [str(int(n) + 1) for n in row]),
        "indices counted from 1;",
    ),
    "k_from_head": Variant(
        "k counts from the head",
        "failed", "indices_equal_points", "points", "annotations",
        rows("indices", marks.from_head), "k counted from the head;",
    ),
    "i_and_j_exchanged": Variant(
        "indices are row, column, slice",
        "failed", "indices_equal_points", "points", "annotations",
        rows("indices", lambda row: [row[1], row[0], row[2]]),
        "i and j were exchanged;",
    ),
    "points_rounded": Variant(
        "the millimetres are rounded to one decimal",
        "warned", "indices_equal_points", "points", "annotations",
        without(
            rows("physicalPoints", lambda row: [f"{float(n):.1f}" for n in row]),
            "physicalPoints.mps",
        ),
    ),
    "row_missing": Variant(
        "the indices lack a row",
        "failed", "row_counts", "points", "annotations", marks.row_missing,
        "indices 5, mps 6, points 6, sizes 6",
    ),
    "of_another_patient": Variant(
        "mask and text files are named after another patient",
        "warned", "same_patient", "case", "", marks.of_another_patient,
        "MED_LYMPH_005",
    ),
    "sizes_in_two_columns": Variant(
        "sizes in mm and in pixels, as the abdominal files have them",
        "accepted", "", "points", "annotations",
        rows("sizes", marks.in_pixels_too),
    ),
    "sizes_with_another_axis": Variant(
        "the second column of the sizes is no repetition of the first",
        "warned", "sizes_second_column", "points", "annotations",
        rows("sizes", lambda row: [row[0], "9.6"]),
    ),
    "sizes_of_zero": Variant(
        "sizes are 0",
        "warned", "sizes_present", "points", "annotations",
        rows("sizes", lambda row: ["0"]),
    ),
    "no_sizes": Variant(
        "there are no sizes",
        "warned", "row_counts", "points", "annotations",
        without(images.unchanged, "sizes.txt"),
    ),
    "text_crlf": Variant(
        "lines end as on Windows", "accepted", "", "points", "annotations",
        texts(lambda text: text.replace(b"\n", b"\r\n")),
    ),
    "text_tabs": Variant(
        "tabs between the numbers", "accepted", "", "points", "annotations",
        texts(lambda text: text.replace(b" ", b"\t")),
    ),
    "text_blank_lines": Variant(
        "blank lines between the rows", "accepted", "", "points", "annotations",
        texts(lambda text: text.replace(b"\n", b"\n\n")),
    ),
    "text_trailing_spaces": Variant(
        "spaces at the ends of lines", "accepted", "", "points", "annotations",
        texts(lambda text: text.replace(b"\n", b"  \n")),
    ),
    "text_bom": Variant(
        "a byte order mark in front", "accepted", "", "points", "annotations",
        texts(lambda text: b"\xef\xbb\xbf" + text),
    ),
    "text_decimal_commas": Variant(
        "decimal commas", "refused", "UnreadableAnnotation", "points", "annotations",
        texts(lambda text: text.replace(b".", b",")), "line 1",
    ),
    "lower_case_names": Variant(
        "physicalpoints without its capital",
        "accepted", "", "points", "annotations", marks.lower_case,
    ),
    "mps_truncated": Variant(
        "the MITK file is cut in half",
        "warned", "mps_readable", "points", "annotations", marks.mps_truncated,
    ),
    "mps_truncated_alone": Variant(
        "the MITK file is cut in half, and there is no text of the points",
        "refused", "UnreadableAnnotation", "points", "annotations",
        without(marks.mps_truncated, "physicalPoints.txt"),
    ),
    "zip_double_folder": Variant(
        "the zip has its top folder twice, one in the other",
        "accepted", "", "points", f"{ANNOTATIONS}.zip",
        marks.double_folder(ANNOTATIONS),
    ),
    "zip_macosx": Variant(
        "the zip was made on a Mac", "accepted", "", "points", f"{ANNOTATIONS}.zip",
        marks.made_on_a_mac(ANNOTATIONS),
    ),
    "zip_path_traversal": Variant(
        "members of the zip climb out of its folder",
        "accepted", "", "points", f"{ANNOTATIONS}.zip",
        marks.climbing(ANNOTATIONS),
    ),
    "zip_of_climbers_only": Variant(
        "all members of the zip climb out of its folder",
        "refused", "NothingFound", "points", f"{ANNOTATIONS}.zip",
        zipped(ANNOTATIONS, "../.."),
    ),
}  # fmt: skip

VARIANTS: dict[str, Variant] = {**_IMAGES, **_MASKS, **_POINTS}
"""All variants by name."""
