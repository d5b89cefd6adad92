"""What is under way and what went wrong, in two lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_tcia._qt.style import SPACING, Note, described
from napari_tcia._qt.task_row import Runner, TaskRow
from napari_tcia.app.services import Services
from napari_tcia.core.task import Done, Failed, Outcome, Stopped
from napari_tcia.errors import TciaError


class Work(QWidget):
    """Runs tasks beside the window; shows the newest of them and every problem.

    Parameters
    ----------
    services : callable
        Returns the rooms; called at first use, since it may fail.
    runner : Runner
    """

    changed = Signal()
    """A task has begun or ended."""

    def __init__(
        self,
        services: Callable[[], Services],
        runner: Runner,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.services = services
        self._runner = runner
        self._words: dict[str, str] = {}
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()
        self._retry: Callable[[], None] | None = None

        self.problem = Note(meaning="warn")
        self.problem.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
        )
        self.problem.setAccessibleName("Problem and what to do")
        self.retry_button = QPushButton("Retry")
        described(self.retry_button, "Retry", "Try the same again")
        self.retry_button.clicked.connect(self._try_again)
        self.details_button = QPushButton("Details")
        described(self.details_button, "Details", "Show all of it")
        self.details_button.clicked.connect(self._show_details)
        self._details = ""
        line = QHBoxLayout()
        line.setSpacing(SPACING)
        line.addWidget(self.problem, 1)
        line.addWidget(self.details_button, 0, Qt.AlignmentFlag.AlignTop)
        line.addWidget(self.retry_button, 0, Qt.AlignmentFlag.AlignTop)
        self.task = TaskRow()
        self.task.cancelled.connect(self.cancel)
        self.task.paused.connect(self._pause)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addLayout(line)
        layout.addWidget(self.task)
        self.say()

    def start(
        self,
        kind: str,
        words: str,
        func: Callable[..., Any],
        *args: Any,
        on_done: Callable[[Any], None],
        retry: Callable[[], None] | None = None,
        queued: bool = False,
    ) -> None:
        """Run ``func(services, *args, report=, token=)``; give its value on.

        A task of the same kind that still runs is given up without a word, or
        waited for if this one is to be `queued`. An error is shown with `retry`.
        """
        if queued and kind in self._words:
            begin = partial(
                self.start, kind, words, func, *args, on_done=on_done, retry=retry
            )
            self._waiting.append((kind, begin))
            self._tell_waiting()
            return
        try:
            services = self.services()
        except TciaError as error:
            self._ended(kind, Failed(error))
            return
        self._words.pop(kind, None)
        self._runner.cancel(kind)  # its end finds no words and says nothing
        self._retry = retry
        self.say()
        self._words[kind] = words
        self.task.begin(words)

        def ended(outcome: Outcome) -> None:
            if kind in self._words:
                self._ended(kind, outcome)
                if isinstance(outcome, Done):
                    on_done(outcome.value)

        def progress(one: Any) -> None:
            if next(reversed(self._words), "") == kind:
                self.task.show_progress(one)

        self._runner.submit(
            kind, func, services, *args, on_done=ended, on_progress=progress
        )
        self.changed.emit()

    def running(self, kind: str) -> bool:
        """Whether a task of this kind is under way."""
        return self._runner.running(kind)

    def cancel(self) -> None:
        """Stop what is running and forget what waits; what is complete stays."""
        self._waiting.clear()
        for kind in list(self._words):
            self._runner.cancel(kind)

    def fail(self, error: Exception) -> None:
        """Show an error that came up outside a task."""
        self.say(_sentence(error), retry=True)

    def say(
        self,
        text: str = "",
        *,
        retry: bool = False,
        meaning: str = "warn",
        details: str = "",
    ) -> None:
        """Show a sentence, perhaps with a way to try again, or to read on."""
        self.problem.say(text, meaning)
        self.retry_button.setVisible(retry and self._retry is not None)
        self._details = details
        self.details_button.setVisible(bool(details))

    def _ended(self, kind: str, outcome: Outcome) -> None:
        self._words.pop(kind, None)
        if self._words:
            self.task.begin(next(reversed(self._words.values())))
        else:
            self.task.end()
        if isinstance(outcome, Failed):
            self.fail(outcome.error)
        elif isinstance(outcome, Stopped):
            self.say("Cancelled. What was complete stays.", meaning="muted")
        self.changed.emit()
        # Once the value of this one was given on, which may start something.
        QTimer.singleShot(0, self._next)

    def _next(self) -> None:
        """Start what has waited longest, if its kind is free now."""
        if self._waiting and self._waiting[0][0] not in self._words:
            said = (self.problem.text(), self.retry_button.isVisible())
            self._waiting.popleft()[1]()
            if said[0]:  # how the one before ended is still worth reading
                self.say(said[0], retry=said[1])
            self._tell_waiting()

    def _tell_waiting(self) -> None:
        count = len(self._waiting)
        words = f"{count} more download{'s' if count > 1 else ''} in the queue"
        self.task.waiting.say(words if count else "")

    def _pause(self, paused: bool) -> None:
        for kind in self._words:
            self._runner.pause(kind, paused)

    def _show_details(self) -> None:
        window = QDialog(self.window())
        window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        window.setWindowTitle("Details")
        text = QPlainTextEdit(self._details)
        text.setReadOnly(True)
        text.setTabChangesFocus(True)
        described(text, "Details")
        close = QPushButton("Close")
        described(close, "Close", "Close (Esc)")
        close.clicked.connect(window.reject)
        layout = QVBoxLayout(window)
        layout.addWidget(text)
        layout.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)
        window.resize(620, 360)
        window.show()

    def _try_again(self) -> None:
        if self._retry is not None:
            self._retry()


def _sentence(error: Exception) -> str:
    if isinstance(error, TciaError):
        return str(error)
    return f"Something unexpected happened: {type(error).__name__}: {error}"
