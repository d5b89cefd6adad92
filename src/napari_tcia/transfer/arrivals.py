"""What of a series may be looked at before all of it is here.

An instance, once it is verified. Of a zip none before its LICENSE is known to name
the terms that were accepted: it mostly comes first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from napari_tcia.core.model import Series
from napari_tcia.transfer.partial import Verified
from napari_tcia.transfer.store import LICENCE


class Arrivals:
    """Passes on verified instances; from several threads.

    Parameters
    ----------
    series : Series
    seen : callable
        Gets the place of each instance, which it must read at once.
    as_licensed : callable, optional
        As of `download.Quarantine`, where a LICENSE is to come and to be compared.
    """

    def __init__(
        self,
        series: Series,
        seen: Callable[[Path], None],
        as_licensed: Callable[[Series, str], Series] | None,
    ) -> None:
        self._series = series
        self._seen = seen
        self._as_licensed = as_licensed
        self._may = as_licensed is None
        self._waiting: list[Path] = []
        self._lock = threading.Lock()

    def __call__(self, place: Path, one: Verified) -> None:
        """Take note of one file of the series."""
        with self._lock:
            if one.name == LICENCE:
                self._compare(place)
            elif self._may:
                self._seen(place)
            else:
                self._waiting.append(place)

    def _compare(self, licence: Path) -> None:
        if self._as_licensed is None:
            return
        text = licence.read_text("utf-8", "replace")
        self._may = self._as_licensed(self._series, text) == self._series
        waiting, self._waiting = self._waiting, []
        for place in waiting if self._may else ():
            self._seen(place)
