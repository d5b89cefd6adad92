"""What a folder is: ours, recognisably TCIA's, or of unknown origin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from napari_tcia.app.services import Services
from napari_tcia.cite.provenance import FolderFacts, in_words, recognise
from napari_tcia.core.image import Volume
from napari_tcia.core.model import TWIN_UID_ROOT, Acceptance, Provenance, StoredSeries
from napari_tcia.errors import CorruptData, TermsNotAccepted
from napari_tcia.terms import gate
from napari_tcia.terms.licence import identify
from napari_tcia.transfer.store import Store
from napari_tcia.volume.decode import read_header
from napari_tcia.volume.headers import (
    SeriesHeaders,
    candidates,
    survey,
)


def admit(services: Services, path: Path) -> None:
    """Let `path` be opened, or say which terms stand in the way.

    A user's own folder opens freely; whatever lies below HOME came through
    the gate and passes it again, be it reached by its folder, a folder above
    it, a link, or a copy of it elsewhere below HOME.

    Raises
    ------
    TermsNotAccepted
        Something there is kept below HOME, and no acceptance stands for it.
    """
    if not path.exists():
        return
    if record := services.store.file_record(path.resolve()):
        host, collection = str(record["archive_host"]), str(record["collection"])
        gate.recheck_collection(collection, host, services.ledger)
        return
    passed: set[Path] = set()
    for file in _below_home(services, path):
        if file.parent in passed:
            continue
        if kept := services.store.at(file):
            gate.recheck(kept, kept.archive_host, services.ledger)
            passed.add(file.parent)
        elif _is_dicom(file):
            raise _no_record(file)
    if not passed:
        stored_below(services, path)


def _below_home(services: Services, path: Path) -> Iterator[Path]:
    """Files at or below `path` that really lie below HOME, links resolved."""
    home = services.settings.home.resolve()
    folders: dict[Path, Path] = {}
    for file in candidates(path):
        if file.parent not in folders:
            folders[file.parent] = file.parent.resolve()
        real = file.resolve() if file.is_symlink() else folders[file.parent] / file.name
        if real.is_relative_to(home):
            yield real


def _is_dicom(file: Path) -> bool:
    try:
        return read_header(file) is not None
    except Exception:  # it starts as DICOM; pydicom raises whatever it meets
        return True


def _no_record(path: Path) -> TermsNotAccepted:
    return TermsNotAccepted(
        f"{path} is kept by napari-tcia but has no record of accepted terms.",
        "Fetch the series again: napari-tcia get <series UID>; keep files of your "
        "own outside NAPARI_TCIA_HOME.",
    )


def stored_below(services: Services, path: Path) -> list[StoredSeries]:
    """Stored series at, above or below `path`.

    Raises
    ------
    TermsNotAccepted
        `path` lies in the store, but no record speaks for it.
    """
    if kept := services.store.at(path):
        return [kept]
    target = path.resolve()
    found = [
        kept
        for kept in services.store.all()
        if kept.path.resolve().is_relative_to(target)
    ]
    if not found and target.is_relative_to(services.store.root.resolve()):
        raise _no_record(path)
    return found


def stored_facts(services: Services, kept: StoredSeries) -> Provenance:
    """Provenance of a stored series, once the gate lets it open again.

    Raises
    ------
    TermsNotAccepted
        Its acceptance was revoked.
    """
    acceptance = gate.recheck(kept, kept.archive_host, services.ledger)
    return under(recorded(kept), acceptance)


def under(found: Provenance, acceptance: Acceptance) -> Provenance:
    """`found` with the acceptance that lets it be opened, and what that accepts."""
    words = {kind: sha256 for kind, _, sha256 in acceptance.documents}
    return replace(
        found,
        terms="accepted",
        acceptance_id=acceptance.id,
        licence_sha256=words.get("licence", ""),
        policy_sha256=words.get("policy", ""),
    )


def recorded(kept: StoredSeries) -> Provenance:
    """Whom a stored series is to be credited to, whatever became of its terms."""
    series = kept.series
    licence = identify(series.licence_name, series.licence_uri)
    return Provenance(
        origin="archive",
        collection=series.collection,
        patient_id=series.patient_id,
        study_uid=series.study_uid,
        series_uid=series.series_uid,
        modality=series.modality,
        doi=series.doi,
        licence_id=licence.id,
        licence_spdx=licence.spdx,
        licence_name=series.licence_name,
        licence_uri=series.licence_uri,
        archive_host=kept.archive_host,
        source=kept.source,
        terms="not recorded",
        acceptance_id=kept.acceptance_id,
        retrieved=kept.retrieved,
        series_sha256=kept.sha256,
        synthetic=series.series_uid.startswith(TWIN_UID_ROOT),
    )


def provenance_of(services: Services, headers: SeriesHeaders) -> Provenance:
    """Provenance of a series found in a folder.

    Below HOME, however it was reached, it is the store's record; elsewhere it
    is recognised from the headers, the catalogue, and a LICENSE or
    ``metadata.csv`` beside it.
    """
    kept = services.store.at(headers.files[0])
    if kept and kept.series.series_uid == headers.series_uid:
        return stored_facts(services, kept)
    return _recognised(services, headers)


def credit_of(services: Services, headers: SeriesHeaders) -> Provenance:
    """As `provenance_of`, for credit alone: no terms stand in the way of it."""
    kept = services.store.at(headers.files[0])
    if kept and kept.series.series_uid == headers.series_uid:
        return recorded(kept)
    return _recognised(services, headers)


def _recognised(services: Services, headers: SeriesHeaders) -> Provenance:
    if not headers.is_image and (saved := in_words(headers.comments)):
        return as_saved(services, saved)
    if beside := _record_beside(headers):
        standing = standing_for(services, beside)
        return under(beside, standing) if standing else beside
    folders = {f.parent for f in headers.files}
    folders |= {f.parent for f in folders}
    known = services.catalogue.find_series(headers.series_uid)
    found = recognise(
        FolderFacts(
            series_uid=headers.series_uid,
            study_uid=headers.study_uid,
            patient_id=headers.patient_id,
            modality=headers.modality,
            frame_of_reference_uid=headers.frame_of_reference_uid,
            ctp_collection=headers.ctp_collection,
            synthetic=headers.synthetic,
            catalogue_collection=known.collection if known else "",
            licence_text=_first_text(folders, "LICENSE"),
            metadata_csv=_first_text(folders, "metadata.csv"),
        ),
        services.catalogue.find_collection,
    )
    if not found.licence_name or found.synthetic:
        return found
    licence = identify(found.licence_name, found.licence_uri)
    found = replace(found, licence_id=licence.id, licence_spdx=licence.spdx)
    # The folder is the user's own, but its terms may have been accepted here.
    standing = standing_for(services, found)
    if standing is None:
        return found
    return under(found, standing)


def _record_beside(headers: SeriesHeaders) -> Provenance | None:
    """What the record of a series fetched into a user's folder says of it."""
    file = headers.files[0].resolve()
    if len(file.parents) < 3:
        return None
    kept = Store(file.parents[2]).at(file)
    if kept is None or kept.series.series_uid != headers.series_uid:
        return None
    return replace(
        recorded(kept),
        origin="folder",
        frame_of_reference_uid=headers.frame_of_reference_uid,
        recognised_by="record of its download beside the files",
    )


def standing_for(services: Services, found: Provenance) -> Acceptance | None:
    """The acceptance recorded here for data of a user's own, if one stands."""
    host = found.archive_host or services.settings.archive_host
    try:
        return services.ledger.standing(host, found.collection, found.licence_id)
    except CorruptData:
        return None  # it says nothing then, and does not stand in the way


def as_saved(services: Services, found: Provenance) -> Provenance:
    """`found` of a file that was saved; only the ledger here says "accepted"."""
    if found.terms == "accepted" and standing_for(services, found) is None:
        return replace(found, terms="not recorded")
    return found


def place_of(headers: SeriesHeaders) -> Path | tuple[Path, ...]:
    """What to read for a series: its folders, so that damaged files there show."""
    folders = sorted({file.parent for file in headers.files})
    return folders[0] if len(folders) == 1 else tuple(folders)


def declared_images(services: Services, headers: SeriesHeaders) -> int | None:
    """Count of images that the store's record, else the catalogue, lists."""
    kept = services.store.at(headers.files[0])
    listed = kept.series if kept else services.catalogue.find_series(headers.series_uid)
    return listed.images if listed else None


def credited(services: Services, volume: Volume) -> Volume:
    """`volume` with the provenance that its files tell."""
    first = next(file for file in volume.files if file is not None)
    found = provenance_of(services, survey([first])[0])
    uid = volume.provenance.frame_of_reference_uid
    return replace(volume, provenance=replace(found, frame_of_reference_uid=uid))


def _first_text(folders: set[Path], name: str, limit: int = 1 << 20) -> str:
    for folder in sorted(folders, key=lambda f: -len(f.parts)):
        file = folder / name
        if file.is_file():
            with file.open("rb") as stream:
                return stream.read(limit).decode("utf-8", errors="replace")
    return ""
