"""What is kept is counted, and decoded copies make room, the longest unused first."""

import os

import numpy as np
import pytest

from dicom_factory import Stack, noise
from napari_tcia.app.doctor import examine
from napari_tcia.app.services import Services
from napari_tcia.core.model import Provenance
from napari_tcia.core.settings import Settings
from napari_tcia.errors import UsageError
from napari_tcia.transfer.space import Usage, make_room, usage
from napari_tcia.volume.decoded import open_copy, stamps, write_copy
from napari_tcia.volume.read import read_volume

NAMES = ("1.1", "1.2", "1.3")


@pytest.fixture
def home(tmp_path):
    """Three stored series, each with a copy, opened in the order of their names."""
    for number, name in enumerate(NAMES, start=1):
        source, folder = place(tmp_path, name)
        Stack(noise((4, 16, 16)), series=name).write(source)
        sources = stamps(source)
        assert write_copy(read_volume(source), folder, source, sources)
        os.utime(folder / "volume.json", (number, number))
    return tmp_path


def place(home, name):
    return home / "store" / "host" / name, home / "decoded" / "host" / name


def left(home):
    return [name for name in NAMES if place(home, name)[1].exists()]


def room(home, wanted=0, limit=None):
    return make_room(wanted, home / "store", home / "decoded", limit)


def counted(home):
    return usage(home / "store", home / "decoded")


def size_of(home, name):
    return sum(f.stat().st_size for f in place(home, name)[1].iterdir())


def test_everything_is_counted(home):
    found = counted(home)
    files = [f for f in (home / "store").rglob("*") if f.is_file()]
    assert found.series == sum(f.stat().st_size for f in files)
    assert found.decoded == sum(size_of(home, name) for name in NAMES)
    assert [copy.folder.name for copy in found.copies] == list(NAMES)
    assert usage(home / "absent", home / "gone" / "deeper").series == 0


def test_nothing_goes_while_all_fits(home):
    found = counted(home)
    assert room(home, limit=found.series + found.decoded)
    assert left(home) == list(NAMES)


def test_the_longest_unused_goes_first(home):
    found = counted(home)
    assert room(home, wanted=1, limit=found.series + found.decoded)
    assert left(home) == ["1.2", "1.3"]


def test_opening_counts_as_use(home):
    source, folder = place(home, "1.1")
    assert open_copy(folder, source, stamps(source), Provenance())
    found = counted(home)
    assert room(home, wanted=1, limit=found.series + found.decoded)
    assert left(home) == ["1.1", "1.3"]


def test_a_copy_whose_series_is_gone_goes_before_all(home):
    source, _ = place(home, "1.3")
    for file in source.iterdir():
        file.unlink()
    source.rmdir()
    found = counted(home)
    assert room(home, wanted=1, limit=found.series + found.decoded)
    assert left(home) == ["1.1", "1.2"]


def test_series_stay_whatever_the_limit(home):
    before = sorted((home / "store").rglob("*"))
    assert not room(home, wanted=1, limit=0)
    assert left(home) == []
    assert sorted((home / "store").rglob("*")) == before


def test_what_cannot_fit_drives_out_nothing(home):
    found = counted(home)
    limit = found.series + found.decoded
    assert not room(home, wanted=limit, limit=limit)
    assert left(home) == list(NAMES)


def test_the_disk_keeps_its_spare_room():
    there = Usage(series=0, copies=(), limit=100, free=50, spare=20)
    assert there.excess(30) == 0
    assert there.excess(31) == 1
    assert there.excess(100) == 70


def test_a_mapped_copy_can_go_and_stays_readable(home):
    source, folder = place(home, "1.1")
    copy = open_copy(folder, source, stamps(source), Provenance())
    assert not room(home, wanted=1, limit=0)
    assert not folder.exists()
    assert np.array_equal(copy.volume.array, read_volume(source).array)


def test_what_a_killed_writer_left_goes_in_any_case(home):
    _, torn = place(home, "1.4")
    torn.mkdir()
    (torn / ".volume.npy.abc.part").write_bytes(b"half")
    (torn / ".lock").touch()
    _, unrecorded = place(home, "1.5")
    unrecorded.mkdir()
    (unrecorded / "volume.npy").write_bytes(b"whole")
    assert room(home)
    assert not torn.exists()
    assert not unrecorded.exists()
    assert left(home) == list(NAMES)


def test_what_is_being_written_stays(home):
    from filelock import FileLock

    _, folder = place(home, "1.4")
    folder.mkdir()
    part = folder / ".volume.npy.abc.part"
    part.write_bytes(b"half")
    with FileLock(folder / ".lock"):
        assert not room(home, wanted=1, limit=0)
        assert part.exists()
    assert left(home) == []


def test_links_are_not_followed(home):
    mine = home / "mine" / "1.9"
    mine.mkdir(parents=True)
    for name in ("volume.npy", "volume.json", "paper.txt"):
        (mine / name).write_text("mine")
    (home / "decoded" / "other").symlink_to(home / "mine")
    (home / "decoded" / "host" / "1.9").symlink_to(mine)
    (home / "store" / "host" / "link").symlink_to(mine)
    before = counted(home)
    assert [copy.folder.name for copy in before.copies] == list(NAMES)
    assert not room(home, wanted=1, limit=0)
    assert len(list(mine.iterdir())) == 3
    (home / "all").symlink_to(home / "mine" / "..")
    assert not make_room(1, home / "store", home / "all", 0)
    assert len(list(mine.iterdir())) == 3


def test_a_file_of_somebody_in_a_copy_stays(home):
    _, folder = place(home, "1.1")
    (folder / "paper.txt").write_text("mine")
    assert not room(home, wanted=1, limit=0)
    assert [p.name for p in folder.iterdir()] == ["paper.txt"]


@pytest.mark.parametrize(
    ("given", "limit"), [("", None), ("0", 0), ("50", 50 * 10**9), ("0.5", 5 * 10**8)]
)
def test_the_limit_is_given_in_gigabytes(given, limit):
    settings = Settings.from_environment({"NAPARI_TCIA_LIMIT_GB": given})
    assert settings.limit == limit


@pytest.mark.parametrize("given", ["much", "-1", "nan", "inf", "50 GB"])
def test_a_limit_that_is_no_number_is_refused(given):
    with pytest.raises(UsageError, match="NAPARI_TCIA_LIMIT_GB"):
        Settings.from_environment({"NAPARI_TCIA_LIMIT_GB": given})


def test_the_default_limit_leaves_half_of_the_disk(tmp_path):
    limit = usage(tmp_path, tmp_path).limit
    assert 0 < limit <= 200 * 10**9


def test_doctor_says_where_and_how_much(monkeypatch):
    for name in ("ARCHIVE", "COLLECTIONS", "DATACITE"):
        monkeypatch.setenv(f"NAPARI_TCIA_{name}", "http://127.0.0.1:9/x")
    monkeypatch.setenv("NAPARI_TCIA_LIMIT_GB", "12.5")
    told = {row["what"]: row["text"] for row in examine()}
    services = Services.open()
    assert told["stored series"] == f"0 (0.0 GB) in {services.store.root}"
    assert told["decoded copies"] == f"0 (0.0 GB) in {services.decoded}"
    assert told["limit"].startswith("12.5 GB for both (NAPARI_TCIA_LIMIT_GB)")
