"""Cancelling is seen, wakes what waits, and runs its hooks once."""

import threading

import pytest

from napari_tcia.core.task import CancelToken, Progress
from napari_tcia.errors import Cancelled


def test_cancel_wakes_a_waiting_thread():
    token = CancelToken()
    ended = []

    def work():
        try:
            token.wait(60)
        except Cancelled:
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    token.cancel()
    thread.join(10)
    assert ended == [True]
    with pytest.raises(Cancelled):
        token.raise_if_cancelled()


def test_hooks_run_once_also_when_late_and_not_when_forgotten():
    token = CancelToken()
    calls = []
    token.on_cancel(lambda: calls.append("early"))
    forget = token.on_cancel(lambda: calls.append("forgotten"))
    forget()
    token.cancel()
    token.cancel()
    token.on_cancel(lambda: calls.append("late"))
    assert calls == ["early", "late"]


def test_progress_without_total_has_no_fraction():
    assert Progress("x", 5).fraction is None
    assert Progress("x", 5, 4).fraction == 1
