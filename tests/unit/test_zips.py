"""A zip of a user's own is read like the folder it holds, and trusted less."""

import gc
import stat
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import napari_tcia as nt
from dicom_factory import Stack, noise
from napari_tcia.app.case import open_case
from napari_tcia.app.services import Services
from napari_tcia.core.settings import Settings
from napari_tcia.core.task import CancelToken
from napari_tcia.core.zips import unpack
from napari_tcia.errors import (
    Cancelled,
    CorruptData,
    MixedSeries,
    NoDicom,
    UnsafeArchive,
)


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    """Where zips are unpacked; empty once nobody needs them."""
    monkeypatch.setenv("NAPARI_TCIA_HOME", str(tmp_path / "home"))
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def packed(path, *stacks, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("LICENSE", "words")
        archive.writestr("__MACOSX/._1-001.dcm", b"\0\5\x16\7")
        for number, stack in enumerate(stacks):
            folder = path.parent / f"plain-{number}"
            for file in stack.write(folder):
                archive.write(file, f"series-{number}/{file.name}")
    return path


def test_same_as_the_folder_and_nothing_stays_behind(tmp_path, place):
    stack = Stack(noise((5, 6, 4)))
    path = packed(tmp_path / "a.zip", stack)
    volume = nt.read_volume(path)
    np.testing.assert_array_equal(volume.array, stack.stored)
    assert all(file.exists() for file in volume.files), "export reads them again"
    volume = None
    gc.collect()
    assert not list(place.iterdir())


def test_a_case_of_a_zip_can_be_opened(tmp_path, place):
    stack = Stack(noise((3, 6, 4)))
    services = Services.open(Settings(home=tmp_path / "home"))
    (case,) = open_case(services, packed(tmp_path / "my scan.zip", stack))
    np.testing.assert_array_equal(case.volume.array, stack.stored)
    assert case.name == "my scan" or case.volume.provenance.origin != "unknown"
    (found,) = nt.inspect(tmp_path / "my scan.zip")
    assert found["verdict"] == "pass"
    case = None
    gc.collect()
    assert not list(place.iterdir())


def test_two_series_in_a_zip(tmp_path, place):
    one, two = Stack(noise((2, 4, 4))), Stack(noise((3, 4, 4)), series="2")
    path = packed(tmp_path / "a.zip", one, two)
    with pytest.raises(MixedSeries):
        nt.read_volume(path)
    assert not list(place.iterdir())
    assert nt.read_volume(path, series_uid=two.series_uid).shape[0] == 3


@pytest.mark.parametrize(
    "name", ["../out.dcm", "/abs.dcm", "a/../../b.dcm", "c:\\x.dcm", "a\x00b"]
)
def test_members_never_leave_their_folder(tmp_path, place, name):
    path = packed(tmp_path / "a.zip", Stack(noise((2, 4, 4))))
    plain = name.replace("\x00", "?")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(plain, b"x")
    data = path.read_bytes().replace(plain.encode(), name.encode())
    path.write_bytes(data)
    if "\x00" in name:  # Python cuts names there: what is left is harmless
        assert unpack(path).parent == place
        return
    with pytest.raises(UnsafeArchive):
        nt.read_volume(path)
    assert not list(place.iterdir())
    assert not (tmp_path / "out.dcm").exists()


def test_links_repeats_and_bombs_are_refused(tmp_path, place):
    link = zipfile.ZipInfo("link.dcm")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("a.dcm", b"1")
        archive.writestr("A.dcm", b"2")
    with (
        zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.dcm", "w", force_zip64=True) as member,
    ):
        for _ in range(1100):
            member.write(bytes(1 << 20))
    for name in ("link", "twice", "bomb"):
        with pytest.raises(UnsafeArchive):
            nt.read_volume(tmp_path / f"{name}.zip")
        assert not list(place.iterdir())


def test_damaged_zips_say_so(tmp_path, place):
    path = packed(
        tmp_path / "a.zip", Stack(noise((4, 16, 16))), compression=zipfile.ZIP_STORED
    )
    whole = path.read_bytes()
    at = whole.index(b"DICM") + 900
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    with pytest.raises(CorruptData, match=r"a\.zip"):
        nt.read_volume(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptData, match=r"a\.zip"):
        nt.read_volume(path)
    assert not list(place.iterdir())


def test_a_zip_without_dicom_and_a_cancelled_one(tmp_path, place):
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("notes.txt", "words")
    with pytest.raises(NoDicom):
        nt.read_volume(tmp_path / "none.zip")
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        nt.read_volume(packed(tmp_path / "a.zip", Stack(noise((2, 4, 4)))), token=token)
    assert not list(place.iterdir())


def test_only_our_folder_is_written(tmp_path, place):
    path = packed(tmp_path / "a.zip", Stack(noise((2, 4, 4))))
    volume = nt.read_volume(path)
    beside = {entry.name for entry in tmp_path.iterdir()}
    assert beside <= {"a.zip", "plain-0", "home", "temporary"}
    assert Path(volume.files[0]).is_relative_to(place)
