"""Passports of folders, as the command line and Python hand them out."""

import pydicom
import pytest

import napari_tcia as nt
from annotation_factory import write_seg
from dicom_factory import Stack, noise, save
from napari_tcia.archive.catalogue import load
from napari_tcia.core.model import SearchQuery
from napari_tcia.errors import CorruptData, NoDicom, UnsupportedData


def test_a_cut_file_in_another_folder_of_the_series(tmp_path):
    files = Stack(noise((8, 4, 4))).write(tmp_path / "a")
    (tmp_path / "b").mkdir()
    for file in files[4:]:
        file.rename(tmp_path / "b" / file.name)
    (whole,) = nt.inspect(tmp_path)
    assert (whole["verdict"], whole["shape"]) == ("pass", (8, 4, 4))
    last = tmp_path / "b" / files[7].name
    last.write_bytes(last.read_bytes()[:300])
    (cut,) = nt.inspect(tmp_path)
    assert cut["verdict"] == "fail"
    (named,) = (c["files"] for c in cut["checks"] if c["verdict"] == "fail")
    assert named == (str(last),)


def test_nothing_but_damage_is_no_empty_folder(tmp_path):
    with pytest.raises(NoDicom):
        nt.inspect(tmp_path)
    for file in Stack(noise((2, 4, 4))).write(tmp_path):
        file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(CorruptData, match=r"1-001\.dcm"):
        nt.inspect(tmp_path)


def test_annotations_alone_are_no_images(tmp_path):
    stack = Stack(noise((3, 8, 8)))
    labels = (stack.stored > 1500).astype("u1")
    write_seg(tmp_path / "s.dcm", [stack.dataset(k) for k in range(3)], labels)
    with pytest.raises(UnsupportedData, match="SEG only"):
        nt.inspect(tmp_path)


def test_the_catalogue_knows_how_many_slices_there_are(tmp_path):
    """Slices cut off at an end show, where a list of the archive is at hand."""
    (known,) = load().search(SearchQuery(patient="MED_LYMPH_021", modality="CT"))
    for file in Stack(noise((5, 4, 4)), patient="MED_LYMPH_021").write(tmp_path):
        dataset = pydicom.dcmread(file)
        dataset.SeriesInstanceUID = known.series_uid
        save(dataset, file)
    (passport,) = nt.inspect(tmp_path)
    counted = next(c for c in passport["checks"] if c["code"] == "declared_count")
    assert counted["numbers"] == {"images": 5, "declared": 56}
    assert (counted["verdict"], passport["verdict"]) == ("warn", "warn")
