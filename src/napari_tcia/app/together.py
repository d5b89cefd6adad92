"""Progress of several series under way at once, told as one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from napari_tcia.core.model import Series
from napari_tcia.core.task import Progress, Report


class Together:
    """Adds up what is reported of each series; called from their threads.

    Parameters
    ----------
    series : sequence of Series
        All that are to be fetched; their declared bytes make the total.
    report : callable
        Gets the sum, with every series under way in ``parts``.
    """

    def __init__(self, series: Sequence[Series], report: Report) -> None:
        self._names = {
            one.series_uid: " ".join(filter(None, (one.patient_id, one.modality)))
            for one in series
        }
        self._sizes = {one.series_uid: one.bytes or 0 for one in series}
        self._report = report
        self._lock = threading.Lock()
        self._now: dict[str, Progress] = {}
        self._done: dict[str, int] = {}

    def __call__(self, progress: Progress) -> None:
        """Take in a moment of one series."""
        uid = progress.series_uid
        if len(self._names) < 2 or uid not in self._names or progress.unit != "bytes":
            self._report(progress)
            return
        with self._lock:
            self._now[uid] = replace(progress, stage=self._names[uid] or uid)
            self._tell()

    def ended(self, uid: str) -> None:
        """Count a series as dealt with, whatever became of it."""
        with self._lock:
            self._now.pop(uid, None)
            self._done[uid] = self._sizes.get(uid, 0)
            if len(self._names) > 1:
                self._tell()

    def _tell(self) -> None:
        # The lock is held: reports arrive in the order of what they say.
        parts = tuple(self._now.values())
        done = sum(self._done.values()) + sum(part.done for part in parts)
        total = max(sum(self._sizes.values()), done)
        count = len(self._names)
        stage = f"Downloading series {min(len(self._done) + 1, count)} of {count}"
        self._report(Progress(stage, done, total, "bytes", parts=parts))
