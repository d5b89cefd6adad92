"""A second picture of the case, moving with the first: what somebody else drew.

Another reader, the scan's other identity, or the reference, each on the same images.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.qt import QtViewer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_tcia._napari import layers as case_layers
from napari_tcia._napari import view
from napari_tcia._napari.window import dock_of, is_closed
from napari_tcia._qt.style import SPACING, Note, described

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

NAME = "Side by side (napari-tcia)"


class Beside(QWidget):
    """A canvas that follows the one of the window, and leads it.

    Parameters
    ----------
    session : Session
    image : napari Image
        Of the volume.
    sources : mapping of str to (K, J, I) array
        Labels on its grid, by whose they are.
    """

    def __init__(
        self, session: Session, image: Any, sources: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self._session, self._image = session, image
        self._sources = dict(sources)
        self._following = False
        self._links: list[tuple[Any, Any]] = []
        self.model = ViewerModel(title=NAME)
        self.canvas = QtViewer(self.model)
        self.choice = QComboBox()
        self.choice.addItems(list(self._sources))
        described(self.choice, "Whose nodes are shown beside yours")
        self.choice.view().setAccessibleName("Whose nodes")
        self.choice.currentTextChanged.connect(self.show_source)
        row = QHBoxLayout()
        row.setContentsMargins(SPACING, 0, SPACING, 0)
        label = Note("Beside yours:")
        label.setWordWrap(False)
        row.addWidget(label)
        row.addWidget(self.choice, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.canvas, 1)
        self.setMinimumWidth(240)
        placed = case_layers.placed_like(image)
        self.picture = Image(
            image.data,
            name="CT",
            colormap=image.colormap,
            contrast_limits=image.contrast_limits,
            projection_mode="none",
            **placed,
        )
        self.model.layers.append(self.picture)
        first = next(iter(self._sources.values()))
        self.labels = Labels(first, name="nodes", **placed)
        self.labels.colormap = case_layers.cyclic_colours()
        self.labels.contour = 2
        self.model.layers.append(self.labels)
        self.labels.editable = False
        self.show_source(self.choice.currentText())
        self._link(session.viewer)
        self.destroyed.connect(partial(_unlink, self._links))

    def show_source(self, name: str) -> None:
        """Show the nodes of somebody else."""
        if name in self._sources:
            self.labels.data = self._sources[name]
            self.labels.editable = False
            self.labels.name = name

    def _link(self, viewer: Any) -> None:
        main, own = viewer, self.model
        for one, other in ((main, own), (own, main)):
            self._follow(one.dims.events.point, one, other, _dims)
            self._follow(one.scene.camera.events.center, one, other, _camera)
            self._follow(one.scene.camera.events.zoom, one, other, _camera)
        self._follow(main.dims.events.order, main, own, _order)
        limits = self._image.events.contrast_limits
        self._follow(limits, self._image, self.picture, _contrast)
        for move in (_order, _dims, _camera):
            self._mover(main, own, move)()
        view.orient(own, self._session.world())
        said = viewer.canvas.overlays.get(view.CREDIT)
        if said is not None:  # a picture of this canvas carries it too
            view.set_text(own, view.CREDIT, said.text)

    def _follow(self, event: Any, one: Any, other: Any, move: Any) -> None:
        mover = self._mover(one, other, move)
        event.connect(mover)
        self._links.append((event, mover))

    def unlink(self) -> None:
        """Move no more: the canvas goes."""
        _unlink(self._links)

    def _mover(
        self, one: Any, other: Any, move: Callable[[Any, Any], None]
    ) -> Callable[..., None]:
        """Have `other` do what `one` did; a picture that follows does not lead."""

        def moved(event: Any = None) -> None:
            if self._following or is_closed(self._session.viewer):
                return
            self._following = True
            try:
                with contextlib.suppress(RuntimeError):  # the canvas is gone
                    move(one, other)
                    if move is _order:
                        view.orient(self.model, self._session.world())
            finally:
                self._following = False

        return moved


def _unlink(links: list[tuple[Any, Any]], _: object = None) -> None:
    for event, mover in links:
        with contextlib.suppress(ValueError, RuntimeError, TypeError):
            event.disconnect(mover)
    links.clear()


def _dims(one: Any, other: Any) -> None:
    other.dims.point = one.dims.point


def _order(one: Any, other: Any) -> None:
    other.dims.order = one.dims.order


def _camera(one: Any, other: Any) -> None:
    other.scene.camera.center = one.scene.camera.center
    other.scene.camera.zoom = one.scene.camera.zoom


def _contrast(one: Any, other: Any) -> None:
    other.contrast_limits = one.contrast_limits


def show(session: Session, image: Any, sources: Mapping[str, Any]) -> Beside:
    """Dock a second picture to the left of the first."""
    window = session.viewer.window
    close(session)
    beside = Beside(session, image, sources)
    dock = window.add_dock_widget(beside, name=NAME, area="left")
    # Beside the layer controls, not below them: next to the first picture.
    main = window._qt_window
    side = Qt.DockWidgetArea.LeftDockWidgetArea
    main.addDockWidget(side, dock, Qt.Orientation.Horizontal)
    main.resizeDocks([dock], [main.width() // 4], Qt.Orientation.Horizontal)
    session.beside = beside
    return beside


def close(session: Session) -> None:
    """Take the second picture away."""
    beside, session.beside = session.beside, None
    if beside is None:
        return
    with contextlib.suppress(RuntimeError, LookupError):
        beside.unlink()
        dock = dock_of(beside)
        beside.canvas.close()
        if dock is not None:
            session.viewer.window.remove_dock_widget(dock)
