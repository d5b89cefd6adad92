"""The citation panel of one viewer: filled from its layers, and brought back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, QTimer

from napari_tcia._napari import agreeing, derived
from napari_tcia._napari.window import dock_of, is_closed, is_tabbed
from napari_tcia._qt.citation_panel import DerivedLayer
from napari_tcia.app import credit
from napari_tcia.core.model import Citation
from napari_tcia.core.task import Done, Failed, Outcome
from napari_tcia.errors import TciaError

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

CITATIONS = "Citations (napari-tcia)"
"""Name of the dock: the one that napari's own menu gives the widget."""


class CitationKeeper(QObject):
    """Keeps the panel of a session in sight while there is something to credit."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self.panel: Any = None
        self._dock: Any = None
        self._newer: dict[str, Citation] = {}
        self.guard = self._soon(self.ensure)
        self._fit = self._soon(self._fit_panel)
        self._settle = self._soon(self._untab)

    def _soon(self, then: Any) -> QTimer:
        """A timer that calls `then` in the next turn of the event loop."""
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(0)
        timer.timeout.connect(then)
        return timer

    def adopt(self, panel: Any) -> None:
        """Take a citation panel that napari's menu made as the one panel."""
        self.panel = panel
        panel.hidden.connect(self.guard.start)
        panel.height_changed.connect(self._fit.start)
        panel.terms_requested.connect(partial(agreeing.read, self._session))
        panel.derived_answered.connect(self._answer)
        panel.details.refresh_requested.connect(self.refresh)
        self._settle.start()
        self.fill()

    def fill(self) -> None:
        """Show the credit of the layers present."""
        viewer = self._session.viewer
        if self.panel is None or viewer is None:
            return
        provenances = self._session.provenances()
        adapted = derived.adapted(viewer.layers)
        self.panel.show_datasets(
            credit.dataset_lines(provenances, self._newer),
            credit.terms_sentence(provenances, adapted),
            credit.sections(provenances, adapted, self._newer),
            [
                DerivedLayer(id(layer), layer.name, derived.is_counted(layer))
                for layer in viewer.layers
                if derived.is_answered(layer)
            ],
        )

    def _answer(self, key: int, counted: bool) -> None:
        viewer = self._session.viewer
        for layer in viewer.layers if viewer is not None else ():
            if id(layer) == key:
                derived.answer(layer, counted)
        # Later: the button that was pressed goes away with the old line.
        QTimer.singleShot(0, self._session.refresh)

    def refresh(self) -> None:
        """Ask DataCite beside the window; say what differs, or that it failed."""
        note = self.panel.details.note
        try:
            services = self._session.services
        except TciaError as error:
            note.say(str(error), "bad")
            return
        note.say("Asking DataCite…", "muted")
        self.panel.details.refresh_button.setEnabled(False)
        self._session.runner.submit(
            "citations",
            credit.refresh,
            services,
            self.panel.citations,
            on_done=self._refreshed,
        )

    def _refreshed(self, outcome: Outcome) -> None:
        if dock_of(self.panel) is None:
            return
        details = self.panel.details
        details.refresh_button.setEnabled(True)
        if isinstance(outcome, Done):
            self._newer |= outcome.value.citations
            self.fill()
            failed = len(outcome.value.citations) < len(outcome.value.sentences)
            details.note.say(
                " ".join(outcome.value.sentences), "warn" if failed else "good"
            )
        elif isinstance(outcome, Failed):
            details.note.say(f"{outcome.error} The citations kept here stay.", "warn")
        else:
            details.note.say("")

    def ensure(self) -> None:
        """Dock the panel, or bring it back, while there is something to credit."""
        viewer = self._session.viewer
        if viewer is None or not hasattr(viewer, "window") or is_closed(viewer):
            return
        if self._session.provenances():
            self.dock()

    def dock(self) -> None:
        """Dock the panel, or bring it back, data or none."""
        viewer = self._session.viewer
        docked = dock_of(self.panel)
        if docked is None:
            if self.panel is None:
                from napari_tcia._napari.widgets import CitationDock

                CitationDock(viewer)  # adopts itself
            viewer.window.add_dock_widget(self.panel, name=CITATIONS, area="bottom")
            self.panel.show()
            self._fit.start()
        elif docked.isHidden():
            docked.show()
        elif docked.visibleRegion().isEmpty():
            self._untab()
        if self.panel.isHidden():  # what the dock holds, hidden by a script
            self.panel.show()
        docked = dock_of(self.panel)
        if docked is not self._dock:
            self._dock = docked
            docked.visibilityChanged.connect(lambda _: self.guard.start())

    def _untab(self) -> None:
        """Move a panel that shares its place, as ``napari -w`` puts it, below.

        Behind another tab it would be open, and seen by nobody.
        """
        docked = dock_of(self.panel)
        if docked is not None and is_tabbed(docked):
            docked.window().addDockWidget(
                Qt.DockWidgetArea.BottomDockWidgetArea, docked
            )
            self._fit.start()

    def _fit_panel(self) -> None:
        """Give the docked panel the height of its lines; a docked widget keeps its."""
        dock = dock_of(self.panel)
        if dock is None or dock.isFloating():
            return
        height = self.panel.sizeHint().height()
        dock.window().resizeDocks([dock], [height], Qt.Orientation.Vertical)
