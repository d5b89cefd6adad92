"""Nodes first: what a segmentation tells by itself, then the slices around one node."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_tcia.app import agree
from napari_tcia.app.assemble import Case
from napari_tcia.app.fetch import companions, first_error, get, held, resolve
from napari_tcia.app.folder import recorded, stored_facts
from napari_tcia.app.search import ask
from napari_tcia.app.services import Services
from napari_tcia.app.sources import Source
from napari_tcia.core.geometry import Affine, index_to_patient
from napari_tcia.core.image import Check, LabelSet, NodeRow, Passport, Volume
from napari_tcia.core.model import Issue, Provenance, SearchQuery, Series, StoredSeries
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.errors import (
    ArchiveError,
    GeometryMismatch,
    NothingFound,
    UsageError,
)
from napari_tcia.nodes.alone import Alone, read_alone
from napari_tcia.nodes.known_issues import annotation_issues, known_issues
from napari_tcia.nodes.match import node_rows
from napari_tcia.terms import gate
from napari_tcia.transfer.slices import fetch_slices
from napari_tcia.volume.read import read_volume

_ASIDE = 0.1
"""Share of a voxel by which a slice may lie beside the grid of the segmentation."""


@dataclass(frozen=True, slots=True, eq=False)
class NodesOnly:
    """The nodes of one case, known from its segmentation.

    Attributes
    ----------
    name : str
        PatientID.
    series : Series
        The segmentation.
    alone : Alone
    nodes : tuple of NodeRow
        Without HU; `k` counts on the grid of the segmentation, so it is no image
        number of the CT.
    issues : tuple of Issue
    """

    name: str
    series: Series
    alone: Alone
    nodes: tuple[NodeRow, ...]
    issues: tuple[Issue, ...]

    @property
    def provenances(self) -> tuple[Provenance, ...]:
        """Of every part, for citations."""
        return tuple(dict.fromkeys(one.provenance for one in self.alone.labels))

    @property
    def checks(self) -> tuple[Check, ...]:
        """How the segmentation was placed and verified."""
        labels = (check for one in self.alone.labels for check in one.checks)
        return (*self.alone.grid.passport.checks, *labels)


def nodes_only(
    services: Services,
    target: str,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[NodesOnly, ...]:
    """List nodes, sizes and positions of a case, fetching its segmentations alone.

    Parameters
    ----------
    target : str
        A patient ID, a series UID (of the CT or the SEG) or a manifest.

    Raises
    ------
    NothingFound
        The archive lists no segmentation for it.
    AccessError
        Terms stand in the way; nothing was fetched.
    ArchiveError, VerificationError
        A segmentation could not be had, or not be read.
    """
    token = token or CancelToken()
    found = resolve(services, target, token=token)
    if len(found) == 1:
        found = companions(services, found[0], token=token)
    wanted = tuple(one for one in found if one.modality == "SEG")
    if not wanted:
        raise NothingFound(
            f"No DICOM segmentation is listed for {target}.",
            f"Open its images instead: napari-tcia nodes {target}",
        )
    rows = get(services, wanted, report=report, token=token)
    if error := first_error([row.error for row in rows if row.error is not None]):
        raise error
    return of_stored(services, wanted, report=report, token=token)


def of_stored(
    services: Services,
    series: Sequence[Series],
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[NodesOnly, ...]:
    """As `nodes_only`, of those segmentations of `series` that are stored.

    Raises
    ------
    AccessError
        Terms of one stand no more.
    VerificationError
        One cannot be read by itself.
    """
    token = token or CancelToken()
    host = services.settings.archive_host
    found: list[NodesOnly] = []
    for one in series:
        kept = services.store.find(host, one.series_uid)
        if kept is None or one.modality != "SEG":
            continue
        report(Progress("Listing nodes", series_uid=one.series_uid))
        for file in sorted(kept.path.glob("*.dcm")):
            token.raise_if_cancelled()
            found.append(_read(services, kept, file))
    return tuple(found)


def _read(services: Services, kept: StoredSeries, file: Path) -> NodesOnly:
    alone = read_alone(file, provenance=stored_facts(services, kept))
    patient = kept.series.patient_id
    return NodesOnly(
        name=patient or kept.series.series_uid,
        series=kept.series,
        alone=alone,
        nodes=node_rows(alone.grid, alone.labels),
        issues=(
            *known_issues(patient),
            *annotation_issues(one.name for one in alone.labels),
        ),
    )


def around(
    services: Services,
    target: str,
    node: int,
    *,
    source: Source = "auto",
    report: Report = silent,
    token: CancelToken | None = None,
) -> Case:
    """Open the CT slices that hold one node, and nothing else of its series.

    The segmentation names the images of its slices, so only these are fetched. They
    are read at once, and not kept: what is stored is always a whole series.

    Parameters
    ----------
    node : int
        Its number in the list of `nodes_only`.
    source : {"auto", "nbia", "idc"}
        With "auto" NBIA is asked first, and where it fails the buckets.

    Returns
    -------
    Case
        The volume of these slices, with that node alone: others would be cut. Its
        passport warns that it is part of a series.

    Raises
    ------
    UsageError
        There is no such node.
    GeometryMismatch
        The images do not lie where the segmentation says.
    AccessError, ArchiveError, VerificationError
    """
    token = token or CancelToken()
    only, row = _chosen(nodes_only(services, target, report=report, token=token), node)
    labels, places = _of_node(only.alone, row)
    uids = [only.alone.grid.sop_uids[k] for k in places]
    named = [uid for uid in uids if uid]
    if len(named) < len(uids) or not only.alone.image_series_uid:
        raise NothingFound(
            f"The segmentation of {only.name} does not name the images of node {node}.",
            f"Open the whole case: napari-tcia open {only.name}",
        )
    image = _image(services, only.alone.image_series_uid, token)
    shown = agree.terms(services, [image], report=report, token=token)
    access = gate.grant([image], shown, services.ledger)
    held(services, image, shown)  # asks for the terms of its own LICENSE too
    home = services.settings.home
    index = home / "instances" / services.settings.archive_host.replace(":", "_")
    # Below HOME, where the gate guards every file, should the power fail.
    with tempfile.TemporaryDirectory(prefix=".slices-", dir=home) as place:
        errors: list[ArchiveError] = []
        for name in ("nbia", "idc") if source == "auto" else (source,):
            folder = Path(place) / name
            try:
                files = fetch_slices(
                    named,
                    image,
                    services.nbia if name == "nbia" else services.idc,
                    access,
                    folder,
                    index=index / f"{image.series_uid}.json",
                    report=report,
                    token=token,
                )
                break
            except ArchiveError as error:
                refused = 400 <= error.numbers.get("status", 0) < 500
                if refused or services.idc.place(image.series_uid) is None:
                    raise
                errors.append(error)
        else:
            raise errors[0]
        report(Progress("Reading slices"))
        size = sum(file.stat().st_size for file in files)
        host = services.settings.archive_host
        stored = StoredSeries(image, folder, len(files), size, name, host, "")
        origin = replace(
            recorded(stored), terms="accepted", acceptance_id=access.acceptance_ids[0]
        )
        volume = read_volume(folder, series_uid=image.series_uid, provenance=origin)
    volume = _as_part(volume, image)
    placed = _onto(volume, only.alone, labels, row.label)
    return Case(
        name=only.name,
        volume=volume,
        labels=(placed,),
        nodes=tuple(replace(one, id=node) for one in node_rows(volume, [placed])),
        checks=(*volume.passport.checks, *placed.checks),
        issues=only.issues,
    )


def _chosen(found: Sequence[NodesOnly], node: int) -> tuple[NodesOnly, NodeRow]:
    for only in found:
        for row in only.nodes:
            if row.id == node:
                return only, row
    count = sum(len(only.nodes) for only in found)
    raise UsageError(f"There is no node {node}.", f"There are 1 to {count}.")


def _of_node(alone: Alone, row: NodeRow) -> tuple[LabelSet, list[int]]:
    """The set that a node is in, and the slices of its grid that it covers."""
    k, j, i = (round(v) for v in row.index)
    for labels in alone.labels:
        if any(one.value == row.label for one in labels.segments):
            covered = (labels.array == row.label).any(axis=(1, 2))
            return labels, np.flatnonzero(covered).tolist()
    raise NothingFound(f"Node {row.id} at ({k}, {j}, {i}) is in no segment.")


def _image(services: Services, series_uid: str, token: CancelToken) -> Series:
    rows = ask(services, SearchQuery(series_uid=series_uid), token=token).items
    if not rows:
        raise NothingFound(
            f"{services.settings.archive_host} does not list the images that were "
            f"segmented, series {series_uid}.",
            "They may have been withdrawn.",
        )
    return rows[0]


def _as_part(volume: Volume, image: Series) -> Volume:
    count = len(volume.array)
    whole = "an unknown number" if image.images is None else str(image.images)
    check = Check(
        "part_of_series",
        "warn",
        f"Only {count} of {whole} images, those around one node: slices are counted "
        "within them.",
        {"slices": count, "images": image.images},
    )
    return replace(
        volume,
        passport=Passport((*volume.passport.checks, check)),
        files=(None,) * count,
    )


def _onto(
    volume: Volume, alone: Alone, labels: LabelSet, value: int | None
) -> LabelSet:
    """One node on the slices that were fetched, by instance and by position."""
    grid = alone.grid
    at = {uid: k for k, uid in enumerate(grid.sop_uids) if uid}
    array = np.zeros(volume.shape, labels.array.dtype)
    for k, uid in enumerate(volume.sop_uids):
        if uid not in at:
            continue
        _same_place(volume.affine, k, grid.affine, at[uid], volume.shape)
        plane = labels.array[at[uid]]
        array[k] = np.where(plane == value, plane, 0)
    segments = tuple(one for one in labels.segments if one.value == value)
    return replace(labels, array=array, segments=segments)


def _same_place(
    affine: Affine, k: int, other: Affine, n: int, shape: tuple[int, int, int]
) -> None:
    ends = [(0, 0), (shape[1] - 1, 0), (0, shape[2] - 1)]
    here = index_to_patient(affine, [(k, *end) for end in ends])
    there = index_to_patient(other, [(n, *end) for end in ends])
    off = float(np.abs(here - there).max())
    if off > _ASIDE * float(np.linalg.norm(affine[:3, 1:3], axis=0).min()):
        raise GeometryMismatch(
            f"Slice {k} lies {off:.3g} mm from where the segmentation says.",
            "Open the whole series, and report it to the archive.",
            distance_mm=off,
        )
