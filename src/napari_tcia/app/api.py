"""The Python API: the use cases with the environment's settings.

Every action of the window has its twin here. Imported lazily as
``napari_tcia``: ``import napari_tcia as nt; nt.search(collection="CT Lymph Nodes")``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tcia.app import agree
from napari_tcia.app import case as _case
from napari_tcia.app import decoded as _decoded
from napari_tcia.app import drafting as _drafting
from napari_tcia.app import fetch as _fetch
from napari_tcia.app import nodes_only as _nodes_only
from napari_tcia.app import queues as _queues
from napari_tcia.app import search as _search
from napari_tcia.app.assemble import Case
from napari_tcia.app.companion import companion_nodes as _companion_nodes
from napari_tcia.app.drafting import DraftInfo
from napari_tcia.app.folder import admit, credited
from napari_tcia.app.handover import cite, export
from napari_tcia.app.nodes_only import NodesOnly
from napari_tcia.app.passports import passports
from napari_tcia.app.services import Services
from napari_tcia.app.sources import Source
from napari_tcia.core.image import Choices, LabelSet, PointSet, Volume
from napari_tcia.core.model import (
    Acceptance,
    Collection,
    Issue,
    Listing,
    SearchQuery,
    Series,
    Terms,
)
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.nodes import labels as _labels
from napari_tcia.nodes import match as _match
from napari_tcia.nodes import points as _points
from napari_tcia.review.queue import Queue
from napari_tcia.review.recovery import Recovered
from napari_tcia.volume import read as _read

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "accept",
    "cite",
    "collections",
    "companion_nodes",
    "drafts",
    "export",
    "get",
    "inspect",
    "make_queue",
    "node_table",
    "nodes_only",
    "open_around",
    "open_case",
    "queues",
    "read_labels",
    "read_points",
    "read_volume",
    "replay",
    "revoke",
    "search",
    "terms",
]


def collections(*, offline: bool = False) -> Listing[Collection]:
    """List the collections of the configured archive.

    Parameters
    ----------
    offline : bool
        The bundled catalogue only; no network.
    """
    return _search.collections(Services.open(), offline=offline)


def search(
    collection: str = "",
    *,
    patient: str = "",
    modality: str = "",
    body_part: str = "",
    series_uid: str = "",
    text: str = "",
    has_labels: bool | None = None,
    offline: bool = False,
) -> Listing[Series]:
    """List series of the configured archive, enriched by the catalogue.

    Returns
    -------
    Listing of Series
        Iterable; its ``issues`` say what could not be asked.
    """
    query = SearchQuery(
        collection=collection,
        patient=patient,
        modality=modality,
        body_part=body_part,
        series_uid=series_uid,
        text=text,
        has_labels=has_labels,
    )
    return _search.search(Services.open(), query, offline=offline)


def terms(collection: str) -> tuple[Terms, ...]:
    """Terms of a collection, one per licence in it."""
    return agree.terms_of_collection(Services.open(), collection)


def accept(collection: str, *, name: str) -> tuple[Acceptance, ...]:
    """Accept the terms of a collection in the name of `name`.

    Read ``terms(collection)`` first: the call records that its licence and the
    Data Usage Policy were read and are accepted.

    Raises
    ------
    ControlledAccess, TermsUnknown
        There is nothing that could be accepted here.
    """
    services = Services.open()
    return agree.accept(services, agree.terms_of_collection(services, collection), name)


def revoke(collection: str, *, name: str = "") -> tuple[Acceptance, ...]:
    """Withdraw the acceptance of a collection's terms at this archive."""
    return agree.revoke(Services.open(), collection, name)


def get(
    target: str | Sequence[str],
    out: str | Path | None = None,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Listing[_fetch.Fetched]:
    """Fetch series, patients or manifests, verified.

    Raises
    ------
    TciaError
        The one that decides when any series failed; the others are done.
    """
    services = Services.open()
    targets = [target] if isinstance(target, str) else list(target)
    series, doubts, unknown = _fetch.resolve_all(services, targets, token=token)
    rows = _fetch.get(
        services, series, out=Path(out) if out else None, report=report, token=token
    )
    error = _fetch.first_error([*unknown, *(row.error for row in rows if row.error)])
    if error is not None:
        raise error
    return Listing(rows.items, (*doubts, *rows.issues))


def open_case(
    target: str | Path,
    *,
    choices: Choices | Mapping[str, Any] | None = None,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[Case, ...]:
    """Read a case with its annotations, fetching what is missing."""
    return _case.open_case(
        Services.open(), target, choices=_chosen(choices), report=report, token=token
    )


def nodes_only(
    target: str, *, report: Report = silent, token: CancelToken | None = None
) -> tuple[NodesOnly, ...]:
    """List nodes, sizes and positions by the segmentation alone; no CT is fetched."""
    services = Services.open()
    return _nodes_only.nodes_only(services, target, report=report, token=token)


def open_around(
    target: str,
    node: int,
    *,
    source: Source = "auto",
    report: Report = silent,
    token: CancelToken | None = None,
) -> Case:
    """Open only the CT slices of one node, by its number in `nodes_only`."""
    return _nodes_only.around(
        Services.open(), target, node, source=source, report=report, token=token
    )


def companion_nodes(
    volume: Volume,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Case:
    """Lay the nodes of the same scan's other patient ID onto `volume`."""
    return _companion_nodes(Services.open(), volume, report=report, token=token)


def read_volume(
    path: str | Path | Sequence[str | Path],
    *,
    series_uid: str | None = None,
    report: Report | None = None,
    token: CancelToken | None = None,
    allow_fail: bool = False,
    choices: Choices | Mapping[str, Any] | None = None,
) -> Volume:
    """Read one image series as a volume, with its passport.

    Parameters
    ----------
    path : path or sequence of paths
        A folder, a file, the files of a series, or a zip.
    series_uid : str, optional
        Which series, where a folder holds several.
    allow_fail : bool
        Return a volume whose geometry fails; annotation, measuring and export
        refuse it.
    choices : Choices or mapping, optional
        What to do about several stacks, duplicates, gaps and tilt, for example
        ``{"duplicates": "first"}``; by default nothing is invented or left out.

    Returns
    -------
    Volume
        ``array`` (k, j, i), ``affine`` (k, j, i, 1) to LPS mm.

    Notes
    -----
    A stored series is opened from its decoded copy where there is one, without
    waiting for the checksum of its pixels: that is computed behind. Annotation,
    measuring and export wait for it; should it be wrong, they raise `CorruptData`,
    a `RuntimeWarning` says so, and the copy is gone. ``volume.confirm()`` waits for
    it in a program of your own. The array is read-only.

    Raises
    ------
    NoDicom, MixedSeries, BrokenGeometry, CorruptData, UnsupportedData
        As documented for `napari_tcia.volume.read.read_volume`.
    TermsNotAccepted
        The path lies below HOME and its acceptance was revoked.
    """
    services = Services.open()
    paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(p) for p in path]
    kept = services.store.at(paths[0]) if len(paths) == 1 else None
    whole = kept is not None and paths[0].resolve() == kept.path.resolve()
    if kept and whole and series_uid in (None, kept.series.series_uid):
        opened = _decoded.read_kept(
            services,
            kept,
            report=report or silent,
            token=token,
            allow_fail=allow_fail,
            choices=_chosen(choices),
        )
        return _decoded.at_once(opened)
    for one in paths:
        admit(services, one)
    volume = _read.read_volume(
        paths if len(paths) > 1 else paths[0],
        series_uid=series_uid,
        report=report,
        token=token,
        allow_fail=allow_fail,
        choices=_chosen(choices),
    )
    return credited(services, volume)


def read_labels(path: str | Path, volume: Volume) -> list[LabelSet]:
    """Read a DICOM SEG, a NIfTI mask or an NRRD labelmap onto the grid of `volume`.

    Raises
    ------
    GeometryMismatch, WrongSeries, UnreadableAnnotation
        It does not lie on that grid, or is not what it says.
    """
    admit(Services.open(), Path(path))
    return _labels.read_labels(Path(path), volume)


def read_points(path: str | Path, volume: Volume) -> PointSet:
    """Read published node positions, or Slicer markups, for `volume`.

    Raises
    ------
    NothingFound, UnreadableAnnotation
        No rows for this patient, or no known form.
    """
    admit(Services.open(), Path(path))
    return _points.read_points(Path(path), volume)


def drafts() -> tuple[DraftInfo, ...]:
    """Annotations that readers began on this machine, the newest first."""
    return _drafting.drafts(Services.open())


def replay(draft: DraftInfo | str | Path, *, anew: bool = False) -> Recovered:
    """Rebuild a draft as it was at its last confirmed moment; nothing is written.

    Parameters
    ----------
    draft : DraftInfo or path
        As `drafts` lists it, or its folder.
    anew : bool
        From its first snapshot, edit by edit.
    """
    folder = draft.folder if isinstance(draft, DraftInfo) else draft
    return _drafting.replay(folder, anew=anew)


def make_queue(
    source: str | Path | Sequence[Series],
    *,
    name: str = "",
    blind: bool = False,
    token: CancelToken | None = None,
) -> tuple[Queue, tuple[Issue, ...]]:
    """Make a queue of cases from a search, a manifest, a table or rows; with doubts."""
    services = Services.open()
    return _queues.make_queue(services, source, name=name, blind=blind, token=token)


def queues() -> Listing[Queue]:
    """Queues that are kept, the newest first, and those that cannot be read."""
    found, issues = _queues.queues(Services.open())
    return Listing(found, issues)


def node_table(
    volume: Volume,
    labels: Sequence[LabelSet] = (),
    points: PointSet | None = None,
) -> pd.DataFrame:
    """One row per node: position, axes, volume, HU, size class.

    Lengths are mm in the axial plane, volumes mm3, ``centroid_lps`` LPS mm.
    """
    return _match.node_table(volume, labels, points)


def inspect(
    path: str | Path, *, choices: Choices | Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], ...]:
    """Passport of each image series in `path`: verdict, shape, spacing, checks."""
    return passports(path, choices=_chosen(choices))


def _chosen(choices: Choices | Mapping[str, Any] | None) -> Choices:
    if choices is None or isinstance(choices, Choices):
        return choices or Choices()
    found = Choices()
    for name, value in choices.items():
        found = found.with_choice(f"{name}={value}")
    return found
