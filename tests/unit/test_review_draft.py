"""A draft: what was painted comes back exactly, and nobody else writes to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tcia.errors import (
    CorruptData,
    DiskFull,
    GeometryMismatch,
    NotWritable,
    UsageError,
    WrongSeries,
)
from napari_tcia.review import draft as draft_module
from napari_tcia.review.autosave import Autosave
from napari_tcia.review.deltas import fingerprint
from napari_tcia.review.draft import open_draft
from napari_tcia.review.places import DraftCase, folder_of, reader_code
from napari_tcia.review.recovery import recover
from napari_tcia.review.watched import take_touched, watched

SHAPE = (6, 9, 8)
CASE = DraftCase(
    series_uid="61.7.0.999.1",
    host="archive.test",
    shape=SHAPE,
    affine=tuple(map(tuple, np.diag([2.0, 0.8, 0.8, 1.0]).tolist())),
    name="MED_LYMPH_001",
)


@pytest.fixture
def drafts(tmp_path):
    return tmp_path / "drafts"


def _start():
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:3, 2:5, 2:5] = 1
    labels[4, 6:8, 1:3] = 2
    return labels


def _open(drafts, reader="R1", **more):
    nodes = {1: "2.25.1", 2: "2.25.2"}
    return open_draft(drafts, CASE, reader, _start(), nodes, **more)


def _paint(draft, labels, change, cause="paint"):
    change(labels)
    draft.write(draft.capture(np.asarray(labels), take_touched(labels)), cause)


def test_a_draft_begins_with_what_it_was_given(drafts):
    draft = _open(drafts)
    np.testing.assert_array_equal(draft.labels, _start())
    assert draft.labels.dtype == np.uint16
    assert draft.state.values == {1: "2.25.1", 2: "2.25.2"}
    draft.close()
    found = recover(draft.folder)
    np.testing.assert_array_equal(found.labels, _start())
    assert found.case == CASE
    assert not found.is_open


STROKES = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, 8),
        st.integers(0, 7),
        st.integers(1, 4),
        st.integers(0, 5),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(STROKES, st.integers(1, 5))
def test_replay_gives_the_exact_labels(tmp_path_factory, strokes, often):
    drafts = tmp_path_factory.mktemp("drafts")
    draft = _open(drafts)
    labels = watched(draft.labels)
    for n, (k, j, i, size, value) in enumerate(strokes):
        labels[k : k + size, j : j + size, i : i + size] = value
        one = draft.capture(np.asarray(labels), take_touched(labels))
        if one is not None:
            draft.write(one)
        if n % often == 0:
            draft.snapshot()
    draft.close()
    for anew in (False, True):
        found = recover(draft.folder, anew=anew)
        np.testing.assert_array_equal(found.labels, labels)
    edits = [r for r in found.records if r.kind == "edit"]
    if edits:
        assert edits[-1].after == fingerprint(np.asarray(labels))
        assert edits[0].before == fingerprint(_start())


def test_an_edit_says_what_it_did_to_which_node(drafts):
    draft = _open(drafts)
    labels = watched(draft.labels)
    _paint(draft, labels, lambda a: a.__setitem__((1, 2, slice(2, 5)), 2), "brush")
    record = draft.records[-1]
    assert (record.kind, record.more["cause"]) == ("edit", "brush")
    assert record.more["voxels"] == 3
    assert record.more["changes"] == {"1": ["2.25.1", 0, 3], "2": ["2.25.2", 3, 0]}
    assert record.reader == "R1"
    draft.close()


def test_it_goes_on_where_it_was(drafts):
    draft = _open(drafts)
    labels = watched(draft.labels)
    _paint(draft, labels, lambda a: a.__setitem__((0, 0), 7))
    draft.record("decision", node="2.25.1", after={"decision": "accept"})
    draft.close()
    again = open_draft(drafts, CASE, "R1", np.zeros(SHAPE, np.uint8))
    np.testing.assert_array_equal(again.labels, labels)
    assert again.state.judgement("2.25.1").decision == "accept"
    again.close()


def test_every_damage_to_what_was_confirmed_is_told(drafts):
    draft = _open(drafts)
    labels = watched(draft.labels)
    for value in range(3, 6):
        _paint(draft, labels, lambda a, v=value: a.__setitem__((v, v), v))
    draft.close()
    edits = draft.folder / "edits.bin"
    whole = edits.read_bytes()
    for damaged in (
        whole[:-1],
        whole[: len(whole) // 2] + b"?" + whole[len(whole) // 2 + 1 :],
        b"",
    ):
        edits.write_bytes(damaged)
        with pytest.raises(CorruptData) as caught:
            recover(draft.folder)
        assert "edits.bin" in str(caught.value)
        with pytest.raises(CorruptData):
            _open(drafts)
        assert edits.read_bytes() == damaged
    # What is there beyond the last confirmed edit was never confirmed.
    edits.write_bytes(whole + b"half an edit")
    np.testing.assert_array_equal(recover(draft.folder).labels, labels)
    (snapshot,) = draft.folder.glob("snapshot-*.npz")
    snapshot.write_bytes(b"no longer one")
    with pytest.raises(CorruptData, match="snapshot"):
        recover(draft.folder)


def test_a_damaged_snapshot_gives_way_to_an_older_one(drafts):
    draft = _open(drafts)
    labels = watched(draft.labels)
    for value in range(3, 9):
        _paint(draft, labels, lambda a, v=value: a.__setitem__((v % 6, v % 8), v))
        draft.snapshot()
    draft.close()
    names = sorted(draft.folder.glob("snapshot-*.npz"))
    assert len(names) == 4  # the first, and the newest three
    for name in names[:0:-1]:
        name.write_bytes(name.read_bytes()[:-9])
        np.testing.assert_array_equal(recover(draft.folder).labels, labels)


def test_another_window_looks_on_and_says_who_holds_it(drafts):
    draft = _open(drafts)
    draft.record("notes", after="mine")
    other = _open(drafts)
    assert other.read_only
    assert "R1" in other.held_by
    assert str(os.getpid()) in other.held_by
    assert other.state.notes == "mine"
    np.testing.assert_array_equal(other.labels, draft.labels)
    before = (draft.folder / "log.jsonl").read_bytes()
    with pytest.raises(NotWritable, match="looked at"):
        other.record("notes", after="theirs")
    other.close()
    assert (draft.folder / "log.jsonl").read_bytes() == before
    with pytest.raises(NotWritable, match="R1"):
        _open(drafts, "R2")  # the case is held, and R2 has nothing to look at
    draft.close()
    free = _open(drafts)
    assert not free.read_only
    free.close()


def test_a_process_that_died_holds_nothing(drafts):
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "import os, pathlib\n"
        "from test_review_draft import _open\n"
        "_open(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)\n"
    )
    here = str(Path(__file__).parent)
    ended = subprocess.run(
        [sys.executable, "-c", code, str(drafts), here], check=False, timeout=60
    )
    assert ended.returncode == -9
    folder = folder_of(drafts, CASE.host, CASE.series_uid, "R1")
    assert recover(folder).is_open
    draft = _open(drafts)
    assert not draft.read_only
    draft.close()
    assert not recover(folder).is_open


def test_another_case_or_grid_is_refused_and_left(drafts):
    draft = _open(drafts)
    draft.close()
    before = {p: p.read_bytes() for p in draft.folder.iterdir()}
    moved = np.diag([2.0, 0.8, 0.8, 1.0])
    moved[0, 3] = 0.5
    for other in (
        replace(CASE, shape=(6, 9, 9)),
        replace(CASE, affine=tuple(map(tuple, moved.tolist()))),
    ):
        with pytest.raises(GeometryMismatch):
            open_draft(drafts, other, "R1")
    elsewhere = replace(CASE, series_uid="61.7.0.999.2")
    target = folder_of(drafts, CASE.host, elsewhere.series_uid, "R1")
    shutil.copytree(draft.folder, target)
    with pytest.raises(WrongSeries, match=r"61\.7\.0\.999\.1"):
        open_draft(drafts, elsewhere, "R1")
    assert {p: p.read_bytes() for p in draft.folder.iterdir()} == before
    with pytest.raises(GeometryMismatch):
        open_draft(
            drafts,
            replace(CASE, series_uid="61.7.0.999.3"),
            "R1",
            np.zeros((2, 2, 2), int),
        )


@given(st.lists(st.text(min_size=1, max_size=64), unique_by=lambda s: s.strip()))
def test_readers_never_share_a_folder(names):
    codes = []
    for name in names:
        try:
            codes.append(reader_code(name))
        except UsageError:
            continue
    folders = [folder_of(Path("d"), "h", "1.2", code) for code in dict.fromkeys(codes)]
    assert len({str(f).casefold() for f in folders}) == len(folders)
    for folder in folders:
        assert folder.parent == Path("d/h/1.2")
        assert len(folder.name) < 64


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 65, "\x00", "\u202e"])
def test_codes_that_are_none(name):
    with pytest.raises(UsageError):
        reader_code(name)


@pytest.mark.parametrize(
    "name", ["../../etc", "CON", "a/b", "Zoë", "R 1.", "ab", "AB", "山田", "'; --"]
)
def test_odd_codes_work(drafts, name):
    draft = _open(drafts, name)
    draft.record("notes", after=name)
    draft.close()
    assert recover(draft.folder).reader == name
    assert draft.folder.resolve().is_relative_to(drafts.resolve())
    assert draft.folder.parent == folder_of(drafts, CASE.host, CASE.series_uid)


def test_a_start_that_was_cut_is_begun_again(drafts, monkeypatch):
    """Whatever lies there of it; the draft exists once its log has its name."""
    folder = folder_of(drafts, CASE.host, CASE.series_uid, "R1")
    folder.mkdir(parents=True)
    (folder / ".log.jsonl").write_text('{"n":0,"kind":"sta')
    (folder / "snapshot-00000001.npz").write_bytes(b"half")
    draft = _open(drafts)
    np.testing.assert_array_equal(recover(draft.folder).labels, _start())
    draft.close()


def test_autosave_writes_what_was_painted_in_order(drafts, monkeypatch):
    monkeypatch.setattr(draft_module, "SNAPSHOT_EVERY", 5)
    draft = _open(drafts)
    labels = watched(draft.labels)
    saving = Autosave(draft, labels)
    rng = np.random.default_rng(3)
    for n in range(40):
        k, j, i = (int(rng.integers(0, top)) for top in SHAPE)
        labels[k, j : j + 3, i : i + 3] = n % 6
        saving.tick("brush")
        assert n % 10 or saving.flush()
        if n % 7 == 0:
            saving.record("decision", node="2.25.1", after={"comment": str(n)})
            assert saving.state.judgement("2.25.1").comment == str(n)
    assert saving.flush()
    assert saving.waiting == 0
    np.asarray(labels)[5, 0] = 9  # past the watch
    assert saving.close()
    draft.close()
    for anew in (False, True):
        found = recover(draft.folder, anew=anew)
        np.testing.assert_array_equal(found.labels, labels)
    assert found.state.judgement("2.25.1").comment == "35"
    kinds = [r.kind for r in found.records]
    assert kinds.count("snapshot") > 2
    assert kinds[-1] == "closed"


def test_a_full_disk_is_said_and_what_waits_is_written_later(drafts, monkeypatch):
    monkeypatch.setattr("napari_tcia.review.autosave.RETRY_SECONDS", 0.02)
    draft = _open(drafts)
    labels = watched(draft.labels)
    saving = Autosave(draft, labels)
    edits = draft.folder / "edits.bin"
    edits.symlink_to("/dev/full")
    told = threading.Event()
    labels[0, 0] = 1
    saving.tick()
    labels[1, 1] = 2
    saving.tick()
    saving.record("notes", after="after the edits")
    while saving.error is None and not told.wait(0.01):
        pass
    assert isinstance(saving.error, DiskFull)
    assert not saving.flush(0.05)
    assert saving.waiting == 3
    found = recover(draft.folder)
    np.testing.assert_array_equal(found.labels, _start())
    edits.unlink()
    while saving.waiting:
        told.wait(0.01)
    assert saving.error is None
    assert saving.close()
    draft.close()
    found = recover(draft.folder)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.state.notes == "after the edits"
