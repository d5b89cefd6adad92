"""Cases from what a user names: a target of the archive, a folder, a zip."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from napari_tcia.app import supplements
from napari_tcia.app.arriving import Arriving, Watched
from napari_tcia.app.assemble import Case, assemble
from napari_tcia.app.beside import files_beside
from napari_tcia.app.decoded import damage, has_copy, read_kept
from napari_tcia.app.fetch import companions, first_error, get, resolve
from napari_tcia.app.folder import (
    admit,
    declared_images,
    place_of,
    provenance_of,
    stored_below,
    stored_facts,
)
from napari_tcia.app.search import ANNOTATION_MODALITIES
from napari_tcia.app.services import Services
from napari_tcia.core.image import Choices
from napari_tcia.core.model import Issue, Series, StoredSeries
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.core.zips import holds_dicom, is_zip, keep_with, unpack
from napari_tcia.errors import (
    MixedSeries,
    NoDicom,
    NothingFound,
)
from napari_tcia.volume.headers import SeriesHeaders, survey
from napari_tcia.volume.read import read_volume


def open_case(
    services: Services,
    target: str | Path | Sequence[Series],
    *,
    choices: Choices | None = None,
    begun: Callable[[Arriving], None] | None = None,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[Case, ...]:
    """Read what `target` names, fetching what is missing.

    Parameters
    ----------
    target : str, Path or sequence of Series
        A folder, file or zip, a series UID, a patient ID, a manifest, or rows
        of a search.
    choices : Choices, optional
        What to do where the slices of a series leave a doubt.
    begun : callable, optional
        Gets each series that can be looked at while it is fetched, on the thread
        that receives it; it must not raise.

    Raises
    ------
    AccessError
        Terms stand in the way; nothing was fetched.
    NothingFound, ArchiveError, VerificationError
        As the rooms say.
    """
    token = token or CancelToken()
    if isinstance(target, (str, Path)):
        path = Path(target)
        is_manifest = path.suffix.lower() in (".tcia", ".s5cmd", ".csv")
        if path.exists() and not is_manifest:
            return open_path(
                services, path, choices=choices, report=report, token=token
            )
        if not path.exists() and (isinstance(target, Path) or len(path.parts) > 1):
            raise NothingFound(f"{path} does not exist.", "Check the spelling.")
        series = resolve(services, str(target), token=token)
        if len(series) == 1:
            series = companions(services, series[0], token=token)
    else:
        series = tuple(target)
    # What is shown of a series with a copy is the copy, which has a checksum itself.
    vouched = functools.partial(has_copy, services, choices=choices)
    watched = Watched(services, begun) if begun else None
    try:
        return _fetched(services, series, vouched, watched, choices, report, token)
    except BaseException:
        if watched is not None:
            watched.over()
        raise


def _fetched(
    services: Services,
    series: Sequence[Series],
    vouched: Callable[[StoredSeries], bool],
    watched: Watched | None,
    choices: Choices | None,
    report: Report,
    token: CancelToken,
) -> tuple[Case, ...]:
    listing = get(
        services, series, vouched=vouched, watch=watched, report=report, token=token
    )
    failed = [row.error for row in listing if row.error is not None]
    wanted = {s.series_uid: s for s in series}
    image_failed = [
        row.error
        for row in listing
        if row.error is not None
        and wanted[row.series_uid].modality not in ANNOTATION_MODALITIES
    ]
    if image_failed or len(failed) == len(listing.items):
        decisive = first_error(image_failed or failed)
        assert decisive is not None
        raise decisive
    kept = [services.store.find(services.settings.archive_host, uid) for uid in wanted]
    return _read_stored(
        services,
        [k for k in kept if k],
        listing.issues,
        watched=watched,
        choices=choices,
        report=report,
        token=token,
    )


def open_path(
    services: Services,
    path: Path,
    *,
    series_uid: str | None = None,
    choices: Choices | None = None,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[Case, ...]:
    """Read a folder, file or zip: the user's own, or one below HOME.

    Each image series becomes a case, with every SEG, mask and point file
    found beside it that belongs to it. Below HOME the gate is asked again.

    Raises
    ------
    NoDicom
        No image series there.
    MixedSeries
        Several image series lie mixed in one folder.
    """
    token = token or CancelToken()
    admit(services, path)
    if services.keeps(path):
        return _open_kept(
            services, path, series_uid, choices=choices, report=report, token=token
        )
    if path.is_file() and is_zip(path) and holds_dicom(path):
        folder = unpack(path, report=report, token=token)
        try:
            cases = _open_own(
                services,
                folder,
                path.stem,
                series_uid,
                choices=choices,
                report=report,
                token=token,
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        keep_with([case.volume.array for case in cases], folder)
        return cases
    return _open_own(
        services,
        path,
        path.name,
        series_uid,
        choices=choices,
        report=report,
        token=token,
    )


def _open_own(
    services: Services,
    path: Path,
    name: str,
    series_uid: str | None,
    *,
    choices: Choices | None,
    report: Report,
    token: CancelToken,
) -> tuple[Case, ...]:
    report(Progress(f"Looking through {name}"))
    if path.is_file():
        # One file stands for its series; a SEG for the images beside it.
        alone = survey([path])
        series_uid = next((s.series_uid for s in alone if s.is_image), series_uid)
        path = path.parent if alone else path
        name = path.name
        admit(services, path)
    found = survey(path, report=report, token=token)
    here = [s for s in found if s.is_image]
    images = [s for s in here if series_uid in (None, s.series_uid)]
    if not images:
        raise NoDicom(
            f"{path} holds no DICOM image.",
            "Choose the folder that holds the .dcm files of a series.",
        )
    refuse_mixed(images)
    annotations = [s for s in found if s.modality == "SEG"]
    left_out = _left_out(annotations, here)
    beside = files_beside(path, [one.patient_id for one in here])
    left_out += beside.issues
    cases = tuple(
        assemble(
            read_volume(
                place_of(image),
                series_uid=image.series_uid,
                report=report,
                token=token,
                allow_fail=True,
                provenance=provenance_of(services, image),
                declared_images=declared_images(services, image),
                choices=choices,
            ),
            [
                (one, provenance_of(services, one))
                for one in annotations
                if _belongs(one, image, len(images))
            ],
            beside.masks(image.patient_id),
            beside.points,
            name=name,
            choices=choices,
            report=report,
            token=token,
        )
        for image in images
    )
    return tuple(
        dataclasses.replace(case, issues=case.issues + left_out, place=path)
        for case in cases
    )


def _open_kept(
    services: Services,
    path: Path,
    series_uid: str | None,
    *,
    choices: Choices | None,
    report: Report,
    token: CancelToken,
) -> tuple[Case, ...]:
    """Open what is kept at `path`, with all that is kept of the same studies."""
    below = stored_below(services, path)
    studies = {kept.series.study_uid for kept in below}
    beside = [k for k in services.store.all() if k.series.study_uid in studies]
    if not any(_is_image(kept) for kept in beside):
        raise NoDicom(
            f"{path} holds no image series.",
            "Fetch its patient: napari-tcia get <patient ID>",
        )
    if series_uid is not None:
        beside = [
            k for k in beside if not _is_image(k) or k.series.series_uid == series_uid
        ]
    return _read_stored(
        services, beside, (), choices=choices, report=report, token=token
    )


def refuse_mixed(images: Sequence[SeriesHeaders]) -> None:
    """Raise `MixedSeries` when two image series share a folder."""
    for first in images:
        for second in images:
            if first.series_uid >= second.series_uid:
                continue
            shared = {f.parent for f in first.files} & {f.parent for f in second.files}
            if shared:
                raise MixedSeries(
                    f"{shared.pop()} holds two image series: "
                    f"{first.series_uid} and {second.series_uid}.",
                    "Name the one to read by its series UID.",
                    series_uids=[first.series_uid, second.series_uid],
                )


def _read_stored(
    services: Services,
    kept: Sequence[StoredSeries],
    issues: tuple[Issue, ...],
    *,
    watched: Watched | None = None,
    choices: Choices | None,
    report: Report,
    token: CancelToken,
) -> tuple[Case, ...]:
    cases = []
    for image in filter(_is_image, kept):
        beside = [
            (headers, stored_facts(services, k))
            for k in kept
            if k.series.modality == "SEG"
            and k.series.study_uid == image.series.study_uid
            for headers in survey(k.path)
        ]
        masks, positions = supplements.kept(
            services, image.series.collection, image.archive_host
        )
        doubts = issues
        memory = watched.memory(image.series.series_uid) if watched else None
        read = functools.partial(
            read_kept, services, image, choices=choices, report=report, token=token
        )
        opened = read(memory=memory)
        if watched is not None and opened.outcome is not None:
            watched.opened(image, opened.volume)
        while True:
            case = assemble(
                opened.volume,
                beside,
                masks,
                positions,
                name=image.series.patient_id,
                choices=choices,
                report=report,
                token=token,
            )
            if opened.sound():
                break
            doubts += (damage(opened),)
            opened = read(afresh=True)
        cases.append(
            dataclasses.replace(case, issues=case.issues + doubts, place=image.path)
        )
    return tuple(cases)


def _is_image(kept: StoredSeries) -> bool:
    return kept.series.modality not in ANNOTATION_MODALITIES


def _belongs(annotation: SeriesHeaders, image: SeriesHeaders, count: int) -> bool:
    if annotation.referenced_series_uid:
        return annotation.referenced_series_uid == image.series_uid
    return annotation.study_uid == image.study_uid or count == 1


def _left_out(
    annotations: Iterable[SeriesHeaders], images: Sequence[SeriesHeaders]
) -> tuple[Issue, ...]:
    """A word for each segmentation that belongs to none of `images`."""
    return tuple(
        Issue(
            "warn",
            "segmentation_of_another_series",
            f"{one.files[0].name} segments series {one.referenced_series_uid}, "
            "which is not in this folder; it is not shown.",
            {"series_uid": one.series_uid, "references": one.referenced_series_uid},
        )
        for one in annotations
        if not any(_belongs(one, image, len(images)) for image in images)
    )
