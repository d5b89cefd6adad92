"""Receive, unpack and write on three threads, one handing on to the next.

The network, the decompression and the checksums each keep a core busy; one after
the other they would add up.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

from napari_tcia.core.task import CancelToken

T = TypeVar("T")
R = TypeVar("R")
Files = Iterator[tuple[str, Iterator[bytes]]]

_WAITING = 16
"""Pieces, of a quarter of a megabyte mostly, that may wait between two threads."""
_THING, _END, _ERROR = range(3)


class _Pipe(Generic[T]):
    """Things on their way from one thread to another, in order and few at a time.

    Attributes
    ----------
    ended : bool
        Whether the end, or the error in its stead, has come out.
    """

    def __init__(self) -> None:
        self.ended = False
        self._queue: queue.Queue[tuple[int, Any]] = queue.Queue(_WAITING)
        self._closed = threading.Event()

    def send(self, things: Iterator[T], token: CancelToken) -> None:
        """Put all `things`, and how they ended; returns early when it is closed.

        Raises
        ------
        Cancelled
            Through `token`, while the other end is slow.
        """
        try:
            for thing in things:
                if not self._put(_THING, thing, token):
                    return
        except BaseException as error:
            self._put(_ERROR, error, None)
            raise
        self._put(_END, None, token)

    def _put(self, kind: int, value: Any, token: CancelToken | None) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put((kind, value), timeout=0.1)
            except queue.Full:
                if token is not None:
                    token.raise_if_cancelled()
            else:
                return True
        return False

    def __iter__(self) -> Iterator[T]:
        while True:
            kind, value = self._queue.get()
            self.ended = kind != _THING
            if kind == _ERROR:
                raise value
            if kind == _END:
                return
            yield value

    def close(self) -> None:
        """Take no more: whoever sends, stops."""
        self._closed.set()


@contextmanager
def ahead(chunks: Iterator[bytes], token: CancelToken) -> Iterator[Iterator[bytes]]:
    """Receive `chunks` on a thread of its own; yields them.

    Parameters
    ----------
    chunks : iterator of bytes
        What they raise is raised in order, where they are used.
    token : CancelToken
        Cancelled at the end, where the chunks were not used up: a thread that waits
        for the network would go on waiting.
    """
    pipe: _Pipe[bytes] = _Pipe()

    def run() -> None:
        with suppress(BaseException):  # it is raised at the other end
            pipe.send(chunks, token)

    thread = threading.Thread(target=run, name="napari-tcia receiving", daemon=True)
    thread.start()
    try:
        yield iter(pipe)
    finally:
        pipe.close()
        if not pipe.ended:
            token.cancel()
        thread.join()


def beside(files: Files, consume: Callable[[Files], R], token: CancelToken) -> R:
    """Hand `files` to `consume`, which runs on a thread of its own.

    Parameters
    ----------
    files : iterator of (name, chunks)
        Used on this thread.
    consume : callable
        Takes the same files, on the other thread; an exception of `files` is
        raised to it where it happened.
    token : CancelToken

    Returns
    -------
    Whatever `consume` returns; what it raises is raised here.
    """
    pipe: _Pipe[str | bytes] = _Pipe()
    outcome: list[R] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(consume(_arriving(iter(pipe))))
        except BaseException as error:  # raised again on the other thread
            failed.append(error)
        finally:
            pipe.close()

    worker = threading.Thread(target=run, name="napari-tcia writing", daemon=True)
    worker.start()
    try:
        pipe.send(_parts(files), token)
    except BaseException:
        worker.join()
        if not failed:
            raise
    worker.join()
    if failed:
        raise failed[0]
    return outcome[0]


def _parts(files: Files) -> Iterator[str | bytes]:
    for name, chunks in files:
        yield name
        # Used up even when nobody wants it any more: a zip goes on behind it.
        yield from chunks


def _arriving(parts: Iterator[str | bytes]) -> Files:
    """Names, and the bytes that follow each, as files again."""
    name: str | None = None

    def chunks() -> Iterator[bytes]:
        nonlocal name
        for part in parts:
            if isinstance(part, str):
                name = part
                return
            yield part
        name = None

    for _ in chunks():  # up to the first name
        pass
    while name is not None:
        pieces = chunks()
        yield name, pieces
        for _ in pieces:  # what was not asked for is passed over
            pass
