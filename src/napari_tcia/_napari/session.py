"""One session per viewer: credit that follows the layers, and the view they need."""

from __future__ import annotations

import contextlib
import textwrap
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Layer
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal

from napari_tcia._napari import (
    apart,
    derived,
    keys,
    numbers,
    planes,
    position,
    readout,
    scrolling,
    view,
    windowing,
)
from napari_tcia._napari import layers as case_layers
from napari_tcia._napari.citations import CitationKeeper
from napari_tcia._napari.filling import FillingLayers
from napari_tcia._napari.slab import Slab
from napari_tcia._napari.tasks import TaskRunner
from napari_tcia._napari.window import is_closed
from napari_tcia.app import agree, credit, state
from napari_tcia.app.assemble import Case, blinded
from napari_tcia.app.case import open_case
from napari_tcia.app.choices import read_again
from napari_tcia.app.services import Services
from napari_tcia.core.geometry import Affine
from napari_tcia.core.model import Provenance
from napari_tcia.core.task import Done, Failed, Outcome
from napari_tcia.errors import TciaError

if TYPE_CHECKING:
    from napari_tcia._napari.reviewing import Review

_SESSIONS: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()
_LOOK_MS = 500
"""How often viewers that nobody told us of are looked at."""
_TURN_MS = 15
"""Between two layers of a case: what was added is drawn before the next."""
_WATCH = "napari-tcia viewers"
_OWN = (
    case_layers.FILLING,
    case_layers.MEASUREMENTS,
    case_layers.AXES,
    case_layers.NUMBERS,
    case_layers.WORK,
    case_layers.READER,
    case_layers.PREVIEW,
)
"""Roles of layers that change by themselves, or by what they are for."""
_GEOMETRY = {"affine", "reference", "missing", "quantity", "verdict", "first_index"}
"""What the metadata of an image must have for a place in the patient."""


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
    node_chosen = Signal(int)
    """Number of the node that is shown now."""
    nodes_changed = Signal()
    """Something was said, or drawn, of a node."""
    station_named = Signal(int, str)
    """Number of a node, and the station that a reader named for it."""
    blind_changed = Signal(bool)
    axes_drawn = Signal(int, object)
    """Number of a node, and the ends of its axes as they were dragged."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self._services: Services | None = None
        self._just_gone: tuple[Provenance, ...] = ()
        self._at_once = 0
        self.citations = CitationKeeper(self)
        self._pending: list[Case | case_layers.LayerTuple] = []
        self.dialog: Any = None
        self.runner = TaskRunner(self)
        self.filling = FillingLayers(self)
        self.slab = Slab(self)
        self._to_number: list[Layer] = []
        self._blind = False
        self._review: Review | None = None
        self.chosen_node = 0
        """Number of the node that was chosen last, 0 for none."""
        self.listed_nodes: Callable[[], Sequence[int]] | None = None
        """Gives the numbers of the nodes as a table lists them, where there is one."""
        self.blinked: tuple[Layer, ...] = ()
        """Annotations that are out of sight for a moment."""
        self.beside: Any = None
        """Second picture that moves with the first, if any."""
        self.box: Any = None
        """Small dialog that is open, if any."""
        self._queue = QTimer(self)
        self._queue.setSingleShot(True)
        self._queue.setInterval(_TURN_MS)
        self._queue.timeout.connect(self._add_next)
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._removed)
        viewer.layers.events.renamed.connect(self._named)
        viewer.dims.events.order.connect(self._reorient)
        viewer.dims.events.ndisplay.connect(self._reorient)
        viewer.dims.events.ndisplay.connect(self._in_3d)
        viewer.dims.events.point.connect(self._position)
        viewer.layers.selection.events.active.connect(self._reorient)
        for turned in (viewer.dims.events.order, viewer.dims.events.ndisplay):
            turned.connect(self.slab.apply)
        keys.install(self, viewer)
        scrolling.install(self, viewer)
        viewer.mouse_drag_callbacks.append(partial(windowing.drag, self))
        self._read_out = readout.follow(viewer, self.image)
        self._greet(viewer.layers)
        self.refresh()
        _look_around()

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

    @property
    def blind(self) -> bool:
        """Whether cases open without what is known of their nodes."""
        return self._blind

    @blind.setter
    def blind(self, blind: bool) -> None:
        if blind != self._blind:
            self._blind = blind
            self.blind_changed.emit(blind)

    @property
    def review(self) -> Review:
        """Review of the case that is looked at, made at first use."""
        if self._review is None:
            from napari_tcia._napari.reviewing import Review

            self._review = Review(self)
        return self._review

    def ours(self, role: str = "") -> list[Layer]:
        """Layers with our metadata, of one role or of any; images are volumes."""
        viewer = self.viewer
        return [
            layer
            for layer in (viewer.layers if viewer is not None else ())
            if (found := case_layers.metadata_of(layer)) is not None
            and role in ("", found.get("role"))
            and (role != "image" or _is_volume(layer))
        ]

    def provenances(self) -> tuple[Provenance, ...]:
        """Where the layers present come from, derived ones too; each once."""
        viewer = self.viewer
        layers = viewer.layers if viewer is not None else ()
        found = (one for layer in layers for one in derived.provenances_of(layer))
        return tuple(dict.fromkeys(found))

    def image(self) -> Layer | None:
        """The image of the active layer's case, else the newest one."""
        images = self.ours("image")
        viewer = self.viewer
        active = viewer.layers.selection.active if viewer is not None else None
        if active in images:
            return active
        if self.filling.world(active) is not None:
            return None
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
            if (case_layers.metadata_of(other) or {}).get("volume")
            == ours.get("volume")
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
            cases = [blinded(c) for c in outcome.value] if self.blind else outcome.value
            self.add_cases(cases)
            self.tell(state.doubts(cases))
        elif isinstance(outcome, Failed):
            show_error(str(outcome.error))

    def read_again(self, image: Layer, choice: str) -> None:
        """Read the series of an image layer as chosen; its layers are replaced."""
        ours = case_layers.metadata_of(image) or {}
        self.runner.submit(
            "open",
            read_again,
            self.services,
            Path(ours.get("place") or ""),
            str(ours.get("series_uid", "")),
            case_layers.choices_of(ours),
            choice,
            on_done=partial(self._replace, weakref.ref(image)),
        )

    def _replace(self, image: weakref.ref[Layer], outcome: Outcome) -> None:
        viewer, old = self.viewer, image()
        if isinstance(outcome, Done) and viewer is not None and old is not None:
            # What was painted on stays: it is somebody's work.
            for layer in [old, *self.of_volume(old, self.ours())]:
                ours = case_layers.metadata_of(layer) or {}
                own = ours.get("role") in ("saved", case_layers.MEASUREMENTS)
                if layer in viewer.layers and not (derived.is_work(ours) or own):
                    viewer.layers.remove(layer)
        self._opened(outcome)

    def add_cases(self, cases: Sequence[Case | case_layers.LayerTuple]) -> None:
        """Add the layers of `cases`, or layers, one per turn of the event loop."""
        self._pending += cases
        self._queue.start()

    @property
    def adding(self) -> bool:
        """Whether layers of a case are still to be added."""
        return bool(self._pending or self._to_number)

    def _add_next(self) -> None:
        viewer = self.viewer
        if viewer is None or is_closed(viewer):
            self._pending.clear()
            self._to_number.clear()
        if not self._pending:
            return
        first = self._pending.pop(0)
        if isinstance(first, Case):
            first = blinded(first) if self.blind else first
            # Only now: the case before it may have set the world of its frame.
            reference, issues = case_layers.reference_for(viewer.layers, first.volume)
            image, *others = case_layers.layer_data(first, reference)
            self._pending[:0] = others
            if issues:
                self.filling.leave_hidden()
                apart.step_aside(self, issues)
            else:
                self.filling.bring_back()
                apart.part_from(self, image[1]["metadata"][case_layers.KEY])
            with self.at_once():
                layer = self.filling.settle(image)
                if layer is None:
                    layer = case_layers.add_layer(viewer, image)
            if issues:
                viewer.fit_to_view(layers=[layer])
        else:
            case_layers.add_layer(viewer, first)
        if self._pending:
            self._queue.start()
        else:  # the image takes the controls and the value under the cursor
            viewer.layers.selection.active = self.ours("image")[-1]
            QTimer.singleShot(2 * _TURN_MS, self._number)

    def tell(self, sentences: Iterable[str]) -> None:
        """Show doubts as one notification."""
        if text := "\n".join(sentences):
            show_warning(text)

    # layers come and go

    def _greet(self, layers: Iterable[Layer]) -> None:
        """Take in what was open before; order stands in for who came first."""
        present: list[Provenance] = []
        for layer in layers:
            derived.consider(layer, present)
            present += derived.provenances_of(layer)
            self._dress(layer)

    def _named(self, event: Any = None) -> None:
        self.citations.fill()

    def _inserted(self, event: Any) -> None:
        # napari replaces by removing first: what just went still counts.
        derived.consider(event.value, (*self.provenances(), *self._just_gone))
        self._dress(event.value)
        if case_layers.metadata_of(event.value) is None and self.ours("image"):
            view.show_own_slice(event.value)
        self.refresh()

    def _removed(self, event: Any) -> None:
        with contextlib.suppress(AttributeError, RuntimeError, TypeError):
            event.value.events.contrast_limits.disconnect(self._position)
            event.value.events.visible.disconnect(self._position)
        self.filling.removed(event.value)
        gone = derived.provenances_of(event.value)
        if (case_layers.metadata_of(event.value) or {}).get("role") == "image":
            # Not now: napari is in the middle of it, and replaces by removing first.
            QTimer.singleShot(0, partial(numbers.withdraw, self, event.value))
        if gone:
            self._just_gone += gone
            QTimer.singleShot(0, self._forget)
        self.refresh()

    def _forget(self) -> None:
        self._just_gone = ()

    def _changed(self, layer: Layer) -> None:
        """A copy of ours was painted on, or its data replaced: an adaptation."""
        ours = case_layers.metadata_of(layer)
        if ours is None or derived.is_work(ours):
            return
        if derived.mark_changed(layer, self._name_of(str(ours.get("acceptance_id")))):
            self.refresh()

    def _name_of(self, acceptance: str) -> str:
        """Who accepted the terms of a layer; the only name the program knows."""
        if self._services is None or not acceptance:
            return ""
        with contextlib.suppress(TciaError):
            for record in self._services.ledger.records():
                if record.id == acceptance:
                    return record.name
        return ""

    def dress(self, layer: Layer) -> None:
        """Take in a layer that has become an image of ours; the plane stays."""
        self._dress(layer, turned=True)
        self.refresh()

    def _dress(self, layer: Layer, turned: bool = False) -> None:
        ours = case_layers.metadata_of(layer)
        viewer = self.viewer
        if ours is None or viewer is None or ours.get("role") in _OWN:
            return
        derived.watch(layer, self._changed)
        if ours.get("role") == "image" and not _is_volume(layer):
            return  # a piece, a projection or a conversion of one
        case_layers.dress(layer, viewer.layers)
        if ours.get("role") == "image":
            layer.events.contrast_limits.connect(self._position)
            layer.events.visible.connect(self._position)
            view.prepare(viewer)
            others = [case_layers.metadata_of(o) for o in self.ours() if o is not layer]
            if ours not in others:  # a duplicate leaves the view where it is
                if not turned:
                    planes.begin(viewer, ours["reference"], others)
                world = layer.data_to_world(ours["first_index"])
                viewer.dims.set_point(range(3), tuple(world))
            self._to_number.append(layer)
            if not self._pending:
                QTimer.singleShot(2 * _TURN_MS, self._number)

    def _number(self) -> None:
        """Number the nodes, once the layers that come with their image are there."""
        if not self._pending:
            images, self._to_number = self._to_number, []
            for image in images:
                numbers.show(self, image)

    def refresh(self) -> None:
        """Derive credit, view and panel from the layers present."""
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
        view.set_text(viewer, view.CREDIT, text)
        self._reorient()
        self.citations.fill()
        if hasattr(viewer, "window"):
            self.citations.guard.start()
        self.layers_changed.emit()

    def world(self) -> Affine | None:
        """Affine of the volume that set the world of what is looked at."""
        layer = self.image()
        if layer is None:
            viewer = self.viewer
            active = viewer.layers.selection.active if viewer is not None else None
            return self.filling.world(active)
        ours = case_layers.metadata_of(layer) or {}
        return np.asarray(ours["reference"], dtype=np.float64)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Turn the picture, and say where it lies, once: at the end."""
        self._at_once += 1
        try:
            yield
        finally:
            self._at_once -= 1
            self._reorient()

    def _reorient(self, event: Any = None) -> None:
        if self.viewer is not None and not self._at_once:
            view.orient(self.viewer, self.world())
            self._position()

    def _in_3d(self, event: Any = None) -> None:
        """Say what the policy says of faces where a rendering may show one."""
        viewer = self.viewer
        if viewer is not None and viewer.dims.ndisplay == 3 and self.ours():
            with contextlib.suppress(TciaError):  # no home: the terms said it before
                if words := agree.face_warning(self.services, self.provenances()):
                    show_warning(words)

    def show_box(self, box: Any) -> None:
        """Show a small dialog in place of the one that is open."""
        if self.box is not None:
            self.box.close()
        self.box = box
        box.finished.connect(lambda _: setattr(self, "box", None))
        box.show()

    def window(self) -> Any:
        """The viewer's window as a parent for dialogs, None for a bare model."""
        viewer = self.viewer
        shown = viewer is not None and hasattr(viewer, "window")
        return viewer.window._qt_window if shown else None

    def say_position(self) -> None:
        """Say where the picture lies, or how far it has come."""
        self._position()

    def _position(self, event: Any = None) -> None:
        viewer = self.viewer
        if viewer is None or self._at_once:
            return
        view.set_text(viewer, view.POSITION, position.words(self))
        self._read_out()


def _is_volume(layer: Layer) -> bool:
    """Whether `layer` still is the volume that its metadata describes."""
    ours = case_layers.metadata_of(layer)
    return (
        isinstance(layer, Image)
        and layer.ndim == 3
        and ours is not None
        and ours.keys() >= _GEOMETRY
    )


def _look_around() -> None:
    """From now on give every viewer of this process that shows TCIA data a session.

    napari tells nobody of a new viewer, and a layer of ours may be put into
    one by hand.
    """
    application = QCoreApplication.instance()
    if application is None or application.findChild(QTimer, _WATCH) is not None:
        return
    timer = QTimer(application)
    timer.setObjectName(_WATCH)
    timer.setInterval(_LOOK_MS)
    timer.timeout.connect(_meet_viewers)
    timer.start()


def _meet_viewers() -> None:
    from napari.viewer import Viewer

    for viewer in list(Viewer._instances):
        if viewer in _SESSIONS or is_closed(viewer):
            continue
        if any(derived.provenances_of(layer) for layer in viewer.layers):
            session_for(viewer)
