"""Receive on one thread while another one writes, hashes and judges."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from napari_tcia.core.task import CancelToken

T = TypeVar("T")
Files = Iterator[tuple[str, Iterator[bytes]]]

_CHUNKS = 64
"""Chunks, of 64 KB mostly, that may wait between the two."""
_FILE, _DATA, _END, _ERROR = range(4)


def beside(files: Files, consume: Callable[[Files], T], token: CancelToken) -> T:
    """Hand `files` to `consume`, which runs on a thread of its own.

    Parameters
    ----------
    files : iterator of (name, chunks)
        Used on this thread, where the network is.
    consume : callable
        Takes the same files, on the other thread; an exception of `files` is
        raised to it where it happened.
    token : CancelToken

    Returns
    -------
    Whatever `consume` returns; what it raises is raised here.
    """
    waiting: queue.Queue[tuple[int, Any]] = queue.Queue(_CHUNKS)
    over = threading.Event()
    outcome: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(consume(_arriving(waiting)))
        except BaseException as error:  # raised again on the other thread
            failed.append(error)
        finally:
            over.set()

    def put(kind: int, value: Any) -> bool:
        while not over.is_set():
            try:
                waiting.put((kind, value), timeout=0.1)
            except queue.Full:
                if kind != _ERROR:
                    token.raise_if_cancelled()
            else:
                return True
        return False

    worker = threading.Thread(target=run, name="napari-tcia writing", daemon=True)
    worker.start()
    try:
        for name, chunks in files:
            if not put(_FILE, name):
                break
            # Used up even when nobody wants it any more: a zip goes on behind it.
            if not all(put(_DATA, chunk) for chunk in chunks):
                break
        else:
            put(_END, None)
    except BaseException as error:
        put(_ERROR, error)
        over.wait()
        if not failed:
            raise
    worker.join()
    if failed:
        raise failed[0]
    return outcome[0]


def _arriving(waiting: queue.Queue[tuple[int, Any]]) -> Files:
    kind, value = waiting.get()

    def chunks() -> Iterator[bytes]:
        nonlocal kind, value
        while True:
            kind, value = waiting.get()
            if kind == _ERROR:
                raise value
            if kind != _DATA:
                return
            yield value

    while kind == _FILE:
        pieces = chunks()
        yield value, pieces
        for _ in pieces:  # what was not asked for is passed over
            pass
    if kind == _ERROR:
        raise value
