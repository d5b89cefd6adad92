"""The review of the case that is looked at: decisions, its draft, and the way on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal

from napari_tcia._napari import axes, beside, view, walking
from napari_tcia._napari import layers as case_layers
from napari_tcia._napari.annotating import Annotation
from napari_tcia._napari.review_view import about
from napari_tcia._napari.writer import grid_of
from napari_tcia.app import drafting
from napari_tcia.core.geometry import index_to_patient
from napari_tcia.core.image import NodeRow, Segment
from napari_tcia.core.model import Provenance
from napari_tcia.core.task import Done, Outcome
from napari_tcia.errors import TciaError
from napari_tcia.review.autosave import Autosave
from napari_tcia.review.draft import Draft
from napari_tcia.review.places import DraftCase
from napari_tcia.review.state import ReviewState, new_uid
from napari_tcia.review.watched import watched

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

_NOT_SAVED = "Not saved yet"
_TIME_SECONDS = 30.0
"""How often the time spent is written down."""


class Review(QObject):
    """What the review tab works on.

    Parameters
    ----------
    session : Session
    """

    changed = Signal()
    """Something that is shown."""
    left = Signal(str, object, float, str)
    """A case was left: how, reasons, seconds, notes."""
    asked_comment = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self.saving: Autosave | None = None
        self.annotation: Annotation | None = None
        self.image: Any = session.image()
        self.problem = ""
        self.place = ""
        """"Case 3 of 12", where there is a queue."""
        self._reader = ""
        self._since = time.monotonic()
        self.spent = 0.0
        self._begun: tuple[list[Any], Any, set[int], int] | None = None
        self._ready: tuple[Any, Any] | None = None
        self._unsaved: list[Autosave] = []
        """Drafts of cases that were left while the disk refused them."""
        self._uids: dict[Any, str] = {}
        self._offered: tuple[str, str] | None = None
        self.offer = ""
        """What of this reader lies here from before, in words."""
        session.layers_changed.connect(self._look)
        session.node_chosen.connect(self._chosen)
        session.axes_drawn.connect(self._axes)
        session.station_named.connect(self._station)
        viewer = session.viewer
        if viewer is not None:
            viewer.layers.selection.events.active.connect(self._look)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.finish)
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._tick)
        self._clock.start()

    # what there is

    @property
    def reader(self) -> str:
        """Code of the reader, as it was used last."""
        if not self._reader:
            try:
                self._reader = drafting.last_reader(self.session.services)
            except TciaError:
                self._reader = drafting.READER
        return self._reader

    def set_reader(self, name: str) -> None:
        """Work under another code from now on; what was done stays where it is."""
        try:
            code = drafting.remember_reader(self.session.services, name)
        except TciaError as error:
            self.problem = str(error)
            self.changed.emit()
            return
        if code != self.reader:
            self.finish()
            self._reader, self._offered = code, None
        self.problem = ""
        self._look()

    @property
    def draft(self) -> Draft | None:
        """The draft that is open, None before anything was decided or drawn."""
        return self.saving.draft if self.saving is not None else None

    @property
    def state(self) -> ReviewState:
        """What was decided."""
        return self.saving.state if self.saving is not None else ReviewState()

    def rows(self) -> tuple[NodeRow, ...]:
        """Nodes of the case, in the order of the table."""
        return walking.rows(self.session)

    def row(self) -> NodeRow | None:
        """The node that is judged."""
        chosen = self.session.chosen_node
        return next((row for row in self.rows() if row.id == chosen), None)

    def uid(self, row: NodeRow) -> str:
        """Tracking UID of a node."""
        layers = self._drawn()  # they come one by one, after their image
        key = (self.image, *layers, row.id, row.label, row.piece)
        if key not in self._uids:
            ours = case_layers.metadata_of(self.image) or {} if self.image else {}
            segments = [one for layer in layers for one in _segments(layer)]
            series = str(ours.get("series_uid", ""))
            self._uids[key] = drafting.node_uid(series, row, segments)
        return self._uids[key]

    def _drawn(self) -> list[Any]:
        """Layers of the reference that an annotation begins with: of one source.

        Labels that do not agree with the published points are no beginning.
        """
        if self.image is None:
            return []
        checks = (case_layers.metadata_of(self.image) or {}).get("checks", ())
        doubted = {
            check["numbers"].get("source")
            for check in checks
            if check["code"] == "points_in_labels" and check["verdict"] == "fail"
        }
        found = self.session.of_volume(self.image, self.session.ours("reference"))
        sources = [(case_layers.metadata_of(layer) or {}) for layer in found]
        whole = [
            (layer, str(ours.get("drawn_as", "")))
            for layer, ours in zip(found, sources, strict=True)
            if layer.data.shape == self.image.data.shape
            and ours.get("drawn_as") not in doubted
        ]
        return [layer for layer, source in whole if source == whole[0][1]]

    # beginning and ending

    def begin(self) -> bool:
        """Continue the reader's draft of this case, or begin it; whether it is open."""
        self._look()
        if self.saving is not None:
            return not self.saving.draft.read_only
        image = self.session.image()
        if image is None or self.session.adding:
            return False  # who its nodes are is known once its layers are there
        self.image = image
        ours = case_layers.metadata_of(image) or {}
        try:
            drafting.require_whole(
                str(ours.get("case", "")),
                case_layers.doubts(ours),
                case_layers.choices_of(ours),
            )
            case = _case(image)
            labels, nodes, shared = self._start()
            ready, self._ready = self._ready, None
            if ready is not None and ready[0] is labels:
                labels = ready[1]  # once: the draft goes on with it
            draft = drafting.begin(
                self.session.services, case, self.reader, labels, nodes
            )
        except TciaError as error:
            self.problem = str(error)
            self.changed.emit()
            return False
        self.saving = Autosave(draft, watched(draft.labels, draft.slices))
        self.problem = " ".join(drafting.doubts(draft))
        if shared:
            self.session.tell(
                [f"{shared} voxels that two nodes share are one node's in your copy."]
            )
        self._since, self.spent = time.monotonic(), 0.0
        self._restore(self.state)
        self.changed.emit()
        return not draft.read_only

    def _start(self) -> tuple[Any, Mapping[int, str], int]:
        """What a new draft begins with: labels, who they are, and what overlaps.

        The same labels each time, as long as the layers of the reference are the same.
        """
        layers = self._drawn()
        if not layers:
            return None, {}, 0
        if self._begun is None or self._begun[0] != layers:
            self._begun = (layers, *_merged(layers))
        _, labels, values, shared = self._begun
        own = {
            row.label: self.uid(row)
            for row in self._all_rows()
            if row.label is not None and row.piece == 1
        }
        nodes = {value: own.get(value) or new_uid() for value in sorted(values)}
        return labels, nodes, shared

    def _restore(self, state: ReviewState) -> None:
        """Show again what was said of the nodes before."""
        ours = self.image.metadata[case_layers.KEY]
        stations = ours.setdefault(case_layers.STATIONS, {})
        drawn = ours.setdefault(axes.DRAWN, {})
        for row in self._all_rows():
            one = state.judgement(self.uid(row))
            if one.station:
                stations[row.id] = one.station
            if one.axes:
                drawn[row.id] = [[list(end) for end in line] for line in one.axes]
        self.session.nodes_changed.emit()

    def annotate(self) -> Annotation | None:
        """Show the working copy, to be painted on."""
        if not self.begin() and self.draft is None:
            return None
        if self.annotation is not None or self.saving is None:
            return self.annotation
        self.annotation = Annotation(
            self.session, self.image, self.saving, self.saving.draft.reader
        )
        row = self.row()
        if row is not None and row.label is not None:
            self.annotation.choose(row.label)
        self.annotation.use("disc")
        self.changed.emit()
        return self.annotation

    def finish(self) -> bool:
        """Write everything and let the case go; whether all of it is on the disk.

        What the disk refuses stays in line, and is tried again as long as this
        program runs.
        """
        saving, annotation = self.saving, self.annotation
        self.saving = self.annotation = None
        whole = True
        if saving is not None:
            self._spend(saving, all_of_it=True)
            if annotation is not None:
                annotation.end()
            whole = saving.close()
            if whole:
                saving.draft.close()
            else:
                self._unsaved.append(saving)
                self._tell_unsaved()
        viewer = self.session.viewer
        if annotation is not None and viewer is not None:
            with contextlib.suppress(ValueError, RuntimeError):
                if annotation.layer in viewer.layers:
                    viewer.layers.remove(annotation.layer)
        return whole

    def _tell_unsaved(self) -> None:
        """Say what is still on its way, and end what has arrived."""
        for saving in list(self._unsaved):
            if saving.waiting == 0 and saving.close():
                self._unsaved.remove(saving)
                saving.draft.close()
        if self._unsaved:
            saving = self._unsaved[0]
            self.problem = (
                f"{_NOT_SAVED}: the annotation of {saving.draft.case.name} "
                f"({saving.error}) Keep this window open."
            )
        elif self.problem.startswith(_NOT_SAVED):
            self.problem = ""

    def _look(self, event: Any = None) -> None:
        """Follow what is looked at: another case, or none."""
        image = self.session.image()
        gone = self.image is not None and self.image not in self.session.ours("image")
        work = self.annotation
        viewer = self.session.viewer
        if gone:
            beside.close(self.session)
            self.finish()
            self.image, self._ready, self._begun = None, None, None
            self.session.chosen_node = 0
            self._uids.clear()
        elif (
            work is not None and viewer is not None and work.layer not in viewer.layers
        ):
            # Somebody took the layer away: nothing of it is lost.
            self.finish()
        if image is not None and image is not self.image:
            other = self._volume(image) != self._volume(self.image)
            if other and self.saving is not None:
                self.finish()
            if other and self.image is not None:
                self.session.chosen_node = 0
            self.image = image
        self._offer_draft()
        self.changed.emit()

    def make_ready(self) -> None:
        """Do the slow part of a first decision while nobody waits."""
        if self.image is None or self.saving is not None:
            return
        labels, *_ = self._start()
        if labels is None or (self._ready is not None and self._ready[0] is labels):
            return
        self._ready = (labels, labels)  # as good, until it is ready

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Done):
                self._ready = (labels, outcome.value)

        self.session.runner.submit(
            "ready to annotate", drafting.ready, labels, on_done=done
        )

    def _volume(self, image: Any) -> str:
        ours = case_layers.metadata_of(image) if image is not None else None
        return str((ours or {}).get("volume", ""))

    def _offer_draft(self) -> None:
        """Look, once per case, for what this reader did before."""
        series = self._volume(self.image)
        if self._offered == (series, self.reader):
            return
        if self.session.adding:
            return  # who its nodes are is known once its layers are there
        words = ""
        with contextlib.suppress(TciaError, OSError):
            found = drafting.drafts(self.session.services, series)
            for info in found:
                if series and info.reader == self.reader:
                    words = about(info)
                    if self.saving is None and not info.problem:
                        self._restore(drafting.state_of(info.folder))
        self._offered, self.offer = (series, self.reader), words

    # what a reader says

    def decide(self, decision: str) -> None:
        """Note a decision on the node, and go to the next that has none."""
        row = self.row()
        if row is None:
            self.present()  # nobody decides on a node unseen
            return
        if self._say_of(row, "decision", decision):
            self._next(row)

    def present(self) -> None:
        """Show the first node without a decision, where none is chosen."""
        rows = self.rows()
        if not rows or self.row() is not None:
            return
        left = [r for r in rows if not self.state.judgement(self.uid(r)).decision]
        walking.choose(self.session, (left or rows)[0])

    def _next(self, row: NodeRow) -> None:
        rows = self.rows()
        at = [one.id for one in rows].index(row.id)
        for one in (*rows[at + 1 :], *rows[:at]):
            if not self.state.judgement(self.uid(one)).decision:
                walking.choose(self.session, one)
                return

    def say(self, field: str, value: Any) -> None:
        """Note one thing about the node."""
        row = self.row()
        if row is not None:
            self._say_of(row, field, value)

    def _say_of(self, row: NodeRow, field: str, value: Any) -> bool:
        """Note it of any node; whether something may be noted at all."""
        if not self.begin() or self.saving is None:
            return False
        uid = self.uid(row)
        before = getattr(self.state.judgement(uid), field)
        if before == value:
            return True
        if uid not in self.state.origins:
            kind = "point" if row.label is None else "reference"
            self.saving.record("node", node=uid, after={"value": None, "origin": kind})
        self._note(uid, field, before, value)
        if self.annotation is not None:
            self.annotation.did(
                lambda: self._note(uid, field, value, before),
                lambda: self._note(uid, field, before, value),
            )
        return True

    def _note(self, uid: str, field: str, before: Any, value: Any) -> None:
        if self.saving is None:
            return
        self.saving.record(
            "decision", node=uid, before={field: before}, after={field: value}
        )
        if field in ("station", "axes"):
            for row in self._all_rows():
                if self.uid(row) == uid:
                    self._show(row, field, value)
        self.changed.emit()

    def _show(self, row: NodeRow, field: str, value: Any) -> None:
        ours = self.image.metadata[case_layers.KEY]
        if field == "station":
            ours.setdefault(case_layers.STATIONS, {})[row.id] = value
        elif value:
            lines = [[list(end) for end in line] for line in value]
            ours.setdefault(axes.DRAWN, {})[row.id] = lines
        else:
            ours.setdefault(axes.DRAWN, {}).pop(row.id, None)
        if field == "axes" and self.session.chosen_node == row.id:
            axes.show(self.session, row)
        self.session.nodes_changed.emit()

    def _station(self, node: int, name: str) -> None:
        self._of_table(node, "station", name)

    def _axes(self, node: int, lines: Any) -> None:
        if self.annotation is not None and self.annotation._replaying:
            return
        ends = [[[float(n) for n in end] for end in line] for line in lines]
        self._of_table(node, "axes", tuple(tuple(map(tuple, line)) for line in ends))

    def _of_table(self, node: int, field: str, value: Any) -> None:
        for row in self._all_rows():
            if row.id == node:
                self._say_of(row, field, value)

    def _all_rows(self) -> tuple[NodeRow, ...]:
        """Nodes of the case, also those that a filter leaves out of the table."""
        image = self.session.image()
        ours = case_layers.metadata_of(image) if image is not None else None
        return case_layers.node_rows(ours or {})

    def missed(self) -> None:
        """Note that a node is missing where the picture is."""
        image, viewer = self.session.image(), self.session.viewer
        if image is None or viewer is None or not self.begin() or self.saving is None:
            return
        place = viewer.dims.point
        if viewer.mouse_over_canvas:
            place = viewer.cursor.position
        index = [float(n) for n in image.world_to_data(place)]
        size = np.asarray(image.data.shape) - 1
        index = np.clip(index, 0, size).tolist()
        ours = case_layers.metadata_of(image) or {}
        affine = np.asarray(ours["affine"], np.float64)
        point = index_to_patient(affine, [index])[0].tolist()
        self.saving.record(
            "finding",
            node=new_uid(),
            after={"index": index, "point_lps": [round(v, 3) for v in point]},
        )
        self.changed.emit()

    def forget(self, uid: str) -> None:
        """Take a finding back."""
        found = next((one for one in self.state.findings if one.uid == uid), None)
        if found is not None and self.saving is not None:
            before = {"index": found.index, "point_lps": found.point_lps}
            self.saving.record("finding", node=uid, before=before, after=None)
            self.changed.emit()

    def go_to(self, uid: str) -> None:
        """Show the place of a finding."""
        image, viewer = self.session.image(), self.session.viewer
        for one in self.state.findings:
            if one.uid == uid and image is not None and viewer is not None:
                world = image.data_to_world(one.index)
                view.jump(viewer, tuple(np.asarray(world, float)), walking.ZOOM)

    def note(self, text: str) -> None:
        """Keep notes on the case."""
        if text != self.state.notes and self.begin() and self.saving is not None:
            self.saving.record("notes", before=self.state.notes, after=text)
            self.changed.emit()

    def leave(self, how: str, reasons: Sequence[str] = ()) -> None:
        """Leave the case, and go on to the next where there is a queue."""
        if not self.begin() or self.saving is None:
            return
        self.saving.tick()
        self._spend(self.saving, all_of_it=True)
        self.saving.record(
            "exit", before=self.state.exit, after=how, reasons=list(reasons)
        )
        seconds, notes = self.state.seconds, self.state.notes
        if not self.saving.flush():
            self.problem = f"{_NOT_SAVED}: {self.saving.error or 'a moment more.'}"
            self.changed.emit()
            return  # nobody goes on while something is not on the disk
        self.changed.emit()
        self.left.emit(how, tuple(reasons), seconds, notes)

    def save_copy(self, path: Path) -> None:
        """Write the nodes where a person wants them; earlier versions stay."""
        if self.saving is None or self.image is None:
            return
        self.saving.look_through()
        ours = case_layers.metadata_of(self.image) or {}
        labels = np.asarray(self.saving.labels)
        name = f"nodes of {ours.get('case', '')}, reader {self.reader}"
        try:
            files = drafting.save_copy(
                path, labels, self.state, grid_of(labels, ours), name
            )
        except TciaError as error:
            self.problem = str(error)
        else:
            self.problem = ""
            if not self.saving.draft.read_only:
                self.saving.record("saved", after=[file.name for file in files])
        self.changed.emit()

    def show_others(self) -> None:
        """Show side by side what others drew on the same images."""
        image, viewer = self.session.image(), self.session.viewer
        if image is None or viewer is None:
            return
        if self.session.beside is not None:
            beside.close(self.session)
            return
        ours = case_layers.metadata_of(image) or {}
        if ours.get("blind"):
            self.session.tell(["Nobody else's nodes are shown while you read blind."])
            return
        sources: dict[str, Any] = {}
        try:
            case = _case(image)
            for one in drafting.other_readers(self.session.services, case, self.reader):
                sources[f"Reader {one.reader}"] = one.labels
        except TciaError as error:
            self.session.tell([str(error)])
        for layer in self.session.of_volume(image, self.session.ours("reference")):
            if layer.data.shape == image.data.shape:
                sources[layer.name] = layer.data
        if sources:
            beside.show(self.session, image, sources)
        else:
            self.session.tell(["Nobody else has drawn on these images."])

    # time, and what is shown

    def _chosen(self, node: int) -> None:
        row = self.row()
        if self.annotation is not None and row is not None and row.label is not None:
            self.annotation.choose(row.label)
        self.changed.emit()

    def _tick(self) -> None:
        saving = self.saving
        if saving is not None:
            self._spend(saving)
            if saving.error is not None:
                self.problem = f"{_NOT_SAVED}: {saving.error}"
            else:
                self._tell_unsaved()
            self.changed.emit()
        elif self._unsaved:
            self._tell_unsaved()
            self.changed.emit()

    def _spend(self, saving: Autosave, all_of_it: bool = False) -> None:
        """Count the time while the window is in use."""
        now = time.monotonic()
        window = self.session.window()
        if window is None or window.isActiveWindow():
            self.spent += min(now - self._since, 5.0)
        self._since = now
        enough = self.spent >= _TIME_SECONDS or (all_of_it and self.spent >= 0.1)
        if enough and not saving.draft.read_only:
            saving.record("time", after=round(self.spent, 1))
            self.spent = 0.0


def _case(image: Any) -> DraftCase:
    """What a draft on an image is about."""
    ours = case_layers.metadata_of(image) or {}
    return drafting.case_of(
        str(ours.get("case", "")),
        Provenance.from_dict(ours),
        np.asarray(ours["affine"], np.float64),
        image.data.shape,
    )


def _merged(layers: Sequence[Any]) -> tuple[Any, set[int], int]:
    """Labels of several layers as one, their values, and how many voxels were shared.

    Nodes that overlap come in layers of their own; a copy holds one node a voxel.
    """
    first, *others = layers
    labels, shared = first.data, 0
    taken = {one.value for one in _segments(first)}
    values = set(taken)
    for layer in others:
        listed = {one.value for one in _segments(layer)}
        values |= listed
        if listed & taken:
            continue  # another rendering of the same nodes
        more = np.asarray(layer.data)
        shared += int(((more > 0) & (labels > 0)).sum())
        labels = np.where(labels > 0, labels, more)
        taken |= listed
    return labels, values, shared


def _segments(layer: Any) -> tuple[Segment, ...]:
    listed = (case_layers.metadata_of(layer) or {}).get("segments", ())
    known = {"value", "label", "tracking_uid"}
    return tuple(
        Segment(**{k: v for k, v in one.items() if k in known}) for one in listed
    )
