"""Nodes of a case by its segmentation alone, in a small window of their own."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDialog, QPushButton, QVBoxLayout, QWidget

from napari_tcia._qt.node_table import NodeTable
from napari_tcia._qt.style import CLINICAL, MARGIN, SPACING, Note, described
from napari_tcia.app import credit
from napari_tcia.app.nodes_only import NodesOnly
from napari_tcia.core.colours import colour_of

UNKNOWN = -1
"""k of a node whose image number only the images tell."""


class NodesWindow(QDialog):
    """Lists nodes beside the work; a click asks for the slices of one."""

    chosen = Signal(str, int)
    """PatientID, and the number of the node."""

    def __init__(self, found: NodesOnly, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"Nodes of {found.name}, without its images")
        self.table = NodeTable()
        rows = [replace(row, k=UNKNOWN) for row in found.nodes]
        colours = [colour_of(row.label or 1) for row in rows]
        self.table.show_nodes(found.name, rows, colours, found.checks)
        for part in ("previous", "next", "alone", "blink"):
            button = self.table.tools.findChild(QPushButton, part)
            if button is not None:  # there is no picture that they would act on
                button.hide()
        self.table.station.hide()
        self.table.hint.say(
            "Click a node, or press Enter, to fetch and open only the CT slices that "
            "hold it."
        )
        self.table.chosen.connect(lambda row: self.chosen.emit(found.name, row.id))
        self.attribution = Note(credit.overlay_text(found.provenances))
        self.attribution.setAccessibleName("Whom to credit")
        close = QPushButton("Close")
        described(close, "Close", "Close the list (Esc)")
        close.setAutoDefault(False)  # Enter is for the table
        close.clicked.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(SPACING)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.attribution)
        layout.addWidget(Note(CLINICAL, size=11))
        layout.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)
        self.resize(460, 480)
