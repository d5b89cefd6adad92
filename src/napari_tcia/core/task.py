"""Long work: how it reports, how it is stopped, how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from napari_tcia.errors import Cancelled

_LOOK = 0.05
"""Seconds between two looks of paused work."""


class CancelToken:
    """A one-way switch that long work looks at, with hooks for what blocks.

    A thread that waits on a socket cannot look; it registers a callback (for
    example, closing that socket) which `cancel` runs at once. Work that looks
    while the token is paused waits until it goes on, or is cancelled.

    Parameters
    ----------
    parent : CancelToken, optional
        Whose cancel and pause this token follows; see `child`.
    """

    def __init__(self, parent: CancelToken | None = None) -> None:
        self._parent = parent
        self._paused = False
        self._event = threading.Event()
        # Reentrant: a signal may cancel while this thread registers a hook.
        self._lock = threading.RLock()
        self._hooks: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Ask the work to stop; returns at once, may be called repeatedly."""
        with self._lock:
            self._event.set()
            hooks, self._hooks = self._hooks, []
        for hook in hooks:
            hook()

    @contextmanager
    def child(self) -> Iterator[CancelToken]:
        """A token for a part of the work, which follows this one and may end alone."""
        token = CancelToken(self)
        forget = self.on_cancel(token.cancel)
        try:
            yield token
        finally:
            forget()

    @property
    def paused(self) -> bool:
        """Whether the work is to wait."""
        parent = self._parent is not None and self._parent.paused
        return self._paused or parent

    def pause(self) -> None:
        """Have the work wait where it looks next."""
        self._paused = True

    def resume(self) -> None:
        """Have the work go on."""
        self._paused = False

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` once the switch is thrown; wait while paused."""
        while self.paused and not self._event.wait(_LOOK):
            pass
        if self._event.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Sleep that ends early, by raising `Cancelled`, when cancelled."""
        if self._event.wait(seconds):
            raise Cancelled

    def on_cancel(self, hook: Callable[[], None]) -> Callable[[], None]:
        """Register `hook`; return a function that unregisters it."""
        with self._lock:
            self._hooks.append(hook)
            if not self._event.is_set():
                return lambda: self._forget(hook)
            missed = hook in self._hooks
            self._forget(hook)
        if missed:
            hook()
        return lambda: None

    def _forget(self, hook: Callable[[], None]) -> None:
        with self._lock:
            if hook in self._hooks:
                self._hooks.remove(hook)


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of some work.

    Attributes
    ----------
    stage : str
        What is happening, in words fit for a user ("Downloading CT").
    done, total : int
        Counted in `unit`; `total` is 0 when unknown.
    unit : str
        ``"bytes"``, ``"slices"``, ``"files"`` ...
    series_uid : str
        The series worked on, or empty.
    parts : tuple of Progress
        Of several series under way at once: each of them.
    """

    stage: str
    done: int = 0
    total: int = 0
    unit: str = ""
    series_uid: str = ""
    parts: tuple[Progress, ...] = ()

    @property
    def fraction(self) -> float | None:
        """Share done in [0, 1], or None when the total is unknown."""
        return min(1.0, self.done / self.total) if self.total else None


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True)
class Done:
    """Work that ended with a value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """Work that ended with an error; the error is a value, not a traceback."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Stopped:
    """Work that the user stopped."""

    partial: Any = field(default=None)


Outcome = Done | Failed | Stopped
