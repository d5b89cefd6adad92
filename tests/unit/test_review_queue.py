"""Queues: every case comes once, none is lost, and the file is whole or old."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tcia.app.queues import as_csv
from napari_tcia.errors import CorruptData, NothingFound, UsageError
from napari_tcia.review.queue import (
    STATES,
    QueueCase,
    go_to,
    leave,
    load,
    make,
    path_of,
    store,
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
    path = store(tmp_path, queue)
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


@given(st.lists(st.text(min_size=1, max_size=200), unique_by=lambda s: s.strip()))
def test_names_never_share_a_file(tmp_path_factory, names):
    from pathlib import Path

    folder = Path("queues")
    paths = []
    for name in names:
        try:
            paths.append(path_of(folder, name))
        except UsageError:
            assert not name.strip()
    assert len({str(path).casefold() for path in paths}) == len(paths)
    assert all(path.parent == folder and len(path.name) < 64 for path in paths)


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
