"""One slice in a small window of its own, with whom to credit for it."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QFont, QImage, QPainter, QPixmap
from qtpy.QtWidgets import QDialog, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_tcia._qt.style import CLINICAL, MARGIN, SPACING, Note, described
from napari_tcia.app import credit
from napari_tcia.app.preview import Preview

SIDE = 448
"""Longest side of the picture."""


class PreviewWindow(QDialog):
    """Shows a slice beside the work; Esc closes it and forgets the slice."""

    def __init__(self, preview: Preview, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("One slice, not kept")
        self.picture = QLabel()
        self.picture.setPixmap(_pixmap(preview))
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        described(self.picture, f"Slice: {preview.caption}", preview.caption)
        self.caption = QLabel(preview.caption)
        self.caption.setTextFormat(Qt.TextFormat.PlainText)
        self.attribution = Note(credit.overlay_text([preview.provenance]))
        self.attribution.setAccessibleName("Whom to credit")
        self.attribution.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
        )
        close = QPushButton("Close")
        described(close, "Close", "Close the slice (Esc)")
        close.clicked.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(SPACING)
        layout.addWidget(self.picture)
        layout.addWidget(self.caption)
        layout.addWidget(self.attribution)
        layout.addWidget(Note(CLINICAL, size=11))
        layout.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)


def grey(preview: Preview) -> np.ndarray:
    """Pixels of the slice in its window, (J, I) uint8."""
    level, width = preview.window
    low = level - width / 2
    shown = (preview.array.astype(np.float32) - low) * (255.0 / max(width, 1e-6))
    return np.clip(shown, 0, 255).astype(np.uint8)


def _pixmap(preview: Preview) -> QPixmap:
    pixels = np.ascontiguousarray(grey(preview))
    rows, columns = pixels.shape
    image = QImage(
        pixels.data, columns, rows, columns, QImage.Format.Format_Grayscale8
    ).copy()
    between_rows, between_columns = preview.spacing
    height, width = rows * between_rows, columns * between_columns
    scale = SIDE / max(height, width)
    pixmap = QPixmap.fromImage(image).scaled(
        max(1, round(width * scale)),
        max(1, round(height * scale)),
        Qt.AspectRatioMode.IgnoreAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
    _letter(pixmap, preview.letters)
    return pixmap


def _letter(pixmap: QPixmap, letters: tuple[str, str, str, str]) -> None:
    """Mark the sides of the patient."""
    painter = QPainter(pixmap)
    font = QFont()
    font.setBold(True)
    painter.setFont(font)
    high = painter.fontMetrics().height()
    wide, tall = pixmap.width(), pixmap.height()
    left, right, top, bottom = letters
    places = (
        (left, QPoint(6, tall // 2)),
        (right, QPoint(wide - high, tall // 2)),
        (top, QPoint(wide // 2, high)),
        (bottom, QPoint(wide // 2, tall - 6)),
    )
    for letter, place in places:
        painter.setPen(QColor("black"))
        painter.drawText(place + QPoint(1, 1), letter)
        painter.setPen(QColor("#f2d24b"))
        painter.drawText(place, letter)
    painter.end()
