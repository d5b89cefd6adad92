"""A stored series opens from its decoded copy, behind the gate, and never wrongly."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import napari_tcia as nt
from dicom_factory import Stack, noise
from napari_tcia.app import decoded
from napari_tcia.app.case import open_case
from napari_tcia.app.decoded import read_kept, settle
from napari_tcia.app.services import Services
from napari_tcia.core.image import Choices
from napari_tcia.core.task import CancelToken
from napari_tcia.demo.twin import phantom_case
from napari_tcia.errors import (
    Cancelled,
    CorruptData,
    NoDicom,
    TermsNotAccepted,
)
from napari_tcia.volume.read import read_volume
from stored_series import store

COLLECTION = "Twin"


@pytest.fixture
def services():
    """As the environment says, so that `nt` works with the same."""
    return Services.open()


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    return phantom_case(folder, "MED_LYMPH_001", matrix=64, slices=30, step=8.0)


@pytest.fixture
def kept(services, tmp_path):
    """A stored CT that was not opened yet."""
    Stack(noise((6, 16, 12))).write(tmp_path / "own")
    return store(services, tmp_path / "own", COLLECTION)


@pytest.fixture
def case(services, phantom):
    """A stored CT with its segmentation."""
    store(services, phantom / "SEG", COLLECTION)
    return store(services, phantom / "CT", COLLECTION)


def copy_of(services, kept):
    return services.decoded / kept.path.parent.name / kept.path.name


def copied(services, kept):
    """Open once, so that there is a copy; returns the first volume and its folder."""
    first = nt.read_volume(kept.path)
    settle()
    folder = copy_of(services, kept)
    assert {p.name for p in folder.iterdir()} == {"volume.npy", "volume.json"}
    return first, folder


def is_mapped(volume):
    return isinstance(volume.array, np.memmap)


def flip(folder):
    """One bit of one voxel, as a disk might, with the file's time kept."""
    path = folder / "volume.npy"
    at = path.stat()
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))


def test_the_second_opening_is_the_first_from_a_map(services, kept):
    first, _ = copied(services, kept)
    second = nt.read_volume(kept.path)
    assert not is_mapped(first)
    assert is_mapped(second)
    second.confirm()
    assert np.array_equal(first.array, second.array)
    assert np.array_equal(first.affine, second.affine)
    assert first.passport == second.passport
    assert first.provenance == second.provenance
    assert (first.files, first.sop_uids) == (second.files, second.sop_uids)
    assert np.array_equal(read_volume(kept.path).array, second.array)


def test_both_arrays_are_read_only(services, kept):
    first, _ = copied(services, kept)
    for volume in (first, nt.read_volume(kept.path)):
        with pytest.raises(ValueError, match="read-only"):
            volume.array[0] = 0


def test_an_opening_before_the_copy_is_written_is_right_too(services, kept):
    first = nt.read_volume(kept.path)
    second = nt.read_volume(kept.path)
    settle()
    assert np.array_equal(first.array, second.array)
    assert first.provenance == second.provenance


def test_a_case_is_the_same_from_its_copy(services, case):
    (first,) = open_case(services, case.path)
    settle()
    (second,) = open_case(services, case.path)
    assert is_mapped(second.volume)
    assert first.nodes == second.nodes
    assert first.nodes
    assert first.checks == second.checks
    assert first.issues == second.issues
    assert first.provenances == second.provenances


def test_a_changed_file_is_read_again_and_the_copy_renewed(services, kept):
    copied(services, kept)
    file = sorted(kept.path.glob("*.dcm"))[2]
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    found = nt.read_volume(kept.path)
    assert not is_mapped(found)
    assert np.array_equal(found.array, read_volume(kept.path).array)
    settle()
    again = nt.read_volume(kept.path)
    assert is_mapped(again)
    assert np.array_equal(found.array, again.array)


def test_a_series_that_is_fetched_again_has_no_copy_of_before(services, kept, tmp_path):
    copied(services, kept)
    renewed = store(services, tmp_path / "own", COLLECTION)
    assert renewed.path == kept.path
    assert not is_mapped(nt.read_volume(kept.path))


def test_a_case_is_never_measured_on_a_damaged_copy(services, case):
    (first,) = open_case(services, case.path)
    settle()
    folder = copy_of(services, case)
    flip(folder)
    (second,) = open_case(services, case.path)
    assert not is_mapped(second.volume)
    assert np.array_equal(first.volume.array, second.volume.array)
    assert first.nodes == second.nodes
    (told,) = [i for i in second.issues if i.code == "decoded_copy_damaged"]
    assert told.level == "warn"
    settle()
    (third,) = open_case(services, case.path)  # the copy was written anew
    assert is_mapped(third.volume)
    assert third.issues == first.issues


def test_python_is_warned_of_a_damaged_copy_and_refused_to_build_on_it(services, kept):
    first, folder = copied(services, kept)
    flip(folder)
    with pytest.warns(RuntimeWarning, match=r"decoded copy of series .* was damaged"):
        found = read_and_confirm(kept.path)
    with pytest.raises(CorruptData, match="was damaged"):
        nt.node_table(found)
    assert not folder.exists()
    again = nt.read_volume(kept.path)
    assert np.array_equal(again.array, first.array)
    again.confirm()


def read_and_confirm(path):
    found = nt.read_volume(path)
    with pytest.raises(CorruptData, match="Read it again"):
        found.confirm()
    settle_checks()
    return found


def settle_checks():
    """Wait for the threads that sum up copies, and what they tell."""
    import threading

    for thread in threading.enumerate():
        if thread.name == "check of a copy":
            thread.join()


def test_a_damaged_copy_that_cannot_be_discarded_is_not_opened_twice(
    services, kept, monkeypatch
):
    """As on a disk that has become read-only."""
    first, folder = copied(services, kept)
    flip(folder)
    (folder / ".lock").mkdir()  # nobody can hold it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(CorruptData):
            nt.read_volume(kept.path).confirm()
        settle_checks()
    assert (folder / "volume.npy").exists()
    again = nt.read_volume(kept.path)
    assert np.array_equal(again.array, first.array)


def test_a_cancelled_opening_hands_over_nothing(services, case):
    open_case(services, case.path)
    settle()
    token = CancelToken()

    def stop(progress):
        if progress.stage == "Opening the decoded copy":
            token.cancel()

    with pytest.raises(Cancelled):
        open_case(services, case.path, report=stop, token=token)
    (again,) = open_case(services, case.path)
    assert is_mapped(again.volume)


def test_who_stops_after_reading_still_has_the_copy(services, kept):
    token = CancelToken()
    nt.read_volume(kept.path, token=token)
    token.cancel()
    settle()
    assert is_mapped(nt.read_volume(kept.path))


def test_a_process_that_ends_writes_its_copy(services, kept):
    code = "import sys, napari_tcia as nt; nt.read_volume(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(kept.path)], check=True)
    assert is_mapped(nt.read_volume(kept.path))


def test_choices_are_neither_kept_nor_answered_from_a_copy(services, kept):
    chosen = Choices(gaps="refuse")
    assert not is_mapped(read_kept(services, kept, choices=chosen).volume)
    settle()
    assert not copy_of(services, kept).exists()
    copied(services, kept)
    assert not is_mapped(read_kept(services, kept, choices=chosen).volume)
    assert is_mapped(read_kept(services, kept, choices=Choices()).volume)


def test_what_failed_its_check_is_not_kept(services, tmp_path):
    Stack(noise((4, 8, 8)), positions={2: (-100.0, -80.0, -49.0)}).write(tmp_path / "o")
    kept = store(services, tmp_path / "o")
    assert nt.read_volume(kept.path, allow_fail=True).passport.verdict == "fail"
    settle()
    assert not copy_of(services, kept).exists()


def test_withdrawn_terms_close_the_copy(services, kept):
    copied(services, kept)
    host = services.settings.archive_host
    services.ledger.revoke(host, COLLECTION, "N")
    opened = []

    def spy(event, arguments):
        if event == "open" and str(arguments[0]).endswith((".npy", "volume.json")):
            opened.append(arguments[0])

    sys.addaudithook(spy)
    for probe in (nt.read_volume, nt.open_case, nt.inspect):
        with pytest.raises(TermsNotAccepted):
            probe(kept.path)
    assert opened == []


def test_the_folder_of_copies_opens_as_nothing(services, kept):
    _, folder = copied(services, kept)
    for path in (folder, folder / "volume.npy", services.decoded):
        for probe in (nt.read_volume, nt.open_case, nt.inspect):
            with pytest.raises(NoDicom, match="holds no"):
                probe(path)


def test_a_folder_of_copies_that_leads_elsewhere_is_not_used(services, kept, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    services.decoded.symlink_to(tmp_path / "elsewhere")
    nt.read_volume(kept.path)
    settle()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_no_copy_where_none_may_be_kept(services, kept, monkeypatch):
    monkeypatch.setenv("NAPARI_TCIA_LIMIT_GB", "0")
    nt.read_volume(kept.path)
    settle()
    assert not copy_of(services, kept).exists()


def test_a_file_in_the_place_of_copies_is_no_error(services, kept):
    services.decoded.write_text("mine")
    nt.read_volume(kept.path)
    settle()
    assert services.decoded.read_text() == "mine"


def test_files_and_other_series_are_read_as_before(services, kept):
    copied(services, kept)
    files = sorted(kept.path.glob("*.dcm"))
    assert not is_mapped(nt.read_volume(files))
    assert is_mapped(nt.read_volume(kept.path, series_uid=kept.series.series_uid))
    with pytest.raises(NoDicom, match="no series"):
        nt.read_volume(kept.path, series_uid="1.2.3")


def test_a_window_need_not_sum_up_the_files_of_what_it_opens_from_a_copy(
    services, kept
):
    assert not decoded.has_copy(services, kept)
    copied(services, kept)
    assert decoded.has_copy(services, kept)
    assert not decoded.has_copy(services, kept, Choices(gaps="refuse"))
