"""The log: appended to, never changed; cut lines are passed over, changed ones not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tcia.errors import CorruptData, DiskFull
from napari_tcia.review.log import Log, read_log
from napari_tcia.review.state import Judgement, folded

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.jsonl"


def _three(path):
    log = Log(path, "R1")
    for n in range(3):
        log.append("decision", node=f"2.25.{n}", after={"decision": "accept"})
    return log


def test_what_was_appended_is_read_again(path):
    log = _three(path)
    found = read_log(path)
    assert found.records == tuple(log.records)
    assert found.issues == ()
    first = found.records[0]
    assert (first.n, first.reader, first.kind) == (0, "R1", "decision")
    assert first.utc.endswith("+00:00")
    assert first.version


@settings(max_examples=30)
@given(st.lists(st.tuples(st.text(), JSON, JSON), max_size=5))
def test_whatever_is_said_comes_back(tmp_path_factory, said):
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    log = Log(path, "R1")
    for node, before, now in said:
        log.append("x", node=node, before=before, after=now)
    found = read_log(path).records
    assert [(r.node, r.before, r.after) for r in found] == said


@pytest.mark.parametrize("cut", [1, 2, 20, 150])
def test_a_torn_last_line_costs_that_line_alone(path, cut):
    _three(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    found = read_log(path)
    # Without its line end alone, nothing of the line is missing.
    left = 3 if cut == 1 else 2
    assert [r.n for r in found.records] == list(range(left))
    assert [i.code for i in found.issues] == ([] if cut == 1 else ["torn_line"])
    log = Log(path, "R2")
    log.append("notes", after="goes on")
    again = read_log(path)
    assert [r.n for r in again.records] == list(range(left + 1))
    assert again.records[-1].reader == "R2"
    # What was there is there, byte for byte.
    assert path.read_bytes().startswith(whole[:-cut])


def _changed(lines):
    record = json.loads(lines[1])
    record["after"] = {"decision": "reject"}
    return [lines[0], json.dumps(record, separators=(",", ":")), *lines[2:]]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: [lines[0], lines[2]],
        lambda lines: [lines[1], lines[0], lines[2]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
        lambda lines: lines[1:],
        _changed,
    ],
)
def test_a_log_that_was_changed_is_refused_and_left(path, spoil):
    _three(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(spoil(lines)) + "\n")
    before = path.read_bytes()
    with pytest.raises(CorruptData, match="line") as caught:
        read_log(path)
    assert caught.value.hint
    with pytest.raises(CorruptData):
        Log(path, "R1")
    assert path.read_bytes() == before


def test_a_full_disk_is_said_and_costs_nothing(path, tmp_path):
    log = _three(path)
    kept = path.rename(tmp_path / "kept")
    path.symlink_to("/dev/full")
    with pytest.raises(DiskFull):
        log.append("notes", after="lost?")
    assert len(log.records) == 3
    path.unlink()
    kept.rename(path)
    log.append("notes", after="again")
    found = read_log(path)
    assert [r.after for r in found.records][-1] == "again"
    assert len(found.records) == 4


def test_a_state_is_what_the_records_say(path):
    log = Log(path, "R1")
    log.append("node", node="a", after={"value": 4, "origin": "reference"})
    log.append("decision", node="a", after={"decision": "accept"})
    log.append("decision", node="a", after={"comment": "hilum", "reasons": ["split"]})
    log.append("decision", node="a", before={}, after={"decision": "reject"})
    log.append(
        "finding",
        node="f",
        after={"index": [1, 2, 3], "point_lps": [4, 5, 6], "comment": "missed"},
    )
    log.append("finding", node="g", after={"index": [0] * 3, "point_lps": [0] * 3})
    log.append("finding", node="g", after=None)
    log.append("notes", after="motion")
    log.append("time", after=12.5)
    log.append("time", after=2)
    log.append("exit", after="rejected", reasons=["motion"])
    state = folded(read_log(path).records)
    assert state.judgement("a") == Judgement("reject", ("split",), "hilum")
    assert state.judgement("never") == Judgement()
    assert (state.uid_of(4), state.uid_of(5), state.next_value()) == ("a", "", 5)
    (finding,) = state.findings
    assert (finding.uid, finding.index, finding.comment) == ("f", (1, 2, 3), "missed")
    assert (state.notes, state.seconds) == ("motion", 14.5)
    assert (state.exit, state.exit_reasons) == ("rejected", ("motion",))
