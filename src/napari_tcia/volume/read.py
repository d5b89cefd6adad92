"""A folder of slices into one array, one affine, and a verdict."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.image import Check, Passport, Volume
from napari_tcia.core.model import Provenance
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.errors import (
    BrokenGeometry,
    CorruptData,
    MixedSeries,
    NoDicom,
    UnsupportedData,
)
from napari_tcia.volume.codecs import stored_dtype, stored_values
from napari_tcia.volume.headers import by_series, is_synthetic, scan
from napari_tcia.volume.instance import Header
from napari_tcia.volume.passport import Layout, lay_out, listed, names

AIR_HU = -1024
"""Fills the place of a missing CT slice."""

_IMAGES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PET",
}
"""SOP classes that are read (DICOM PS3.4 table B.5-1)."""

_ENHANCED = {
    "1.2.840.10008.5.1.4.1.1.2.1": "enhanced (multi-frame) CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "converted (multi-frame) CT",
    "1.2.840.10008.5.1.4.1.1.4.1": "enhanced (multi-frame) MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "converted (multi-frame) MR",
    "1.2.840.10008.5.1.4.1.1.130": "enhanced (multi-frame) PET",
    "1.2.840.10008.5.1.4.1.1.128.1": "converted (multi-frame) PET",
}


def read_volume(
    path: Path | str | Sequence[Path | str],
    *,
    series_uid: str | None = None,
    report: Report | None = None,
    token: CancelToken | None = None,
    allow_fail: bool = False,
    provenance: Provenance | None = None,
    declared_images: int | None = None,
) -> Volume:
    """Read one CT, MR or PET series and judge its geometry.

    Parameters
    ----------
    path : path or sequence of paths
        A folder (searched recursively), one file, or files. What is not DICOM
        is passed over; SEG, RTSTRUCT and the like are no image series.
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
    found = scan(path, report=report, token=token)
    headers = _one_series(found.headers, path, found.unreadable, series_uid)
    _supported(headers)
    whole = [header for header in headers if header.pixel_bytes] or headers
    layout = lay_out(headers)
    checks = [
        Check(
            "one_series",
            "pass",
            f"One series of {len(headers)} images.",
            {"series_uid": headers[0].series_uid},
        ),
        *layout.checks,
        _declared(len(headers), declared_images, provenance),
        _rescale(whole),
    ]
    damaged = [h for h in headers if h.is_truncated]
    checks.append(_readable(found.unreadable, damaged))
    _refuse(checks, headers[0].series_uid, allow_fail)
    array, present, lost = _pixels(layout, damaged, report, token)
    if lost:
        checks[-1] = _readable(found.unreadable, [*damaged, *lost])
        _refuse(checks, headers[0].series_uid, allow_fail)
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
        affine=layout.affine,
        present=present,
        passport=Passport(tuple(checks)),
        provenance=uids,
        quantity=_quantity(whole),
        window=first.window,
        sop_uids=tuple(None if h is None else h.sop_instance_uid for h in kept),
        files=tuple(None if h is None else h.path for h in kept),
        description=first.description,
    )


def require_sound(volume: Volume, purpose: str) -> None:
    """Refuse to build on a volume whose geometry failed.

    Raises
    ------
    BrokenGeometry
        The passport's verdict is ``"fail"``.
    """
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
        kind = _ENHANCED.get(header.sop_class_uid)
        if kind is None and header.sop_class_uid not in _IMAGES:
            kind = f"{header.modality or 'unknown'} (SOP class {header.sop_class_uid})"
        elif kind is None and header.frames > 1:
            kind = f"multi-frame {header.modality}"
        elif kind is None and (
            header.samples != 1 or not header.photometric.startswith("MONOCHROME")
        ):
            kind = f"colour ({header.photometric})"
        if kind is not None:
            raise UnsupportedData(
                f"{header.path.name} of series {header.series_uid} is {kind}.",
                "Single-frame CT, MR and PET images can be read.",
                sop_class_uid=header.sop_class_uid,
                modality=header.modality,
            )


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


def _rescale(headers: Sequence[Header]) -> Check:
    pairs = {(header.slope, header.intercept) for header in headers}
    numbers = {"pairs": [list(p) for p in sorted(pairs, key=str)][:5]}
    flat = names([header for header in headers if header.slope == 0])
    if flat:
        message = f"{len(flat)} slices have a rescale slope of 0: {listed(flat)}."
        return Check("equal_rescale", "fail", message, numbers, flat)
    if len(pairs) == 1:
        return Check("equal_rescale", "pass", "One rescale for all slices.", numbers)
    # PET is scaled slice by slice; anywhere else it deserves a word.
    return Check(
        "equal_rescale",
        "pass" if headers[0].modality == "PT" else "warn",
        f"{len(pairs)} different rescales, applied slice by slice.",
        numbers,
    )


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


def _quantity(headers: Sequence[Header]) -> str:
    first = headers[0]
    if first.modality == "PT":
        return f"PET {first.units}".strip()
    # Without RescaleIntercept nothing says that stored values are HU; without
    # RescaleType a CT is in HU (DICOM PS3.3 C.8.2.1.1.2).
    hounsfield = first.modality == "CT" and all(
        header.rescale_type in ("", "HU")
        and header.slope is not None
        and header.intercept is not None
        and not header.is_localizer
        for header in headers
    )
    return "HU" if hounsfield else "stored values"


def _pixels(
    layout: Layout,
    damaged: Sequence[Header],
    report: Report,
    token: CancelToken | None,
) -> tuple[NDArray[Any], NDArray[np.bool_], list[Header]]:
    """Fill the array; slices that turn out damaged are returned as such."""
    slices = layout.slices
    bad = {id(header) for header in damaged}
    readable = [
        (k, h) for k, h in enumerate(slices) if h is not None and id(h) not in bad
    ]
    present = np.zeros(len(slices), dtype=np.bool_)
    shaped = next(h for h in slices if h is not None)
    shape = (len(slices), shaped.rows, shaped.columns)
    array = np.empty(shape, dtype=_array_dtype([h for _, h in readable]))
    lost: list[Header] = []
    for done, (k, header) in enumerate(readable):
        if token is not None:
            token.raise_if_cancelled()
        if done % 16 == 0:
            report(
                Progress(
                    "Reading slices", done, len(readable), "slices", header.series_uid
                )
            )
        try:
            values = stored_values(header)
        except CorruptData:
            lost.append(header)
            continue
        if not _rescale_into(array[k], values, header):
            # Values outside int16 after all: start over in float32.
            array = array.astype(np.float32)
            _rescale_into(array[k], values, header)
        present[k] = True
    report(Progress("Reading slices", len(readable), len(readable), "slices"))
    if not present.all():
        hounsfield = _quantity([h for h in slices if h is not None]) == "HU"
        array[~present] = AIR_HU if hounsfield else array[present].min()
    return array, present, lost


def _array_dtype(headers: Sequence[Header]) -> np.dtype[Any]:
    """int16 when every slope is 1 and every intercept a whole number."""
    exact = all(
        (header.slope if header.slope is not None else 1.0) == 1.0
        and float(header.intercept or 0.0).is_integer()
        and stored_dtype(header).itemsize <= 2
        for header in headers
    )
    return np.dtype(np.int16 if exact else np.float32)


def _rescale_into(out: NDArray[Any], values: NDArray[Any], header: Header) -> bool:
    """Write slope * values + intercept to `out`; False when it does not fit."""
    slope = 1.0 if header.slope is None else header.slope
    intercept = 0.0 if header.intercept is None else header.intercept
    if out.dtype != np.int16:
        out[...] = values * np.float64(slope) + intercept
        return True
    if values.dtype == np.int16 and intercept == 0:
        out[...] = values
        return True
    low, high = int(values.min()) + intercept, int(values.max()) + intercept
    if low < -32768 or high > 32767:
        return False
    # Modular 16-bit arithmetic is exact, since the true sum fits.
    wrapped = int(intercept) % 65536
    np.add(values.astype(np.uint16), np.uint16(wrapped), out=out.view(np.uint16))
    return True
