"""Colours with a meaning, spacing, and small builders; light and dark by palette."""

from __future__ import annotations

import html
from collections.abc import Iterable
from functools import lru_cache

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPalette, QPixmap
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QWidget

MARGIN = 10
SPACING = 8
ACCENT = "#2f7de1"
"""The one thing to do next."""
_DARK = {
    "plain": "#f0f1f2",
    "link": "#7fb2ff",
    "muted": "#9aa3af",
    "good": "#5fc98b",
    "warn": "#f2b84b",
    "bad": "#ff8a7a",
}
_LIGHT = {
    "plain": "#1d2025",
    "link": "#1a56b0",
    "muted": "#5f6773",
    "good": "#1d7a46",
    "warn": "#8f5a00",
    "bad": "#b3261e",
}
CHIP = (
    "QPushButton { border: 1px solid rgba(128,128,128,150); border-radius: 10px;"
    " padding: 2px 9px; background: rgba(47,125,225,40); }"
    f"QPushButton:hover, QPushButton:focus {{ border-color: {ACCENT}; }}"
)
"""A filter that is on; a click removes it."""
QUIET = (
    "QPushButton { border: 1px solid transparent; border-radius: 4px;"
    " padding: 2px 8px; background: transparent; }"
    "QPushButton:hover { border-color: rgba(128,128,128,150); }"
    f"QPushButton:focus {{ border-color: {ACCENT}; }}"
    "QPushButton:disabled { color: rgba(128,128,128,160); }"
    "QPushButton::menu-indicator { width: 0; image: none; }"
)
"""A thing that may be done, not the next one."""
DOT = 9
"""Size of the dot of a source."""
SOURCES = {
    "nbia": ("NBIA", "#2f7de1"),
    "idc": ("IDC", "#1f9e89"),
    "catalogue": ("Catalogue", "#8d939c"),
    "folder": ("Your folder", "#d08a1e"),
}
"""Who lists a series: its name and its dot."""
CLINICAL = "Research and teaching only, not for clinical use."


def is_dark(widget: QWidget) -> bool:
    """Whether `widget` shows light text on a dark ground."""
    widget.ensurePolished()
    palette = widget.palette()
    return bool(palette.color(QPalette.ColorRole.WindowText).lightness() > 127)


def colour(widget: QWidget, meaning: str) -> str:
    """Colour of "plain", "muted", "good", "warn" or "bad" on the ground of `widget`."""
    return (_DARK if is_dark(widget) else _LIGHT)[meaning]


class Note(QLabel):
    """A line of plain text in a colour with meaning; follows the theme.

    Plain, because what it shows may come from outside.
    """

    def __init__(self, text: str = "", meaning: str = "muted", size: int = 0) -> None:
        super().__init__(text)
        self._size = size
        self._meaning = ""
        self._applied = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self.set_meaning(meaning)

    def set_meaning(self, meaning: str) -> None:
        """Change the colour."""
        self._meaning = meaning
        self._recolour()

    def say(self, text: str, meaning: str | None = None) -> None:
        """Show `text`; an empty one hides the line."""
        self.setText(text)
        self.setVisible(bool(text))
        if meaning is not None:
            self.set_meaning(meaning)

    def showEvent(self, event: object) -> None:
        """Take the colours of the window it has been put into."""
        super().showEvent(event)
        self._recolour()

    def _recolour(self) -> None:
        size = f"font-size: {self._size}px;" if self._size else ""
        sheet = (
            f"QLabel {{ color: {colour(self.parentWidget() or self, self._meaning)};"
            f" background: transparent; {size} }}"
        )
        if sheet != self._applied:
            self._applied = sheet
            self.setStyleSheet(sheet)


class Link(QLabel):
    """An address to click; anything but http(s) is shown as text only."""

    def __init__(self, url: str, text: str = "") -> None:
        super().__init__()
        self._url, self._words = url, text or url
        self.setWordWrap(not text)
        self.setOpenExternalLinks(True)
        self._fill()

    def showEvent(self, event: object) -> None:
        """Take the colours of the window it has been put into."""
        super().showEvent(event)
        self._fill()

    def _fill(self) -> None:
        if not self._url.startswith(("https://", "http://")):
            self.setTextFormat(Qt.TextFormat.PlainText)
            self.setText(self._words)
            return
        url, words = html.escape(self._url, quote=True), html.escape(self._words)
        tint = colour(self, "link")
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setText(f'<a href="{url}" style="color: {tint}">{words}</a>')
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)


def primary(button: QPushButton) -> QPushButton:
    """Give `button` the accent: one per window."""
    button.setStyleSheet(
        f"QPushButton {{ background: {ACCENT}; color: white; font-weight: 600;"
        " padding: 6px 18px; border: none; border-radius: 4px; }"
        f"QPushButton:hover {{ background: {QColor(ACCENT).lighter(112).name()}; }}"
        f"QPushButton:pressed {{ background: {QColor(ACCENT).darker(115).name()}; }}"
        "QPushButton:focus { border: 2px solid white; padding: 4px 16px; }"
        "QPushButton:disabled { background: rgba(128,128,128,70);"
        " color: rgba(128,128,128,220); }"
    )
    button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    return button


def secondary(button: QPushButton) -> QPushButton:
    """Let `button` stand close beside the primary one, for what else there is."""
    button.setStyleSheet(
        "QPushButton { border: 1px solid rgba(128,128,128,150); border-radius: 4px;"
        " padding: 5px 9px; background: transparent; }"
        f"QPushButton:hover, QPushButton:focus {{ border-color: {ACCENT}; }}"
        "QPushButton:disabled { color: rgba(128,128,128,160); }"
        "QPushButton::menu-indicator { width: 0; image: none; }"
    )
    button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    return button


def fill_height(widget: QWidget) -> None:
    """Let `widget` have all of its dock: napari then adds no blank below it."""
    policy = QSizePolicy.Policy
    widget.setSizePolicy(policy.Preferred, policy.Expanding)


def described(widget: QWidget, name: str, tip: str = "") -> QWidget:
    """Name a control for screen readers and explain it in a tooltip."""
    widget.setAccessibleName(name)
    widget.setToolTip(tip or name)
    return widget


@lru_cache(maxsize=64)
def source_dots(sources: tuple[str, ...]) -> QIcon:
    """A dot for each source, two at most, in the order of `SOURCES`."""
    names = [name for name in SOURCES if name in sources][:2]
    pixmap = QPixmap(QSize(2 * DOT, DOT) * 2)
    pixmap.setDevicePixelRatio(2)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    for place, name in enumerate(names):
        painter.setBrush(QColor(SOURCES[name][1]))
        painter.drawEllipse(place * DOT, 1, DOT - 2, DOT - 2)
    painter.end()
    return QIcon(pixmap)


def source_words(sources: Iterable[str]) -> str:
    """Names of the sources: "NBIA, Catalogue"."""
    wanted = set(sources)
    known = [name for code, (name, _) in SOURCES.items() if code in wanted]
    return ", ".join([*known, *sorted(wanted - SOURCES.keys())])


def swatch(colour_name: str, size: int = 12) -> QIcon:
    """A filled disc, as the mark of a layer colour in a table."""
    pixmap = QPixmap(QSize(size, size))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(QColor(colour_name))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.drawEllipse(1, 1, size - 2, size - 2)
    painter.end()
    return QIcon(pixmap)
