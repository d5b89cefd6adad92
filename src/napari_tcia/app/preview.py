"""One slice of a series, before the series is fetched; nothing of it is kept."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia.app import agree
from napari_tcia.app.fetch import held, stored
from napari_tcia.app.folder import provenance_of, recorded, stored_facts
from napari_tcia.app.search import ANNOTATION_MODALITIES
from napari_tcia.app.services import Services
from napari_tcia.app.windows import Window, first_window
from napari_tcia.core.geometry import axis_letters, spacing_of
from napari_tcia.core.image import Volume
from napari_tcia.core.model import Provenance, Series, StoredSeries
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.errors import NothingFound, Truncated, UnsupportedData, WrongSeries
from napari_tcia.terms import gate
from napari_tcia.volume.headers import survey
from napari_tcia.volume.read import read_volume

MAX_BYTES = 64 << 20
"""More than any single slice; an archive that sends more is not believed."""


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """A slice to look at.

    Attributes
    ----------
    array : (J, I) ndarray
        Rescaled values, rows as stored.
    window : (level, width)
        In units of `array`: by the usual rule, else from the values.
    caption : str
        One line: which slice of which series, and the window.
    provenance : Provenance
        What the attribution is derived from.
    spacing : (float, float)
        mm between rows, then between columns.
    letters : tuple of str
        Patient letters at the left, right, top and bottom.
    """

    array: NDArray[Any]
    window: Window
    caption: str
    provenance: Provenance
    spacing: tuple[float, float] = (1.0, 1.0)
    letters: tuple[str, str, str, str] = ("", "", "", "")


def preview(
    services: Services,
    series: Series,
    folder: Path | None = None,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Preview:
    """Read the middle instance of a series, fetched where it is not on disk.

    Parameters
    ----------
    folder : Path, optional
        Where the series lies, when it is in a folder of the user.

    Raises
    ------
    AccessError
        Its terms are not accepted; no pixel was asked for.
    UnsupportedData
        A segmentation, or no image that is read here.
    NothingFound
        The archive lists no instance of it.
    ArchiveError, VerificationError
        What came is not the slice that was asked for.
    Cancelled
        Through `token`.
    """
    if series.modality in ANNOTATION_MODALITIES:
        raise UnsupportedData(
            f"{series.modality} is an annotation, which has no slice of its own.",
            "Choose the image that it lies on.",
        )
    token = token or CancelToken()
    kept = None if folder else stored(services, series.series_uid)
    if kept is not None:
        origin = stored_facts(services, kept)  # asks the gate
        files = sorted(kept.path.glob("*.dcm"))
        return _of_file(files[len(files) // 2], series, len(files), origin)
    if folder is not None:
        return _of_folder(services, folder, series, report, token)
    shown = agree.terms(services, [series], report=report, token=token)
    access = gate.grant([series], shown, services.ledger)
    held(services, series, shown)  # asks for the terms of its own LICENSE too
    report(Progress("Fetching one slice", series_uid=series.series_uid))
    listed = services.nbia.sop_instance_uids(series.series_uid, token)
    if not listed:
        raise NothingFound(
            f"{services.settings.archive_host} lists no image of series "
            f"{series.series_uid}."
        )
    middle = listed[len(listed) // 2]
    # Below HOME, where the gate guards every file, should the power fail.
    with tempfile.TemporaryDirectory(
        prefix=".preview-", dir=services.settings.home
    ) as place:
        path = Path(place) / f"{middle}.dcm"
        with (
            services.nbia.open_instance(
                series.series_uid, middle, access, token
            ) as chunks,
            path.open("wb") as file,
        ):
            for chunk in chunks:
                token.raise_if_cancelled()
                if file.tell() > MAX_BYTES:
                    raise Truncated(f"Slice {middle} does not end.")
                file.write(chunk)
        origin = recorded(
            StoredSeries(
                series,
                path,
                1,
                path.stat().st_size,
                "nbia",
                services.settings.archive_host,
                "",
            )
        )
        origin = replace(
            origin, terms="accepted", acceptance_id=access.acceptance_ids[0]
        )
        return _of_file(path, series, len(listed), origin, sop_uid=middle)


def _of_folder(
    services: Services,
    folder: Path,
    series: Series,
    report: Report,
    token: CancelToken,
) -> Preview:
    found = [
        one
        for one in survey(folder, report=report, token=token)
        if one.series_uid == series.series_uid
    ]
    if not found:
        raise NothingFound(f"{folder} does not hold series {series.series_uid} now.")
    files = sorted(found[0].files)
    origin = provenance_of(services, found[0])
    return _of_file(files[len(files) // 2], series, len(files), origin)


def _of_file(
    path: Path, series: Series, count: int, origin: Provenance, sop_uid: str = ""
) -> Preview:
    volume = read_volume(path, allow_fail=True, provenance=origin)
    found = (volume.provenance.series_uid, sop_uid and volume.sop_uids[0])
    if found != (series.series_uid, sop_uid):
        raise WrongSeries(
            "The archive sent another image than the one asked for.",
            "Nothing of it was kept; report it to the archive.",
            expected=sop_uid or series.series_uid,
            found=found[1] or found[0],
        )
    array = volume.array[0].copy()
    window = first_window(volume, series.patient_id) or _of_values(array)
    level, width = window
    name = series.patient_id or series.series_uid
    rows, columns = spacing_of(volume.affine)[1:]
    return Preview(
        array=array,
        window=window,
        caption=f"{series.modality} - {name}: one of {count} images, "
        f"W {width:.0f} L {level:.0f}",
        provenance=volume.provenance,
        spacing=(rows, columns),
        letters=_letters(volume),
    )


def _of_values(array: NDArray[Any]) -> Window:
    low, high = (float(v) for v in np.percentile(array, (1, 99)))
    return (low + high) / 2, max(high - low, 1.0)


def _letters(volume: Volume) -> tuple[str, str, str, str]:
    _, (top, bottom), (left, right) = axis_letters(volume.affine)
    return left, right, top, bottom
