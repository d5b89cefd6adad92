"""Politeness: how much is asked of one host at once, and when it is left alone."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from napari_tcia.core.task import CancelToken
from napari_tcia.core.threads import held

STREAMS = 4
"""Bodies that are streamed from one host at the same time."""


class Budget:
    """Shared by all threads that ask the same hosts; a host may have services."""

    def __init__(self, streams: int = STREAMS) -> None:
        self._turns: defaultdict[str, threading.Semaphore] = defaultdict(
            lambda: threading.Semaphore(streams)
        )
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, host: str, token: CancelToken) -> Iterator[None]:
        """Hold one of the streams of `host`; wait for it, unless cancelled."""
        with self._lock:
            turns = self._turns[host]
        with held(turns, token):
            yield

    def pause(self, host: str, seconds: float) -> None:
        """Leave `host` alone for some time, as it asked."""
        if seconds > 0:
            with self._lock:
                until = time.monotonic() + seconds
                self._until[host] = max(until, self._until.get(host, 0.0))

    def wait(self, host: str, token: CancelToken) -> None:
        """Wait until `host` may be asked again."""
        left = self._until.get(host, 0.0) - time.monotonic()
        if left > 0:
            token.wait(left)
