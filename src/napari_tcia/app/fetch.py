"""Fetch: from what a user names to verified series on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from napari_tcia.app import agree, supplements
from napari_tcia.app.search import ANNOTATION_MODALITIES, as_issue, ask, search
from napari_tcia.app.services import Services
from napari_tcia.app.sources import Bring, Source, Watch
from napari_tcia.app.together import Together
from napari_tcia.archive.manifest import parse_manifest
from napari_tcia.core.model import (
    AccessGrant,
    Issue,
    Listing,
    SearchQuery,
    Series,
    StoredSeries,
    Terms,
)
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.core.threads import side_by_side
from napari_tcia.errors import (
    EXIT_ORDER,
    ArchiveError,
    NothingFound,
    RemoteTimeout,
    TciaError,
    TermsChanged,
    TermsNotAccepted,
    Unreachable,
    UsageError,
)
from napari_tcia.terms import gate
from napari_tcia.transfer.download import find_whole, other_terms
from napari_tcia.transfer.space import make_room
from napari_tcia.transfer.store import Store

SIDE_BY_SIDE = 3
"""Series that are fetched at the same time."""
MANIFESTS = (".tcia", ".s5cmd", ".csv")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one series.

    `state` is ``"done"``, ``"present"`` (verified earlier) or ``"failed"``;
    `source` says who sent it, ``"nbia"`` or ``"idc"``.
    """

    series_uid: str
    state: str
    path: Path | None = None
    files: int | None = None
    bytes: int | None = None
    source: str | None = None
    error: TciaError | None = None


def first_error(errors: Sequence[TciaError]) -> TciaError | None:
    """The error that decides, by `EXIT_ORDER`."""
    for code in EXIT_ORDER:
        for error in errors:
            if error.exit_code == code:
                return error
    return errors[0] if errors else None


def resolve(
    services: Services, target: str, *, token: CancelToken | None = None
) -> tuple[Series, ...]:
    """Series that `target` names: a series UID, a patient ID or a manifest.

    A patient means its CT (every series where there is no CT) and the
    annotations in the same study. Where the archive does not answer, what is
    already stored, and what the catalogue lists, still resolves.

    Raises
    ------
    UsageError
        Nothing is named, or neither a UID nor a patient could be called so.
    NothingFound
        Nobody knows `target`, or something in the manifest.
    ArchiveError
        The archive fails, nothing is stored, and the catalogue knows nothing.
    """
    found, _, errors = resolve_all(services, [target], token=token)
    if errors:
        raise errors[0]
    return found


def resolve_all(
    services: Services, targets: Sequence[str], *, token: CancelToken | None = None
) -> tuple[tuple[Series, ...], tuple[Issue, ...], tuple[TciaError, ...]]:
    """What several targets name, each entry of a manifest on its own.

    Returns
    -------
    series : tuple of Series
    issues : tuple of Issue
        Doubts about the manifests, and the errors as issues.
    errors : tuple of TciaError
        One for each target, or entry of a manifest, that names nothing.
    """
    found: dict[Series, None] = {}
    issues: list[Issue] = []
    errors: list[TciaError] = []
    for target in targets:
        try:
            named = targets_of(target)
            issues += named.issues
            for one in named:
                try:
                    rows = _resolve_one(services, one, token)
                    found |= dict.fromkeys(rows)
                    issues += (one for one in rows.issues if one not in issues)
                except (Unreachable, RemoteTimeout):
                    raise  # the next entry would wait as long in vain
                except TciaError as error:
                    errors.append(error)
        except TciaError as error:
            errors.append(error)
    issues += map(as_issue, errors)
    return tuple(found), tuple(issues), tuple(errors)


def targets_of(target: str) -> Listing[str]:
    """Series UIDs of a manifest, with the entries left out; else `target` itself.

    Raises
    ------
    UsageError
        Nothing is named, or the file is no manifest.
    NothingFound
        There is no such manifest, or it names no series.
    """
    if not target.strip():
        raise UsageError(
            "Nothing is named.", "Give a series UID, a patient ID or a manifest."
        )
    path = Path(target)
    if path.suffix.lower() not in MANIFESTS:
        return Listing((target.strip(),))
    found = parse_manifest(path)
    if not found.series_uids:
        raise NothingFound(
            f"{path.name} names no series.",
            "A manifest holds one SeriesInstanceUID per line.",
        )
    return Listing(found.series_uids, found.issues)


def _resolve_one(
    services: Services, target: str, token: CancelToken | None
) -> Listing[Series]:
    is_uid = "." in target and set(target) <= set("0123456789.")
    query = SearchQuery(series_uid=target) if is_uid else SearchQuery(patient=target)
    kept = tuple(
        s.series
        for s in services.store.all()
        if target in (s.series.series_uid, s.series.patient_id)
        and s.archive_host == services.settings.archive_host
    )
    issues: tuple[Issue, ...] = ()
    try:
        rows = ask(services, query, token=token).items
    except ArchiveError as error:
        if kept:
            return Listing(kept)
        known = search(services, query, offline=True, token=token)
        if not known.items:
            raise
        rows, issues = known.items, (_as_doubt(error), *known.issues)
    if not rows and kept:
        return Listing(kept)
    if not rows:
        kind = "series" if is_uid else "patient"
        raise NothingFound(
            f"{services.settings.archive_host} knows no {kind} {target}.",
            "Find what there is with: napari-tcia search",
        )
    return Listing(rows if is_uid else case_series(rows), issues)


def case_series(rows: Sequence[Series]) -> tuple[Series, ...]:
    """Of a patient's series: the CT and the annotations of the same studies."""
    ct = [row for row in rows if row.modality == "CT"]
    if not ct:
        return tuple(rows)
    studies = {row.study_uid for row in ct}
    return tuple(
        row
        for row in rows
        if row.modality == "CT"
        or (row.modality in ANNOTATION_MODALITIES and row.study_uid in studies)
    )


def companions(
    services: Services, series: Series, *, token: CancelToken | None = None
) -> tuple[Series, ...]:
    """`series` with what belongs to it in the same study.

    An image brings its annotations; an annotation brings the CT it lies on.
    """
    listing = search(services, SearchQuery(study_uid=series.study_uid), token=token)
    if series.modality in ANNOTATION_MODALITIES:
        images = [row for row in listing if row.modality == "CT"]
        return (*images, series)
    notes = [row for row in listing if row.modality in ANNOTATION_MODALITIES]
    return (series, *notes)


def stored(services: Services, series_uid: str) -> StoredSeries | None:
    """The verified copy of a series from the configured archive, if any."""
    return services.store.find(services.settings.archive_host, series_uid)


def get(
    services: Services,
    series: Sequence[Series],
    *,
    out: Path | None = None,
    source: Source = "auto",
    vouched: Callable[[StoredSeries], bool] | None = None,
    watch: Watch | None = None,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Listing[Fetched]:
    """Fetch `series`, some side by side: one failure does not undo another.

    Terms are read once, when something has to be fetched; the ledger is asked
    again for every series.

    Parameters
    ----------
    out : Path, optional
        A folder of the user instead of the store.
    source : {"auto", "nbia", "idc"}
        With "auto" NBIA is asked first. Where it fails, and a bucket has the
        series, that serves; an issue with code "other_archive" says so.
    vouched : callable, optional
        Says of a stored series that its files need not be summed up again.
    watch : callable, optional
        Looks at instances of what has to be fetched, see `app.sources.Watch`.

    Returns
    -------
    Listing of Fetched
        In the order of `series`.

    Raises
    ------
    UsageError
        `out` lies below HOME, where the gate guards every file.
    Cancelled
        The user stopped; finished series stay.
    """
    token = token or CancelToken()
    if out and services.keeps(out):
        raise UsageError(
            f"{out} lies below {services.settings.home}, which keeps its own files.",
            "Leave -o out, or choose a folder elsewhere.",
        )
    store = Store(out) if out else services.store
    host = services.settings.archive_host
    wanted = tuple(dict.fromkeys(series))
    together = Together(wanted, report)
    shown = _Shown(services, wanted, report, token)
    silence: dict[str, ArchiveError] = {}

    def fetch(one: Series) -> tuple[Fetched, tuple[Issue, ...]]:
        doubts: list[Issue] = []
        try:
            if store.find(host, one.series_uid):
                # As it is listed today, and before its files are read to be verified.
                gate.recheck(one, host, services.ledger)
            if kept := find_whole(one, host, store, token, vouched):
                gate.recheck(kept, host, services.ledger)
                return _row(kept, "present"), ()
            access = gate.grant([one], shown(), services.ledger)
            done = _released(services, one, shown(), store, token)
            if done is None and out is None:
                # Copies can be made again, and series fetched; they go before it is
                # tight, but none that is open.
                limit = services.settings.limit
                make_room(
                    one.bytes or 0, store.root, services.decoded, limit, series=True
                )
            if done is None:
                bring = Bring(services, access, store, silence, together, token, watch)
                done = bring(one, source, doubts)
            return _row(done, "done"), tuple(doubts)
        except TciaError as error:
            failed = Fetched(one.series_uid, "failed", error=error)
            return failed, (*doubts, as_issue(error))
        finally:
            together.ended(one.series_uid)

    over = threading.Event()
    missing = supplements.missing(services, wanted, store)

    def late(progress: Progress) -> None:
        # Told only once nothing else is: the series are what is waited for.
        if over.is_set():
            report(progress)

    def beside(name: str) -> Issue | None:
        of = missing[name]
        return supplements.bring(services, name, of, shown, store, late, inner)

    with token.child() as inner, ThreadPoolExecutor(1) as pool:
        absent = {name: pool.submit(beside, name) for name in missing}
        ended = dict(side_by_side(fetch, wanted, SIDE_BY_SIDE, inner))
        over.set()
    token.raise_if_cancelled()
    rows = [ended[one][0] for one in wanted]
    issues = [issue for one in wanted for issue in ended[one][1]]
    for name, future in absent.items():
        issue = future.result()
        if issue and any(ended[one][0].error is None for one in missing[name]):
            issues.append(issue)
    return Listing(tuple(rows), tuple(issues))


class _Shown:
    """The terms of some series, read once, when one of them needs them."""

    def __init__(
        self,
        services: Services,
        series: Sequence[Series],
        report: Report,
        token: CancelToken,
    ) -> None:
        self._read = partial(agree.terms, services, series, report=report, token=token)
        self._lock = threading.Lock()
        self._terms: tuple[Terms, ...] | None = None

    def __call__(self) -> tuple[Terms, ...]:
        with self._lock:
            if self._terms is None:
                self._terms = tuple(self._read())
            return self._terms


def held(
    services: Services, one: Series, shown: Sequence[Terms]
) -> tuple[StoredSeries, AccessGrant] | None:
    """A series in quarantine and the right to it, None where it is not there.

    Raises
    ------
    AccessError
        The terms of its own LICENSE are not accepted, or cannot be.
    """
    found = services.quarantine.find(services.settings.archive_host, one.series_uid)
    if found is None:
        return None
    try:
        return found, gate.grant([found.series], shown, services.ledger)
    except (TermsNotAccepted, TermsChanged) as error:
        raise other_terms(one, found.series) from error


def _released(
    services: Services,
    one: Series,
    shown: Sequence[Terms],
    store: Store,
    token: CancelToken,
) -> StoredSeries | None:
    """A series out of quarantine, None unless nothing has to be fetched."""
    found = held(services, one, shown)
    quarantine = services.quarantine
    if found is None or not find_whole(one, found[0].archive_host, quarantine, token):
        return None
    return quarantine.release(found[0], store, found[1].acceptance_ids)


def _as_doubt(error: TciaError) -> Issue:
    """An error that something else made up for."""
    return Issue("warn", error.code, str(error), dict(error.numbers))


def _row(kept: StoredSeries, state: str) -> Fetched:
    return Fetched(
        kept.series.series_uid, state, kept.path, kept.files, kept.bytes, kept.source
    )
