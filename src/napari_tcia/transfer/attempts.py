"""Try again, within limits, while something arrives."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from napari_tcia.core.task import CancelToken
from napari_tcia.errors import (
    ArchiveError,
    Cancelled,
    CorruptData,
    ForbiddenHost,
    RemoteTimeout,
    TciaError,
    UsageError,
)

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds without a verified byte after which a download is given up."""

LONGEST_WAIT = 20.0
"""Seconds of pause that we grant a server that asks for one."""


class Watch:
    """A token that is cancelled with another one, or when nothing arrives."""

    def __init__(self, token: CancelToken, patience: float) -> None:
        self.token = CancelToken(token)
        self.expired = False
        self._patience = patience
        self._alive = time.monotonic()
        self._over = threading.Event()
        self._forget = token.on_cancel(self.token.cancel)
        threading.Thread(target=self._run, daemon=True).start()

    def alive(self) -> None:
        """Start the clock again."""
        self._alive = time.monotonic()

    def close(self) -> None:
        """End the watch."""
        self._over.set()
        self._forget()

    def _run(self) -> None:
        left = self._patience
        while not self._over.wait(max(left, 0.001)):
            if self.token.paused:
                self.alive()  # nothing is expected to arrive
            left = self._alive + self._patience - time.monotonic()
            if left <= 0:
                self.expired = True
                self.token.cancel()
                return


def try_repeatedly(
    once: Callable[[Watch], T],
    what: str,
    token: CancelToken,
    attempts: int,
    patience: float,
    pause: float,
) -> T:
    """Run `once` until it succeeds, up to `attempts` times.

    Only what may pass is tried again: a lost connection, a fault or a pause of
    the server, a zip that is cut or fails a checksum. When nothing arrives for
    `patience` seconds, over all attempts, the last error is raised, or
    `RemoteTimeout`.
    """
    watch = Watch(token, patience)
    last: TciaError | None = None

    def noted() -> T:
        nonlocal last
        try:
            return once(watch)
        except (ArchiveError, CorruptData) as error:
            last = error
            raise

    try:
        return again(noted, watch.token, attempts, pause)
    except Cancelled:
        if not watch.expired or token.cancelled:
            raise
        raise last or RemoteTimeout(
            f"Nothing usable of {what} arrived for {patience:.0f} s.",
            "Try again later.",
        ) from None
    finally:
        watch.close()


def again(once: Callable[[], T], token: CancelToken, attempts: int, pause: float) -> T:
    """Run `once` until it succeeds, up to `attempts` times.

    Raises
    ------
    ArchiveError, CorruptData
        The last one, or one that another try would not help.
    Cancelled
        Through `token`, during a pause as well.
    """
    for attempt in range(1, attempts + 1):
        try:
            return once()
        except (ArchiveError, CorruptData) as error:
            token.wait(pause_after(error, attempt, attempts, pause))
    raise UsageError("At least one attempt is needed.")


def pause_after(error: TciaError, attempt: int, attempts: int, pause: float) -> float:
    """Seconds to wait before the next try: doubled each time, with jitter.

    The jitter keeps many clients that met the same fault from coming back at
    once. A pause that the server asks for is granted, up to `LONGEST_WAIT`.

    Raises
    ------
    TciaError
        `error` itself, where no further try is due or would help.
    """
    asked = float(error.numbers.get("retry_after") or 0)
    if attempt == attempts or not _may_pass(error) or asked > LONGEST_WAIT:
        raise error
    wait = pause * float(2 ** (attempt - 1)) * random.uniform(0.75, 1.25)
    return max(wait, asked)


def _may_pass(error: TciaError) -> bool:
    """Whether another attempt may go better."""
    status = error.numbers.get("status", 0)
    refused = 400 <= status < 500 and status not in (408, 429)
    return not (
        refused or isinstance(error, ForbiddenHost) or error.numbers.get("final")
    )
