"""What is done with the selection: terms first, then open, download or look."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_tcia._qt.nodes_window import NodesWindow
from napari_tcia._qt.preview import PreviewWindow
from napari_tcia._qt.terms_dialog import TermsDialog
from napari_tcia._qt.work import Work
from napari_tcia.app import agree, fetch, state
from napari_tcia.app.arriving import Arriving
from napari_tcia.app.assemble import Case, blinded
from napari_tcia.app.fetch import Fetched
from napari_tcia.app.nodes_only import NodesOnly, around, of_stored
from napari_tcia.app.preview import Preview, preview
from napari_tcia.app.refresh import Change, refresh
from napari_tcia.app.rows import CaseRow
from napari_tcia.app.selection import Part, look_up, open_rows
from napari_tcia.app.services import Services
from napari_tcia.archive.manifest import write_manifest
from napari_tcia.core.model import Listing, Series, Terms
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.errors import TciaError

SENTENCES = 3
"""Sentences of a refresh that are shown at once; the details hold them all."""
_MANIFESTS = "TCIA manifest (*.tcia);;Table (*.csv);;s5cmd manifest (*.s5cmd)"


class Actions(QObject):
    """Carries out what the bar and the menus ask for.

    Parameters
    ----------
    work : Work
        Where it runs and is shown.
    widget : QWidget
        Its window owns the dialogs.
    """

    opened = Signal(object)
    """A tuple of cases, read and ready to be shown."""
    arriving = Signal(object)
    """An `Arriving`: a series that can be looked at while it is fetched."""
    accepted = Signal(object)
    """Names of collections whose terms have been accepted."""
    fetched = Signal(object)
    """Series that are on disk now."""
    refreshed = Signal()
    asked = Signal()
    """A dialog has come or gone."""

    def __init__(self, work: Work, widget: QWidget) -> None:
        super().__init__(widget)
        self._work = work
        self._widget = widget
        self.blind = False
        """Whether cases open without what is known of their nodes."""
        self.dialog: TermsDialog | None = None
        self.preview: PreviewWindow | None = None
        self.nodes: NodesWindow | None = None

    def open(self, rows: Sequence[CaseRow], folders: Mapping[str, Path]) -> None:
        """Open cases; those in folders of the user are read from there."""
        own = [row for row in rows if row.series.series_uid in folders]
        others = [row for row in rows if row.series.series_uid not in folders]

        def begin(series: Sequence[Series]) -> None:
            self._start(
                "Opening",
                open_rows,
                series,
                own,
                folders,
                self._begun,
                then=self._read,
            )

        if others:
            self._with_terms(others, begin, "Accept and open")
        else:
            begin(())

    def download(self, rows: Sequence[CaseRow], part: Part = "all") -> None:
        """Fetch the series of `rows`, or a part of them, without showing them."""

        def begin(series: Sequence[Series]) -> None:
            if not series:
                self._work.say("No annotation series is listed for this selection.")
                return
            done = self._annotated if part == "annotations" else self._downloaded
            then = partial(done, series)
            self._start("Downloading", fetch.get, series, then=then, kind="download")

        self._with_terms(rows, begin, "Accept and download", part)

    def look(self, row: CaseRow, folders: Mapping[str, Path]) -> None:
        """Show one slice of a case."""
        folder = folders.get(row.series.series_uid)

        def begin(series: Sequence[Series]) -> None:
            self._start(
                "Fetching one slice", preview, series[0], folder, then=self._show_slice
            )

        if folder:
            begin((row.series,))
        else:
            self._with_terms([row], begin, "Accept and preview", "image")

    def open_around(self, patient: str, node: int) -> None:
        """Fetch and open only the slices of one node, by its number in the list."""
        words = f"Fetching the slices of node {node}"
        self._start(words, around, patient, node, then=self._around)

    def ask_manifest(self, rows: Sequence[CaseRow]) -> None:
        """Ask where a manifest of `rows` is to be written, and write it."""
        name, chosen = QFileDialog.getSaveFileName(
            self._widget.window(), "Save as manifest", "series.tcia", _MANIFESTS
        )
        if name:
            path = Path(name)
            suffix = chosen.rpartition("*")[2].rstrip(")") or ".tcia"
            self.save_manifest(rows, path if path.suffix else path.with_suffix(suffix))

    def save_manifest(self, rows: Sequence[CaseRow], path: Path) -> None:
        """Write the series of `rows` as a manifest, in the form that `path` names."""
        series = list({s.series_uid: s for row in rows for s in row.all}.values())
        self._start("Writing the manifest", _write, series, path, then=self._written)

    def refresh(self) -> None:
        """Ask the archive what it holds, and say what has changed."""
        self._work.start(
            "refresh",
            "Asking the archive what it holds",
            refresh,
            on_done=self._refreshed,
            retry=self.refresh,
        )

    # terms

    def _with_terms(
        self,
        rows: Sequence[CaseRow],
        then: Callable[[Sequence[Series]], None],
        action: str,
        part: Part = "all",
    ) -> None:
        """Call `then` with the series of `rows` once their terms are accepted."""
        self._start(
            "Reading the terms",
            look_up,
            rows,
            part,
            then=partial(self._looked_up, then, action),
        )

    def _looked_up(
        self,
        then: Callable[[Sequence[Series]], None],
        action: str,
        found: tuple[tuple[Series, ...], tuple[Terms, ...], str],
    ) -> None:
        series, terms, name = found
        missing = [t for t in terms if t.accepted is None]
        if not missing:
            then(series)
            return
        self.dialog = TermsDialog(
            missing,
            agree.unacceptable(missing),
            name,
            self._widget.window(),
            action=action,
        )
        self.dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.dialog.agreed.connect(partial(self._agreed, then, series, missing))
        self.dialog.finished.connect(self._closed)
        self.dialog.open()
        self.asked.emit()

    def _closed(self, _result: int) -> None:
        self.dialog = None
        self.asked.emit()

    def _agreed(
        self,
        then: Callable[[Sequence[Series]], None],
        series: Sequence[Series],
        terms: Sequence[Terms],
        name: str,
    ) -> None:
        try:
            agree.accept(self._work.services(), terms, name)
        except TciaError as error:
            self._work.fail(error)
            return
        self.accepted.emit(tuple(t.collection for t in terms))
        then(series)

    # what came of it

    def _begun(self, one: Arriving) -> None:
        """Called on the thread that receives; the window may be gone by now."""
        with suppress(RuntimeError):
            self.arriving.emit(one)

    def _read(self, found: tuple[tuple[Any, ...], tuple[Series, ...]]) -> None:
        cases, kept = found
        if self.blind:  # nor is anything said of what is not shown
            cases = tuple(blinded(case) for case in cases)
        self.fetched.emit(kept)
        self._work.say("\n".join(state.doubts(cases)))
        self.opened.emit(cases)

    def _downloaded(self, asked: Sequence[Series], rows: Listing[Fetched]) -> None:
        whole = {row.series_uid: row for row in rows if row.error is None}
        self.fetched.emit(tuple(s for s in asked if s.series_uid in whole))
        doubts = [i.message for i in rows.issues if i.level != "info"]
        if doubts:
            self._work.say("\n".join(doubts), retry=len(whole) < len(rows))
            return
        number = f"{len(whole)} series" + (" is" if len(whole) == 1 else " are")
        place = next((row.path for row in whole.values() if row.path), None)
        where = f" in {place.parent}" if place else ""
        self._work.say(f"{number} on disk, verified{where}.", meaning="good")

    def _annotated(self, asked: Sequence[Series], rows: Listing[Fetched]) -> None:
        """What was fetched are annotations: list the nodes in them."""
        whole = {row.series_uid for row in rows if row.error is None}
        segs = [s for s in asked if s.modality == "SEG" and s.series_uid in whole]
        if segs:
            then = partial(self._list_nodes, asked, rows)
            self._start("Listing nodes", of_stored, segs, then=then)
        else:
            self._downloaded(asked, rows)

    def _list_nodes(
        self,
        asked: Sequence[Series],
        rows: Listing[Fetched],
        found: tuple[NodesOnly, ...],
    ) -> None:
        self._downloaded(asked, rows)
        if len(found) != 1:
            return  # one case at a time can be listed
        if self.nodes is not None:
            self.nodes.close()
        self.nodes = NodesWindow(found[0], self._widget.window())
        self.nodes.destroyed.connect(self._forget_nodes)
        self.nodes.chosen.connect(self.open_around)
        self.nodes.show()
        self.nodes.raise_()
        self.nodes.activateWindow()

    def _forget_nodes(self, _gone: QObject | None = None) -> None:
        self.nodes = None

    def _around(self, case: Case) -> None:
        self._work.say("\n".join(state.doubts((case,))))
        self.opened.emit((case,))

    def _show_slice(self, found: Preview) -> None:
        if self.preview is not None:
            self.preview.close()
        self.preview = PreviewWindow(found, self._widget.window())
        self.preview.destroyed.connect(self._forget_slice)
        self.preview.show()
        self.preview.raise_()
        self.preview.activateWindow()

    def _forget_slice(self, _gone: QObject | None = None) -> None:
        self.preview = None

    def _written(self, found: tuple[Path, int, Sequence[str]]) -> None:
        path, number, doubts = found
        words = f"{path} lists {number} series."
        self._work.say(
            "\n".join((words, *doubts)), meaning="warn" if doubts else "good"
        )

    def _refreshed(self, change: Change) -> None:
        sentences = [*change.sentences, *(i.message for i in change.issues)]
        shown = [shorten(one, 90, placeholder=" …") for one in sentences[:SENTENCES]]
        whole = "\n".join(sentences)
        self._work.say(
            "\n".join(shown),
            meaning="muted",
            details=whole if whole != "\n".join(shown) else "",
        )
        self.refreshed.emit()

    def _start(
        self,
        words: str,
        func: Callable[..., Any],
        *args: Any,
        then: Callable[[Any], None],
        kind: str = "open",
    ) -> None:
        again = partial(self._start, words, func, *args, then=then, kind=kind)
        self._work.start(
            kind,
            words,
            func,
            *args,
            on_done=then,
            retry=again,
            queued=kind == "download",
        )


def _write(
    services: Services,
    series: Sequence[Series],
    path: Path,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[Path, int, tuple[str, ...]]:
    written = write_manifest(series, path)
    return path, len(written), tuple(i.message for i in written.issues)
