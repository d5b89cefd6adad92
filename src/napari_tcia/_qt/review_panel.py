"""Judge node by node: what is decided, what comes next, and that it is saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from superqt import QFlowLayout

from napari_tcia._qt.judgement_panel import (
    BOX,
    COMMENT_KEY,
    DECIDE,
    JudgementPanel,
    narrow,
)
from napari_tcia._qt.style import (
    CHIP,
    CLINICAL,
    MARGIN,
    QUIET,
    SPACING,
    Note,
    described,
    fill_height,
    primary,
    secondary,
)
from napari_tcia._qt.tool_panel import ToolPanel
from napari_tcia.review.state import (
    CASE_REASONS,
    Finding,
    Judgement,
)

LEAVE = {
    "done": ("Save && next", "F7", "Everything is saved already; on to the next case"),
    "skipped": ("Skip", "F8", "Leave the case for later"),
    "rejected": ("Reject case", "Shift+F8", "With the reasons that you choose"),
    "escalated": ("Escalate", "Shift+F7", "Somebody else has to look at this case"),
}
MISSED_KEY, ANNOTATE_KEY = "F6", "F9"


@dataclass(frozen=True, slots=True)
class ReviewView:
    """What the panel shows.

    Attributes
    ----------
    case : str
        What the case is called; empty when none is open.
    place : str
        "Case 3 of 12", empty without a queue.
    node : str
        Words for the node that is judged; empty when there is none.
    position : str
        "node 4 of 9"; empty in blind mode.
    judgement : Judgement
        Of that node.
    decided, total : int
        Nodes with a decision, and all.
    findings : tuple of Finding
    notes : str
    exit : str
    started : bool
        Whether a draft of this reader is open.
    drawing : bool
        Whether the working copy is shown.
    offer : str
        What of this reader lies here from before; empty for nothing.
    saved : str
        "Saved 2 s ago"; empty while nothing was begun.
    problem : str
        Why something is not saved, or cannot be changed.
    seconds : float
        Time on this case.
    queued : bool
    blind : bool
    """

    case: str = ""
    place: str = ""
    node: str = ""
    position: str = ""
    judgement: Judgement = field(default_factory=Judgement)
    decided: int = 0
    total: int = 0
    findings: tuple[Finding, ...] = ()
    notes: str = ""
    exit: str = ""
    started: bool = False
    drawing: bool = False
    read_only: bool = False
    offer: str = ""
    saved: str = ""
    problem: str = ""
    seconds: float = 0.0
    queued: bool = False
    blind: bool = False


class _Notes(QPlainTextEdit):
    """A field of several lines that says when somebody is done with it."""

    left = Signal()

    def focusOutEvent(self, event: object) -> None:
        """The cursor went elsewhere."""
        super().focusOutEvent(event)
        self.left.emit()


class ReviewPanel(QWidget):
    """The review tab; emits what a reader wants, and shows a `ReviewView`."""

    decided = Signal(str)
    """One of accept, reject, unsure."""
    said = Signal(str, object)
    """Field of the node's judgement, and its value."""
    noted = Signal(str)
    missed = Signal()
    forgotten = Signal(str)
    """UID of a finding that is taken back."""
    shown = Signal(str)
    """UID of a finding to go to."""
    left = Signal(str, object)
    """How the case is left, and the reasons."""
    annotate = Signal()
    save_wanted = Signal()
    reader_changed = Signal(str)
    blind_changed = Signal(bool)
    compare_wanted = Signal()
    recover_wanted = Signal(str)
    """SeriesInstanceUID of a case whose draft is to be continued."""
    queue_wanted = Signal(str)
    """Name of a queue to go on with."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view = ReviewView()
        self._filling = False
        self._found: list[str] = []
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(SPACING)
        layout.addLayout(self._top())
        self.heading = Note(meaning="plain")
        self.problem = Note(meaning="warn")
        layout.addWidget(self.heading)
        layout.addWidget(self.problem)
        self.empty = Note(
            "Open a case to review it: decide node by node, or draw nodes of your own."
        )
        layout.addWidget(self.empty)
        self.unfinished = QWidget()
        QVBoxLayout(self.unfinished).setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.unfinished)
        self.body = QWidget()
        body = QVBoxLayout(self.body)
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(SPACING)
        self.judging = JudgementPanel()
        self.judging.decided.connect(self.decided)
        self.judging.said.connect(self.said)
        body.addWidget(self.judging)
        self._drawing_part(body)
        self._case_part(body)
        layout.addWidget(self.body)
        layout.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidget(page)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll, 1)
        outer.addWidget(self._exits())
        self.saved = Note(meaning="good")
        self.saved.setContentsMargins(MARGIN, 0, MARGIN, 0)
        outer.addWidget(self.saved)
        outer.addWidget(self._hint())
        self.setMinimumWidth(380)
        fill_height(self)
        self._keys()
        self.show_view(ReviewView())

    # what it is made of

    def _top(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.place = Note(meaning="muted")
        self.place.setWordWrap(False)
        self.reader = QLineEdit()
        self.reader.setMaxLength(64)
        self.reader.setMaximumWidth(80)
        described(
            self.reader,
            "Reader code",
            "Under which your work is kept; not the name that accepted the terms",
        )
        self.reader.editingFinished.connect(self._reader)
        self.blind = QCheckBox("Blind")
        described(
            self.blind,
            "Blind reading",
            "Cases that open next show no reference, no counts and no hints",
        )
        self.blind.toggled.connect(self._when_user(self.blind_changed.emit))
        label = Note("Reader")
        label.setWordWrap(False)
        row.addWidget(self.place, 1)
        row.addWidget(self.blind)
        row.addWidget(label)
        row.addWidget(self.reader)
        return row

    def _drawing_part(self, body: QVBoxLayout) -> None:
        row = QHBoxLayout()
        self.start_button = primary(QPushButton("Start my annotation"))
        self.start_button.clicked.connect(self.annotate.emit)
        self.missed_button = QPushButton(f"Missed here  {MISSED_KEY}")
        secondary(self.missed_button)
        described(
            self.missed_button,
            "Missed node here",
            f"Note a node that the reference does not name, where the picture is "
            f"({MISSED_KEY})",
        )
        self.missed_button.clicked.connect(self.missed.emit)
        row.addWidget(self.start_button)
        row.addWidget(self.missed_button)
        row.addStretch()
        body.addLayout(row)
        self.offer = Note(meaning="muted")
        body.addWidget(self.offer)
        self.findings = QWidget()
        found = QFlowLayout(self.findings)
        found.setContentsMargins(0, 0, 0, 0)
        body.addWidget(self.findings)
        self.tools = ToolPanel()
        body.addWidget(self.tools)

    def _case_part(self, body: QVBoxLayout) -> None:
        self.progress = QProgressBar()
        self.progress.setTextVisible(True)
        self.progress.setMaximumHeight(16)
        described(self.progress, "Progress", "Nodes of this case with a decision")
        body.addWidget(self.progress)
        self.notes = _Notes()
        self.notes.setPlaceholderText("Notes on the case")
        self.notes.setTabChangesFocus(True)
        self.notes.setMaximumHeight(40)
        described(self.notes, "Notes on the case")
        self.notes.left.connect(self._notes)
        body.addWidget(self.notes)
        row = QHBoxLayout()
        self.save_button = QPushButton("Save a copy \u2026")
        self.save_button.setStyleSheet(QUIET)
        described(
            self.save_button,
            "Save a copy",
            "Write your nodes as NIfTI where you want; earlier versions stay beside it",
        )
        self.save_button.clicked.connect(self.save_wanted.emit)
        self.compare_button = QPushButton("Side by side")
        self.compare_button.setStyleSheet(QUIET)
        described(
            self.compare_button,
            "Side by side",
            "What other readers, the scan's other identity or the reference drew",
        )
        self.compare_button.clicked.connect(self.compare_wanted.emit)
        row.addWidget(self.save_button)
        row.addWidget(self.compare_button)
        row.addStretch()
        body.addLayout(row)

    def _exits(self) -> QWidget:
        """How a case is left; always in sight."""
        exits = self.exits = QWidget()
        row = QHBoxLayout(exits)
        row.setContentsMargins(MARGIN, 0, MARGIN, 0)
        row.setSpacing(SPACING // 2)
        self.leave: dict[str, QPushButton] = {}
        for code, (title, key, tip) in LEAVE.items():
            button = QPushButton(f"{title}\n{key.replace('+', ' + ')}")
            described(button, title.replace("&&", "&"), f"{tip} ({key})")
            button.setStyleSheet(BOX)
            narrow(button)
            button.clicked.connect(partial(self._leave, code))
            self.leave[code] = button
            row.addWidget(button, 1)
        return exits

    def _hint(self) -> Note:
        hint = Note(CLINICAL, size=11)
        hint.setContentsMargins(MARGIN, 0, MARGIN, SPACING)
        return hint

    def _keys(self) -> None:
        """The same keys while the focus is in the panel."""
        for code, (_, key, _) in DECIDE.items():
            self._key(key, partial(self.judging.choose, code))
        for code, (_, key, _) in LEAVE.items():
            self._key(key, partial(self._leave, code))
        self._key(COMMENT_KEY, self.judging.write_comment)
        self._key(MISSED_KEY, self.missed.emit)
        self._key(ANNOTATE_KEY, self.annotate.emit)

    def _key(self, key: str, action: Callable[[], object]) -> None:
        shortcut = QShortcut(QKeySequence(key), self)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(action)

    # what a reader does

    def keep_typed(self) -> None:
        """Hand over what is typed and not confirmed yet."""
        self.judging.keep_typed()
        self._notes()

    def _leave(self, code: str, _checked: bool = False) -> None:
        if not self.leave[code].isEnabled():
            return
        self.keep_typed()
        if code != "rejected":
            self.left.emit(code, ())
            return
        menu = QMenu(self)
        menu.setAccessibleName("Why the case is rejected")
        for reason in CASE_REASONS:
            action = menu.addAction(reason)
            action.triggered.connect(partial(self.left.emit, code, (reason,)))
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        button = self.leave[code]
        menu.popup(button.mapToGlobal(button.rect().bottomLeft()))
        menu.setActiveAction(menu.actions()[0])

    def _notes(self) -> None:
        text = self.notes.toPlainText().strip()
        if self.view.case and text != self.view.notes:
            self.noted.emit(text)

    def _reader(self) -> None:
        if self.reader.isModified():
            self.reader.setModified(False)
            self.reader_changed.emit(self.reader.text())

    def _when_user(self, then: Callable[[bool], object]) -> Callable[[bool], None]:
        def toggled(value: bool) -> None:
            if not self._filling:
                then(value)

        return toggled

    # what is shown

    def show_view(self, view: ReviewView) -> None:
        """Show `view`; what is being typed stays."""
        before, self.view = self.view, view
        self._filling = True
        self.place.setText(view.place or ("Review" if view.case else ""))
        self.blind.setChecked(view.blind)
        parts = [view.case, view.position]
        self.heading.say(" \u2013 ".join(filter(None, parts)))
        self.problem.say(view.problem)
        self.empty.setVisible(not view.case)
        self.body.setVisible(bool(view.case))
        self.exits.setVisible(bool(view.case))
        self.unfinished.setVisible(not view.case)
        self.judging.show_node(
            view.node,
            view.judgement,
            enabled=bool(view.node) and not view.read_only,
            empty="Choose a node (N)" if view.total else "",
        )
        label = "Continue my annotation" if view.offer else "Start my annotation"
        self.start_button.setText(f"{label}  {ANNOTATE_KEY}")
        described(
            self.start_button,
            label,
            "A working copy of the nodes that you can paint on; the reference stays "
            f"as it is ({ANNOTATE_KEY})",
        )
        self.start_button.setVisible(not view.drawing)
        self.start_button.setFixedWidth(self.start_button.sizeHint().width())
        self.start_button.setEnabled(not view.read_only)
        self.missed_button.setEnabled(not view.read_only)
        self.offer.say(view.offer)
        self.tools.setVisible(view.drawing)
        self._show_findings(view.findings)
        self.progress.setMaximum(max(view.total, 1))
        self.progress.setValue(view.decided)
        minutes, seconds = divmod(int(view.seconds), 60)
        done = f"{view.decided} of {view.total} decided" if not view.blind else "blind"
        self.progress.setFormat(f"{done}  \u00b7  {minutes}:{seconds:02d}")
        typing = self.notes.hasFocus() and view.case == before.case
        if (view.notes, view.case) != (before.notes, before.case) and not typing:
            self.notes.setPlainText(view.notes)
        for code, button in self.leave.items():
            button.setEnabled(not view.read_only)
            button.setProperty("chosen", view.exit == code)
            button.setStyleSheet(_CHOSEN if view.exit == code else BOX)
        self.leave["done"].setText(
            f"{'Save && next' if view.queued else 'Done'}\n{LEAVE['done'][1]}"
        )
        self.save_button.setEnabled(view.started)
        self.saved.say(view.saved, "warn" if view.problem else "good")
        self._filling = False

    def show_unfinished(
        self,
        drafts: Sequence[tuple[str, str]],
        queues: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Offer what was begun before.

        Parameters
        ----------
        drafts : sequence of (str, str)
            Words, and the SeriesInstanceUID.
        queues : sequence of (str, str)
            Words, and the name.
        """
        layout = self.unfinished.layout()
        assert layout is not None
        while layout.count():
            item = layout.takeAt(0)
            if item is not None and item.widget() is not None:
                item.widget().deleteLater()
        offered = [
            *((words, self.recover_wanted, uid) for words, uid in drafts),
            *((words, self.queue_wanted, name) for words, name in queues),
        ]
        for words, signal, what in offered:
            button = QPushButton(words)
            button.setStyleSheet(BOX)
            described(button, words, "Open its images, and go on where it ended")
            button.clicked.connect(partial(signal.emit, what))
            layout.addWidget(button)

    def _show_findings(self, findings: Sequence[Finding]) -> None:
        layout = self.findings.layout()
        assert layout is not None
        if [one.uid for one in findings] == self._found:
            return
        self._found = [one.uid for one in findings]
        while layout.count():
            item = layout.takeAt(0)
            if item is not None and item.widget() is not None:
                item.widget().deleteLater()
        for number, one in enumerate(findings, start=1):
            chip = QPushButton(f"missed {number}, image {round(one.index[0]) + 1}")
            chip.setStyleSheet(CHIP)
            menu = QMenu(chip)
            menu.setAccessibleName(f"Finding {number}")
            menu.addAction("Show").triggered.connect(partial(self.shown.emit, one.uid))
            take_back = menu.addAction("Take back")
            take_back.triggered.connect(partial(self.forgotten.emit, one.uid))
            chip.setMenu(menu)
            described(chip, f"Finding {number}", "A node that the reference lacks")
            layout.addWidget(chip)
        self.findings.setVisible(bool(findings))


_CHOSEN = BOX + "QPushButton { background: rgba(47,125,225,90); }"
