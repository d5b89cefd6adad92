"""The queue of a window: one case after the other, each left with a word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from napari_tcia._napari.layers import metadata_of
from napari_tcia.app import queues
from napari_tcia.core.model import Series
from napari_tcia.errors import TciaError
from napari_tcia.review.queue import Queue, counts, go_to_series, leave

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session


class Queueing:
    """Goes from case to case as the review leaves them.

    Parameters
    ----------
    session : Session
    open_uid : callable
        Opens a series by its UID, asking for terms where they are not accepted.
    """

    def __init__(self, session: Session, open_uid: Callable[[str], object]) -> None:
        self._session, self._open = session, open_uid
        self.queue: Queue | None = None
        session.review.left.connect(self._left)

    def make(self, name: str, rows: Sequence[Any]) -> None:
        """Begin a queue of rows of a search, or go on with the one they made."""
        series: list[Series] = [row.series for row in rows]
        try:
            self.queue, issues = queues.make_queue(
                self._session.services,
                series,
                name=name or "Review",
                blind=self._session.blind,
            )
        except TciaError as error:
            self._session.tell([str(error)])
            return
        self._session.tell(issue.message for issue in issues)
        self._show()

    def resume(self, name: str) -> None:
        """Go on with a queue that was kept."""
        try:
            self.queue = queues.queue_of(self._session.services, name)
        except TciaError as error:
            self._session.tell([str(error)])
            return
        self._show()

    def _show(self) -> None:
        queue = self.queue
        if queue is None:
            return
        self._session.blind = queue.blind
        self._session.review.place = queue.words
        self._open(queue.current.series_uid)

    def _left(self, how: str, reasons: Any, seconds: float, note: str) -> None:
        queue, image = self.queue, self._session.image()
        if queue is None or image is None:
            return
        ours = metadata_of(image) or {}
        if ours.get("series_uid") != queue.current.series_uid:
            return  # another case was opened by hand
        uid = queue.current.series_uid

        def left(now: Queue) -> Queue:
            at = go_to_series(now, uid)
            return leave(at, how, seconds=seconds, reasons=reasons, note=note)

        try:
            # As it is on the disk: another window may go through it as well.
            now = queues.change(self._session.services, queue.name, left)
        except TciaError as error:
            self._session.tell([str(error)])
            return
        self.queue = now
        if now.is_done or now.current.series_uid == uid:
            said = ", ".join(f"{n} {state}" for state, n in counts(now).items())
            self._session.review.place = f"{len(now.cases)} cases: {said}"
            self._session.tell([f"Every case of the queue was looked at: {said}."])
            return
        self._session.review.finish()
        viewer = self._session.viewer
        for layer in self._session.of_volume(image, self._session.ours()):
            if layer in viewer.layers:
                viewer.layers.remove(layer)
        self._show()
