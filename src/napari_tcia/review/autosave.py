"""Writes a draft behind the back of whoever paints.

One thread writes, in the order in which things were done. What the disk refuses stays
in line and is tried again; until then the work is said not to be saved.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia.errors import StorageError, TciaError
from napari_tcia.review.draft import Captured, Draft
from napari_tcia.review.log import now, pending
from napari_tcia.review.state import after as happened
from napari_tcia.review.state import new_uid
from napari_tcia.review.watched import Watched, take_touched, touch

RETRY_SECONDS = 2.0
"""Between two tries on a disk that refuses."""


class Autosave:
    """Keeps a draft in step with labels that are being painted.

    Parameters
    ----------
    draft : Draft
        That this process writes to.
    labels : Watched
        Begins equal to the labels of the draft.

    Notes
    -----
    `tick` costs what the touched slices cost, and never waits for the disk.
    """

    def __init__(self, draft: Draft, labels: Watched) -> None:
        self.draft, self.labels = draft, labels
        self.state = draft.state
        """Everything that was decided, also what is still on its way to the disk."""
        self.error: TciaError | None = None
        """Why the newest work is not on the disk, None when nothing stands against."""
        self._jobs: deque[Callable[[], Any]] = deque()
        self._more = threading.Condition()
        self._ended = False
        # Who holds it may look at what was captured and be sure that it stays.
        self._captured = threading.Lock()
        self._saved = time.monotonic()
        self._thread = threading.Thread(
            target=self._run, name="napari-tcia autosave", daemon=True
        )
        self._thread.start()

    def tick(self, cause: str = "paint") -> bool:
        """Capture what was painted since the last time; whether there was any."""
        slices = take_touched(self.labels)
        if not slices:
            return False
        return self._capture(slices, cause)

    def look_through(self) -> bool:
        """Capture whatever differs, also what was written past `Watched`."""
        take_touched(self.labels)
        everything = tuple(range(len(self.labels)))
        return self._capture(everything, "paint", wait=True)

    def record(self, kind: str, **parts: Any) -> None:
        """Write a record after all that was done before it; `state` has it at once."""
        parts = json.loads(json.dumps(parts))  # as it will be read
        self.state = happened(self.state, pending(kind, **parts))
        parts["utc"] = now()
        self._put(lambda: self.draft.record(kind, **parts))

    @property
    def waiting(self) -> int:
        """How many things are not on the disk yet."""
        with self._more:
            return len(self._jobs)

    @property
    def seconds(self) -> float:
        """How long ago everything was on the disk."""
        return time.monotonic() - self._saved

    def flush(self, seconds: float = 30.0) -> bool:
        """Capture, and wait until everything is on the disk; whether it is."""
        if slices := take_touched(self.labels):
            self._capture(slices, "paint", wait=True)
        end = time.monotonic() + seconds
        with self._more:
            while self._jobs and not self.error and time.monotonic() < end:
                self._more.wait(0.1)
            return not self._jobs

    def close(self, seconds: float = 30.0) -> bool:
        """Capture, write and end; whether everything is on the disk.

        Where it is not, this goes on trying, and may be asked again.
        """
        self.look_through()
        if not self.flush(seconds):
            return False
        with self._more:
            self._ended = True
            self._more.notify_all()
        self._thread.join(seconds)
        return True

    def _capture(self, slices: tuple[int, ...], cause: str, wait: bool = False) -> bool:
        if not self._captured.acquire(blocking=wait):
            touch(self.labels, slices)  # a snapshot is being made: the next time
            return False
        try:
            one = self.draft.capture(_plain(self.labels), slices)
            if one is not None:
                self._name(one)
                self._put(lambda: self._write(one, cause))
        except BaseException:
            touch(self.labels, slices)
            raise
        finally:
            self._captured.release()
        return one is not None

    def _name(self, one: Captured) -> None:
        """Give an identity to what was drawn under a value that nobody used yet."""
        for value in one.delta.counts():
            if value not in self.state.values:
                after = {"value": value, "origin": "drawn"}
                self.record("node", node=new_uid(), after=after)

    def _write(self, one: Captured, cause: str) -> None:
        self.draft.write(one, cause)
        if self.draft.wants_snapshot:
            with self._captured:
                # Only with nothing else in line does the disk hold what is captured.
                if self.waiting == 1:
                    with contextlib.suppress(StorageError):  # the edits are safe
                        self.draft.snapshot()

    def _put(self, job: Callable[[], Any]) -> None:
        with self._more:
            self._jobs.append(job)
            self._more.notify_all()

    def _run(self) -> None:
        while True:
            with self._more:
                while not self._jobs and not self._ended:
                    self._more.wait()
                if not self._jobs or (self._ended and self.error):
                    return
                job = self._jobs[0]
            try:
                job()
                error: TciaError | None = None
            except TciaError as refused:
                error = refused
            except Exception as other:  # the thread must outlive it, and say it
                error = StorageError(
                    f"The annotation could not be saved ({other!r}).",
                    "Save a copy under another name now.",
                )
            with self._more:
                self.error = error
                if error is None:
                    self._jobs.popleft()
                    if not self._jobs:
                        self._saved = time.monotonic()
                elif not self._ended:
                    self._more.wait(RETRY_SECONDS)
                self._more.notify_all()


def _plain(labels: Watched) -> NDArray[Any]:
    """The same memory, of which a view reports to nobody."""
    return np.asarray(labels)
