"""A working copy of the nodes: what is painted on it is on the disk within seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap
from qtpy.QtCore import QObject, QTimer, Signal

from napari_tcia._napari import layers as case_layers
from napari_tcia._napari.window import is_closed
from napari_tcia._qt.tool_panel import HU, ToolSettings
from napari_tcia.core.geometry import spacing_of
from napari_tcia.edit.brush import brush
from napari_tcia.edit.change import Change, changed
from napari_tcia.edit.grow import grow
from napari_tcia.edit.interpolate import interpolate
from napari_tcia.edit.smooth import fill_holes, largest_piece, smooth
from napari_tcia.edit.split import delete, merge, split
from napari_tcia.errors import TciaError
from napari_tcia.review.autosave import Autosave
from napari_tcia.review.state import new_uid

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

_TICK_MS = 500
_NAPARI_MODES = {"look": "pan_zoom", "disc": "paint", "erase": "erase"}
_PAINTS = ("paint", "erase")
_OURS = ("ball", "range")
"""Brushes that napari does not have."""


class Annotation(QObject):
    """Tools on a working copy; one undo through all of them.

    Parameters
    ----------
    session : Session
    image : napari Image
        Of the volume.
    saving : Autosave
        Whose labels are shown.
    reader : str
    """

    said = Signal(str)
    """A sentence for the person who draws."""
    changed = Signal()
    """A mode, what waits to be kept, or the labels."""

    def __init__(
        self, session: Session, image: Any, saving: Autosave, reader: str
    ) -> None:
        super().__init__(session)
        self._session, self.image, self.saving = session, image, saving
        ours = case_layers.metadata_of(image) or {}
        self.spacing = spacing_of(np.asarray(ours["affine"], np.float64))
        self.settings = ToolSettings()
        self.mode = "look"
        self._strokes = False
        self.pending: Change | None = None
        self._preview: Any = None
        self._places: list[tuple[float, ...]] = []
        self._undo: list[tuple[Callable[[], object], Callable[[], object]]] = []
        self._redo: list[tuple[Callable[[], object], Callable[[], object]]] = []
        self._replaying = False
        self.layer = self._add(reader, ours)
        self.layer.events.paint.connect(self._painted)
        self.layer.events.data.connect(self._replaced)
        self.layer.events.selected_label.connect(self._selected)
        self.layer.mouse_drag_callbacks.append(self._drag)
        for key, action in (
            ("Control-Z", self.undo),
            ("Control-Shift-Z", self.redo),
        ):
            self.layer.bind_key(key, _press(action), overwrite=True)
        session.viewer.dims.events.order.connect(self._turned)
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self.saving.tick)
        self._timer.start()

    def _add(self, reader: str, ours: Any) -> Any:
        viewer, image = self._session.viewer, self.image
        today = datetime.now(UTC).date().isoformat()
        layer = Labels(
            self.saving.labels,
            name=f"My nodes - {reader}",
            **case_layers.placed_like(image),
            opacity=0.45,
            colormap=case_layers.cyclic_colours(),
            metadata=case_layers.belonging(
                image,
                case_layers.WORK,
                affine=ours["affine"],
                verdict=ours["verdict"],
                reader=reader,
                **{case_layers.CHANGED: {"by": reader, "on": today}},
            ),
        )
        layer.preserve_labels = True  # a node never runs into another
        viewer.layers.append(layer)
        layer.editable = not self.saving.draft.read_only
        viewer.layers.selection.active = layer
        return layer

    # the node that is drawn

    @property
    def value(self) -> int:
        """Label value that is drawn."""
        return int(self.layer.selected_label)

    def choose(self, value: int) -> None:
        """Draw this node from now on."""
        self.layer.selected_label = value

    def new_node(self) -> int:
        """Draw a node that is not there yet, under a value that none ever had."""
        self.saving.tick()  # what is drawn has a name
        value = self.saving.state.next_value()
        self.choose(value)
        return value

    # tools

    def use(self, mode: str) -> None:
        """Take a tool into the hand."""
        self.discard()
        self._places = []
        self.mode = mode
        if not self.value and mode not in ("look", "merge"):
            self.new_node()
        self._take()
        self._set_brush()
        self._session.viewer.layers.selection.active = self.layer
        self.changed.emit()

    def _take(self, event: Any = None) -> None:
        """Let napari paint where its brush is round in mm: pixels are square there."""
        napari = _NAPARI_MODES.get(self.mode, "pan_zoom")
        steps = [self.spacing[n] for n in self._displayed()]
        square = max(steps) <= 1.01 * min(steps)
        self._strokes = self.mode in _OURS or (napari in _PAINTS and not square)
        self.layer.mode = "pan_zoom" if self._strokes else napari

    def set(self, settings: ToolSettings) -> None:
        """Take other millimetres and ranges; what was grown is grown again."""
        self.settings = settings
        self._set_brush()
        if self.pending is not None and self._places:
            self._grow(self._places[-1])

    def act(self, action: str) -> None:
        """Do one of the things that need no place."""
        at_once = {
            "keep": self.keep,
            "discard": self.discard,
            "undo": self.undo,
            "redo": self.redo,
        }
        if action in at_once:
            at_once[action]()
        elif action == "new":
            self.new_node()
            self.use("grow" if self.mode == "look" else self.mode)
        else:
            self._try(partial(self._act, action))

    def _act(self, action: str) -> None:
        labels, value = np.asarray(self.layer.data), self.value
        if action == "interpolate":
            axis = self._session.viewer.dims.not_displayed
            changes: Iterable[Change] = [
                interpolate(labels, value, self.spacing, axis=axis[0] if axis else 0)
            ]
        elif action == "smooth":
            sigma = max(1.0, min(self.spacing))  # below a pixel nothing is smoothed
            changes = smooth(labels, value, self.spacing, sigma_mm=sigma)
        elif action == "holes":
            changes = [fill_holes(labels, value, self.spacing)]
        elif action == "largest":
            changes = [largest_piece(labels, value, self.spacing)]
        else:
            changes = [delete(labels, value)]
        if not self.apply(changes, action):
            self.said.emit("There is nothing to change.")

    def apply(self, changes: Iterable[Change], cause: str) -> int:
        """Change the labels in one step of undo; how many voxels."""
        self.saving.tick()  # what was painted before is a thing of its own
        count = 0
        with self.layer.block_history():
            for one in changes:
                at = changed(np.asarray(self.layer.data), one)
                if at[0].size:
                    count += at[0].size
                    self.layer.data_setitem(at, one.value)
        self.saving.tick(cause)
        if count:
            self.layer.refresh()
        return count

    def keep(self) -> None:
        """Make what was grown part of the node."""
        one, self.pending = self.pending, None
        self._drop_preview()
        if one is not None:
            self.apply([one], "grow")
            self.said.emit(f"It is part of node {one.value}; Ctrl + Z takes it back.")
        self.changed.emit()

    def discard(self) -> None:
        """Leave what was grown."""
        had = self.pending is not None
        self.pending = None
        self._drop_preview()
        if had:
            self.changed.emit()

    def _grow(self, place: tuple[float, ...]) -> None:
        self._places = [place]
        image = np.asarray(self.image.data)
        one = self._try(
            lambda: grow(
                image,
                np.asarray(self.layer.data),
                place,
                self.spacing,
                value=self.value,
                radius_mm=self.settings.radius_mm,
                hu=self.settings.hu,
                method=self.settings.method,  # type: ignore[arg-type]
            )
        )
        if one is None:
            return
        self.pending = one
        self._show_preview(one)
        voxels = int(one.mask.sum())
        mm3 = voxels * float(np.prod(self.spacing))
        self.said.emit(
            f"{mm3 / 1000:.1f} cm³ in {voxels} voxels: click it again or press Enter "
            "to keep it."
        )
        self.changed.emit()

    def _show_preview(self, one: Change) -> None:
        self._drop_preview()
        viewer, layer = self._session.viewer, self.layer
        start = np.asarray([part.start for part in one.box])
        preview = Labels(
            np.where(one.mask, 1, 0).astype(np.uint8),
            name="Preview",
            **case_layers.placed_like(layer)
            | {"translate": np.asarray(layer.translate) + start * layer.scale},
            opacity=0.9,
            colormap=CyclicLabelColormap(colors=["transparent", "#ffffff"]),
            metadata=case_layers.belonging(layer, case_layers.PREVIEW),
        )
        preview.contour = 1
        viewer.layers.append(preview)
        preview.editable = False
        viewer.layers.selection.active = layer
        self._preview = preview
        # Only while something waits: these keys are napari's for a polygon.
        layer.bind_key("Enter", _press(self.keep), overwrite=True)
        layer.bind_key("Escape", _press(self.discard), overwrite=True)

    def _drop_preview(self) -> None:
        preview, self._preview = self._preview, None
        viewer = self._session.viewer
        if preview is not None:
            for key in ("Enter", "Escape"):
                self.layer.bind_key(key, None, overwrite=True)
        if preview is not None and viewer is not None and preview in viewer.layers:
            viewer.layers.remove(preview)

    def _try(self, what: Callable[[], Any]) -> Any:
        """Do it; a refusal is a sentence for the person, and nothing was changed."""
        try:
            return what()
        except TciaError as error:
            self.said.emit(str(error))
            return None

    def _set_brush(self) -> None:
        step = min(s for n, s in enumerate(self.spacing) if n in self._displayed())
        self.layer.brush_size = max(1, round(2 * self.settings.brush_mm / step))

    def _turned(self, event: Any = None) -> None:
        if not is_closed(self._session.viewer):
            self._take()
            self._set_brush()

    def _displayed(self) -> tuple[int, ...]:
        return tuple(self._session.viewer.dims.displayed[-2:])

    # the mouse

    def _drag(self, layer: Any, event: Any) -> Iterator[None]:
        """Press, move, release: a click with a place, or a stroke of our brushes."""
        napari = self.mode in _NAPARI_MODES and not self._strokes
        if event.button != 1 or napari or not layer.editable:
            return
        if self._session.viewer.dims.ndisplay != 2:
            self.said.emit("Nodes are drawn in slices; leave 3D first (Ctrl + Y).")
            return
        place = tuple(float(n) for n in layer.world_to_data(event.position))
        if self._strokes:
            yield from self._stroke(place, event)
            return
        start = np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if np.linalg.norm(np.asarray(event.pos) - start) < 5:  # else it was a drag
            self._click(place)

    def _stroke(self, place: tuple[float, ...], event: Any) -> Iterator[None]:
        layer = self.layer
        moving, layer.mouse_pan = layer.mouse_pan, False
        image = np.asarray(self.image.data)
        layer._begin_stroke()
        try:
            last = np.asarray(place)
            self._touch(last, image)
            yield
            while event.type == "mouse_move":
                now = np.asarray(layer.world_to_data(event.position))
                far = np.linalg.norm((now - last) * self.spacing)
                steps = max(1, int(far / max(0.5 * self.settings.brush_mm, 0.3)))
                for n in range(1, steps + 1):
                    self._touch(last + (now - last) * n / steps, image)
                last = now
                yield
        finally:
            layer._commit_stroke()
            layer.mouse_pan = moving

    def _touch(self, at: Any, image: Any) -> None:
        hu = self.settings.hu
        if self.mode == "range" and hu is None:
            hu = HU
        flat = self._session.viewer.dims.not_displayed
        one = brush(
            np.asarray(self.layer.data),
            at,
            self.settings.brush_mm,
            self.spacing,
            value=self.value,
            plane=flat[0] if self.mode in _NAPARI_MODES and flat else None,
            image=image,
            hu=hu if self.mode == "range" else None,
            erase=self.mode == "erase",
        )
        indices = changed(np.asarray(self.layer.data), one)
        if indices[0].size:
            self.layer.data_setitem(indices, one.value)

    def _click(self, place: tuple[float, ...]) -> None:
        if self.mode == "grow":
            inside = self.pending is not None and _holds(self.pending, place)
            if inside:
                self.keep()
            else:
                self._grow(place)
        elif self.mode == "split":
            self._places.append(place)
            if len(self._places) == 2:
                self._try(self._split)
                self._places = []
            else:
                self.said.emit("Now click in the other part.")
        elif self.mode == "merge":
            self._try(partial(self._merge, place))

    def _split(self) -> None:
        labels = np.asarray(self.layer.data)
        value = self.value
        self.saving.tick()
        new = self.saving.state.next_value()
        parts = split(
            labels, value, self.spacing, new_value=new, seeds=self._places[-2:]
        )
        uid = self.saving.state.uid_of(value)
        for one in parts:
            self.saving.record(
                "node",
                node=new_uid(),
                after={"value": one.value, "origin": f"split from {uid}"},
            )
        self.apply(parts, "split")
        self.said.emit(f"Node {value} is split; the other part is node {new}.")

    def _merge(self, place: tuple[float, ...]) -> None:
        labels = np.asarray(self.layer.data)
        at = tuple(round(n) for n in place)
        inside = all(0 <= n < size for n, size in zip(at, labels.shape, strict=True))
        other = int(labels[at]) if inside else 0
        if other in (0, self.value):
            self.said.emit("Click another node; the chosen one takes it in.")
            return
        state = self.saving.state
        self.saving.record(
            "merged", node=state.uid_of(other), after={"into": state.uid_of(self.value)}
        )
        self.apply(merge(labels, [other], self.value), "merge")
        self.said.emit(f"Node {other} is part of node {self.value} now.")

    # one undo through all

    def did(self, undo: Callable[[], object], redo: Callable[[], object]) -> None:
        """Take a step of another kind into the one undo."""
        if not self._replaying:
            self._undo.append((undo, redo))
            self._redo.clear()

    def _painted(self, event: Any = None) -> None:
        self.did(self.layer.undo, self.layer.redo)
        self.changed.emit()

    def undo(self) -> None:
        """Take back the last step, whatever it was."""
        self._move(self._undo, self._redo, 0, "undo")

    def redo(self) -> None:
        """Do again what was taken back."""
        self._move(self._redo, self._undo, 1, "redo")

    def _move(self, from_: list[Any], to: list[Any], which: int, cause: str) -> None:
        if not from_:
            self.said.emit(f"There is nothing to {cause}.")
            return
        self.discard()
        self.saving.tick()
        step = from_.pop()
        self._replaying = True
        try:
            step[which]()
        finally:
            self._replaying = False
        to.append(step)
        self.saving.tick(cause)
        self.changed.emit()

    # whatever else happens to the layer

    def _selected(self, event: Any = None) -> None:
        self.discard()
        self.changed.emit()

    def _replaced(self, event: Any = None) -> None:
        """A script, or another plugin, gave the layer other data."""
        data = self.layer.data
        if data is self.saving.labels:
            return
        if getattr(data, "shape", None) == self.saving.labels.shape:
            self.saving.labels[...] = np.asarray(data)
            said = "What another tool put here is part of your nodes, and is saved."
        else:
            said = "Data of another shape cannot be your nodes; they were put back."
        self.layer.data = self.saving.labels
        self.said.emit(said)

    def end(self) -> None:
        """Let the viewer go; what was drawn is its draft's to write."""
        self._timer.stop()
        viewer = self._session.viewer
        if viewer is not None:
            viewer.dims.events.order.disconnect(self._turned)
        if viewer is not None and not is_closed(viewer):
            self._drop_preview()


def _press(action: Callable[[], object]) -> Callable[[Any], None]:
    def pressed(layer: Any) -> None:  # napari asks for its name
        action()

    return pressed


def _holds(one: Change, place: tuple[float, ...]) -> bool:
    at = [round(n) - part.start for n, part in zip(place, one.box, strict=True)]
    inside = all(0 <= n < size for n, size in zip(at, one.mask.shape, strict=True))
    return inside and bool(one.mask[tuple(at)])
