"""One try to make a series whole: what is missing, from where it can be had."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from napari_tcia.core.model import AccessGrant, Series
from napari_tcia.core.sources import InstanceSource, ObjectSource, SeriesSource
from napari_tcia.errors import (
    ArchiveError,
    CorruptData,
    NothingFound,
    TciaError,
    Truncated,
)
from napari_tcia.transfer.attempts import Watch
from napari_tcia.transfer.beside import Files, ahead, beside
from napari_tcia.transfer.objects import check_listed, fetch_objects
from napari_tcia.transfer.partial import Partial
from napari_tcia.transfer.receive import Meter, Received, receive
from napari_tcia.transfer.singles import drop_what_differs, fetch_singly, is_few
from napari_tcia.transfer.unpack import members


@dataclass(slots=True, eq=False)
class Bring:
    """Fetches what `partial` lacks of a series, and compares the whole.

    Called once for each try; what one try has verified, the next one has.
    """

    series: Series
    source: SeriesSource | ObjectSource
    grant: AccessGrant
    partial: Partial
    attempts: int
    pause: float
    _gave_up: bool = field(default=False, init=False)
    """Whether single instances could not be had in this try."""
    _told: set[str] | None = field(default=None, init=False)
    """The archive's list of instances, once it was asked for in this try."""

    def __call__(self, watch: Watch, progress: Meter) -> None:
        """Make the series whole, or raise as `download.fetch_series`."""
        self._gave_up, self._told = False, None
        if isinstance(self.source, ObjectSource):
            listed = self.source.objects(self.series.series_uid, watch.token)
            check_listed(listed, self.series)
            watch.alive()
            fetch_objects(
                listed,
                self.series,
                self.source,
                self.grant,
                self.partial,
                watch,
                progress,
                self.attempts,
                self.pause,
            )
            return
        if not self._is_here() and not self._singly(watch, progress):
            try:
                self._zip(self.source, watch, progress)
            except (Truncated, CorruptData) as error:
                if error.numbers.get("final") or not self._singly(watch, progress):
                    raise
        try:
            self._compare(watch)
        except Truncated:
            if not self._singly(watch, progress):
                raise
            self._compare(watch)
        self.partial.mark_whole()

    def _is_here(self) -> bool:
        """Whether an earlier run had all of it, and only its end was missing."""
        declared = (self.series.images, self.series.bytes)
        held = (len(self.partial.uids), self.partial.bytes)
        return self.partial.is_whole and declared == held

    def _zip(self, source: SeriesSource, watch: Watch, progress: Meter) -> None:
        uid = self.series.series_uid

        def keep(files: Files) -> Received:
            return receive(files, self.series, self.partial, watch, progress)

        # What is held already arrives, and is counted, once more.
        progress(-progress.done)
        with (
            watch.token.child() as receiving,
            source.open_series(uid, self.grant, receiving) as chunks,
            ahead(chunks, receiving) as arrived,
        ):
            files = members(arrived, watch.token, declared_bytes=self.series.bytes)
            received = beside(files, keep, watch.token)
        if not received.uids:
            raise Truncated(
                f"The zip of series {uid} holds no image.",
                "Try again later.",
                series_uid=uid,
            )

    def _singly(self, watch: Watch, progress: Meter) -> bool:
        """Fetch what is missing one by one, if that is little and can be known.

        What is held is compared with the archive's checksums first, unless it was.
        """
        source, held = self.source, self.partial.uids
        if self._gave_up or not held or not isinstance(source, InstanceSource):
            return False
        listed = self._listed(watch)
        if listed is None or not is_few(listed - held, len(listed)):
            return False
        try:
            drop_what_differs(source, self.partial, watch)
            missing = listed - self.partial.uids
            if not is_few(missing, len(listed)):
                return False
            if not missing and self.partial.doubtful:
                return False  # nothing to fetch, and nothing that settles a doubt
            fetch_singly(
                missing,
                self.series,
                source,
                self.grant,
                self.partial,
                watch,
                progress,
                self.attempts,
                self.pause,
            )
        except (ArchiveError, CorruptData, NothingFound):
            self._gave_up = True
            return False  # the series once more, then
        return True

    def _listed(self, watch: Watch) -> set[str] | None:
        """The archive's list of instances, None where it has none to give."""
        ask = getattr(self.source, "sop_instance_uids", None)
        if self._told is None and ask is not None:
            # Without an answer count and bytes decide alone.
            with suppress(TciaError):
                self._told = set(ask(self.series.series_uid, token=watch.token)) or None
        return self._told

    def _compare(self, watch: Watch) -> None:
        """Compare count and bytes with what the archive declares."""
        series, held = self.series, self.partial
        count, images = len(held.uids), series.images
        numbers: dict[str, Any] = {
            "series_uid": series.series_uid,
            "received_images": count,
            "declared_images": images,
            "received_bytes": held.bytes,
            "declared_bytes": series.bytes,
        }
        if images is None and series.bytes is None:
            self._compare_with_list(watch, numbers)
            return
        same_count = images in (None, count)
        if same_count and series.bytes in (None, held.bytes):
            return
        sentence = (
            f"Series {series.series_uid} arrived with {count} images "
            f"({held.bytes} bytes); the archive declares "
            f"{'an unknown number' if images is None else images} "
            f"({'unknown' if series.bytes is None else series.bytes} bytes)."
        )
        if not same_count and self._listed(watch) == held.uids:
            raise CorruptData(
                f"{sentence} Its list of instances agrees with what arrived, "
                "so the declared count may be out of date.",
                "Search again, so that the archive's present count is used.",
                final=True,
                **numbers,
            )
        fewer = not same_count and images is not None and count < images
        if same_count:
            # Which of them is wrong is not known: none is kept for the next try.
            held.drop(list(held.files))
        if fewer or (same_count and numbers["received_bytes"] < (series.bytes or 0)):
            raise Truncated(
                sentence, "It is not complete, and not shown; try again.", **numbers
            )
        raise CorruptData(
            sentence,
            "Nothing of it was kept; search again, as the list may be out of date.",
            final=True,
            **numbers,
        )

    def _compare_with_list(self, watch: Watch, numbers: dict[str, Any]) -> None:
        """Tell whether a series is whole that is listed without count and size.

        A zip cannot: the archive leaves out what it cannot read, and ends it well.
        """
        uid, held = self.series.series_uid, self.partial.uids
        listed = self._listed(watch)
        if not listed:
            raise Truncated(
                f"The archive names neither count, size nor instances of series {uid}, "
                "so nothing tells whether it arrived whole.",
                "It is not shown; try again later.",
                final=True,
                **numbers,
            )
        if missing := listed - held:
            raise Truncated(
                f"Series {uid} arrived without {len(missing)} of the {len(listed)} "
                "instances that the archive lists.",
                "It is not complete, and not shown; try again.",
                **numbers,
            )
        if more := held - listed:
            raise CorruptData(
                f"Series {uid} arrived with {len(more)} instances that the archive "
                "does not list.",
                "Nothing of it was kept; report it to the archive.",
                **numbers,
            )
