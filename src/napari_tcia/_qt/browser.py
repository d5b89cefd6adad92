"""Search, choose, read the terms, open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QHBoxLayout,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_tcia._qt.actions import Actions
from napari_tcia._qt.bar import Bar
from napari_tcia._qt.filters import Filters
from napari_tcia._qt.results import ResultsTree
from napari_tcia._qt.results_model import COLUMNS
from napari_tcia._qt.sources import SourceLine
from napari_tcia._qt.style import (
    CLINICAL,
    MARGIN,
    SPACING,
    Note,
    described,
    fill_height,
)
from napari_tcia._qt.suggestions import SearchBox
from napari_tcia._qt.task_row import Runner
from napari_tcia._qt.terms_dialog import TermsDialog
from napari_tcia._qt.work import Work
from napari_tcia.app import state
from napari_tcia.app.instant import Index, recognised
from napari_tcia.app.node_sizes import with_largest_nodes
from napari_tcia.app.rows import Results
from napari_tcia.app.services import Services
from napari_tcia.core.model import Series
from napari_tcia.core.task import CancelToken, Done, Outcome, Report, silent
from napari_tcia.errors import TciaError

START = "CT Lymph Nodes"
MAX_OPEN = 10
"""Cases that one click opens; each is a volume in memory."""
MAX_SUGGESTIONS = 12


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
    review_wanted = Signal(str, object)
    """What was searched for, and the rows to be reviewed one after the other."""

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
        self._index: Index | None = None
        self._index_is_old = True
        self._blind = False

        self.search_box = SearchBox(self)
        self.search_box.typed.connect(self._suggest)
        self.search_box.wanted.connect(self.search)
        self.search_button = QPushButton("Search")
        described(self.search_button, "Search", "Search for what is in the box (Enter)")
        self.search_button.clicked.connect(lambda: self.search())
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
        self.unfilter_button = QPushButton("Remove all filters")
        self.unfilter_button.clicked.connect(self.filters.clear)
        self.pages = QStackedWidget()
        self.pages.addWidget(self._start_page())
        self.pages.addWidget(self.tree)
        self.pages.addWidget(_centred(self.empty, self.unfilter_button))

        self.work = Work(services, runner)
        self.work.changed.connect(self._update_bar)
        self.problem, self.retry_button = self.work.problem, self.work.retry_button
        self.task = self.work.task
        self.bar = Bar()
        self.cost, self.open_button = self.bar.cost, self.bar.open_button
        self.bar.open_wanted.connect(self.open_selected)
        self.bar.chosen.connect(self._do)
        self.source = SourceLine()

        self.acts = Actions(self.work, self)
        self.acts.opened.connect(self.opened)
        self.acts.accepted.connect(self._accepted)
        self.acts.fetched.connect(self._fetched)
        self.acts.asked.connect(self._update_bar)
        self.acts.refreshed.connect(self._refreshed)
        self.source.refresh_wanted.connect(self.acts.refresh)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(SPACING)
        layout.addLayout(top)
        layout.addWidget(self.filters)
        layout.addWidget(self.pages, 1)
        layout.addWidget(self.work)
        layout.addWidget(self.bar)
        layout.addWidget(self.source)
        layout.addWidget(Note(CLINICAL, size=11))
        self.setMinimumWidth(380)
        fill_height(self)
        self.filters.setVisible(False)
        self._update_bar()

    @property
    def dialog(self) -> TermsDialog | None:
        """The terms that are being asked for."""
        return self.acts.dialog

    # searching

    def search(self, text: str = "", *, then_open: bool = False) -> None:
        """Search for `text`, or for what is in the box.

        With `then_open` all that is found is opened, terms asked for first.
        """
        if text:
            self.search_box.setText(text)
        text = self.search_box.text().strip()
        self.search_box.put_away()
        if not text:
            self.pages.setCurrentIndex(0)
            self.filters.setVisible(False)
            return
        self._runner.cancel("details")
        self._runner.cancel("node sizes")
        self.work.start(
            "search",
            f"Searching for {text}",
            state.find,
            text,
            on_done=partial(self._found, then_open=then_open),
            retry=partial(self.search, text, then_open=then_open),
        )

    def _found(self, results: Results, then_open: bool = False) -> None:
        self._results = results
        self._index_is_old = True
        failed = [i.message for i in results.issues if i.level == "error"]
        doubts = [i.message for i in results.issues if i.level == "warn"]
        notes = [i.message for i in results.issues if i.level == "info"]
        if failed:  # what there is instead, in the same breath
            failed = [" ".join((*failed, *notes))]
        self.work.say("\n".join((*failed, *doubts)), retry=bool(failed))
        self._show_source("" if failed else " ".join(notes))
        self.filters.fill(results)
        self._narrow()
        if not results.rows:
            return
        self.tree.select_first()
        if then_open:
            self.acts.open(results.rows, results.folders)
        self._ask_details()

    def _narrow(self) -> None:
        results = self._results
        rows = self.filters.narrow(results)
        self.tree.show_rows(rows, results)
        self.filters.setVisible(bool(results.rows))
        if rows:
            self.pages.setCurrentWidget(self.tree)
            return
        if results.rows:
            words = f"The filters hide all {len(results.rows):,} cases."
        else:
            words = f"Nothing found for ‘{results.text}’.\n{results.hint}"
        self.empty.setText(words)
        self.unfilter_button.setVisible(bool(results.rows))
        self.pages.setCurrentIndex(2)

    def _ask_details(self) -> None:
        """Spacing and the like, which the archive tells on a second question."""
        self._learn("details", state.with_details, ("rows",))
        self._learn_nodes()

    def _learn_nodes(self) -> None:
        """How large the nodes are of the cases whose segmentation is on disk."""
        self._learn("node sizes", with_largest_nodes, ("largest_nodes",))

    def _learn(
        self, kind: str, ask: Callable[..., Results], parts: Sequence[str]
    ) -> None:
        """Ask for more about the same rows, beside the window; take in `parts`."""
        asked = self._results

        def same(now: Results) -> bool:
            uids = [row.series.series_uid for row in asked.rows]
            return now.text == asked.text and uids == [
                row.series.series_uid for row in now.rows
            ]

        def done(outcome: Outcome) -> None:
            if not isinstance(outcome, Done) or not same(self._results):
                return  # a facet is missing, which nobody asked for yet
            told = {part: getattr(outcome.value, part) for part in parts}
            self._results = replace(self._results, **told)
            self.filters.update_results(self._results)

        self._runner.submit(kind, ask, self._open_services(), asked, on_done=done)

    # what may be meant

    def _suggest(self, text: str) -> None:
        """Propose what `text` may mean; the index is made beside the window."""
        try:
            services = self._open_services()
        except TciaError as error:
            self.work.fail(error)
            return
        if self._index_is_old and not self._runner.running("index"):
            self._index_is_old = False
            self._runner.submit("index", _index, services, on_done=self._indexed)
        if self._index is None or not text:
            return
        found = self._index.matching(text, limit=MAX_SUGGESTIONS)
        self.search_box.suggest(
            recognised(services, text), [(one.text, one.detail) for one in found]
        )

    def _indexed(self, outcome: Outcome) -> None:
        if isinstance(outcome, Done):
            first = self._index is None
            self._index = outcome.value
            if first and self.search_box.hasFocus() and self.search_box.isModified():
                self._suggest(self.search_box.text().strip())

    # what is done with the selection

    def open_selected(self) -> None:
        """Open the selected cases; asks for the terms where they are not accepted."""
        rows = self.tree.selected_rows()
        if rows and len(rows) <= MAX_OPEN and not self.work.running("open"):
            self.acts.open(rows, self._results.folders)

    def show_blind(self, blind: bool) -> None:
        """Leave out, or show again, what hints at the nodes of a case."""
        self._blind = self.acts.blind = blind
        self.tree.setColumnHidden(COLUMNS.index("Nodes"), blind)
        self.filters.left_out = frozenset({"labels", "nodes"} if blind else ())
        self._update_bar()

    def open_uid(self, series_uid: str) -> None:
        """Open a series by its UID, as the results list it or after a search."""
        uid = series_uid
        rows = [row for row in self._results.rows if row.series.series_uid == uid]
        if rows:
            self.acts.open(rows, self._results.folders)
        else:
            self.search(uid, then_open=True)

    def _do(self, code: str) -> None:
        rows = self.tree.selected_rows()
        if not rows or self.work.running("open"):
            return
        if code == "download":
            self.acts.download(rows)
        elif code == "review":
            self.review_wanted.emit(self._results.text, rows)
        elif code == "nodes":
            self.acts.download(rows, "annotations")
        elif code == "preview":
            self.acts.look(rows[0], self._results.folders)
        elif code == "manifest":
            self.acts.ask_manifest(rows)

    def _accepted(self, names: tuple[str, ...]) -> None:
        self._results = state.after_acceptance(self._results, names)
        self._narrow()

    def _fetched(self, series: tuple[Series, ...]) -> None:
        self._results = state.after_fetch(self._results, series)
        self._narrow()
        if any(one.modality == "SEG" for one in series):
            self._learn_nodes()

    def _refreshed(self) -> None:
        self._index_is_old = True

    def cancel(self) -> None:
        """Stop what is running; what is complete stays."""
        self.work.cancel()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc cancels."""
        if event.key() == Qt.Key.Key_Escape and not self.task.isHidden():
            self.cancel()
            return
        super().keyPressEvent(event)

    # what is said

    def _show_source(self, note: str) -> None:
        results = self._results
        listed = {row.series.sources for row in results.rows}
        host = self._open_services().settings.archive_host
        words = results.age or note or f"at {host}"
        if not results.rows:
            words = note or f"Asked {host}"
        self.source.show_sources({s for some in listed for s in some}, words)

    def _update_bar(self) -> None:
        rows = self.tree.selected_rows()
        busy = self.work.running("open")
        words = "Select a case to open" if self._results.rows else ""
        if rows:
            words = state.cost(
                rows,
                self._results.stored | self._results.folders.keys(),
                self._open_services().settings.home,
                self._results.accepted,
            )
        few = len(rows) <= MAX_OPEN
        entries = set()
        if rows and not busy:
            entries = {"download", "manifest", "review"}
            if len(rows) == 1 and rows[0].series.images:
                entries.add("preview")
            if any(row.has_nodes for row in rows) and not self._blind:
                entries.add("nodes")
        tip = "Asks for the terms first where they are not accepted yet (Enter)"
        if not few:
            tip = f"At most {MAX_OPEN} cases open at once; download takes more"
        self.bar.show_state(
            words,
            can_open=bool(rows) and few and not busy,
            tip=tip,
            entries=frozenset(entries),
        )

    def _start_page(self) -> QWidget:
        words = Note(
            "Search The Cancer Imaging Archive,\nor start with its lymph nodes in CT."
        )
        words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.start_button = QPushButton(f"Show {START}")
        described(self.start_button, f"Show {START}", "Lists its cases")
        self.start_button.clicked.connect(lambda: self.search(START))
        return _centred(words, self.start_button)


def _index(
    services: Services,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Index:
    return Index.of(services)


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
