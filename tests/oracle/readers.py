"""What other programs make of a series: arrays with affines from index to LPS mm."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom


class Read(NamedTuple):
    """An array, and the affine from its own indices, in its own order, to LPS mm."""

    array: np.ndarray
    affine: np.ndarray


def by_simpleitk(path: Path) -> Read:
    """A folder through the names that GDCM sorts, or one file."""
    import SimpleITK as sitk

    names = str(path)
    if path.is_dir():
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path))
    image = sitk.ReadImage(names)
    affine = np.eye(4)
    steps = np.reshape(image.GetDirection(), (3, 3)) @ np.diag(image.GetSpacing())
    affine[:3, :3] = steps[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return Read(sitk.GetArrayFromImage(image), affine)


def by_highdicom(path: Path, **options) -> Read:
    """A folder of single images, or one multi-frame file."""
    import highdicom

    if path.is_dir():
        # It asks for what CT Lymph Nodes and this battery leave out.
        datasets = [pydicom.dcmread(file) for file in path.iterdir()]
        volume = highdicom.get_volume_from_series(datasets, **options)
    else:
        volume = highdicom.imread(path).get_volume(**options)
    return Read(volume.array, volume.affine)


def by_dcm2niix(path: Path) -> dict[str, Read]:
    """Every NIfTI that dcm2niix writes of a folder, by the end of its name."""
    import dcm2niix
    import nibabel

    with tempfile.TemporaryDirectory() as out:
        subprocess.run(
            [dcm2niix.bin, "-b", "n", "-z", "n", "-f", "x", "-o", out, path],
            check=False,
            capture_output=True,
        )
        found = {}
        for file in sorted(Path(out).glob("*.nii")):
            image = nibabel.load(file, mmap=False)
            affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine  # RAS to LPS
            found[file.stem[1:]] = Read(np.asarray(image.dataobj), affine)
    return found


def onto(read: Read, affine: np.ndarray, within: float = 1e-3) -> np.ndarray:
    """What was read in the order of axes of another affine of the same grid.

    Parameters
    ----------
    read : Read
    affine : (4, 4) ndarray
        The grid to bring it to.
    within : float
        Largest distance of a corner from the grid, in voxels.
    """
    between = np.linalg.inv(affine) @ read.affine
    turn = np.rint(between[:3, :3])
    assert np.abs(turn).sum(axis=0).tolist() == [1, 1, 1], between
    axes = np.abs(turn).argmax(axis=0)
    assert sorted(axes) == [0, 1, 2], between
    last = np.array(read.array.shape) - 1
    for corner in ([0, 0, 0], last, last * [1, 0, 0], last * [0, 1, 1]):
        place = between @ [*corner, 1]
        start = np.where(turn.sum(axis=1) < 0, last[np.argsort(axes)], 0)
        assert np.abs(place[:3] - turn @ corner - start).max() < within, between
    array = read.array.transpose(np.argsort(axes))
    backwards = [axis for axis in range(3) if turn.sum(axis=1)[axis] < 0]
    return np.flip(array, backwards)
