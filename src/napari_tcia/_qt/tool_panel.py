"""Tools for a hand that draws nodes, in millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_tcia._qt.style import ACCENT, SPACING, Note, described

MODES = {
    "look": ("Look", "Move and choose; nothing is drawn"),
    "grow": ("Grow", "Click in a node: it is grown in 3D and shown; click it again, or "
             "press Enter, to keep it"),
    "disc": ("Disc", "Paint in the slice, in mm"),
    "ball": ("Ball", "Paint in 3D, in mm"),
    "range": ("HU brush", "Paint in 3D, only where the value is in the range"),
    "erase": ("Erase", "Take away from the chosen node, in the slice"),
    "split": ("Split", "Click once in each of two parts of the chosen node"),
    "merge": ("Merge", "Click another node: it becomes part of the chosen one"),
}  # fmt: skip
ACTIONS = {
    "new": ("New", "Draw the next under a number that no node has or had"),
    "interpolate": ("Between", "Fill the slices between those that are drawn"),
    "smooth": ("Smooth", "Smoother, with the same volume"),
    "holes": ("Holes", "Fill what the node encloses"),
    "largest": ("Crumbs", "Take away all but its largest piece"),
    "axes": ("Axes", "Draw the long and short axis by hand"),
    "delete": ("Delete", "Take the node away; undo brings it back"),
}
HU = (-20.0, 130.0)
"""Range that is painted in where none was given."""
METHODS = (
    ("region", "connected"),
    ("watershed", "watershed"),
    ("walker", "random walker"),
)


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """What the tools are set to: mm, HU, and how a node grows."""

    radius_mm: float = 15.0
    brush_mm: float = 3.0
    hu: tuple[float, float] | None = None
    method: str = "region"


class ToolPanel(QWidget):
    """Modes, actions, undo, and what they are set to."""

    mode_changed = Signal(str)
    asked = Signal(str)
    """One of `ACTIONS`, or keep, discard, undo, redo."""
    changed = Signal(object)
    """`ToolSettings`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.modes: dict[str, QPushButton] = {}
        self.actions_: dict[str, QPushButton] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING // 2)
        grid = QGridLayout()
        grid.setSpacing(SPACING // 2)
        self._group = QButtonGroup(self)
        for n, (code, (title, tip)) in enumerate(MODES.items()):
            button = QPushButton(title)
            button.setCheckable(True)
            button.setStyleSheet(_MODE)
            described(button, title, tip)
            button.clicked.connect(partial(self.mode_changed.emit, code))
            self._group.addButton(button)
            _narrow(button)
            self.modes[code] = button
            grid.addWidget(button, n // 4, n % 4)
        layout.addLayout(grid)
        layout.addLayout(self._settings())
        self.hint = Note(size=11)
        layout.addWidget(self.hint)
        self.pending = QWidget()
        row = QHBoxLayout(self.pending)
        row.setContentsMargins(0, 0, 0, 0)
        for code, title, tip in (
            ("keep", "Keep  Enter", "Make what was grown part of the node (Enter)"),
            ("discard", "Discard  Esc", "Leave it (Esc)"),
        ):
            self.actions_[code] = self._action(row, code, title, tip)
        layout.addWidget(self.pending)
        grid = QGridLayout()
        grid.setSpacing(SPACING // 2)
        more = {
            **ACTIONS,
            "undo": ("Undo", "The last step, whatever it was (Ctrl + Z)"),
            "redo": ("Redo", "What was undone (Ctrl + Shift + Z)"),
        }
        for n, (code, (title, tip)) in enumerate(more.items()):
            row = QHBoxLayout()
            self.actions_[code] = self._action(row, code, title, tip)
            grid.addLayout(row, n // 5, n % 5)
        layout.addLayout(grid)
        self.show_pending(False)
        self.show_mode("look")

    def _settings(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.radius = QSpinBox()
        self.radius.setRange(3, 60)
        self.radius.setValue(15)
        self.radius.setSuffix(" mm")
        self.radius.setPrefix("grow ")
        described(
            self.radius, "Growing radius", "How far from the click a node may grow"
        )
        self.brush = QDoubleSpinBox()
        self.brush.setRange(0.5, 40)
        self.brush.setDecimals(1)
        self.brush.setSingleStep(0.5)
        self.brush.setValue(3)
        self.brush.setSuffix(" mm")
        described(self.brush, "Brush radius", "Radius of the brush in mm")
        self.low, self.high = QSpinBox(), QSpinBox()
        for box, name, value in ((self.low, "from", HU[0]), (self.high, "to", HU[1])):
            box.setRange(-1024, 3071)
            box.setValue(round(value))
            described(box, f"HU {name}", "Range that is grown into and painted")
            box.setEnabled(False)
        self.own_range = QPushButton("HU")
        self.own_range.setCheckable(True)
        self.own_range.setStyleSheet(_MODE)
        described(
            self.own_range,
            "Own HU range",
            "Give the range by hand; otherwise it comes from where you click",
        )
        self.own_range.toggled.connect(self._range)
        self.method = QComboBox()
        for code, title in METHODS:
            self.method.addItem(title, code)
        described(self.method, "How a node grows")
        self.method.view().setAccessibleName("How a node grows")
        left = QVBoxLayout()
        first, second = QHBoxLayout(), QHBoxLayout()
        for widget in (self.radius, self.method):
            first.addWidget(widget, 1)
        for widget, share in (
            (self.brush, 4),
            (self.own_range, 2),
            (self.low, 3),
            (self.high, 3),
        ):
            second.addWidget(widget, share)
        left.addLayout(first)
        left.addLayout(second)
        row.addLayout(left)
        for widget in (self.radius, self.brush, self.low, self.high, self.method):
            _narrow(widget)
        for widget in (self.radius, self.brush, self.low, self.high):
            widget.valueChanged.connect(self._changed)
        self.method.currentIndexChanged.connect(self._changed)
        return row

    def _action(self, row: QHBoxLayout, code: str, title: str, tip: str) -> QPushButton:
        button = QPushButton(title)
        button.setStyleSheet(_SMALL)
        _narrow(button)
        described(button, title.split("  ")[0], tip)
        button.clicked.connect(partial(self.asked.emit, code))
        row.addWidget(button)
        return button

    @property
    def settings(self) -> ToolSettings:
        """What is set."""
        own = self.own_range.isChecked()
        low, high = sorted((self.low.value(), self.high.value()))
        return ToolSettings(
            radius_mm=float(self.radius.value()),
            brush_mm=float(self.brush.value()),
            hu=(float(low), float(high)) if own else None,
            method=str(self.method.currentData()),
        )

    def show_mode(self, mode: str) -> None:
        """Mark the tool that is in hand."""
        if mode in self.modes:
            self.modes[mode].setChecked(True)
        self.hint.say(MODES[mode][1] if mode in MODES else "")

    def show_pending(self, pending: bool, words: str = "") -> None:
        """Whether something was grown and waits to be kept, and what it is."""
        self.pending.setVisible(pending)
        if words:
            self.hint.say(words)

    def _range(self, own: bool) -> None:
        self.low.setEnabled(own)
        self.high.setEnabled(own)
        self._changed()

    def _changed(self, _: object = None) -> None:
        self.changed.emit(self.settings)


def _narrow(widget: QWidget) -> None:
    policy = QSizePolicy.Policy
    widget.setSizePolicy(policy.Ignored, policy.Preferred)


_SMALL = (
    "QPushButton { border: 1px solid rgba(128,128,128,120); border-radius: 4px;"
    " padding: 3px 4px; background: transparent; }"
    f"QPushButton:hover, QPushButton:focus {{ border-color: {ACCENT}; }}"
    "QPushButton:disabled { color: rgba(128,128,128,160); }"
)
_MODE = _SMALL + f"QPushButton:checked {{ background: {ACCENT}; color: white; }}"
