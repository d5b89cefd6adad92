"""Several downloads: shown one by one, paused, queued, and cancelled."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_tcia._napari.tasks import TaskRunner
from napari_tcia._qt.task_row import TaskRow
from napari_tcia._qt.work import Work
from napari_tcia.core.task import Progress

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def work(qtbot, services):
    runner = TaskRunner()
    found = Work(lambda: services, runner)
    qtbot.addWidget(found)
    found.show()
    yield found
    runner.cancel_all()


def counting(services, name, seen, *, report, token):
    """Work that goes on until it is cancelled, and says how far it is."""
    count = 0
    while count < 100_000:
        token.raise_if_cancelled()
        count += 1
        seen[name] = count
        report(Progress("Downloading CT", count, 1 << 40, "bytes", name))
        token.wait(0.01)


def ending(services, name, seen, *, report, token):
    seen[name] = True
    return name


def test_pause_waits_and_goes_on(work, qtbot):
    seen = {}
    work.start("download", "Downloading", counting, "a", seen, on_done=print)
    qtbot.waitUntil(lambda: seen.get("a", 0) > 3, timeout=20_000)
    qtbot.waitUntil(work.task.pause_button.isVisible)
    qtbot.mouseClick(work.task.pause_button, LEFT)
    assert work.task.pause_button.text() == "Go on"
    qtbot.wait(200)
    stood = seen["a"]
    qtbot.wait(300)
    assert seen["a"] == stood
    assert work.task.amount.text().startswith("Paused")
    work.task.show_progress(Progress("Downloading CT", 9, 10, "bytes"))  # a late one
    assert work.task.amount.text().startswith("Paused, ")
    qtbot.mouseClick(work.task.pause_button, LEFT)
    qtbot.waitUntil(lambda: seen["a"] > stood + 3, timeout=20_000)
    assert work.task.pause_button.text() == "Pause"


def test_a_second_download_waits_its_turn(work, qtbot):
    seen, done = {}, []
    work.start("download", "One", counting, "a", seen, on_done=done.append)
    for name in "bc":
        work.start(
            "download", name, ending, name, seen, on_done=done.append, queued=True
        )
    qtbot.waitUntil(lambda: "a" in seen, timeout=20_000)
    assert work.task.waiting.text() == "2 more downloads in the queue"
    assert "b" not in seen
    work._runner.cancel("download")  # the first ends, the others follow
    qtbot.waitUntil(lambda: done == ["b", "c"], timeout=20_000)
    assert not work.task.waiting.isVisible()


def test_cancel_ends_the_queue_too(work, qtbot):
    seen = {}
    work.start("download", "One", counting, "a", seen, on_done=print)
    work.start("download", "Two", ending, "b", seen, on_done=print, queued=True)
    qtbot.waitUntil(lambda: seen.get("a", 0) > 1, timeout=20_000)
    qtbot.mouseClick(work.task.cancel_button, LEFT)
    qtbot.waitUntil(lambda: not work.running("download"))
    qtbot.wait(100)
    assert "b" not in seen
    assert work.task.isHidden()


def test_series_under_way_are_named(qtbot):
    row = TaskRow()
    qtbot.addWidget(row)
    row.begin("Downloading")
    parts = (
        Progress("MED_LYMPH_001 CT", 10_000_000, 29_000_000, "bytes", "1"),
        Progress("MED_LYMPH_001 SEG", 100_000, 1_000_000, "bytes", "2"),
    )
    row.show_progress(
        Progress(
            "Downloading series 1 of 3", 10_100_000, 60_000_000, "bytes", "", parts
        )
    )
    assert row.stage.text() == "Downloading series 1 of 3"
    first, second = row.parts.text().splitlines()
    assert first.startswith("MED_LYMPH_001 CT: 10")
    assert second.startswith("MED_LYMPH_001 SEG: ")
    assert row.bar.value() == 168
