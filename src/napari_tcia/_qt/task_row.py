"""A thin row for work under way: bar, amounts, rate, time left, cancel."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_tcia._qt.style import SPACING, Note, described
from napari_tcia.app.state import size_text
from napari_tcia.core.task import Outcome, Progress, Report

PARTS = 4
"""Series under way that are shown by name."""


class Runner(Protocol):
    """Runs one task per kind beside the window."""

    def submit(
        self,
        kind: str,
        func: Callable[..., Any],
        *args: Any,
        on_done: Callable[[Outcome], None],
        on_progress: Report | None = None,
        **kwargs: Any,
    ) -> None:
        """Start a task; `on_done` is called on the GUI thread."""

    def cancel(self, kind: str) -> None:
        """Stop the task of this kind."""

    def pause(self, kind: str, paused: bool) -> None:
        """Have the task of this kind wait, or go on."""

    def running(self, kind: str) -> bool:
        """Whether one runs."""


class Rate:
    """Amount per second of one stage, measured from its start."""

    def __init__(self) -> None:
        self._stage: tuple[str, str] | None = None
        self._start = (0.0, 0)

    def update(self, progress: Progress, now: float) -> float | None:
        """Rate after `progress`, None while there is too little to tell."""
        stage = (progress.stage, progress.series_uid)
        if stage != self._stage:
            self._stage, self._start = stage, (now, progress.done)
            return None
        seconds, done = now - self._start[0], progress.done - self._start[1]
        return done / seconds if seconds > 0.5 and done > 0 else None


def describe(progress: Progress, rate: float | None) -> str:
    """Amounts in words: "12 MB of 29 MB, 8 MB/s, 2 s left"."""
    if not progress.total and not progress.done:
        return ""
    if progress.unit == "bytes":
        done, total = size_text(progress.done), size_text(progress.total)
    else:
        done, total = str(progress.done), f"{progress.total} {progress.unit}".strip()
    parts = [f"{done} of {total}" if progress.total else f"{done} {progress.unit}"]
    if rate:
        if progress.unit == "bytes":
            parts.append(f"{size_text(rate)}/s")
        if progress.total:
            left = max(0, progress.total - progress.done) / rate
            parts.append(
                f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left"
            )
    return ", ".join(parts)


class TaskRow(QWidget):
    """Shows one task; asks for its end."""

    cancelled = Signal()
    paused = Signal(bool)
    """To wait, or to go on."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rate = Rate()
        self.stage = QLabel()
        self.stage.setTextFormat(Qt.TextFormat.PlainText)
        self.amount = Note(size=11)
        self.amount.setWordWrap(False)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        described(self.bar, "Progress")
        self.cancel_button = QPushButton("Cancel")
        described(self.cancel_button, "Cancel", "Stop; what is complete stays (Esc)")
        self.cancel_button.clicked.connect(self.cancelled)
        self.pause_button = QPushButton("Pause")
        self.pause_button.setCheckable(True)
        described(
            self.pause_button, "Pause", "Wait with the download; a second press goes on"
        )
        self.pause_button.toggled.connect(self._pause)
        self.parts = Note(size=11)
        self.parts.setWordWrap(False)
        self.parts.setAccessibleName("Series under way")
        self.waiting = Note(size=11)
        self.waiting.say("")
        left = QVBoxLayout()
        left.setSpacing(4)
        left.addWidget(self.stage)
        left.addWidget(self.bar)
        left.addWidget(self.amount)
        left.addWidget(self.parts)
        left.addWidget(self.waiting)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addLayout(left, 1)
        layout.addWidget(self.pause_button, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.cancel_button, 0, Qt.AlignmentFlag.AlignTop)
        self.setVisible(False)

    def begin(self, stage: str) -> None:
        """Appear, with a bar that only says "busy"."""
        self._rate = Rate()
        self.stage.setText(stage)
        self.amount.setText("")
        self.parts.say("")
        self.pause_button.setVisible(False)
        self.pause_button.setChecked(False)
        self.bar.setRange(0, 0)
        self.setVisible(True)

    def show_progress(self, progress: Progress) -> None:
        """Render a moment of the work."""
        rate = self._rate.update(progress, time.monotonic())
        self.stage.setText(progress.stage)
        if self.pause_button.isChecked():  # what was on its way still arrives
            self.amount.setText(f"Paused, {describe(progress, None)}")
        else:
            self.amount.setText(describe(progress, rate))
        self.parts.say("\n".join(map(_part, progress.parts[:PARTS])))
        self.pause_button.setVisible(progress.unit == "bytes")
        fraction = progress.fraction
        self.bar.setRange(0, 0 if fraction is None else 1000)
        if fraction is not None:
            self.bar.setValue(round(1000 * fraction))

    def _pause(self, paused: bool) -> None:
        self.pause_button.setText("Go on" if paused else "Pause")
        if paused:
            self.amount.setText("Paused")
        self._rate = Rate()  # the pause is no slowness
        self.paused.emit(paused)

    def end(self) -> None:
        """Disappear."""
        self.setVisible(False)


def _part(progress: Progress) -> str:
    """One series of several, as a line."""
    amount = describe(progress, None)
    return f"{progress.stage}: {amount}" if amount else progress.stage
