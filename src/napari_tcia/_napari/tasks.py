"""Long work beside the window: workers with a token, whose end is a value."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from napari.qt.threading import FunctionWorker, create_worker
from qtpy.QtCore import QObject, Signal
from superqt.utils._qthreading import WorkerBase, WorkerBaseSignals

from napari_tcia.core.task import (
    CancelToken,
    Done,
    Failed,
    Outcome,
    Progress,
    Report,
    Stopped,
)
from napari_tcia.errors import Cancelled

_MIN_INTERVAL = 0.1
"""Seconds between two progress signals of one stage."""


class _TaskSignals(WorkerBaseSignals):
    progressed = Signal(object)


class TaskWorker(FunctionWorker):
    """Runs a function with `report` and `token`, and returns an `Outcome`.

    Nothing is raised out of the thread: napari connects handlers to
    ``errored`` that are noisy, and on PySide6 fail themselves. The function
    and its arguments are let go at the end, because napari keeps each worker
    until its window closes.
    """

    def __init__(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        WorkerBase.__init__(self, SignalsClass=_TaskSignals)
        self.token = CancelToken()
        self._func, self._args, self._kwargs = func, args, kwargs

    def quit(self) -> None:
        """Cancel; napari calls this when the window closes."""
        self.token.cancel()
        super().quit()

    def work(self) -> Outcome:
        """Run in the thread of the pool."""
        try:
            self.token.raise_if_cancelled()
            value = self._func(
                *self._args,
                report=_throttled(self.signals.progressed.emit),
                token=self.token,
                **self._kwargs,
            )
        except Cancelled:
            return Stopped()
        except Exception as error:  # every error ends as a value, shown in place
            return Failed(error)
        finally:
            self._func = self._args = self._kwargs = None
        return Done(value)


def _throttled(emit: Report) -> Report:
    """Pass on the first and last report of a stage and ten a second between."""
    last_stage, last_time = None, 0.0

    def report(progress: Progress) -> None:
        nonlocal last_stage, last_time
        stage, now = (progress.stage, progress.series_uid), time.monotonic()
        complete = bool(progress.total) and progress.done >= progress.total
        if stage == last_stage and not complete and now - last_time < _MIN_INTERVAL:
            return
        last_stage, last_time = stage, now
        emit(progress)

    return report


class TaskRunner(QObject):
    """One running task per kind; a new one of a kind replaces the old.

    Results are delivered on the GUI thread; those of a task that was
    replaced or cancelled never arrive.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._next_id = 0
        self._tasks: dict[str, tuple[int, TaskWorker]] = {}
        self._callbacks: dict[int, tuple[Callable[[Outcome], None], Report | None]] = {}

    def submit(
        self,
        kind: str,
        func: Callable[..., Any],
        *args: Any,
        on_done: Callable[[Outcome], None],
        on_progress: Report | None = None,
        **kwargs: Any,
    ) -> None:
        """Run ``func(*args, report=, token=, **kwargs)`` in the thread pool."""
        self.cancel(kind)
        self._next_id += 1
        task = self._next_id
        worker = create_worker(func, *args, _worker_class=TaskWorker, **kwargs)
        self._tasks[kind] = (task, worker)
        self._callbacks[task] = (on_done, on_progress)
        worker.returned.connect(partial(self._returned, worker.token, kind, task))
        worker.signals.progressed.connect(partial(self._progress, worker.token, task))
        worker.start()
        self.changed.emit()

    def running(self, kind: str) -> bool:
        """Whether a task of this kind has not ended yet."""
        return kind in self._tasks

    def pause(self, kind: str, paused: bool) -> None:
        """Have the task of this kind wait, or go on."""
        if kind in self._tasks:
            _, worker = self._tasks[kind]
            (worker.token.pause if paused else worker.token.resume)()

    def cancel(self, kind: str) -> None:
        """Stop the task of this kind; its `on_done` gets `Stopped` at once."""
        if kind in self._tasks:
            task, worker = self._tasks[kind]
            worker.quit()
            self._finish(kind, task, Stopped())

    def cancel_all(self) -> None:
        """Stop everything."""
        for kind in list(self._tasks):
            self.cancel(kind)

    def _progress(self, token: CancelToken, task: int, progress: Progress) -> None:
        if token.cancelled:  # by a closing window, whose widgets may be gone
            return
        _, on_progress = self._callbacks.get(task, (None, None))
        if on_progress is not None:
            on_progress(progress)

    def _returned(
        self, token: CancelToken, kind: str, task: int, outcome: Outcome
    ) -> None:
        if not token.cancelled:
            self._finish(kind, task, outcome)

    def _finish(self, kind: str, task: int, outcome: Outcome) -> None:
        if task not in self._callbacks:
            return
        on_done, _ = self._callbacks.pop(task)
        del self._tasks[kind]
        on_done(outcome)
        self.changed.emit()
