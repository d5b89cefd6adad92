"""One session per viewer: credit that follows the layers, and the view they need."""

from __future__ import annotations

import contextlib
import textwrap
import weakref
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Layer
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QObject, Qt, QTimer, Signal

from napari_tcia._napari import layers as case_layers
from napari_tcia._napari import view
from napari_tcia._napari.tasks import TaskRunner
from napari_tcia._napari.window import dock_of, is_closed, is_tabbed
from napari_tcia.app import agree, credit, state
from napari_tcia.app.case import Case, open_case
from napari_tcia.app.services import Services
from napari_tcia.core.geometry import Affine
from napari_tcia.core.model import Issue, Provenance, Terms
from napari_tcia.core.task import Done, Failed, Outcome
from napari_tcia.errors import TciaError

CITATIONS = "Citations (napari-tcia)"
"""Name of the dock: the one that napari's own menu gives the widget."""
_SESSIONS: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


def session_for(viewer: Any) -> Session:
    """Session of `viewer`, which may be a proxy or a bare model."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    session = _SESSIONS.get(viewer)
    if session is None:
        session = _SESSIONS[viewer] = Session(viewer)
    return session


def services_of(viewer: Any | None = None) -> Services:
    """Rooms of the session of `viewer`, by default of napari's current viewer."""
    import napari

    viewer = viewer if viewer is not None else napari.current_viewer()
    return Services.open() if viewer is None else session_for(viewer).services


class Session(QObject):
    """What napari-tcia keeps beside one viewer.

    Citations, nodes and the world are derived from the metadata of the
    layers present; there is no second list of any of them.
    """

    layers_changed = Signal()
    """Layers of ours came or went."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self._services: Services | None = None
        self._panel: Any = None
        self._dock: Any = None
        self._pending: list[Case | case_layers.LayerTuple] = []
        self.dialog: Any = None
        self.runner = TaskRunner(self)
        self._guard = QTimer(self)
        self._guard.setSingleShot(True)
        self._guard.setInterval(0)
        self._guard.timeout.connect(self.ensure_panel)
        self._fit = QTimer(self)
        self._fit.setSingleShot(True)
        self._fit.setInterval(0)
        self._fit.timeout.connect(self._fit_panel)
        self._queue = QTimer(self)
        self._queue.setSingleShot(True)
        self._queue.setInterval(0)
        self._queue.timeout.connect(self._add_next)
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._removed)
        viewer.dims.events.order.connect(self._reorient)
        viewer.dims.events.ndisplay.connect(self._reorient)
        viewer.dims.events.point.connect(self._position)
        viewer.layers.selection.events.active.connect(self._reorient)
        for layer in viewer.layers:
            self._dress(layer)
        self._refresh()

    # what is open

    @property
    def viewer(self) -> Any:
        """The viewer, None once it is gone."""
        return self._viewer()

    @property
    def services(self) -> Services:
        """The rooms, opened at first use."""
        if self._services is None:
            self._services = Services.open()
        return self._services

    @services.setter
    def services(self, services: Services) -> None:
        self._services = services

    def ours(self, role: str = "") -> list[Layer]:
        """Layers with our metadata, of one role or of any."""
        viewer = self.viewer
        return [
            layer
            for layer in (viewer.layers if viewer is not None else ())
            if (found := case_layers.metadata_of(layer)) is not None
            and role in ("", found.get("role"))
        ]

    def provenances(self) -> tuple[Provenance, ...]:
        """Where the layers present come from, without repetition."""
        found = [
            Provenance.from_dict(case_layers.metadata_of(layer) or {})
            for layer in self.ours()
        ]
        return tuple(dict.fromkeys(found))

    def image(self) -> Layer | None:
        """The image of the active layer's case, else the newest one."""
        images = self.ours("image")
        viewer = self.viewer
        active = viewer.layers.selection.active if viewer is not None else None
        if active in images:
            return active
        same = self.of_volume(active, images)
        return same[0] if same else images[-1] if images else None

    def of_volume(self, layer: Layer | None, among: Iterable[Layer]) -> list[Layer]:
        """Those of `among` that belong to the volume of `layer`; names may repeat."""
        ours = case_layers.metadata_of(layer) if layer is not None else None
        if ours is None:
            return []
        return [
            other
            for other in among
            if (case_layers.metadata_of(other) or {}).get("volume") == ours["volume"]
        ]

    # opening

    def open(self, path: Path) -> None:
        """Read a folder or file beside the window, then add its layers."""
        try:
            services = self.services
        except TciaError as error:
            show_error(str(error))
            return
        self.runner.submit("open", open_case, services, path, on_done=self._opened)

    def _opened(self, outcome: Outcome) -> None:
        if isinstance(outcome, Done):
            self.add_cases(outcome.value)
            self.tell(state.doubts(outcome.value))
        elif isinstance(outcome, Failed):
            show_error(str(outcome.error))

    def add_cases(self, cases: Sequence[Case]) -> None:
        """Add the layers of `cases`, one per turn of the event loop."""
        self._pending += cases
        self._queue.start()

    @property
    def adding(self) -> bool:
        """Whether layers of a case are still to be added."""
        return bool(self._pending)

    def _add_next(self) -> None:
        viewer = self.viewer
        if viewer is None or is_closed(viewer):
            self._pending.clear()
        if not self._pending:
            return
        first = self._pending.pop(0)
        if isinstance(first, Case):
            # Only now: the case before it may have set the world of its frame.
            reference, issues = case_layers.reference_for(
                viewer.layers, first.volume.provenance
            )
            self._pending[:0] = case_layers.layer_data(first, reference)
            if issues:
                self._step_aside(issues)
            layer = case_layers.add_layer(viewer, self._pending.pop(0))
            if issues:
                viewer.fit_to_view(layers=[layer])
        else:
            case_layers.add_layer(viewer, first)
        if self._pending:
            self._queue.start()
        else:  # the image takes the controls and the value under the cursor
            viewer.layers.selection.active = self.ours("image")[-1]

    def _step_aside(self, issues: Iterable[Issue]) -> None:
        """Hide what is open: pictures of different frames do not go together."""
        for layer in self.ours():
            layer.visible = False
        self.tell(f"{issue.message} What was open is hidden." for issue in issues)

    def tell(self, sentences: Iterable[str]) -> None:
        """Show doubts as one notification."""
        if text := "\n".join(sentences):
            show_warning(text)

    # layers come and go

    def _inserted(self, event: Any) -> None:
        self._dress(event.value)
        if case_layers.metadata_of(event.value) is None and self.ours("image"):
            view.show_own_slice(event.value)
        self._refresh()

    def _removed(self, event: Any) -> None:
        with contextlib.suppress(AttributeError, RuntimeError, TypeError):
            event.value.events.contrast_limits.disconnect(self._position)
        self._refresh()

    def _dress(self, layer: Layer) -> None:
        ours = case_layers.metadata_of(layer)
        viewer = self.viewer
        if ours is None or viewer is None:
            return
        case_layers.dress(layer, viewer.layers)
        if ours.get("role") == "image":
            layer.events.contrast_limits.connect(self._position)
            view.prepare(viewer)
            others = (case_layers.metadata_of(o) for o in self.ours() if o is not layer)
            if ours not in others:  # a duplicate leaves the view where it is
                world = layer.data_to_world(ours["first_index"])
                viewer.dims.set_point(range(3), tuple(world))

    def _refresh(self) -> None:
        viewer = self.viewer
        if viewer is None:
            return
        provenances = self.provenances()
        text = credit.overlay_text(provenances) if provenances else ""
        # The canvas does not wrap, and the letters stand in its middle.
        text = "\n".join(
            textwrap.fill(line, 34, break_long_words=False, break_on_hyphens=False)
            for line in text.splitlines()
        )
        view.set_text(viewer, view.PREFIX, text, "bottom_left", font_size=7, box=True)
        self._reorient()
        if self._panel is not None:
            self._fill_panel()
        if hasattr(viewer, "window"):
            self._guard.start()
        self.layers_changed.emit()

    def _world(self) -> Affine | None:
        layer = self.image()
        if layer is None:
            return None
        ours = case_layers.metadata_of(layer) or {}
        return np.asarray(ours["reference"], dtype=np.float64)

    def _reorient(self, event: Any = None) -> None:
        if self.viewer is not None:
            view.orient(self.viewer, self._world())
            self._position()

    def _position(self, event: Any = None) -> None:
        viewer, layer = self.viewer, self.image()
        if viewer is None:
            return
        text = ""
        world = self._world()
        if layer is not None and world is not None:
            ours = case_layers.metadata_of(layer) or {}
            own = np.asarray(ours["affine"], dtype=np.float64)
            lines = [view.describe_position(viewer, world, own, ours["missing"])]
            if ours["quantity"] == "HU":
                low, high = layer.contrast_limits
                lines.append(f"W {high - low:.0f}  L {(high + low) / 2:.0f}")
            if ours["verdict"] == "fail":
                lines.append("Geometry failed its check: only to look at")
            text = "\n".join(line for line in lines if line)
        view.set_text(
            viewer, f"{view.PREFIX}_position", text, "top_left", font_size=8, box=True
        )

    # the citation panel

    def adopt(self, panel: Any) -> None:
        """Take a citation panel that napari's menu made as the one panel."""
        self._panel = panel
        panel.hidden.connect(self._guard.start)
        panel.height_changed.connect(self._fit.start)
        panel.terms_requested.connect(self.read_terms)
        self._fill_panel()

    def read_terms(self, collection: str) -> None:
        """Show the terms of a collection that is open from the user's own folder."""
        self.runner.submit(
            "terms",
            agree.terms_of_collection,
            self.services,
            collection,
            on_done=partial(self._show_terms, collection),
        )

    def _show_terms(self, collection: str, outcome: Outcome) -> None:
        from napari_tcia._qt.terms_dialog import TermsDialog

        if isinstance(outcome, Failed):
            show_error(str(outcome.error))
        if not isinstance(outcome, Done):
            return
        terms = outcome.value
        self.dialog = TermsDialog(
            terms, agree.unacceptable(terms), "", self._panel.window(), action="Accept"
        )
        self.dialog.agreed.connect(partial(self._accepted, collection, terms))
        self.dialog.finished.connect(lambda _: setattr(self, "dialog", None))
        self.dialog.open()

    def _accepted(self, collection: str, terms: Sequence[Terms], name: str) -> None:
        try:
            agree.accept(self.services, terms, name)
        except TciaError as error:
            show_error(str(error))
            return
        for layer in self.ours():
            ours = case_layers.metadata_of(layer) or {}
            if ours["collection"] == collection and ours["terms"] == "not recorded":
                layer.metadata[case_layers.KEY] = {**ours, "terms": "accepted"}
        self._refresh()

    def _fill_panel(self) -> None:
        provenances = self.provenances()
        self._panel.show_datasets(
            credit.dataset_lines(provenances), credit.terms_sentence(provenances)
        )

    def ensure_panel(self) -> None:
        """Dock the citation panel, or bring it back, while TCIA data is open."""
        viewer = self.viewer
        if viewer is None or not self.ours() or not hasattr(viewer, "window"):
            return
        if is_closed(viewer):
            return
        docked = dock_of(self._panel)
        if docked is None:
            if self._panel is None:
                from napari_tcia._napari.widgets import CitationDock

                CitationDock(viewer)  # adopts itself
            viewer.window.add_dock_widget(self._panel, name=CITATIONS, area="bottom")
            self._panel.show()
            self._fit.start()
        elif docked.isHidden():
            docked.show()
        elif docked.visibleRegion().isEmpty() and is_tabbed(docked):
            # Behind another tab it would be open, and seen by nobody.
            docked.window().addDockWidget(
                Qt.DockWidgetArea.BottomDockWidgetArea, docked
            )
        docked = dock_of(self._panel)
        if docked is not self._dock:
            self._dock = docked
            docked.visibilityChanged.connect(lambda _: self._guard.start())

    def _fit_panel(self) -> None:
        """Give the docked panel the height of its lines; a docked widget keeps its."""
        dock = dock_of(self._panel)
        if dock is None or dock.isFloating():
            return
        height = self._panel.sizeHint().height()
        dock.window().resizeDocks([dock], [height], Qt.Orientation.Vertical)
