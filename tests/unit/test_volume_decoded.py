"""A decoded copy is the volume that was read, or it is not opened."""

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from dicom_factory import Stack, noise
from napari_tcia.core.model import Provenance
from napari_tcia.core.task import CancelToken
from napari_tcia.demo.variants import VARIANTS, make_variant
from napari_tcia.errors import Cancelled, TciaError
from napari_tcia.volume.decoded import (
    check_copy,
    discard_copy,
    open_copy,
    stamps,
    write_copy,
)
from napari_tcia.volume.read import read_volume

GIVEN = Provenance(origin="archive", collection="Twin", terms="accepted")


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "store"
    Stack(noise((5, 16, 12))).write(folder)
    (folder / "LICENSE").write_text("words")
    return folder


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "decoded" / "host" / "1.2"


def kept(source, folder):
    sources = stamps(source)
    volume = read_volume(source, provenance=GIVEN)
    return volume, write_copy(volume, folder, source, sources)


def opened(source, folder, provenance=GIVEN):
    return open_copy(folder, source, stamps(source), provenance)


def left(folder):
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def assert_same(first, second):
    for field in dataclasses.fields(first):
        one, other = (getattr(v, field.name) for v in (first, second))
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)
        else:
            assert one == other, field.name
            assert type(one) is type(other)


def read_or_none(folder):
    try:
        return read_volume(folder, provenance=GIVEN)
    except TciaError:
        return None


@pytest.mark.parametrize(
    "name", [n for n, v in VARIANTS.items() if v.opens != "points"]
)
def test_every_sound_volume_comes_back_as_it_was(name, tmp_path):
    source = make_variant(name, tmp_path) / "CT"
    sources, folder = stamps(source), tmp_path / "copy"
    first = read_or_none(source)
    if first is None or sources is None:
        return
    assert write_copy(first, folder, source, sources)
    copy = opened(source, folder)
    assert_same(first, copy.volume)
    assert check_copy(copy)


@pytest.mark.parametrize(
    "stack",
    [
        Stack(noise((4, 8, 8)), slope=0.1, intercept=0.3),
        Stack(noise((4, 8, 8)), slope=1 / 3, spacing=(0.7, 1 / 3, 1 / 7)),
        Stack(noise((4, 8, 8)), orientation=(0.8, 0.6, 0.0, -0.6, 0.8, 0.0)),
        Stack(noise((1, 8, 8))),
    ],
    ids=["float32", "thirds", "turned", "one slice"],
)
def test_numbers_come_back_to_the_last_bit(stack, tmp_path, folder):
    source = tmp_path / "store"
    stack.write(source)
    first, written = kept(source, folder)
    assert written
    assert_same(first, opened(source, folder).volume)


def test_it_is_mapped_and_cannot_be_written_to(source, folder):
    first, written = kept(source, folder)
    copy = opened(source, folder)
    assert written
    assert isinstance(copy.volume.array, np.memmap)
    assert copy.volume.array.dtype == np.int16
    with pytest.raises(ValueError, match="read-only"):
        copy.volume.array[0, 0, 0] = 1
    assert np.array_equal(np.load(folder / "volume.npy"), first.array)
    assert left(folder) == ["volume.json", "volume.npy"]


def test_terms_are_those_of_the_opening(source, folder):
    kept(source, folder)
    later = dataclasses.replace(GIVEN, terms="not recorded", acceptance_id="2")
    found = opened(source, folder, later).volume.provenance
    assert (found.terms, found.acceptance_id) == ("not recorded", "2")
    assert found.frame_of_reference_uid == Stack(noise((1, 1, 1))).frame_of_reference
    assert "accepted" not in (folder / "volume.json").read_text()


def touched(source):
    file = source / "1-003.dcm"
    at = file.stat()
    os.utime(file, ns=(at.st_atime_ns, at.st_mtime_ns + 1_000_000))


def resized(source):
    file = source / "1-003.dcm"
    at = file.stat()
    file.write_bytes(file.read_bytes() + b"\0\0")
    os.utime(file, ns=(at.st_atime_ns, at.st_mtime_ns))


def linked(source):
    file = source / "1-003.dcm"
    file.rename(source.parent / "elsewhere.dcm")
    file.symlink_to(source.parent / "elsewhere.dcm")


SOURCES = {
    "touched": touched,
    "resized": resized,
    "removed": lambda s: (s / "1-003.dcm").unlink(),
    "renamed": lambda s: (s / "1-003.dcm").rename(s / "1-009.dcm"),
    "added": lambda s: shutil.copy2(s / "1-003.dcm", s / "1-009.dcm"),
    "added without a suffix": lambda s: shutil.copy2(s / "1-003.dcm", s / "more"),
    "a folder in it": lambda s: (s / ".more").mkdir(),
    "a link": linked,
    "gone": shutil.rmtree,
}


@pytest.mark.parametrize("change", SOURCES)
def test_a_copy_of_other_files_is_not_opened(source, folder, change):
    kept(source, folder)
    assert opened(source, folder)
    SOURCES[change](source)
    sources = stamps(source)
    assert sources is None or open_copy(folder, source, sources, GIVEN) is None


def same_time(path, change):
    """Change a file, not its mtime."""
    at = path.stat()
    data = bytearray(path.read_bytes())
    path.write_bytes(bytes(change(data)))
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))


def sealed_again(folder, change):
    """Change the record as one who knows how it is made, its file's time kept up."""
    record = json.loads((folder / "volume.json").read_text())
    change(record["copy"])
    at = (folder / "volume.npy").stat()
    record["copy"]["array"] |= {"size": at.st_size, "mtime_ns": at.st_mtime_ns}
    text = json.dumps(record["copy"], sort_keys=True, separators=(",", ":"))
    record["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "volume.json").write_text(json.dumps(record))


def told(**changes):
    return lambda folder: sealed_again(folder, lambda c: c["array"].update(changes))


def body(**changes):
    return lambda folder: sealed_again(folder, lambda c: c.update(changes))


def text_of(folder, change):
    path = folder / "volume.json"
    path.write_text(change(path.read_text()))


def replaced(make):
    def change(folder):
        (folder / "volume.npy").rename(folder.parent / "other.npy")
        make(folder / "volume.npy")

    return change


COPIES = {
    "record torn": lambda f: text_of(f, lambda t: t[: len(t) // 2]),
    "record empty": lambda f: text_of(f, lambda t: ""),
    "record a list": lambda f: text_of(f, lambda t: "[1]"),
    "record no text": lambda f: (f / "volume.json").write_bytes(b"\xff\xfe\0"),
    "record nested": lambda f: text_of(f, lambda t: "[" * 100_000),
    "record a folder": lambda f: [
        (f / "volume.json").unlink(), (f / "volume.json").mkdir()],
    "a digit of the affine": lambda f: text_of(
        f, lambda t: t.replace("0.75", "0.76", 1)),
    "no record": lambda f: (f / "volume.json").unlink(),
    "no array": lambda f: (f / "volume.npy").unlink(),
    "array cut": lambda f: same_time(f / "volume.npy", lambda d: d[:-2]),
    "array cut, told so": lambda f: [
        same_time(f / "volume.npy", lambda d: d[:-2]), told()(f)],
    "array longer": lambda f: same_time(f / "volume.npy", lambda d: d + b"\0\0"),
    "array longer, told so": lambda f: [
        same_time(f / "volume.npy", lambda d: d + b"\0\0"), told()(f)],
    "array touched": lambda f: os.utime(f / "volume.npy"),
    "header of another dtype": lambda f: same_time(
        f / "volume.npy", lambda d: d.replace(b"<i2", b"<u2", 1)),
    "header of objects": lambda f: same_time(
        f / "volume.npy", lambda d: d.replace(b"'<i2'", b"'|O' ", 1)),
    "header in Fortran order": lambda f: same_time(
        f / "volume.npy", lambda d: d.replace(b"False", b"True ", 1)),
    "no .npy": lambda f: same_time(f / "volume.npy", lambda d: bytes(len(d))),
    "told of floats": told(dtype="<f4"),
    "told of objects": told(dtype="|O"),
    "told of another shape": told(shape=[5, 12, 16]),
    "told of a huge shape": told(shape=[1 << 40, 1 << 40, 1 << 40]),
    "told of a negative shape": told(shape=[-5, -16, 12]),
    "told of a shape of text": told(shape="512"),
    "told of two axes": told(shape=[80, 12]),
    "of another reader": body(reader=-1),
    "of another version": body(program="0"),
    "of another schema": body(schema=0),
    "affine of another size": body(affine=[1.0]),
    "checks of another kind": body(checks=[{"code": "x"}]),
    "linked": replaced(lambda p: p.symlink_to(p.parent.parent / "other.npy")),
    "a folder": replaced(lambda p: p.mkdir()),
    "a pipe": replaced(os.mkfifo),
}  # fmt: skip


@pytest.mark.parametrize("damage", COPIES)
def test_a_damaged_copy_is_not_opened(source, folder, damage):
    kept(source, folder)
    assert opened(source, folder)
    COPIES[damage](folder)
    assert opened(source, folder) is None


def test_a_flipped_byte_is_found_by_the_check(source, folder):
    kept(source, folder)

    def flip(data):
        data[-5] ^= 1
        return data

    same_time(folder / "volume.npy", flip)
    assert not check_copy(opened(source, folder))


def test_the_check_sums_up_what_is_mapped(source, folder):
    """Not what another process has put under the name meanwhile."""
    kept(source, folder)
    copy = opened(source, folder)
    (folder / "other").write_bytes(b"else")
    (folder / "other").replace(folder / "volume.npy")
    assert check_copy(copy)


def test_the_check_is_stopped(source, folder):
    kept(source, folder)
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        check_copy(opened(source, folder), token)


def test_who_has_it_mapped_keeps_it(source, folder):
    """Through a new copy, an unlinked one, and a folder that is gone."""
    first, _ = kept(source, folder)
    copy = opened(source, folder)
    kept(source, folder)
    assert np.array_equal(copy.volume.array, first.array)
    assert discard_copy(folder)
    assert not folder.exists()
    assert np.array_equal(copy.volume.array, first.array)
    assert check_copy(copy)
    assert opened(source, folder) is None


def test_what_failed_its_check_or_lies_elsewhere_has_no_copy(tmp_path, folder):
    source = tmp_path / "doubled"
    Stack(noise((4, 8, 8)), positions={2: (-100.0, -80.0, -49.0)}).write(source)
    sources = stamps(source)
    volume = read_volume(source, allow_fail=True)
    assert volume.passport.verdict == "fail"
    assert not write_copy(volume, folder, source, sources)
    nested = tmp_path / "nested"
    Stack(noise((4, 8, 8))).write(nested / "deeper")
    assert not write_copy(read_volume(nested), folder, nested, {})
    assert not folder.exists()


def test_files_that_changed_while_they_were_read_have_no_copy(source, folder):
    sources = stamps(source)
    volume = read_volume(source)
    touched(source)
    assert not write_copy(volume, folder, source, sources)
    assert not folder.exists()


@pytest.mark.parametrize("place", ["a file", "below a file"])
def test_where_nothing_can_be_written_there_is_no_copy(source, tmp_path, place):
    (tmp_path / "file").write_text("mine")
    folder = tmp_path / "file" if place == "a file" else tmp_path / "file" / "1.2"
    assert not kept(source, folder)[1]
    assert (tmp_path / "file").read_text() == "mine"


WRITER = """
import os, resource, signal, sys
from pathlib import Path
from napari_tcia.volume.decoded import stamps, write_copy
from napari_tcia.volume.read import read_volume

source, folder, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
sources = stamps(source)
volume = read_volume(source)
if how in ("cut", "full"):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if how == "cut" else signal.SIG_IGN)
if how.isdigit():
    renames = []

    def kill(event, arguments):
        if event == "os.rename":
            renames.append(arguments)
            if len(renames) == int(how):
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
if how == "together":
    print("ready", flush=True)
    sys.stdin.readline()
print(write_copy(volume, folder, source, sources))
"""


def writer(source, folder, how):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(source), str(folder), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")
@pytest.mark.parametrize("again", [False, True], ids=["new", "over another"])
@pytest.mark.parametrize(
    ("how", "ends"),
    [("cut", signal.SIGXFSZ), ("1", signal.SIGKILL), ("2", signal.SIGKILL)],
    ids=["amid the array", "before its name", "before the record's name"],
)
def test_a_writer_that_is_killed_leaves_nothing_that_is_opened(
    source, folder, how, ends, again
):
    if again:
        kept(source, folder)
    with writer(source, folder, how) as process:
        process.communicate()
    assert process.returncode == -ends
    assert left(folder)
    assert opened(source, folder) is None
    first, written = kept(source, folder)  # the next one sweeps
    assert written
    assert left(folder) == ["volume.json", "volume.npy"]
    assert np.array_equal(first.array, opened(source, folder).volume.array)


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_a_full_disk_is_no_error_and_leaves_nothing(source, folder):
    with writer(source, folder, "full") as process:
        out, _ = process.communicate()
    assert (process.returncode, out.strip()) == (0, "False")
    assert not folder.exists()


def test_processes_that_write_at_once_leave_one_right_copy(source, folder):
    writers = [writer(source, folder, "together") for _ in range(4)]
    for process in writers:
        assert process.stdout.readline() == "ready\n"
    answers = []
    for process in writers:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in writers:
        out, _ = process.communicate()
        assert process.returncode == 0
        answers.append(out.strip())
    assert "True" in answers
    copy = opened(source, folder)
    assert check_copy(copy)
    assert np.array_equal(copy.volume.array, read_volume(source).array)
    assert left(folder) == ["volume.json", "volume.npy"]
