"""Ways to spoil the CT of a case in memory, or what its SEG says of it."""

from __future__ import annotations

import io

from pydicom import Dataset, config, dcmread, dcmwrite

from napari_tcia.core.model import TWIN_UID_ROOT
from napari_tcia.demo.good_case import Files


def unchanged(files: Files) -> None:
    """Leave the good case as it is."""


def slice_missing(files: Files) -> None:
    """Remove the slice in the middle."""
    slices = _slices(files)
    del files[slices[len(slices) // 2][0]]


def slice_duplicated(files: Files) -> None:
    """Add the slice in the middle once more, as another instance."""
    slices = _slices(files)
    _, dataset = slices[len(slices) // 2]
    dataset.SOPInstanceUID = f"{TWIN_UID_ROOT}7001"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    _save(files, "CT/duplicate.dcm", dataset)


def slice_copied(files: Files) -> None:
    """Add the very file of the slice in the middle under another name."""
    slices = _slices(files)
    files["CT/copy.dcm"] = files[slices[len(slices) // 2][0]]


def slice_of_another_series(files: Files) -> None:
    """Let the slice in the middle name another series."""
    slices = _slices(files)
    place, dataset = slices[len(slices) // 2]
    dataset.SeriesInstanceUID = f"{TWIN_UID_ROOT}7002"
    _save(files, place, dataset)


def numbers_reversed(files: Files) -> None:
    """Number the slices from the head down."""
    for number, (place, dataset) in enumerate(reversed(_slices(files)), start=1):
        dataset.InstanceNumber = number
        _save(files, place, dataset)


def rows_flipped(files: Files) -> None:
    """Write the rows of all slices from the back to the front."""
    for place, dataset in _slices(files):
        _turn_rows(dataset)
        _save(files, place, dataset)


def one_slice_flipped(files: Files) -> None:
    """Write the rows of the slice in the middle from the back to the front."""
    slices = _slices(files)
    place, dataset = slices[len(slices) // 2]
    _turn_rows(dataset)
    _save(files, place, dataset)


def seg_of_absent_instance(files: Files) -> None:
    """Let the first frame of the SEG come from a CT instance that is not there."""
    place, seg = _seg(files)
    frame = seg.PerFrameFunctionalGroupsSequence[0]
    source = frame.DerivationImageSequence[0].SourceImageSequence[0]
    _rename(seg, {source.ReferencedSOPInstanceUID: f"{TWIN_UID_ROOT}7003"})
    _save(files, place, seg)


def seg_of_other_images(files: Files) -> None:
    """Let every frame of the SEG come from a CT instance that is not there."""
    place, seg = _seg(files)
    series = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    uids = [item.ReferencedSOPInstanceUID for item in series]
    _rename(seg, {uid: f"{TWIN_UID_ROOT}7{n:04d}" for n, uid in enumerate(uids)})
    _save(files, place, seg)


def _slices(files: Files) -> list[tuple[str, Dataset]]:
    """Paths and datasets of the CT, from the feet up."""
    found = [
        (place, dcmread(io.BytesIO(data)))
        for place, data in files.items()
        if place.startswith("CT/")
    ]
    return sorted(found, key=lambda one: float(one[1].ImagePositionPatient[2]))


def _seg(files: Files) -> tuple[str, Dataset]:
    place = next(place for place in files if place.startswith("SEG/"))
    return place, dcmread(io.BytesIO(files[place]))


def _save(files: Files, place: str, dataset: Dataset) -> None:
    stream = io.BytesIO()
    with config.disable_value_validation():
        dcmwrite(stream, dataset)
    files[place] = stream.getvalue()


def _turn_rows(dataset: Dataset) -> None:
    """The same picture, its rows written from the back to the front."""
    last = (dataset.Rows - 1) * float(dataset.PixelSpacing[0])
    x, y, z = dataset.ImagePositionPatient
    dataset.PixelData = dataset.pixel_array[::-1].tobytes()
    dataset.ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
    dataset.ImagePositionPatient = [x, f"{float(y) + last:.6f}", z]


def _rename(seg: Dataset, names: dict[str, str]) -> None:
    """Exchange UIDs of source images wherever the SEG names them."""
    for item in seg.iterall():
        if item.keyword == "ReferencedSOPInstanceUID":
            item.value = names.get(item.value, item.value)
