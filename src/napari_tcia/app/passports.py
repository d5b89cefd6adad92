"""Inspect: the passport of every image series in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_tcia.app.case import refuse_mixed
from napari_tcia.app.folder import admit, declared_images, place_of, provenance_of
from napari_tcia.app.services import Services
from napari_tcia.core.geometry import spacing_of
from napari_tcia.core.image import Choices
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.core.zips import is_zip, unpacked
from napari_tcia.volume.headers import survey
from napari_tcia.volume.read import read_volume


def passports(
    path: str | Path,
    *,
    choices: Choices | None = None,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[dict[str, Any], ...]:
    """Verdict, shape, spacing, affine and checks of each series in `path`.

    Parameters
    ----------
    path : path
        A folder, file or zip.
    choices : Choices, optional
        What to do where the slices of a series leave a doubt.

    Returns
    -------
    tuple of dict
        ``spacing`` in mm for (k, j, i); ``affine`` maps (k, j, i, 1) to LPS mm.

    Raises
    ------
    NoDicom, UnsupportedData, CorruptData
        No image series there: no DICOM, none of images, or none that is whole.
    MixedSeries
        Several image series mixed in one folder.
    """
    services = Services.open()
    root = Path(path)
    admit(services, root)
    if root.is_file() and is_zip(root):
        with unpacked(root, report=report, token=token) as folder:
            return passports(folder, choices=choices, report=report, token=token)
    images = [s for s in survey(root, report=report, token=token) if s.is_image]
    if not images:
        read_volume(root)  # says whether there is no DICOM, no image, or only damage
    refuse_mixed(images)
    found = []
    for headers in images:
        volume = read_volume(
            place_of(headers),
            series_uid=headers.series_uid,
            report=report,
            token=token,
            allow_fail=True,
            provenance=provenance_of(services, headers),
            declared_images=declared_images(services, headers),
            choices=choices,
        )
        found.append(
            {
                "series_uid": headers.series_uid,
                "verdict": volume.passport.verdict,
                "shape": volume.shape,
                "spacing": spacing_of(volume.affine),
                "affine": volume.affine,
                "checks": [
                    {
                        "code": c.code,
                        "verdict": c.verdict,
                        "message": c.message,
                        "numbers": c.numbers,
                        "files": c.files,
                    }
                    for c in volume.passport.checks
                ],
            }
        )
    return tuple(found)
