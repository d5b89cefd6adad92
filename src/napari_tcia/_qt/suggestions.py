"""The one box, and what it may mean while somebody types."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QModelIndex, QPoint, QRect, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QFontMetrics, QKeyEvent, QPainter, QPalette
from qtpy.QtWidgets import (
    QFrame,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from napari_tcia._qt.style import colour, described

_DETAIL = Qt.ItemDataRole.UserRole
PAUSE_MS = 30
"""Quiet time after a key before suggestions are looked up."""
_PADDING = 6


class SearchBox(QLineEdit):
    """Understands what is typed or pasted, and proposes what may be meant.

    Keys: Down and Up choose among the suggestions, Enter takes one or searches
    for what is written, Esc puts them away.
    """

    typed = Signal(str)
    """The text has changed by hand, and there was a pause."""
    wanted = Signal()
    """Search for what is in the box."""

    def __init__(self, place: QWidget) -> None:
        super().__init__()
        self.setPlaceholderText("Collection, patient, UID, DOI, manifest or folder")
        self.setClearButtonEnabled(True)
        described(
            self,
            "Search The Cancer Imaging Archive",
            "Type or paste a collection, patient ID, series or study UID, DOI, or "
            "the path of a manifest or folder. Down shows what may be meant, Enter "
            "searches",
        )
        self.suggestions = Suggestions(place)
        self.suggestions.itemClicked.connect(lambda _: self._take())
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(lambda: self.typed.emit(self.text().strip()))
        self.textEdited.connect(lambda _: self._pause.start())
        self.returnPressed.connect(self._take)

    def suggest(self, recognised: str, found: Sequence[tuple[str, str]]) -> None:
        """Show suggestions, each a text and what it is.

        Parameters
        ----------
        recognised : str
            What the text as it stands is taken for.
        """
        if not self.hasFocus() or not self.text().strip():
            self.suggestions.hide()
            return
        self.suggestions.fill(self.text().strip(), recognised, found)
        corner = self.mapTo(self.suggestions.parentWidget(), QPoint(0, self.height()))
        place = self.suggestions.parentWidget().width()
        self.suggestions.show_at(corner, place - 2 * corner.x())
        self._say_current()

    def put_away(self) -> None:
        """Hide the suggestions; those under way do not come."""
        self._pause.stop()
        self.suggestions.hide()
        self.setAccessibleDescription("")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Choose among the suggestions."""
        shown = not self.suggestions.isHidden()
        key = event.key()
        if key == Qt.Key.Key_Down and not shown and self.text().strip():
            self.typed.emit(self.text().strip())
        elif shown and key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            self.suggestions.move_by(1 if key == Qt.Key.Key_Down else -1)
            self._say_current()
        elif shown and key == Qt.Key.Key_Escape:
            self.put_away()
        else:
            super().keyPressEvent(event)
            return
        event.accept()

    def focusOutEvent(self, event: QEvent) -> None:
        """What may be meant matters only while somebody writes."""
        super().focusOutEvent(event)
        self.put_away()

    def _take(self) -> None:
        chosen = "" if self.suggestions.isHidden() else self.suggestions.chosen()
        if chosen:
            self.setText(chosen)
        self.put_away()
        self.wanted.emit()

    def _say_current(self) -> None:
        item = self.suggestions.currentItem()
        words = f"{item.text()}, {item.data(_DETAIL)}" if item is not None else ""
        self.setAccessibleDescription(words)


class Suggestions(QListWidget):
    """A list that hangs below the box; the keyboard stays in the box."""

    def __init__(self, place: QWidget) -> None:
        super().__init__(place)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMouseTracking(True)
        self.setItemDelegate(_Line(self))
        self.setUniformItemSizes(True)
        described(self, "Suggestions", "")
        self.setToolTip("")
        self.hide()

    def fill(
        self, text: str, recognised: str, found: Sequence[tuple[str, str]]
    ) -> None:
        """The text itself first, with what it is taken for; then `found`."""
        self.clear()
        self._add(text, recognised or "search for these words")
        for one, detail in found:
            if one.casefold() != text.casefold():
                self._add(one, detail)
        self.setCurrentRow(0)

    def show_at(self, corner: QPoint, width: int) -> None:
        """Appear with all lines that fit."""
        height = self.count() * self.sizeHintForRow(0) + 2 * self.frameWidth()
        room = self.parentWidget().height() - corner.y()
        self.setGeometry(QRect(corner, QSize(width, min(height, room))))
        self.raise_()
        self.show()

    def move_by(self, step: int) -> None:
        """Go to the next line, round the ends."""
        self.setCurrentRow((self.currentRow() + step) % max(1, self.count()))

    def chosen(self) -> str:
        """Text of the current line."""
        item = self.currentItem()
        return item.text() if item is not None else ""

    def _add(self, text: str, detail: str) -> None:
        item = QListWidgetItem(text, self)
        item.setData(_DETAIL, detail)
        item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{text}, {detail}")
        item.setToolTip(f"{text}\n{detail}")


class _Line(QStyledItemDelegate):
    """The text, and what it is at the right in a quieter colour."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        return QSize(0, option.fontMetrics.height() + 2 * _PADDING)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        self.initStyleOption(option, index)
        text, detail = option.text, str(index.data(_DETAIL) or "")
        option.text = ""
        view = option.widget
        view.style().drawControl(
            QStyle.ControlElement.CE_ItemViewItem, option, painter, view
        )
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        roles = QPalette.ColorRole
        ink = option.palette.color(roles.HighlightedText if chosen else roles.Text)
        metrics: QFontMetrics = option.fontMetrics
        area = option.rect.adjusted(_PADDING, 0, -_PADDING, 0)
        # The detail may take what the text leaves, and at least half.
        short = min(metrics.horizontalAdvance(text), area.width() // 2)
        room = area.width() - short - 2 * _PADDING
        wide = min(metrics.horizontalAdvance(detail), room)
        left = area.adjusted(0, 0, -wide - _PADDING, 0)
        right = area.adjusted(area.width() - wide, 0, 0, 0)
        elide, centre = Qt.TextElideMode.ElideRight, Qt.AlignmentFlag.AlignVCenter
        painter.save()
        painter.setPen(ink)
        painter.drawText(left, centre, metrics.elidedText(text, elide, left.width()))
        painter.setPen(ink if chosen else QColor(colour(view, "muted")))
        painter.drawText(
            right,
            centre | Qt.AlignmentFlag.AlignRight,
            metrics.elidedText(detail, elide, right.width()),
        )
        painter.restore()
