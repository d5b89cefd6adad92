"""Saving over a file: it is never missing, and what it was before stays."""

from __future__ import annotations

import os

import pytest

from napari_tcia.errors import CorruptData, StorageError
from napari_tcia.review.versions import save, versions


def _writer(text, beside=True):
    def write(path):
        path.write_text(text)
        other = path.with_suffix(".json")
        other.write_text(text.upper())
        return [path, other] if beside else [path]

    return write


def test_earlier_versions_stay_beside(tmp_path):
    path = tmp_path / "nodes.txt"
    for number in range(9):
        save(path, _writer(f"v{number}"))
    assert path.read_text() == "v8"
    assert [one.read_text() for one in versions(path)] == ["v7", "v6", "v5", "v4", "v3"]
    assert versions(path)[0].name == "nodes.txt.~1~"
    assert (tmp_path / "nodes.json").read_text() == "V8"
    names = {one.name for one in tmp_path.iterdir()}
    assert len(names) == 12  # two files, five versions of each, nothing else


def test_what_fails_leaves_everything(tmp_path):
    path = tmp_path / "nodes.txt"
    save(path, _writer("first"))
    save(path, _writer("second"))
    before = {one: one.read_bytes() for one in tmp_path.iterdir()}

    def fails(there):
        there.write_text("half")
        raise CorruptData("It reads back with other voxels.", "")

    with pytest.raises(CorruptData):
        save(path, fails)
    assert {one: one.read_bytes() for one in tmp_path.iterdir()} == before
    with pytest.raises(StorageError):
        save(path / "below a file.txt", _writer("x"))
    assert {one: one.read_bytes() for one in tmp_path.iterdir()} == before


def test_the_old_file_is_there_until_the_new_one_is(tmp_path, monkeypatch):
    path = tmp_path / "nodes.txt"
    save(path, _writer("old", beside=False))
    seen = []
    replace = os.replace

    def look(source, target, **more):
        seen.append(path.read_text())
        replace(source, target, **more)

    monkeypatch.setattr(os, "replace", look)
    save(path, _writer("new", beside=False))
    assert set(seen) == {"old"}
    assert path.read_text() == "new"
