"""Work beside the window ends as a value, late results never arrive."""

from __future__ import annotations

import threading

import pytest

from napari_tcia._napari.tasks import TaskRunner
from napari_tcia.core.task import Done, Failed, Progress, Stopped
from napari_tcia.errors import NothingFound


@pytest.fixture
def runner(qapp):
    return TaskRunner()


def _add(a, b, *, report, token):
    report(Progress("adding", 1, 1))
    return a + b


def test_value_and_progress_arrive(runner, qtbot):
    got, seen = [], []
    runner.submit("sum", _add, 2, 3, on_done=got.append, on_progress=seen.append)
    assert runner.running("sum")
    qtbot.waitUntil(lambda: bool(got))
    assert got == [Done(5)]
    assert seen == [Progress("adding", 1, 1)]
    assert not runner.running("sum")


def test_an_error_is_a_value(runner, qtbot):
    error = NothingFound("Nothing here.")

    def fail(*, report, token):
        raise error

    got = []
    runner.submit("fail", fail, on_done=got.append)
    qtbot.waitUntil(lambda: bool(got))
    assert got == [Failed(error)]


def test_cancel_stops_the_work_and_is_told_at_once(runner, qtbot):
    ended = threading.Event()

    def wait(*, report, token):
        try:
            token.wait(60)
        finally:
            ended.set()

    got = []
    runner.submit("wait", wait, on_done=got.append)
    runner.cancel("wait")
    assert got == [Stopped()]
    other = []
    runner.submit("sum", _add, 1, 1, on_done=other.append)
    qtbot.waitUntil(lambda: bool(other))
    assert got == [Stopped()]


def test_the_result_of_a_replaced_task_is_dropped(runner, qtbot):
    release = threading.Event()

    def late(*, report, token):
        release.wait(30)
        return "late"

    got = []
    runner.submit("job", late, on_done=lambda o: got.append(("first", o)))
    runner.submit("job", _add, 1, 1, on_done=lambda o: got.append(("second", o)))
    release.set()
    qtbot.waitUntil(lambda: len(got) == 2)
    qtbot.wait(50)
    assert got == [("first", Stopped()), ("second", Done(2))]
