"""A folder of slices into one array, one affine, and a verdict."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from napari_tcia.core.image import Check, Choices, Passport, Volume
from napari_tcia.core.model import Provenance
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.core.zips import is_zip, keep_with, unpack
from napari_tcia.errors import (
    BrokenGeometry,
    CorruptData,
    MixedSeries,
    NoDicom,
    UnsupportedData,
)
from napari_tcia.volume.frames import ENHANCED, expand
from napari_tcia.volume.headers import by_series, is_synthetic, scan
from napari_tcia.volume.instance import Header, listed, names
from napari_tcia.volume.passport import lay_out
from napari_tcia.volume.pixels import read_pixels
from napari_tcia.volume.resample import fill_gaps, straighten
from napari_tcia.volume.values import (
    padding_of,
    quantity_of,
    rescale_check,
    value_checks,
)

READER = 1
"""Raised whenever the same files are read into another array, affine, passport or
anything else of a `Volume`: decoded copies that were made before are not opened."""
AIR_HU = -1024
"""Fills the place of a missing CT slice."""

_SINGLE = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PET",
}
"""SOP classes of single images that are read (DICOM PS3.4 table B.5-1)."""
_SUV = ("GML", "CM2ML", "G/ML", "CM2/ML")
"""Units (0054,1001) of PET values that are SUV (DICOM PS3.3 C.8.9.1.1.3)."""


def read_volume(
    path: Path | str | Sequence[Path | str],
    *,
    series_uid: str | None = None,
    report: Report | None = None,
    token: CancelToken | None = None,
    allow_fail: bool = False,
    provenance: Provenance | None = None,
    declared_images: int | None = None,
    choices: Choices | None = None,
    memory: NDArray[Any] | None = None,
) -> Volume:
    """Read one CT, MR or PET series and judge its geometry.

    Parameters
    ----------
    path : path or sequence of paths
        A folder (searched recursively), one file, files, or a zip. What is not
        DICOM is passed over; SEG, RTSTRUCT and the like are no image series.
    series_uid : str, optional
        Which series, where there are several.
    report : callable, optional
        Called with `Progress` now and then.
    token : CancelToken, optional
        Stops the work with `Cancelled`.
    allow_fail : bool
        Return a volume whose verdict is ``"fail"`` instead of raising; what
        does not fit the stack is left out of it and named in the passport.
    provenance : Provenance, optional
        Where the files came from; UIDs and modality are filled in from the
        headers. Unknown origin by default.
    declared_images : int, optional
        Instances that the archive lists; slices cut off at an end of the scan
        cannot be noticed otherwise. Fewer fail, in a user's own folder warn.
    choices : Choices, optional
        What to do about several stacks, duplicates, gaps and tilt. A check
        that leaves a choice names it in ``numbers["choices"]``.
    memory : (K, J, I) ndarray, optional
        Becomes the array of the volume where shape and type are the same.

    Returns
    -------
    Volume
        int16 where the rescale is exact, else float32; see `Volume`.

    Raises
    ------
    NoDicom
        No DICOM image below `path`.
    MixedSeries
        Several image series and no `series_uid`.
    UnsupportedData
        An image kind, or encoding, that is refused by name.
    BrokenGeometry
        The slices form no volume, or some are damaged; files are named.
    MissingExtra
        Compressed pixels and no decoder.
    Cancelled
        Through `token`.
    """
    report = silent if report is None else report
    if isinstance(path, (str, Path)) and is_zip(Path(path)):
        folder = unpack(Path(path), report=report, token=token)
        try:
            volume = read_volume(
                folder,
                series_uid=series_uid,
                report=report,
                token=token,
                allow_fail=allow_fail,
                provenance=provenance,
                declared_images=declared_images,
                choices=choices,
                memory=memory,
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        keep_with([volume.array], folder)
        return volume
    choices = choices or Choices()
    found = scan(path, report=report, token=token)
    headers = _one_series(found.headers, path, found.unreadable, series_uid)
    _supported(headers)
    instances = len(headers)
    headers = [frame for header in headers for frame in _frames(header)]
    whole = [header for header in headers if header.pixel_bytes] or headers
    layout = lay_out(headers, choices)
    checks = [
        Check(
            "one_series",
            "pass",
            f"One series of {len(headers)} images.",
            {"series_uid": headers[0].series_uid},
        ),
        *layout.checks,
        _declared(instances, declared_images, provenance),
        rescale_check(whole),
        *value_checks(whole),
    ]
    damaged = [h for h in headers if h.is_truncated]
    checks.append(_readable(found.unreadable, damaged))
    _refuse(checks, headers[0].series_uid, allow_fail)
    pixels = read_pixels(layout.slices, memory=memory, report=report, token=token)
    if pixels.lost:
        checks[-1] = _readable(found.unreadable, [*damaged, *pixels.lost])
        _refuse(checks, headers[0].series_uid, allow_fail)
    array, present, affine = pixels.array, pixels.present, layout.affine
    if not present.any():
        raise CorruptData(
            f"No slice of series {headers[0].series_uid} can be read.",
            "Fetch it again.",
            files=list(checks[-1].files),
        )
    exact = array.dtype == np.int16
    checks.append(
        Check(
            "rescale_exact",
            "pass",
            "Rescaled values are whole numbers, kept as int16."
            if exact
            else "Rescaled values are kept as float32.",
            {"dtype": str(array.dtype)},
        )
    )
    quantity = quantity_of(whole)
    background = AIR_HU if quantity == "HU" else float(array[present].min())
    if not present.all():
        array[~present] = background
        if choices.gaps == "interpolate" and present[0] and present[-1]:
            fill_gaps(array, present)
    if choices.tilt == "straighten" and not np.allclose(
        affine[:3, 0] @ affine[:3, 1:3], 0, atol=1e-6
    ):
        array, affine = straighten(array, affine, background)
        checks = [_straightened(c) if c.code == "gantry_tilt" else c for c in checks]
    slices = layout.slices
    first = next(header for header in slices if header is not None)
    uids = Provenance() if provenance is None else provenance
    uids = replace(
        uids,
        patient_id=first.patient_id,
        study_uid=first.study_uid,
        series_uid=first.series_uid,
        frame_of_reference_uid=first.frame_of_reference_uid,
        modality=first.modality,
        synthetic=uids.synthetic or is_synthetic(first.comments, first.series_uid),
    )
    kept = [h if present[k] else None for k, h in enumerate(slices)]
    return Volume(
        array=array,
        affine=affine,
        present=present,
        passport=Passport(tuple(checks)),
        provenance=uids,
        quantity=quantity,
        window=first.window,
        sop_uids=tuple(None if h is None else h.sop_instance_uid for h in kept),
        files=tuple(None if h is None else h.path for h in kept),
        description=first.description,
        padding=padding_of(whole),
        inverted=first.photometric == "MONOCHROME1",
    )


def require_sound(volume: Volume, purpose: str) -> None:
    """Refuse to build on a volume whose geometry failed, or whose pixels are damaged.

    Raises
    ------
    BrokenGeometry
        The passport's verdict is ``"fail"``.
    CorruptData
        It came from a decoded copy whose bytes are not those that were written.
    """
    volume.confirm()
    if volume.passport.verdict == "fail":
        failed = [c for c in volume.passport.checks if c.verdict == "fail"]
        raise BrokenGeometry(
            f"The geometry of series {volume.provenance.series_uid or 'unknown'} "
            f"failed its check: {failed[0].message}",
            f"It can be looked at, but not used for {purpose}.",
            checks=[check.code for check in failed],
        )


def _one_series(
    headers: Sequence[Header],
    path: Any,
    unreadable: Sequence[Path],
    series_uid: str | None,
) -> list[Header]:
    where = os.fspath(path) if isinstance(path, (str, Path)) else "the given files"
    if not headers:
        if unreadable:
            raise CorruptData(
                f"No file of {where} can be read as DICOM: "
                f"{listed([str(file) for file in unreadable])}.",
                "Fetch the series again.",
                files=[str(file) for file in unreadable],
            )
        raise NoDicom(f"{where} holds no DICOM image.", "Choose a folder of slices.")
    groups = by_series(headers)
    if series_uid is not None:
        if series_uid not in groups:
            raise NoDicom(
                f"{where} holds no series {series_uid}.",
                f"It holds {', '.join(groups)}.",
                series=list(groups),
            )
        return groups[series_uid]
    images = {uid: group for uid, group in groups.items() if group[0].is_image}
    if not images:
        kinds = ", ".join(sorted({header.modality or "?" for header in headers}))
        raise UnsupportedData(
            f"{where} holds {kinds} only, which is no image volume.",
            "Open the images that it refers to first.",
            modalities=kinds,
        )
    if len(images) > 1:
        each = "; ".join(
            f"{uid} ({group[0].modality} {group[0].description}, {len(group)} images)"
            for uid, group in images.items()
        )
        raise MixedSeries(
            f"{where} holds {len(images)} image series: {each}.",
            "Choose one by its series UID.",
            series=list(images),
        )
    return next(iter(images.values()))


def _supported(headers: Sequence[Header]) -> None:
    for header in headers:
        if not header.pixel_bytes:
            continue  # cut short; the passport names it
        uid = header.sop_class_uid
        kind = None
        if uid not in _SINGLE and uid not in ENHANCED:
            name = pydicom.uid.UID(uid).name if uid else "an unknown kind"
            kind = f"{name} ({header.modality or 'no modality'}, SOP class {uid})"
        elif header.frames > 1 and uid not in ENHANCED:
            kind = f"multi-frame {header.modality} without functional groups"
        elif header.samples != 1 or not header.photometric.startswith("MONOCHROME"):
            kind = f"colour ({header.photometric})"
        elif header.modality == "PT" and header.units in _SUV:
            kind = f"PET in SUV ({header.units})"
        if kind is not None:
            raise UnsupportedData(
                f"{header.path.name} of series {header.series_uid} is {kind}, "
                "which is not supported.",
                "CT, MR and PET images can be read, of PET the activity, and "
                "enhanced (multi-frame) CT and MR.",
                sop_class_uid=uid,
                modality=header.modality,
            )


def _frames(header: Header) -> tuple[Header, ...]:
    if header.sop_class_uid not in ENHANCED or not header.pixel_bytes:
        return (header,)
    return expand(header)


def _declared(count: int, declared: int | None, provenance: Provenance | None) -> Check:
    code, numbers = "declared_count", {"images": count, "declared": declared}
    if declared is None:
        message = (
            f"{count} images; no archive's count to compare with, so slices cut off at "
            "an end would not be noticed."
        )
        return Check(code, "pass", message, numbers)
    if count == declared:
        message = f"All {declared} images that the archive lists are here."
        return Check(code, "pass", message, numbers)
    if count < declared:
        message = f"{count} of the {declared} images that the archive lists are here."
        # A user's own folder may hold a part that was chosen.
        own = provenance is not None and provenance.origin == "folder"
        return Check(code, "warn" if own else "fail", message, numbers)
    message = f"{count} images are here, the archive lists {declared}."
    return Check(code, "warn", message, numbers)


def _straightened(tilt: Check) -> Check:
    message = (
        f"The slices were tilted by {tilt.numbers['angle_deg']:.2f} degrees and are "
        "resampled to a straight grid, as chosen: values lie between the measured ones."
    )
    numbers = {k: v for k, v in tilt.numbers.items() if k != "choices"}
    return Check(tilt.code, "fail", message, numbers)


def _readable(unreadable: Sequence[Path], damaged: Sequence[Header]) -> Check:
    files = (*names(damaged), *(str(file) for file in unreadable))
    if not files:
        return Check("unreadable_files", "pass", "Every DICOM file is whole.")
    return Check(
        "unreadable_files",
        "fail",
        f"{len(files)} files are cut short or cannot be read: {listed(files)}.",
        {"truncated": len(damaged), "unreadable": len(unreadable)},
        files,
    )


def _refuse(checks: Sequence[Check], series_uid: str, allow_fail: bool) -> None:
    failed = [check for check in checks if check.verdict == "fail"]
    if failed and not allow_fail:
        raise BrokenGeometry(
            f"Series {series_uid} is no sound volume: "
            + " ".join(check.message for check in failed),
            "Fetch it again, or open it for looking only.",
            checks=[check.code for check in failed],
            files=sorted({file for check in failed for file in check.files}),
        )
