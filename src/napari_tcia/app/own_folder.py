"""Rows of a folder on this machine, such as an official downloader leaves."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from napari_tcia.app.folder import credit_of
from napari_tcia.app.search import ANNOTATION_MODALITIES
from napari_tcia.app.services import Services
from napari_tcia.core.model import Issue, Listing, Series
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.volume.headers import SeriesHeaders, survey


def in_folder(
    services: Services,
    path: Path,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[Listing[Series], dict[str, Path]]:
    """Series below `path`, told from their headers, whatever the layout.

    The NBIA Data Retriever, idc-index and tcia_utils name files and folders
    differently; what a file is, only its header says.

    Returns
    -------
    listing : Listing of Series
        With `sources` ``("folder",)``, and the licence and DOI of the
        collection that they are recognised to be of.
    folders : dict of str to Path
        Where each series lies, by UID. What is kept below HOME is not among
        them: it is opened through the gate, as a downloaded series.

    Raises
    ------
    Cancelled
        `token` was cancelled.
    """
    found = survey(path, report=report, token=token)
    labelled = {s.study_uid for s in found if s.modality in ANNOTATION_MODALITIES}
    rows = [_series(services, headers) for headers in found]
    rows = [
        replace(row, has_labels=row.study_uid in labelled)
        if row.modality not in ANNOTATION_MODALITIES
        else row
        for row in rows
    ]
    folders = {
        headers.series_uid: _folder_of(headers)
        for headers in found
        if not services.keeps(headers.files[0])
    }
    return Listing(tuple(rows), _as_downloaded(services, found)), folders


def _series(services: Services, headers: SeriesHeaders) -> Series:
    credit = credit_of(services, headers)
    return Series(
        series_uid=headers.series_uid,
        study_uid=headers.study_uid,
        patient_id=headers.patient_id,
        collection=credit.collection,
        modality=headers.modality,
        description=headers.description,
        body_part=headers.body_part,
        images=len(headers.files),
        bytes=sum(file.stat().st_size for file in headers.files),
        licence_name=credit.licence_name,
        licence_uri=credit.licence_uri,
        doi=credit.doi,
        manufacturer=headers.manufacturer,
        sources=("folder",),
    )


def _folder_of(headers: SeriesHeaders) -> Path:
    return Path(os.path.commonpath([file.parent for file in headers.files]))


def _as_downloaded(
    services: Services, found: tuple[SeriesHeaders, ...]
) -> tuple[Issue, ...]:
    """A warning for each series of which fewer files lie here than are listed."""
    issues = []
    for headers in found:
        listed = services.catalogue.find_series(headers.series_uid)
        if listed and listed.images and len(headers.files) < listed.images:
            message = (
                f"{len(headers.files)} of {listed.images} images of "
                f"{headers.patient_id} ({headers.modality}) lie in "
                f"{_folder_of(headers)}."
            )
            facts = {"series_uid": headers.series_uid, "images": listed.images}
            issues.append(Issue("warn", "incomplete_folder", message, facts))
    return tuple(issues)
