"""Long work: how it reports, how it is stopped, how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from napari_tcia.errors import Cancelled


class CancelToken:
    """A one-way switch that long work looks at, with hooks for what blocks.

    A thread that waits on a socket cannot look; it registers a callback (for
    example, closing that socket) which `cancel` runs at once.
    """

    def __init__(self) -> None:
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

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` once the switch is thrown."""
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
    """

    stage: str
    done: int = 0
    total: int = 0
    unit: str = ""
    series_uid: str = ""

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
