"""The docks: thin subclasses that meet the viewer's session."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_tcia._napari import axes, onto, walking
from napari_tcia._napari import layers as case_layers
from napari_tcia._napari.queueing import Queueing
from napari_tcia._napari.review_view import view_of
from napari_tcia._napari.session import Session, session_for
from napari_tcia._napari.warm import warm
from napari_tcia._napari.window import dock_of
from napari_tcia._qt.browser import Browser
from napari_tcia._qt.citation_panel import CitationPanel
from napari_tcia._qt.node_table import NodeTable
from napari_tcia._qt.review_panel import ReviewPanel
from napari_tcia.app import drafting, queues
from napari_tcia.app.choices import COMPANION, companion_offer, offers
from napari_tcia.app.services import Services
from napari_tcia.core.image import Check, NodeRow
from napari_tcia.core.model import Issue
from napari_tcia.core.task import CancelToken, Done, Failed, Outcome, Report, silent
from napari_tcia.errors import TciaError
from napari_tcia.review.queue import Queue


class BrowserDock(Browser):
    """Search and open; what is opened becomes layers of the viewer."""

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        session = session_for(napari_viewer)
        super().__init__(lambda: session.services, session.runner, parent)
        self.opened.connect(session.add_cases)
        self.acts.arriving.connect(session.filling.show)
        session.blind_changed.connect(self.show_blind)
        warm(session.viewer, self)

    queueing: Queueing | None = None
    """What goes from case to case, in a window with all docks."""


class CitationDock(CitationPanel):
    """The one citation panel of a viewer."""

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        session_for(napari_viewer).citations.adopt(self)


class NodesDock(NodeTable):
    """Nodes of the case of the active layer; a click shows one."""

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session_for(napari_viewer)
        self._shown: Any = None
        self._session.layers_changed.connect(self._refresh)
        viewer = self._session.viewer
        viewer.layers.selection.events.active.connect(self._refresh)
        viewer.cursor.events.position.connect(self._under_cursor)
        self.chosen.connect(partial(walking.choose, self._session))
        self.asked.connect(self._walk)
        self.model.said = self._said
        self._session.listed_nodes = self.listed
        self._session.node_chosen.connect(self.select)
        self.located.connect(partial(walking.name_station, self._session))
        self._session.nodes_changed.connect(self._renew)
        self.destroyed.connect(partial(_forget_order, self._session))
        self.decided.connect(self._decide)
        _ = self._session.review  # keeps stations and axes that are named here
        self._refresh()

    def _refresh(self, event: Any = None) -> None:
        image = self._session.image()
        if image is self._shown and image is not None:
            return
        self._shown = image
        if image is None:
            self.clear()
            return
        ours = case_layers.metadata_of(image) or {}
        rows = case_layers.node_rows(ours)
        colours = [
            case_layers.POINT_COLOUR
            if row.label is None
            else case_layers.colour_of(row.label)
            for row in rows
        ]
        checks = [*case_layers.doubts(ours)]
        checks += [Check(**check) for check in ours.get("checks", ())]
        offered = offers(checks, case_layers.choices_of(ours))
        if not ours.get("blind"):
            offered += companion_offer(str(ours.get("patient_id", "")))
        name, known = str(ours.get("case", "")), ours.get("known", ())
        self.show_nodes(name, rows, colours, checks, offered, known)

    def _decide(self, choice: str) -> None:
        if choice.startswith(COMPANION):
            onto.lay_companion(self._session)
        elif self._shown is not None:
            self._session.read_again(self._shown, choice)

    def _renew(self) -> None:
        image = self._shown
        if image is not None and self.model.rows:
            ours = case_layers.metadata_of(image) or {}
            self.renew(case_layers.node_rows(ours))

    def _walk(self, how: str) -> None:
        if how in ("previous", "next"):
            walking.step(self._session, 1 if how == "next" else -1)
        elif how == "alone":
            walking.isolate(self._session)
        else:
            walking.blink(self._session)

    def _said(self, row: NodeRow) -> str:
        image = self._shown
        return axes.words(image, row.id) if image is not None else ""

    def _under_cursor(self, event: Any = None) -> None:
        viewer = self._session.viewer
        if viewer is None or viewer.dims.ndisplay != 2 or not self.model.rows:
            return
        self.highlight(walking.under(self._session, viewer.cursor.position))


class ReviewDock(ReviewPanel):
    """Review of the case that is looked at."""

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session_for(napari_viewer)
        review = self._review = self._session.review
        self.reader.setText(review.reader)
        self.decided.connect(review.decide)
        self.said.connect(review.say)
        self.noted.connect(review.note)
        self.missed.connect(review.missed)
        self.forgotten.connect(review.forget)
        self.shown.connect(review.go_to)
        self.left.connect(review.leave)
        self.annotate.connect(self._annotate)
        self.reader_changed.connect(review.set_reader)
        self.blind_changed.connect(self._blind)
        self.compare_wanted.connect(review.show_others)
        self.save_wanted.connect(self._save)
        self.tools.mode_changed.connect(self._use)
        self.tools.asked.connect(self._act)
        self.tools.changed.connect(self._set)
        review.changed.connect(self._refresh)
        review.asked_comment.connect(self.judging.write_comment)
        self._said: Any = None
        self._dock: Any = None
        self._offer_unfinished()
        self._refresh()

    def _refresh(self) -> None:
        view = view_of(self._review)
        self.show_view(view)
        if not self.reader.isModified():  # nobody is typing another
            self.reader.setText(self._review.reader)
        if view.total and not view.node:
            QTimer.singleShot(0, self._present)
        work = self._review.annotation
        if work is not None and work is not self._said:
            self._said = work
            work.said.connect(self.tools.hint.say)
            work.changed.connect(self._refresh_tools)
            self._set(self.tools.settings)
        self._refresh_tools()

    def showEvent(self, event: Any) -> None:
        """Who looks at this tab wants to see what is to be judged."""
        super().showEvent(event)
        dock = dock_of(self)
        if dock is not None and dock is not self._dock:
            # A tab behind another counts as visible; that it was raised is told.
            self._dock = dock
            dock.visibilityChanged.connect(self._raised)
        self._raised()

    def _raised(self, visible: bool = True) -> None:
        if visible:
            QTimer.singleShot(0, self._present)

    def _present(self) -> None:
        with contextlib.suppress(RuntimeError):  # the window is gone by now
            seen = not self.visibleRegion().isEmpty()
            if seen and not self._session.adding:
                self._review.present()
                self._review.make_ready()

    def _refresh_tools(self) -> None:
        work = self._review.annotation
        if work is not None:
            self.tools.modes[work.mode].setChecked(True)
            self.tools.show_pending(work.pending is not None)

    def _annotate(self) -> None:
        if self._review.annotate() is not None:
            self.tools.show_mode(self._review.annotation.mode)

    def _use(self, mode: str) -> None:
        if (work := self._review.annotation) is not None:
            work.use(mode)
            self.tools.show_mode(mode)

    def _act(self, action: str) -> None:
        work, row = self._review.annotation, self._review.row()
        if action == "axes":
            if row is not None and self._review.begin():
                axes.draw(self._session, row)
        elif work is not None:
            work.act(action)

    def _set(self, settings: Any) -> None:
        if (work := self._review.annotation) is not None:
            work.set(settings)

    def _blind(self, blind: bool) -> None:
        self._session.blind = blind

    def _save(self) -> None:
        case = self.view.case or "nodes"
        name, _ = QFileDialog.getSaveFileName(
            self.window(), "Save a copy", f"{case}_{self._review.reader}.nii.gz",
            "NIfTI (*.nii.gz *.nii)",
        )  # fmt: skip
        if name:
            path = Path(name)
            known = name.lower().endswith((".nii.gz", ".nii"))
            self._review.save_copy(
                path if known else path.with_name(f"{path.name}.nii.gz")
            )

    def _offer_unfinished(self) -> None:
        """Look, beside the window, for what was begun and not ended."""
        try:
            services = self._session.services
        except TciaError:
            return
        self._session.runner.submit(
            "begun before", _begun, services, on_done=self._show_begun
        )

    def _show_begun(self, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            self._session.tell([str(outcome.error)])
        if not isinstance(outcome, Done):
            return
        found, (kept, issues) = outcome.value
        self._session.tell(
            [
                *(one.problem for one in found if one.problem),
                *(i.message for i in issues),
            ]
        )
        mine = [one for one in found if one.reader == self._review.reader]
        offered = [
            (
                f"Continue {one.case}: {one.decided} decided, {one.edits} edits, "
                f"saved {one.saved[:16].replace('T', ' ')} UTC",
                one.series_uid,
            )
            for one in mine
            if one.unfinished or not one.exit
        ]
        waiting = [
            (
                f"Queue {one.name}: "
                f"{sum(c.state != 'waiting' for c in one.cases)} of {len(one.cases)} "
                f"seen{', blind' if one.blind else ''}",
                one.name,
            )
            for one in kept
            if not one.is_done
        ]
        self.show_unfinished(offered[:3], waiting[:3])


def _begun(
    services: Services, *, report: Report = silent, token: CancelToken | None = None
) -> tuple[tuple[drafting.DraftInfo, ...], tuple[tuple[Queue, ...], tuple[Issue, ...]]]:
    """Drafts and queues of this machine: each log is read, which takes its time."""
    return drafting.drafts(services), queues.queues(services)


def _forget_order(session: Session, _: object = None) -> None:
    session.listed_nodes = None


def open_docks(viewer: Any) -> BrowserDock:
    """Dock browser and nodes as tabs on the right, credit below; return the browser.

    The docks have the names that napari's own menu gives them, so that the
    menu toggles these.
    """
    window = viewer.window
    browser = BrowserDock(viewer)
    dock = window.add_dock_widget(browser, name="Browser (napari-tcia)", area="right")
    window.add_dock_widget(
        NodesDock(viewer), name="Nodes (napari-tcia)", area="right", tabify=True
    )
    review = ReviewDock(viewer)
    window.add_dock_widget(
        review, name="Review (napari-tcia)", area="right", tabify=True
    )
    review.recover_wanted.connect(browser.open_uid)
    browser.queueing = Queueing(session_for(viewer), browser.open_uid)
    review.queue_wanted.connect(browser.queueing.resume)
    browser.review_wanted.connect(browser.queueing.make)
    QTimer.singleShot(0, dock.raise_)  # napari raises the newest tab by itself
    QTimer.singleShot(0, browser.search_box.setFocus)
    session_for(viewer).citations.dock()
    return browser
