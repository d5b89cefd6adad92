"""Fetch a series or a supplementary file: whole, verified, or not at all."""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_tcia.core.files import check_uid
from napari_tcia.core.model import AccessGrant, Series, StoredSeries
from napari_tcia.core.sources import FileSource, ObjectSource, SeriesSource
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.core.text import one_line
from napari_tcia.core.zips import safe_name
from napari_tcia.errors import (
    ArchiveError,
    CorruptData,
    NothingFound,
    RemoteTimeout,
    TciaError,
    TermsChanged,
    UnexpectedReply,
    Unreachable,
    UnsafeArchive,
)
from napari_tcia.transfer.arrivals import Arrivals
from napari_tcia.transfer.attempts import PATIENCE, Watch, try_repeatedly
from napari_tcia.transfer.bring import Bring
from napari_tcia.transfer.partial import (
    JOURNAL,
    WHOLE,
    Partial,
    discard,
    folder_of,
    recover,
)
from napari_tcia.transfer.receive import Meter, write
from napari_tcia.transfer.store import LICENCE, RECORD, Store

_MAX_FILE = 2 << 30


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Where a series goes whose LICENSE names other terms than the listing.

    Attributes
    ----------
    store : Store
        Nothing in it is opened.
    as_licensed : callable
        From a series and the text of its LICENSE to the series under the terms
        that the text names; the series itself where they are those of the
        listing.
    """

    store: Store
    as_licensed: Callable[[Series, str], Series]


def fetch_series(
    series: Series,
    source: SeriesSource | ObjectSource,
    grant: AccessGrant,
    store: Store,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
    attempts: int = 3,
    patience: float = PATIENCE,
    pause: float = 1.0,
    quarantine: Quarantine | None = None,
    seen: Callable[[Path], None] | None = None,
) -> StoredSeries:
    """Bring a series into the store, unless it is there already.

    Every instance is unpacked as it arrives, must be DICOM Part 10 (PS3.10
    section 7) of the series asked for, and is kept byte for byte. Count and
    bytes are compared with what the archive declares, and checksums where it
    sends them. Only then does the folder get its name. What was verified before
    the archive failed, or the process was killed, is not fetched again. A bucket
    is held to the same: its files are those that the archive would have put into
    the zip, but for the licence text, which the record then says.

    Parameters
    ----------
    series : Series
        As listed by the archive; its `images` and `bytes` are what is
        compared with.
    source : SeriesSource or ObjectSource
        An archive that sends zips, or a bucket. If it has
        ``sop_instance_uids``, that list tells a short zip from an outdated
        count.
    grant : AccessGrant
        Must cover the series at ``source.host``.
    attempts : int
        Tries of the whole zip, or of each file of a bucket; a server error
        that will not pass is not tried again.
    patience : float
        Seconds without a verified byte until the download is given up.
    pause : float
        Seconds before the second attempt, doubled before the third.
    quarantine : Quarantine, optional
        With it the LICENSE of a zip is compared with the listing. A bucket
        sends none, so there is nothing to compare.
    seen : callable, optional
        Gets the place of each verified instance while others arrive, unless the
        LICENSE says otherwise than the listing. It must not raise, and reads the
        file at once. See `transfer.arrivals`.

    Raises
    ------
    GrantMismatch
        Before anything is sent.
    TermsChanged
        The LICENSE names other terms; the series is whole, and in quarantine.
    ArchiveError
        Unreachable, silent, faulty, or fewer instances than declared.
    WrongSeries, CorruptData, UnsafeArchive
        What arrived must not be kept; it was deleted.
    StorageError
        No space, or no permission.
    Cancelled
        `token` was cancelled; nothing is left behind.

    Notes
    -----
    After an `ArchiveError` what was verified stays in a hidden folder (see
    `transfer.partial`), and the next call goes on from there.
    """
    uid = check_uid(series.series_uid)
    grant.check(source.host, series_uid=uid)
    token = token or CancelToken()
    path = store.series_path(source.host, uid)
    with store.lock(path, report=report, token=token):
        if stored := find_whole(series, source.host, store, token):
            return stored
        recover(path, RECORD)
        with Partial(folder_of(path), token) as partial:
            if seen is not None:
                compared = None
                if quarantine is not None and not isinstance(source, ObjectSource):
                    compared = quarantine.as_licensed
                partial.tell(Arrivals(series, seen, compared))
            bring = Bring(series, source, grant, partial, attempts, pause)
            stage = f"Downloading {series.modality or 'series'}"

            def once(watch: Watch) -> StoredSeries:
                progress = Meter(report, stage, series.bytes or 0, uid, partial.bytes)
                bring(watch, progress)
                partial.name_files()
                files = [
                    {"name": one.name, "size": one.size, "sha256": one.sha256}
                    for one in partial.files.values()
                ]
                told: dict[str, Any] = {
                    "host": source.host,
                    "source": source.name,
                    "acceptance_ids": grant.acceptance_ids,
                    "retrieved": _now(),
                }
                folder = partial.folder
                if quarantine and (folder / LICENCE).exists():
                    text = (folder / LICENCE).read_text("utf-8", "replace")
                    named = quarantine.as_licensed(series, text)
                    if named != series:
                        held = quarantine.store
                        held.take(folder, named, files, token=token, **told)
                        raise other_terms(series, named)
                done = store.commit(folder, series, files, **told)
                _tidy(done)
                return done

            # The files of a bucket are each tried again on their own.
            tries = 1 if isinstance(source, ObjectSource) else attempts
            try:
                store.check_space(max(0, (series.bytes or 0) - partial.bytes))
                return try_repeatedly(
                    once, f"series {uid}", token, tries, patience, pause
                )
            except ArchiveError as error:
                # What is verified waits for the next time.
                if not partial.uids and not any(partial.folder.glob("*.object")):
                    discard(path)
                _say_more(error, uid)
                raise
            except BaseException as error:
                discard(path)
                _say_more(error, uid)
                raise


_NEXT: dict[type[TciaError], str] = {
    UnsafeArchive: "Nothing of it was kept; report it to the archive.",
    CorruptData: "Nothing wrong was kept; try again.",
    NothingFound: "It may have been withdrawn or moved; search again.",
    ArchiveError: "Try again later.",
}


def _say_more(error: BaseException, uid: str) -> None:
    """Have an error name the series, and what to do next, where it does not yet.

    A host that is silent is so for every series, and stands for itself.
    """
    if not isinstance(error, TciaError):
        return
    if uid not in error.message and not isinstance(error, (Unreachable, RemoteTimeout)):
        error.message = f"{error.message.removesuffix('.')} (series {uid})."
    if not error.hint:
        hints = (hint for kind, hint in _NEXT.items() if isinstance(error, kind))
        error.hint = next(hints, "")


def _tidy(stored: StoredSeries) -> None:
    """Remove the notes of a download that has its record now, the journal last."""
    for name in (WHOLE, JOURNAL):
        (stored.path / name).unlink(missing_ok=True)


def other_terms(listed: Series, named: Series) -> TermsChanged:
    """What to say of a series that lies in quarantine."""

    def words(series: Series) -> str:
        name = series.licence_name or series.licence_uri or "no licence"
        return f"{series.collection!r} under {one_line(name, 100)}"

    return TermsChanged(
        f"The LICENSE sent with series {listed.series_uid} names {words(named)}, but "
        f"the archive lists it as {words(listed)}. It is kept closed until the terms "
        "of its LICENSE are accepted too.",
        f'Read and accept them: napari-tcia accept "{one_line(named.collection, 100)}"',
        series_uid=listed.series_uid,
        listed=listed.licence_name,
        named=named.licence_name,
    )


def find_whole(
    series: Series,
    host: str,
    store: Store,
    token: CancelToken | None = None,
    vouched: Callable[[StoredSeries], bool] | None = None,
) -> StoredSeries | None:
    """The kept copy of a series, None unless nothing has to be fetched.

    It has the count and bytes that `series` declares, and every file the
    SHA-256 that was recorded when it arrived; `vouched` may say that its files
    need not be summed up this time.
    """
    stored = store.find(host, check_uid(series.series_uid))
    if stored is None:
        return None
    declared = (series.images, series.bytes)
    same = all(
        wanted in (None, kept)
        for wanted, kept in zip(declared, (stored.files, stored.bytes), strict=True)
    )
    if not same:
        return None
    with contextlib.suppress(OSError):  # of a run that was killed at its very end
        _tidy(stored)
    if vouched is not None and vouched(stored):
        return stored
    return stored if store.intact(stored, token) else None


def fetch_file(
    name: str,
    collection: str,
    source: FileSource,
    grant: AccessGrant,
    store: Store,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
    attempts: int = 3,
    patience: float = PATIENCE,
    pause: float = 1.0,
    max_bytes: int = _MAX_FILE,
) -> Path:
    """Bring a supplementary file of a collection into the store.

    A ``.zip`` is read to its end: all checksums must match and all names be
    safe. Raises as `fetch_series`.

    Returns
    -------
    Path
        Of the file; its record with the SHA-256 lies beside it.
    """
    grant.check(source.host, collection=collection)
    token = token or CancelToken()
    path = store.file_path(source.host, name)
    with store.lock(path, report=report, token=token):
        if found := store.find_file(source.host, name):
            return found
        store.check_space(0)

        def once(watch: Watch) -> Path:
            with store.workplace(path) as folder:
                part = folder / "file"
                with source.open_file(name, collection, grant, watch.token) as chunks:
                    progress = Meter(report, f"Downloading {name}", 0)
                    got = write(chunks, part, watch, progress, max_bytes)
                if name.lower().endswith(".zip"):
                    check_zip(part, name, token)
                record = {
                    "name": name,
                    "collection": collection,
                    "size": got.size,
                    "sha256": got.sha256,
                    "archive_host": source.host,
                    "source": source.name,
                    "acceptance_ids": list(grant.acceptance_ids),
                    "retrieved": _now(),
                }
                return store.commit_file(part, path, record)

        return try_repeatedly(once, name, token, attempts, patience, pause)


def check_zip(path: Path, name: str, token: CancelToken) -> None:
    """Read a zip to its end: names, links, sizes and checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if sum(info.file_size for info in infos) > 8 * _MAX_FILE:
                raise UnsafeArchive(f"{name} unpacks to more than expected.")
            for info in infos:
                token.raise_if_cancelled()
                safe_name(info.filename)
                with archive.open(info) as member:
                    while member.read(1 << 20):
                        token.raise_if_cancelled()
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError) as error:
        with path.open("rb") as stream:
            start = stream.read(200)
        if not start.startswith(b"PK"):
            raise UnexpectedReply(
                f"The archive sent no zip for {name} but “{one_line(start, 120)}”.",
                "Try again later.",
            ) from error
        raise CorruptData(f"{name} is cut or fails a checksum: {error}.") from error
    except (NotImplementedError, RuntimeError) as error:
        raise UnsafeArchive(
            f"{name} is a zip of a kind that is not read here: {error}."
        ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
