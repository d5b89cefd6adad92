"""Files are whole under their name or not there; UIDs are fit for names."""

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tcia.core import files
from napari_tcia.errors import DiskFull, NotWritable, UsageError


def test_write_replaces_whole(tmp_path):
    path = tmp_path / "deep" / "file.json"
    files.write_json(path, {"a": 1})
    files.write_json(path, {"a": "Žofie"})
    assert "Žofie" in path.read_text(encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


def test_failed_write_keeps_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    files.write_atomic(path, "old")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFull, match=r"file\.txt"):
        files.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_unwritable_folder_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable, match="Could not write"):
        files.write_atomic(tmp_path / "file" / "below", "x")


@given(st.text(max_size=80))
def test_accepted_uids_never_leave_their_folder(text):
    try:
        uid = files.check_uid(text)
    except UsageError:
        return
    assert Path("root", uid).resolve().parent == Path("root").resolve()


@pytest.mark.parametrize("uid", ["61.7.99546452981266801", "2.25.1", "1"])
def test_archive_uids_are_accepted(uid):
    assert files.check_uid(uid) == uid


@pytest.mark.parametrize("uid", ["", ".", "..", "1/2", "1.2 ", "1" * 65, "a.b", "١.٢"])
def test_other_texts_are_refused(uid):
    with pytest.raises(UsageError):
        files.check_uid(uid)
