"""Series make room for new ones: the longest unused first, none that is open."""

import gc
import os
import subprocess
import sys

import numpy as np
import pytest
from filelock import FileLock

from dicom_factory import Stack, noise
from napari_tcia.app.decoded import read_kept, settle
from napari_tcia.app.services import Services
from napari_tcia.core.settings import Settings
from napari_tcia.transfer.leases import USED, is_open, lease
from napari_tcia.transfer.space import make_room, usage
from stored_series import store

NAMES = ("1.1", "1.2", "1.3")


@pytest.fixture
def services(tmp_path):
    return Services.open(Settings(home=tmp_path / "home"))


@pytest.fixture
def kept(services, tmp_path):
    """Three stored series, opened in the order of their names."""
    found = []
    for number, name in enumerate(NAMES, start=1):
        Stack(noise((4, 16, 16)), series=name).write(tmp_path / name)
        one = store(services, tmp_path / name)
        (one.path / USED).touch()
        os.utime(one.path / USED, (number, number))
        found.append(one)
    return found


def room(services, wanted, limit):
    return make_room(wanted, services.store.root, services.decoded, limit, series=True)


def taken(services):
    found = usage(services.store.root, services.decoded)
    return found.series + found.decoded


def left(services):
    return [one.series.series_uid.rsplit(".3.", 1)[-1] for one in services.store.all()]


def test_the_longest_unused_series_goes_first(services, kept):
    assert room(services, 1, taken(services))
    assert left(services) == ["1.2", "1.3"]
    assert not kept[0].path.exists()
    hidden = [p.name for p in kept[1].path.parent.iterdir() if p.name.startswith(".")]
    assert not [name for name in hidden if "evicted" in name]


def test_copies_go_before_series(services, kept):
    read_kept(services, kept[0])
    settle()
    gc.collect()
    assert usage(services.store.root, services.decoded).decoded
    assert room(services, 1, taken(services))
    assert not usage(services.store.root, services.decoded).decoded
    assert left(services) == list(NAMES)


def test_what_is_open_stays(services, kept):
    opened = read_kept(services, kept[0]).volume
    settle()
    os.utime(kept[0].path / USED, (1, 1))
    pixels = opened.array.copy()
    assert not room(services, 1 << 40, taken(services))
    assert left(services) == ["1.1"]
    np.testing.assert_array_equal(opened.array, pixels)
    assert all(file.exists() for file in opened.files), "export reads them again"
    opened = None
    gc.collect()
    assert not is_open(kept[0].path)
    room(services, 1 << 40, taken(services))
    assert left(services) == []


def test_what_another_process_has_open_stays_until_it_ends(services, kept):
    script = (
        "import sys, pathlib\n"
        "from napari_tcia.transfer.leases import lease\n"
        "class Owner: pass\n"
        "owner = Owner()\n"
        f"lease(pathlib.Path({str(kept[0].path)!r}), [owner])\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"open\n"
        os.utime(kept[0].path / USED, (1, 1))
        room(services, 1 << 40, taken(services))
        assert left(services) == ["1.1"]
    finally:
        process.kill()  # nothing tidies up after it
        process.wait()
    assert not is_open(kept[0].path)
    room(services, 1 << 40, taken(services))
    assert left(services) == []


def test_what_is_being_fetched_stays(services, kept):
    lock = FileLock(kept[0].path.with_name(f".{kept[0].path.name}.lock"))
    with lock:
        room(services, 1 << 40, taken(services))
    assert left(services) == ["1.1"]


def test_failed_downloads_go_before_series(services, kept):
    partial = kept[0].path.with_name(".9.9.partial")
    partial.mkdir()
    (partial / "x.held").write_bytes(bytes(5000))
    assert room(services, 1, taken(services))
    assert not partial.exists()
    assert left(services) == list(NAMES)


def test_nothing_outside_is_touched(services, kept, tmp_path):
    """Neither through links, nor in folders that are no series."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "complete.json").write_text("{}")
    (kept[0].path.parent / "5.5").symlink_to(outside)
    mine = kept[0].path.parent / "notes"
    mine.mkdir()
    (mine / "complete.json").write_text("mine")
    drafts = services.settings.home / "drafts"
    drafts.mkdir()
    (drafts / "work").write_text("hours of it")
    room(services, 1 << 40, 0)
    assert left(services) == []
    assert (outside / "complete.json").exists()
    assert (mine / "complete.json").exists()
    assert (drafts / "work").read_text() == "hours of it"
    assert services.ledger.records(), "acceptances are no cache"


def test_a_lease_ends_with_its_last_owner(services, kept):
    class Owner:
        pass

    one, two = Owner(), Owner()
    lease(kept[0].path, [one, two])
    del one
    gc.collect()
    assert is_open(kept[0].path)
    del two
    gc.collect()
    assert not is_open(kept[0].path)
    assert services.store.find(kept[0].archive_host, kept[0].series.series_uid)
