"""Search, choose, read the terms, open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_tcia._qt.filters import Filters
from napari_tcia._qt.results import ResultsTree
from napari_tcia._qt.style import (
    CLINICAL,
    MARGIN,
    SPACING,
    Note,
    described,
    fill_height,
    primary,
)
from napari_tcia._qt.task_row import Runner, TaskRow
from napari_tcia._qt.terms_dialog import TermsDialog
from napari_tcia.app import agree, fetch, state
from napari_tcia.app.case import Case, open_case
from napari_tcia.app.services import Services
from napari_tcia.app.state import CaseRow, Results
from napari_tcia.core.model import Series, Terms
from napari_tcia.core.task import (
    CancelToken,
    Done,
    Failed,
    Outcome,
    Report,
    Stopped,
    silent,
)
from napari_tcia.errors import TciaError

START = "CT Lymph Nodes"


class Browser(QWidget):
    """The TCIA browser.

    Parameters
    ----------
    services : callable
        Returns the rooms; called at first use, since it may fail.
    runner : Runner
    """

    opened = Signal(object)
    """A tuple of cases, read and ready to be shown."""

    def __init__(
        self,
        services: Callable[[], Services],
        runner: Runner,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._open_services = services
        self._runner = runner
        self._results = Results()
        self._then_open = False
        self._retry: Callable[[], None] | None = None
        self.dialog: TermsDialog | None = None

        self.search_box = QLineEdit()
        self.search_box.setPlaceholderText("Collection, patient, UID, DOI or manifest")
        self.search_box.setClearButtonEnabled(True)
        described(
            self.search_box,
            "Search The Cancer Imaging Archive",
            "Type or paste a collection, patient ID, series or study UID, DOI, or "
            "the path of a manifest, and press Enter",
        )
        self.search_box.returnPressed.connect(self.search)
        self.search_button = QPushButton("Search")
        self.search_button.clicked.connect(self.search)
        top = QHBoxLayout()
        top.setSpacing(SPACING)
        top.addWidget(self.search_box, 1)
        top.addWidget(self.search_button)

        self.filters = Filters()
        self.filters.changed.connect(self._narrow)

        self.tree = ResultsTree()
        self.tree.selection_changed.connect(self._update_bar)
        self.tree.open_requested.connect(self.open_selected)
        self.empty = Note()
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.pages = QStackedWidget()
        self.pages.addWidget(self._start_page())
        self.pages.addWidget(self.tree)
        self.pages.addWidget(_centred(self.empty))

        self.problem = Note(meaning="warn")
        self.problem.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
        )
        self.problem.setAccessibleName("Problem and what to do")
        self.retry_button = QPushButton("Retry")
        self.retry_button.clicked.connect(self._try_again)
        problem = QHBoxLayout()
        problem.setSpacing(SPACING)
        problem.addWidget(self.problem, 1)
        problem.addWidget(self.retry_button, 0, Qt.AlignmentFlag.AlignTop)

        self.task = TaskRow()
        self.task.cancelled.connect(self.cancel)

        self.cost = QLabel()
        self.cost.setAccessibleName("What opening costs")
        self.open_button = primary(QPushButton("Open"))
        self.open_button.clicked.connect(self.open_selected)
        bar = QHBoxLayout()
        bar.addWidget(self.cost, 1)
        bar.addWidget(self.open_button)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(SPACING)
        layout.addLayout(top)
        layout.addWidget(self.filters)
        layout.addWidget(self.pages, 1)
        layout.addLayout(problem)
        layout.addWidget(self.task)
        layout.addLayout(bar)
        self.source = Note(size=11)
        layout.addWidget(self.source)
        layout.addWidget(Note(CLINICAL, size=11))
        self.setMinimumWidth(380)
        fill_height(self)
        self.filters.setVisible(False)
        self.source.say("")
        self._say()
        self._update_bar()

    # searching

    def search(self, text: str | bool = False, *, then_open: bool = False) -> None:
        """Search for `text`, or for what is in the box.

        With `then_open` all that is found is opened, terms asked for first.
        """
        if isinstance(text, str):
            self.search_box.setText(text)
        self._then_open = then_open
        text = self.search_box.text().strip()
        if not text:
            self.pages.setCurrentIndex(0)
            self.filters.setVisible(False)
            return
        self._retry = partial(self.search, then_open=then_open)
        self._start("search", f"Searching for {text}", state.find, text, self._found)

    def _found(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Done):
            self._ended(outcome)
            return
        self.task.end()
        self._results = outcome.value
        failed = [i for i in self._results.issues if i.level == "error"]
        notes = [i.message for i in self._results.issues if i.level == "info"]
        self._say(
            "\n".join(i.message for i in (*failed, *_warnings(self._results))),
            retry=bool(failed),
        )
        self._show_source(" ".join(notes))
        self.filters.fill(self._results.rows)
        self._narrow()
        if self._results.rows:
            self.tree.select_first()
            if self._then_open:
                self.tree.selectAll()
                self.open_selected()

    def _narrow(self) -> None:
        results = self._results
        rows = self.filters.narrow(results.rows)
        self.tree.show_rows(rows, results)
        self.filters.setVisible(bool(results.rows))
        if rows:
            self.pages.setCurrentWidget(self.tree)
            return
        if results.rows:
            words = f"The filters hide all {len(results.rows)} cases."
        else:
            words = f"Nothing found for \u2018{results.text}\u2019.\n{results.hint}"
        self.empty.setText(words)
        self.pages.setCurrentIndex(2)

    # opening

    def open_selected(self) -> None:
        """Open the selected cases; asks for the terms where they are not accepted."""
        rows = self.tree.selected_rows()
        if not rows or self._runner.running("open"):
            return
        self._retry = self.open_selected
        self._start("open", "Reading the terms", _look_up, rows, self._looked_up)

    def _looked_up(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Done):
            self._ended(outcome)
            return
        self.task.end()
        series, terms, name = outcome.value
        missing = [t for t in terms if t.accepted is None]
        if not missing:
            self._fetch(series)
            return
        self.dialog = TermsDialog(
            missing, agree.unacceptable(missing), name, self.window()
        )
        self.dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.dialog.agreed.connect(partial(self._agreed, series, missing))
        self.dialog.finished.connect(self._closed)
        self.dialog.open()
        self._update_bar()

    def _closed(self, _result: int) -> None:
        self.dialog = None
        self._update_bar()

    def _agreed(
        self, series: Sequence[Series], terms: Sequence[Terms], name: str
    ) -> None:
        try:
            agree.accept(self._open_services(), terms, name)
        except TciaError as error:
            self._ended(Failed(error))
            return
        self._results = state.after_acceptance(
            self._results, (t.collection for t in terms)
        )
        self._narrow()
        self._fetch(series)

    def _fetch(self, series: Sequence[Series]) -> None:
        self._start("open", "Opening", _open, series, self._read)

    def _read(self, outcome: Outcome) -> None:
        self._ended(outcome)
        if isinstance(outcome, Done):
            cases, kept = outcome.value
            self._results = state.after_fetch(self._results, kept)
            self._narrow()
            self._say("\n".join(state.doubts(cases)))
            self.opened.emit(cases)

    # tasks

    def cancel(self) -> None:
        """Stop what is running; what is complete stays."""
        self._runner.cancel("search")
        self._runner.cancel("open")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc cancels."""
        if event.key() == Qt.Key.Key_Escape and not self.task.isHidden():
            self.cancel()
            return
        super().keyPressEvent(event)

    def _start(
        self,
        kind: str,
        words: str,
        func: Callable[..., Any],
        argument: Any,
        on_done: Callable[[Outcome], None],
    ) -> None:
        self._say()
        try:
            services = self._open_services()
        except TciaError as error:
            self._ended(Failed(error))
            return
        self.task.begin(words)
        self._runner.submit(
            kind,
            func,
            services,
            argument,
            on_done=on_done,
            on_progress=self.task.show_progress,
        )
        self._update_bar()

    def _ended(self, outcome: Outcome) -> None:
        self.task.end()
        if isinstance(outcome, Failed):
            self._say(_sentence(outcome.error), retry=True)
        elif isinstance(outcome, Stopped):
            self._say("Cancelled. What was complete stays.", meaning="muted")
        self._update_bar()

    def _try_again(self) -> None:
        if self._retry is not None:
            self._retry()

    def _say(
        self, text: str = "", *, retry: bool = False, meaning: str = "warn"
    ) -> None:
        self.problem.say(text, meaning)
        self.retry_button.setVisible(retry and self._retry is not None)

    def _show_source(self, note: str) -> None:
        rows = self._results.rows
        asked = sorted({s for row in rows for s in row.series.sources}, reverse=True)
        names = {"nbia": "NBIA", "catalogue": "the catalogue", "idc": "IDC"}
        shown = " and ".join(names.get(s, s) for s in asked)
        host = self._open_services().settings.archive_host
        words = note or (f"Listed by {shown} at {host}" if shown else f"Asked {host}")
        self.source.say(words)

    def _update_bar(self) -> None:
        rows: tuple[CaseRow, ...] = self.tree.selected_rows()
        busy = self._runner.running("open")
        self.open_button.setEnabled(bool(rows) and not busy)
        words = "Select a case to open" if self._results.rows else ""
        if rows:
            home = self._open_services().settings.home
            words = state.cost(rows, self._results.stored, home)
        self.cost.setText(words)
        described(
            self.open_button,
            "Open",
            "Asks for the terms first where they are not accepted yet (Enter)",
        )

    def _start_page(self) -> QWidget:
        words = Note(
            "Search The Cancer Imaging Archive,\nor start with its lymph nodes in CT."
        )
        words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.start_button = QPushButton(f"Show {START}")
        self.start_button.clicked.connect(lambda: self.search(START))
        return _centred(words, self.start_button)


def _look_up(
    services: Services,
    rows: Sequence[CaseRow],
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[tuple[Series, ...], tuple[Terms, ...], str]:
    """Series of `rows`, their terms, and the name that accepted terms last."""
    series = state.whole(services, rows, report=report, token=token)
    terms = agree.terms(services, series, report=report, token=token)
    names = [r.name for r in services.ledger.records() if r.event == "accept"]
    return series, terms, names[-1] if names else ""


def _open(
    services: Services,
    series: Sequence[Series],
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[tuple[Case, ...], tuple[Series, ...]]:
    """Cases of `series`, and those of them that are on disk now."""
    cases = open_case(services, series, report=report, token=token)
    return cases, tuple(s for s in series if fetch.stored(services, s.series_uid))


def _warnings(results: Results) -> list[Any]:
    return [i for i in results.issues if i.level == "warn"]


def _sentence(error: Exception) -> str:
    if isinstance(error, TciaError):
        return str(error)
    return f"Something unexpected happened: {type(error).__name__}: {error}"


def _centred(*widgets: QWidget) -> QWidget:
    page = QWidget()
    layout = QVBoxLayout(page)
    layout.addStretch()
    for widget in widgets:
        button = isinstance(widget, QPushButton)
        layout.addWidget(
            widget,
            0,
            Qt.AlignmentFlag.AlignCenter if button else Qt.AlignmentFlag(0),
        )
    layout.addStretch()
    return page
