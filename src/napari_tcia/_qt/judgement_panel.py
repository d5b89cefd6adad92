"""What a reader says of one node: a decision by one key, and why."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QFlowLayout

from napari_tcia._qt.style import CHIP, SPACING, Note, described
from napari_tcia.nodes.stations import STATIONS
from napari_tcia.review.state import CONFIDENCES, REASONS, Judgement

_MARKS = {"accept": "\u2713", "reject": "\u2717", "unsure": "?"}
_COLOURS = {"accept": "#1d7a46", "reject": "#b3261e", "unsure": "#8f5a00"}
DECIDE = {
    "accept": ("Accept", "F2", "A node, drawn well enough; goes to the next"),
    "reject": ("Reject", "F3", "No node, or not as it is drawn; goes to the next"),
    "unsure": ("Unsure", "F4", "Somebody else should look; goes to the next"),
}
COMMENT_KEY = "F5"
BOX = (
    "QPushButton { border: 1px solid rgba(128,128,128,150); border-radius: 4px;"
    " padding: 4px 2px; background: transparent; }"
    "QPushButton:hover, QPushButton:focus { border-color: #2f7de1; }"
    "QPushButton:disabled { color: rgba(128,128,128,160); }"
)
"""A button with an outline."""
_DECIDED = "QPushButton:checked {{ background: {}; color: white; }}"
_TOGGLE = (
    CHIP + "QPushButton:checked { background: rgba(47,125,225,170); color: white; }"
)


class JudgementPanel(QWidget):
    """Decision, reasons, comment, station and confidence of the node that is shown."""

    decided = Signal(str)
    """One of accept, reject, unsure."""
    said = Signal(str, object)
    """Field of the node's judgement, and its value."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._node, self._shown = "", Judgement()
        body = QVBoxLayout(self)
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(SPACING)
        self.node = Note(meaning="plain")
        body.addWidget(self.node)
        row = QHBoxLayout()
        row.setSpacing(SPACING)
        self.decide: dict[str, QPushButton] = {}
        for code, (title, key, tip) in DECIDE.items():
            button = QPushButton(f"{_MARKS[code]} {title}\n{key}")
            button.setCheckable(True)
            button.setMinimumHeight(44)
            narrow(button)
            described(button, title, f"{tip} ({key})")
            button.clicked.connect(partial(self.choose, code))
            self.decide[code] = button
            row.addWidget(button, 1)
        body.addLayout(row)
        self.reasons_row = QWidget()
        flow = QFlowLayout(self.reasons_row)
        flow.setContentsMargins(0, 0, 0, 0)
        self.reasons: dict[str, QPushButton] = {}
        for reason in REASONS:
            chip = QPushButton(reason)
            chip.setCheckable(True)
            chip.setStyleSheet(_TOGGLE)
            described(chip, f"Reason: {reason}", "Why it is not what it was said to be")
            chip.clicked.connect(self._reasons)
            self.reasons[reason] = chip
            flow.addWidget(chip)
        body.addWidget(self.reasons_row)
        self.comment = QLineEdit()
        self.comment.setPlaceholderText(f"Comment on this node ({COMMENT_KEY})")
        described(
            self.comment, "Comment on this node", f"({COMMENT_KEY}) Enter keeps it"
        )
        self.comment.returnPressed.connect(self.keep_typed)
        self.comment.editingFinished.connect(self.keep_typed)
        body.addWidget(self.comment)
        row = QHBoxLayout()
        self.station = _choice("Station", [("no station", "")])
        for one in STATIONS:
            self.station.addItem(one.title, one.name)
        self.station.activated.connect(
            lambda n: self.said.emit("station", self.station.itemData(n))
        )
        words = [(f"{c} confidence" if c else "confidence", c) for c in CONFIDENCES]
        self.confidence = _choice("Confidence", words)
        self.confidence.activated.connect(
            lambda n: self.said.emit("confidence", self.confidence.itemData(n))
        )
        row.addWidget(self.station, 1)
        row.addWidget(self.confidence)
        body.addLayout(row)

    def write_comment(self) -> None:
        """Put the cursor where a comment on the node is typed."""
        if self.comment.isEnabled():
            self.comment.setFocus(Qt.FocusReason.ShortcutFocusReason)
            self.comment.selectAll()

    def choose(self, code: str, _checked: bool = False) -> None:
        if self.decide[code].isEnabled():
            self.keep_typed()
            self.decided.emit(code)

    def keep_typed(self) -> None:
        """Hand over a comment that is typed and not confirmed yet."""
        text = self.comment.text().strip()
        if self.comment.isEnabled() and text != self._shown.comment:
            self.said.emit("comment", text)

    def _reasons(self) -> None:
        chosen = tuple(name for name, chip in self.reasons.items() if chip.isChecked())
        self.said.emit("reasons", chosen)

    def show_node(
        self, node: str, one: Judgement, *, enabled: bool, empty: str = ""
    ) -> None:
        """Show what is said of a node; what is being typed stays.

        Parameters
        ----------
        node : str
            Words for it; empty when none is chosen, then `empty` is said.
        one : Judgement
        enabled : bool
            Whether something may be said.
        """
        same = node == self._node and one.comment == self._shown.comment
        self._node, self._shown = node, one
        self.node.say(node or empty)
        for code, button in self.decide.items():
            button.setEnabled(enabled)
            button.setChecked(one.decision == code)
            button.setStyleSheet(BOX + _DECIDED.format(_COLOURS[code]))
        for name, chip in self.reasons.items():
            chip.setEnabled(enabled)
            chip.setChecked(name in one.reasons)
        for widget in (self.comment, self.station, self.confidence):
            widget.setEnabled(enabled)
        if not (same and self.comment.hasFocus()):
            self.comment.setText(one.comment)
        self.station.setCurrentIndex(max(0, self.station.findData(one.station)))
        at = self.confidence.findData(one.confidence)
        self.confidence.setCurrentIndex(max(0, at))


def narrow(widget: QWidget) -> None:
    """Let a row share its width evenly, however long the words are."""
    policy = QSizePolicy.Policy
    widget.setSizePolicy(policy.Ignored, policy.Preferred)


def _choice(name: str, entries: Iterable[tuple[str, str]]) -> QComboBox:
    box = QComboBox()
    box.setMinimumContentsLength(8)
    adjust = QComboBox.SizeAdjustPolicy
    box.setSizeAdjustPolicy(adjust.AdjustToMinimumContentsLengthWithIcon)
    for words, value in entries:
        box.addItem(words, value)
    described(box, name)
    box.view().setAccessibleName(name)
    return box
