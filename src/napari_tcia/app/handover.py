"""Cite and export: what leaves the program, with its credit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_tcia.app import credit
from napari_tcia.app.case import Case, open_case
from napari_tcia.app.folder import admit, provenance_of
from napari_tcia.app.search import interpret
from napari_tcia.app.services import Services
from napari_tcia.archive import datacite
from napari_tcia.cite import citation
from napari_tcia.core.model import TWIN_UID_ROOT, Citation, Provenance
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.core.text import bare_doi
from napari_tcia.errors import NothingFound, UsageError
from napari_tcia.export import nifti, seg, slicer, table
from napari_tcia.volume.headers import survey

EXPORTS = ("csv", "nifti", "seg", "slicer")
"""Formats that `export` writes and rereads."""


def cite(
    what: str | Path,
    format: str = "text",
    *,
    style: str | None = None,
    refresh: bool = False,
) -> str:
    """Citations of a dataset, case or folder, ready to paste.

    Parameters
    ----------
    what : str or Path
        Collection, DOI, series UID, patient ID, or a folder.
    format : {"text", "bibtex", "ris", "csl-json", "cff"}
    style : str, optional
        A CSL style name for ``"text"``; needs the extra ``styles``.
    refresh : bool
        Ask DataCite; without it no network is used.

    Raises
    ------
    NothingFound
        Nothing known to cite.
    """
    cited = cited_for(Services.open(), what, refresh=refresh)
    return credit.render(cited, format, style)


def cited_for(
    services: Services, what: str | Path, *, refresh: bool = False
) -> tuple[Citation, ...]:
    """Citations of what `cite` accepts.

    Raises
    ------
    NothingFound
        Nothing known to cite.
    """
    path = Path(what)
    if path.exists() and (path.is_dir() or path.suffix):
        return _cited_path(services, path)
    text = str(what).strip()
    doi = bare_doi(text)
    if refresh and doi:
        item = datacite.csl(services.transport, services.settings, doi)
        return (citation.from_csl(item),)
    provenance = _known(services, text)
    if provenance is None:
        raise NothingFound(
            f"Nothing is known to cite for {text!r}.",
            "Give a collection, DOI, series UID, patient ID or folder; a DOI that the "
            "bundled catalogue lacks is looked up with --refresh.",
        )
    return credit.citations([provenance])


def export(
    target: str | Path,
    to: str,
    out: str | Path,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> list[Path]:
    """Write a case in another program's format, with its credit inside.

    Every file is reread and compared before it stands under its name.

    Parameters
    ----------
    to : {"csv", "nifti", "seg", "slicer"}
    out : path
        A folder for several files, or a file name where there is one.

    Raises
    ------
    UsageError
        Unknown format, or several cases under `target`.
    """
    if to not in EXPORTS:
        raise UsageError(
            f"{to!r} is no export format.", f"Choose one of: {', '.join(EXPORTS)}."
        )
    services = Services.open()
    source = Path(target) if Path(target).exists() else str(target)
    cases = open_case(services, source, report=report, token=token)
    if len(cases) != 1:
        raise UsageError(
            f"{target} holds {len(cases)} image series.",
            "Name one of them by its series UID.",
        )
    return export_case(cases[0], to, Path(out))


def export_case(case: Case, to: str, out: Path) -> list[Path]:
    """Write one read case; see `export`."""
    cited = credit.citations(case.provenances)
    if to == "csv":
        return table.write(out, case.volume, case.nodes, cited)
    if to == "nifti":
        return nifti.write(out, case.volume, case.labels, cited)
    if not case.labels:
        raise NothingFound(
            f"{case.name} has no segmentation to export as {to}.",
            "Export the table with --to csv, or the image with --to nifti.",
        )
    if to == "seg":
        return seg.write(out, case.volume, case.labels, cited)
    return slicer.write(out, case.volume, case.labels, case.points, cited)


def _cited_path(services: Services, path: Path) -> tuple[Citation, ...]:
    admit(services, path)
    found: Sequence[Provenance] = [
        provenance_of(services, headers, path) for headers in survey(path)
    ]
    cited = credit.citations(found)
    if not cited:
        raise NothingFound(
            f"Nothing in {path} says where it comes from: no citation is known.",
            "Cite it by its DOI: napari-tcia cite 10.7937/...",
        )
    return cited


def _known(services: Services, text: str) -> Provenance | None:
    if text.startswith(TWIN_UID_ROOT):
        return Provenance(
            origin="archive",
            series_uid=text,
            collection="CT Lymph Nodes",
            synthetic=True,
        )
    for kept in services.store.all():
        if text in (kept.series.series_uid, kept.series.patient_id):
            return Provenance(
                origin="archive",
                collection=kept.series.collection,
                series_uid=kept.series.series_uid,
                doi=kept.series.doi,
                licence_name=kept.series.licence_name,
                licence_uri=kept.series.licence_uri,
                synthetic=kept.series.series_uid.startswith(TWIN_UID_ROOT),
            )
    series = services.catalogue.find_series(text)
    name = series.collection if series else interpret(services, text).collection
    known = services.catalogue.find_collection(name) if name else None
    if known is None:
        return None
    return Provenance(origin="archive", collection=known.name, doi=known.doi)
