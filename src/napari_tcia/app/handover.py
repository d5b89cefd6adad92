"""Cite and export: what leaves the program, with its credit."""

from __future__ import annotations

from pathlib import Path

from napari_tcia.app import credit
from napari_tcia.app.assemble import Case
from napari_tcia.app.case import open_case
from napari_tcia.app.fetch import MANIFESTS
from napari_tcia.app.folder import credit_of, recorded
from napari_tcia.app.interpret import interpret
from napari_tcia.app.services import Services
from napari_tcia.archive import datacite
from napari_tcia.archive.manifest import parse_manifest
from napari_tcia.cite import citation
from napari_tcia.core.files import write_atomic
from napari_tcia.core.image import Choices
from napari_tcia.core.model import TWIN_UID_ROOT, Citation, Provenance
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.core.text import bare_doi
from napari_tcia.core.zips import is_zip, unpacked
from napari_tcia.errors import NothingFound, UsageError
from napari_tcia.transfer.store import LICENCE
from napari_tcia.volume.headers import survey

EXPORTS = ("csv", "figure", "nifti", "seg", "slicer")
"""Formats that `export` writes and rereads."""
_WHAT = (
    "Give a collection, DOI, series UID, patient ID, manifest or folder; a DOI that "
    "the bundled catalogue lacks is looked up with --refresh."
)


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
    UsageError
        Nothing is named, or a manifest is none.
    NothingFound
        Nothing known to cite.
    """
    text = str(what).strip()
    if not text:
        raise UsageError("Nothing is named to cite.", _WHAT)
    path = Path(what)
    if path.is_file() and is_zip(path):
        with unpacked(path) as folder:
            return cited_for(services, folder, refresh=refresh)
    if path.exists() and (path.is_dir() or path.suffix):
        found = _cited_path(services, path)
    else:
        known = _known(services, text)
        found = [known] if known else []
    cited = credit.citations(found)
    if refresh and not cited and (doi := bare_doi(text)):
        return (
            citation.from_csl(datacite.csl(services.transport, services.settings, doi)),
        )
    if not cited:
        raise NothingFound(f"Nothing is known to cite for {text!r}.", _WHAT)
    return tuple(credit.fresh(services, one) for one in cited) if refresh else cited


def export(
    target: str | Path,
    to: str,
    out: str | Path,
    *,
    choices: Choices | None = None,
    report: Report = silent,
    token: CancelToken | None = None,
) -> list[Path]:
    """Write a case in another program's format, with its credit inside.

    Every file is reread and compared before it stands under its name.

    Parameters
    ----------
    to : {"csv", "figure", "nifti", "seg", "slicer"}
        ``"figure"`` is the slice of the largest node with its outline.
    out : path
        A folder for several files, or a file name where there is one.
    choices : Choices, optional
        What to do where the slices of a series leave a doubt.

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
    cases = open_case(services, source, choices=choices, report=report, token=token)
    if len(cases) != 1:
        raise UsageError(
            f"{target} holds {len(cases)} image series.",
            "Name one of them by its series UID.",
        )
    return export_case(cases[0], to, Path(out))


def export_case(case: Case, to: str, out: Path) -> list[Path]:
    """Write one read case; see `export`."""
    # Here, because highdicom takes most of a second to load.
    from napari_tcia.app import picture
    from napari_tcia.export import nifti, seg, slicer, table

    cited = credit.citations(case.provenances)
    if to in ("seg", "slicer") and not case.labels:
        raise NothingFound(
            f"{case.name} has no segmentation to export as {to}.",
            "Export the table with --to csv, or the image with --to nifti.",
        )
    if to == "figure":
        written = picture.write_case(case, out, cited)
    elif to == "csv":
        written = table.write(out, case.volume, case.nodes, cited)
    elif to == "nifti":
        written = nifti.write(out, case.volume, case.labels, cited)
    elif to == "seg":
        written = seg.write(out, case.volume, case.labels, cited)
    else:
        written = slicer.write(out, case.volume, case.labels, case.points, cited)
    return [*written, *_licence(case, written[0])]


def _licence(case: Case, first: Path) -> list[Path]:
    """The archive's LICENSE of the series, copied beside what was exported."""
    for folder in dict.fromkeys(f.parent for f in case.volume.files if f is not None):
        source = folder / LICENCE
        if source.is_file():
            stem = first.name.split(".")[0]
            return [
                write_atomic(
                    first.with_name(f"{stem}.{LICENCE}.txt"), source.read_bytes()
                )
            ]
    return []


def _cited_path(services: Services, path: Path) -> list[Provenance]:
    if path.suffix.lower() in MANIFESTS:
        uids = parse_manifest(path).series_uids
        return [one for uid in uids if (one := _known(services, uid))]
    return [credit_of(services, headers) for headers in survey(path)]


def _known(services: Services, text: str) -> Provenance | None:
    if text.startswith(TWIN_UID_ROOT):
        return Provenance(
            origin="archive",
            series_uid=text,
            collection="CT Lymph Nodes",
            synthetic=True,
        )
    here = services.settings.archive_host
    for kept in services.store.all():
        # A patient of the twin is called as one of the real archive.
        same_patient = text == kept.series.patient_id and kept.archive_host == here
        if text == kept.series.series_uid or same_patient:
            return recorded(kept)
    series = services.catalogue.find_series(text)
    name = series.collection if series else interpret(services, text).collection
    known = services.catalogue.find_collection(name) if name else None
    if known is None:
        return None
    return Provenance(origin="archive", collection=known.name, doi=known.doi)
