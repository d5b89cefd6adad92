"""Queues: every case comes once, none is lost, and the file is whole or old."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tcia.app.queues import as_csv
from napari_tcia.errors import CorruptData, NothingFound, UsageError
from napari_tcia.review.queue import (
    STATES,
    QueueCase,
    change,
    go_to,
    go_to_series,
    keep,
    leave,
    load,
    make,
    path_of,
    twice,
)


def _queue(count=3, **more):
    cases = [QueueCase(f"1.2.{n}", f"P{n}") for n in range(count)]
    return make("first", cases, **more)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.data())
def test_every_case_is_seen_once_whatever_the_way(uids, data):
    queue = make("q", [QueueCase(f"1.{n}") for n in uids])
    order = list(dict.fromkeys(uids))
    assert [one.series_uid for one in queue.cases] == [f"1.{n}" for n in order]
    seen = []
    while not queue.is_done:
        if data.draw(st.booleans()):
            waiting = [n for n, one in enumerate(queue.cases) if one.state == "waiting"]
            queue = go_to(queue, data.draw(st.sampled_from(waiting)))
        assert queue.current.state == "waiting"
        seen.append(queue.current.series_uid)
        queue = leave(queue, data.draw(st.sampled_from(STATES[1:])), seconds=1)
        assert len(queue.cases) == len(order)
    assert sorted(seen) == sorted(f"1.{n}" for n in order)
    assert queue.words.startswith("Case ")


def test_leaving_goes_on_and_comes_back_to_what_waits():
    queue = go_to(_queue(), 1)
    queue = leave(queue, "done", seconds=2.5, note="clear")
    assert (queue.at, queue.cases[1].state, queue.cases[1].note) == (2, "done", "clear")
    queue = leave(queue, "rejected", reasons=["motion"])
    assert queue.at == 0
    assert queue.words == "Case 1 of 3"
    queue = leave(queue, "skipped")
    assert queue.is_done
    with pytest.raises(UsageError):
        leave(queue, "lost")
    with pytest.raises(NothingFound):
        make("none", [])


def test_a_queue_comes_back_as_it_was(tmp_path):
    queue = leave(_queue(blind=True), "escalated", reasons=["other"], seconds=3.25)
    assert keep(tmp_path, queue) == queue
    path = path_of(tmp_path, queue.name)
    assert load(path) == queue
    value = json.loads(path.read_text())
    value["from a later version"] = {"x": 1}
    path.write_text(json.dumps(value))
    assert load(path) == queue


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema": 2}', '{"schema": 1, "cases": [{}]}', "null"],
)
def test_a_file_that_is_no_queue_is_left(tmp_path, text):
    path = tmp_path / "q.json"
    path.write_text(text)
    with pytest.raises(CorruptData, match="no queue") as caught:
        load(path)
    assert caught.value.hint
    assert path.read_text() == text


@given(st.lists(st.text(min_size=1, max_size=400), unique=True))
def test_names_never_share_a_file(names):
    folder = Path("queues")
    paths = []
    for name in names:
        try:
            paths.append(path_of(folder, name))
        except UsageError:
            assert not name.strip() or any("\ud800" <= c <= "\udfff" for c in name)
    assert len({str(path).casefold() for path in paths}) == len(paths)
    assert all(path.parent == folder and len(path.name) < 70 for path in paths)
    with pytest.raises(UsageError):
        path_of(folder, "\ud800")


def test_what_another_window_did_stays(tmp_path):
    queue = keep(tmp_path, _queue())
    done = lambda uid, how: lambda now: leave(go_to_series(now, uid), how)  # noqa: E731
    change(tmp_path, queue.name, done("1.2.0", "done"))
    now = change(tmp_path, queue.name, done("1.2.2", "rejected"))
    assert [one.state for one in now.cases] == ["done", "waiting", "rejected"]
    with pytest.raises(NothingFound):
        change(tmp_path, queue.name, done("9.9", "done"))
    assert load(path_of(tmp_path, queue.name)) == now


@pytest.mark.parametrize("text", ["{damaged", '{"schema": 2}'])
def test_nothing_is_written_over(tmp_path, text):
    queue = _queue()
    path = path_of(tmp_path, queue.name)
    path.write_text(text)
    with pytest.raises(CorruptData):
        keep(tmp_path, queue)
    with pytest.raises(CorruptData):
        change(tmp_path, queue.name, lambda now: leave(now, "done"))
    assert path.read_text() == text
    path.unlink()
    kept = keep(tmp_path, leave(queue, "done"))
    assert keep(tmp_path, queue) == kept  # it goes on where it is
    assert keep(tmp_path, replace(queue, blind=True)) is None


def test_a_case_that_is_left_again_keeps_what_was_said():
    queue = leave(_queue(), "escalated", seconds=90, reasons=["other"], note="odd")
    again = leave(go_to(queue, 0), "done", seconds=2)
    case = again.cases[0]
    assert (case.state, case.seconds) == ("done", 90)
    assert (case.reasons, case.note) == (("other",), "odd")


def test_a_scan_under_both_identities_is_told():
    queue = _queue()
    assert twice(queue, {"P0": "P2", "P2": "P0"})[0].numbers["patients"] == ["P0", "P2"]
    assert len(twice(queue, {"P0": "P2", "P2": "P0"})) == 1
    assert twice(queue, {"P0": "elsewhere"}) == ()


def test_no_spreadsheet_calculates_a_note():
    queue = leave(_queue(), "done", note='=HYPERLINK("http://x")', seconds=61)
    lines = as_csv(queue).splitlines()
    assert lines[0].startswith("patient_id,series_uid")
    assert "'=HYPERLINK" in lines[1]
    assert ",done,61," in lines[1]
    odd = replace(queue.cases[1], patient_id="@cmd")
    assert "'@cmd" in as_csv(replace(queue, cases=(odd,), at=0))
