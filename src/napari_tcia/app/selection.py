"""What can be done with the rows that are selected: terms, open, download."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from napari_tcia.app import agree, fetch, state
from napari_tcia.app.arriving import Arriving
from napari_tcia.app.assemble import Case
from napari_tcia.app.case import open_case, open_path
from napari_tcia.app.rows import CaseRow
from napari_tcia.app.search import ANNOTATION_MODALITIES
from napari_tcia.app.services import Services
from napari_tcia.core.model import Series, Terms
from napari_tcia.core.task import CancelToken, Report, silent

Part = Literal["all", "image", "annotations"]


def look_up(
    services: Services,
    rows: Sequence[CaseRow],
    part: Part = "all",
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[tuple[Series, ...], tuple[Terms, ...], str]:
    """Series of `rows`, their terms, and the name that accepted terms last.

    Parameters
    ----------
    part : {"all", "image", "annotations"}
        Which of them are wanted.
    """
    if part == "image":
        series = tuple(row.series for row in rows)
    else:
        series = state.whole(services, rows, report=report, token=token)
    if part == "annotations":
        series = tuple(s for s in series if s.modality in ANNOTATION_MODALITIES)
    terms = agree.terms(services, series, report=report, token=token) if series else ()
    names = [r.name for r in services.ledger.records() if r.event == "accept"]
    return series, terms, names[-1] if names else ""


def open_rows(
    services: Services,
    series: Sequence[Series],
    own: Sequence[CaseRow] = (),
    folders: Mapping[str, Path] | None = None,
    begun: Callable[[Arriving], None] | None = None,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[tuple[Case, ...], tuple[Series, ...]]:
    """Read cases, fetching what is missing, and say which series are on disk now.

    Parameters
    ----------
    series : sequence of Series
        Of the archive; their terms must stand accepted.
    own : sequence of CaseRow
        Rows that lie in folders of the user and are read from there.
    folders : mapping of str to Path
        Those folders, by series UID.
    begun : callable, optional
        As of `open_case`.
    """
    cases: tuple[Case, ...] = ()
    for row in own:
        cases += open_path(
            services,
            folder_of(row, folders or {}),
            series_uid=row.series.series_uid,
            report=report,
            token=token,
        )
    if series:
        cases += open_case(services, series, begun=begun, report=report, token=token)
    return cases, tuple(s for s in series if fetch.stored(services, s.series_uid))


def folder_of(row: CaseRow, folders: Mapping[str, Path]) -> Path:
    """The folder that holds an image and those of its annotations that are there."""
    places = {folders[s.series_uid] for s in row.all if s.series_uid in folders}
    return Path(os.path.commonpath(places))
