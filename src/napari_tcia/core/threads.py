"""The same work on several things side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from napari_tcia.core.task import CancelToken

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def held(
    lock: threading.Lock | threading.Semaphore, token: CancelToken
) -> Iterator[None]:
    """Hold a lock; wait for it, unless cancelled."""
    while not lock.acquire(timeout=0.1):
        token.raise_if_cancelled()
    try:
        yield
    finally:
        lock.release()


def side_by_side(
    work: Callable[[T], R],
    things: Iterable[T],
    threads: int,
    token: CancelToken | None = None,
) -> Iterator[tuple[T, R]]:
    """Yield each of `things` with the result of `work`, as they are done.

    Parameters
    ----------
    work : callable
        Called on one of `threads` threads.
    things : iterable
        Taken from on this thread, no faster than they are worked on.
    token : CancelToken, optional
        Cancelled at the first error, so that the other threads stop; it is
        raised once they have.
    """
    waiting = iter(things)
    running: dict[Future[R], T] = {}
    with ThreadPoolExecutor(threads) as pool:
        try:
            for thing in islice(waiting, 2 * threads):
                running[pool.submit(work, thing)] = thing
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield running.pop(future), future.result()
                    for thing in islice(waiting, 1):
                        running[pool.submit(work, thing)] = thing
        except BaseException:
            for future in running:
                future.cancel()
            if token is not None:
                token.cancel()
            raise
