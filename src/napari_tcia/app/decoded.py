"""Stored series, opened from their decoded copies where these are right.

The gate is asked first, each time; then names, sizes and times of the files and of
the copy decide in milliseconds. The bytes of the copy are summed up behind, while
annotations are placed: nothing that was annotated, measured or exported on damaged
pixels is handed over (`Opened.sound`, and `Volume.confirm` for Python).
"""

from __future__ import annotations

import logging
import threading
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_tcia.app.folder import admit, stored_facts
from napari_tcia.app.services import Services
from napari_tcia.core.image import Choices, Volume
from napari_tcia.core.model import Issue, StoredSeries
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.errors import CorruptData
from napari_tcia.transfer.leases import lease
from napari_tcia.transfer.space import make_room
from napari_tcia.volume.decoded import (
    DecodedCopy,
    Stamps,
    check_copy,
    discard_copy,
    open_copy,
    stamps,
    write_copy,
)
from napari_tcia.volume.read import read_volume
from napari_tcia.volume.record import with_provenance

MOST_WAITING = 1 << 30
"""Bytes of arrays that may wait to be written; beyond it no copy is made."""
_AT_ONCE = 2
"""Copies that are summed up side by side."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """A copy that is being written, or waits for that."""

    volume: Volume
    sources: Stamps
    done: Future[None]


_writer = ThreadPoolExecutor(1, "decoded copy")  # a process that ends waits for it
_guard = threading.Lock()
_jobs: dict[Path, _Job] = {}
_summing_up = threading.Semaphore(_AT_ONCE)
_spoilt: set[Path] = set()
"""Folders of damaged copies that could not be discarded."""


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A volume of a stored series, and how the check of its pixels ended.

    `outcome` is None where the volume was read from its DICOM files.
    """

    volume: Volume
    outcome: Future[bool] | None = None

    def sound(self) -> bool:
        """Wait for the check; False where the pixels are not those that were kept.

        Raises
        ------
        Cancelled
            The check was stopped through the token of the opening.
        """
        return self.outcome is None or self.outcome.result()


def read_kept(
    services: Services,
    kept: StoredSeries,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
    allow_fail: bool = True,
    choices: Choices | None = None,
    afresh: bool = False,
    memory: NDArray[Any] | None = None,
) -> Opened:
    """Open a stored series: from its decoded copy, else from its files.

    Read from its files with the default choices, it gets a copy in the background;
    the process stays until that is written. Its array is read-only in any case, so
    that what is written is what was read.

    Parameters
    ----------
    afresh : bool
        Read the files whether or not there is a copy.
    memory : (K, J, I) ndarray, optional
        As of `read_volume`.

    Raises
    ------
    TermsNotAccepted
        Its acceptance was revoked; nothing was opened.
    VerificationError, MissingExtra, Cancelled
        As `napari_tcia.volume.read.read_volume` says.
    """
    provenance = stored_facts(services, kept)
    folder = _folder_of(services, kept, choices)
    sources = stamps(kept.path)
    if folder is not None and sources is not None and not afresh:
        volume = _about_to_be_written(folder, sources)
        if volume is not None:
            lease(kept.path, [volume.array])
            return Opened(with_provenance(volume, provenance))
        copy = open_copy(folder, kept.path, sources, provenance)
        if copy is not None:
            report(Progress("Opening the decoded copy"))
            lease(kept.path, [copy.volume.array])
            return Opened(copy.volume, _checked(copy, token))
    if sources is None:
        admit(services, kept.path)  # it holds links, or folders: where do they lead?
    volume = read_volume(
        kept.path,
        series_uid=kept.series.series_uid,
        report=report,
        token=token,
        allow_fail=allow_fail,
        provenance=provenance,
        declared_images=kept.series.images,
        choices=choices,
        memory=memory,
    )
    volume.array.flags.writeable = False
    lease(kept.path, [volume.array])
    if folder is not None and sources is not None:
        _write_behind(services, volume, folder, kept.path, sources)
    return Opened(volume)


def has_copy(
    services: Services, kept: StoredSeries, choices: Choices | None = None
) -> bool:
    """Whether a stored series will be opened from its decoded copy.

    Raises
    ------
    TermsNotAccepted
        Its acceptance was revoked; nothing was opened.
    """
    provenance = stored_facts(services, kept)
    folder, sources = _folder_of(services, kept, choices), stamps(kept.path)
    if folder is None or sources is None:
        return False
    return open_copy(folder, kept.path, sources, provenance) is not None


def at_once(opened: Opened) -> Volume:
    """The volume without waiting for its check.

    Until the check has ended well, annotation, measuring and export wait for it
    (`Volume.confirm`), and refuse pixels that proved damaged. Who computes on the
    array alone is warned.
    """
    if opened.outcome is None:
        return opened.volume
    sentence = _damaged(opened.volume)

    def warn(outcome: Future[bool]) -> None:
        if outcome.exception() is None and not outcome.result():
            warnings.warn(sentence, RuntimeWarning, stacklevel=1)

    def confirm() -> None:
        if not opened.sound():
            raise CorruptData(sentence, "Read it again: its own files are opened then.")

    opened.outcome.add_done_callback(warn)
    return replace(opened.volume, confirm=confirm)


def damage(opened: Opened) -> Issue:
    """What to tell of a copy that proved damaged and was made up for."""
    return Issue(
        "warn",
        "decoded_copy_damaged",
        f"{_damaged(opened.volume)} The series was read from its own files instead.",
        {"series_uid": opened.volume.provenance.series_uid},
    )


def settle() -> None:
    """Wait until all copies of this process are written."""
    with _guard:
        jobs = [job.done for job in _jobs.values()]
    wait_for(jobs)


def _damaged(volume: Volume) -> str:
    return (
        f"The decoded copy of series {volume.provenance.series_uid} was damaged on "
        "the disk and has been discarded."
    )


def _folder_of(
    services: Services, kept: StoredSeries, choices: Choices | None
) -> Path | None:
    """Where a series has its copy; None where it has none.

    That is with choices of its own, and where a link leads elsewhere.
    """
    if choices not in (None, Choices()):
        return None
    place = services.decoded / kept.path.parent.name / kept.path.name
    home = services.settings.home
    expected = home.resolve() / place.relative_to(home)
    return place if place.resolve() == expected and place not in _spoilt else None


def _checked(copy: DecodedCopy, token: CancelToken | None) -> Future[bool]:
    """Sum up a copy in a thread of its own; a damaged one is discarded."""
    outcome: Future[bool] = Future()

    def check() -> None:
        try:
            with _summing_up:
                sound = check_copy(copy, token)
        except BaseException as error:
            outcome.set_exception(error)
            return
        if not sound and not discard_copy(copy.folder):
            _spoilt.add(copy.folder)
        outcome.set_result(sound)

    # A process that ends need not wait for it: the next opening checks again.
    thread = threading.Thread(target=check, name="check of a copy", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no thread can be had
        check()
    return outcome


def _about_to_be_written(folder: Path, sources: Stamps) -> Volume | None:
    """The volume of a copy that is on its way to the disk."""
    with _guard:
        job = _jobs.get(folder)
    return job.volume if job and job.sources == sources else None


def _write_behind(
    services: Services, volume: Volume, folder: Path, source: Path, sources: Stamps
) -> None:
    """Write a copy in the background, unless too much is waiting already."""

    def work() -> None:
        try:
            size = volume.array.nbytes
            store, limit = services.store.root, services.settings.limit
            if make_room(size, store, services.decoded, limit):
                write_copy(volume, folder, source, sources)
        except Exception:
            # It is a cache: what was opened is right without it.
            _log.debug("No decoded copy at %s", folder, exc_info=True)
        finally:
            with _guard:
                del _jobs[folder]

    with _guard:
        waiting = sum(job.volume.array.nbytes for job in _jobs.values())
        full = waiting and waiting + volume.array.nbytes > MOST_WAITING
        if volume.passport.verdict == "fail" or full or folder in _jobs:
            return
        try:
            _jobs[folder] = _Job(volume, sources, _writer.submit(work))
        except RuntimeError:  # the interpreter is ending
            return
