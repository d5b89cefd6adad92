"""Small CT series written with pydicom alone, good ones and broken ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    JPEG2000,
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
ROOT = "1.2.826.0.1.3680043.8.498.77."


@dataclass
class Stack:
    """A CT series to write; `stored` is (K, J, I), `affine` of the volume.

    `shear` is what each slice is shifted along its rows and columns, mm; `extra`
    are elements of every slice; `slopes` are those of single ones.
    """

    stored: np.ndarray
    origin: tuple[float, float, float] = (-100.0, -80.0, -50.0)
    spacing: tuple[float, float, float] = (1.0, 0.75, 0.75)
    orientation: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    slope: float | None = 1.0
    intercept: float | None = 0.0
    series: str = "1"
    patient: str = "MED_LYMPH_001"
    description: str = "mediastinal_lymph_nodes"
    modality: str = "CT"
    sop_class: str = CTImageStorage
    syntax: str = ImplicitVRLittleEndian
    positions: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    bits_stored: int | None = None
    slopes: dict[int, float] = field(default_factory=dict)
    shear: tuple[float, float] = (0.0, 0.0)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def series_uid(self) -> str:
        return f"{ROOT}3.{self.series}"

    @property
    def frame_of_reference(self) -> str:
        return f"{ROOT}4.1"

    def sop_uid(self, k: int) -> str:
        return f"{ROOT}5.{self.series}.{k + 1}"

    def position(self, k: int) -> np.ndarray:
        if k in self.positions:
            return np.asarray(self.positions[k], dtype=float)
        return np.array(self.origin) + k * self.step

    @property
    def step(self) -> np.ndarray:
        """From one slice to the next, LPS mm."""
        row, column = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        aside = self.shear[0] * row + self.shear[1] * column
        return self.spacing[0] * np.cross(row, column) + aside

    @property
    def affine(self) -> np.ndarray:
        """(k, j, i, 1) to LPS mm, from the numbers that are written."""
        affine = np.eye(4)
        affine[:3, 0] = self.step
        affine[:3, 1] = self.spacing[1] * np.array(self.orientation[3:])
        affine[:3, 2] = self.spacing[2] * np.array(self.orientation[:3])
        affine[:3, 3] = self.origin
        return affine

    @property
    def rescaled(self) -> np.ndarray:
        """What every voxel means, float64."""
        slopes = [self.slopes.get(k, self.slope) for k in range(len(self.stored))]
        factors = np.array([1.0 if s is None else s for s in slopes])
        return self.stored * factors[:, None, None] + (self.intercept or 0.0)

    def dataset(self, k: int) -> FileDataset:
        """One instance, with the tags that CT Lymph Nodes has and no others."""
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = self.sop_class
        meta.MediaStorageSOPInstanceUID = self.sop_uid(k)
        meta.TransferSyntaxUID = self.syntax
        meta.ImplementationClassUID = f"{ROOT}9"
        ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        ds.ImageType = ["DERIVED", "SECONDARY"]
        ds.SOPClassUID = self.sop_class
        ds.SOPInstanceUID = self.sop_uid(k)
        ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "20140914", "", ""
        ds.Modality = self.modality
        ds.PatientName = ds.PatientID = self.patient
        ds.PatientBirthDate, ds.PatientSex = "", "F"
        ds.ReferringPhysicianName = ""
        ds.StudyDescription = ds.SeriesDescription = self.description
        ds.BodyPartExamined = "MEDIASTINUM"
        ds.StudyInstanceUID = f"{ROOT}2.1"
        ds.SeriesInstanceUID = self.series_uid
        ds.StudyID, ds.SeriesNumber = self.patient, None
        ds.InstanceNumber = k + 1
        ds.ImagePositionPatient = [f"{v:.9g}"[:16] for v in self.position(k)]
        ds.ImageOrientationPatient = [f"{v:.12g}"[:16] for v in self.orientation]
        ds.FrameOfReferenceUID = self.frame_of_reference
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = self.stored.shape[1:]
        ds.PixelSpacing = list(self.spacing[1:])
        bits = self.stored.dtype.itemsize * 8
        ds.BitsAllocated = bits
        ds.BitsStored = self.bits_stored or bits
        ds.HighBit = ds.BitsStored - 1
        ds.PixelRepresentation = int(self.stored.dtype.kind == "i")
        if self.intercept is not None:
            ds.RescaleIntercept = str(self.intercept)
        if self.slope is not None:
            ds.RescaleSlope = str(self.slopes.get(k, self.slope))
        order = ">" if self.syntax == ExplicitVRBigEndian else "<"
        pixels = self.stored[k]
        if bits > ds.BitsStored:  # nothing above the stored bits
            unsigned = pixels.view(f"u{bits // 8}")
            pixels = unsigned & ((1 << ds.BitsStored) - 1)
        pixels = pixels.astype(pixels.dtype.newbyteorder(order))
        ds.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
        ds["PixelData"].VR = "OW" if bits > 8 else "OB"
        for name, value in self.extra.items():
            setattr(ds, name, value)
        return ds

    def write(self, folder: Path, name: str = "1-{:03d}.dcm") -> list[Path]:
        """Write every slice; the files in the order of k."""
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for k in range(len(self.stored)):
            path = folder / name.format(k + 1)
            save(self.dataset(k), path)
            files.append(path)
        return files

    def enhanced(
        self,
        order: Sequence[int] | None = None,
        groups: Callable[[int, Dataset], None] | None = None,
    ) -> FileDataset:
        """All slices as frames of one Enhanced CT or MR instance.

        Parameters
        ----------
        order : sequence of int, optional
            Slice of each frame.
        groups : callable, optional
            Adds to the functional groups of a frame.
        """
        ds = self.dataset(0)
        order = range(len(self.stored)) if order is None else order
        uid = EnhancedMRImageStorage if self.modality == "MR" else ENHANCED_CT
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = uid
        ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        moved = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
        for name in (*moved, "RescaleSlope", "RescaleIntercept"):
            if name in ds:
                delattr(ds, name)
        shared = Dataset()
        measures, plane = Dataset(), Dataset()
        measures.PixelSpacing = list(self.spacing[1:])
        measures.SliceThickness = self.spacing[0]
        plane.ImageOrientationPatient = [f"{v:.12g}"[:16] for v in self.orientation]
        shared.PixelMeasuresSequence = [measures]
        shared.PlaneOrientationSequence = [plane]
        ds.SharedFunctionalGroupsSequence = [shared]
        ds.PerFrameFunctionalGroupsSequence = []
        for number, k in enumerate(order):
            own, place, content = Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = [f"{v:.9g}"[:16] for v in self.position(k)]
            own.PlanePositionSequence = [place]
            content.StackID, content.InStackPositionNumber = "1", k + 1
            content.DimensionIndexValues = [1, k + 1]
            content.FrameAcquisitionNumber = number + 1
            own.FrameContentSequence = [content]
            if self.slope is not None:
                scaling = Dataset()
                scaling.RescaleSlope = str(self.slopes.get(k, self.slope))
                scaling.RescaleIntercept = str(self.intercept)
                scaling.RescaleType = "HU" if self.modality == "CT" else "US"
                own.PixelValueTransformationSequence = [scaling]
            if groups is not None:
                groups(number, own)
            ds.PerFrameFunctionalGroupsSequence.append(own)
        _add_dimensions(ds)
        ds.NumberOfFrames = len(order)
        ds.PixelData = b"".join(self.dataset(k).PixelData for k in order)
        return ds


def _add_dimensions(ds: Dataset) -> None:
    """Say that frames are ordered by stack and position in it."""
    organization, stack, place = Dataset(), Dataset(), Dataset()
    organization.DimensionOrganizationUID = f"{ROOT}6.1"
    for index, pointer in ((stack, 0x00209056), (place, 0x00209057)):
        index.DimensionOrganizationUID = f"{ROOT}6.1"
        index.DimensionIndexPointer = pointer
        index.FunctionalGroupPointer = 0x00209111
    ds.DimensionOrganizationSequence = [organization]
    ds.DimensionIndexSequence = [stack, place]


def save(dataset: pydicom.Dataset, path: Path) -> None:
    """Write Part 10 without judging the values."""
    with pydicom.config.disable_value_validation():
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def recode(path: Path, syntax: str, **options: Any) -> None:
    """Write a file anew in another transfer syntax, by pydicom or by GDCM.

    Parameters
    ----------
    path : Path
    syntax : str
        Transfer syntax UID.
    **options
        ``lossy=True`` of GDCM; of pydicom what its encoders take.
    """
    if syntax in _BY_GDCM:
        _recode_by_gdcm(path, syntax, **options)
        return
    dataset = pydicom.dcmread(path)
    if syntax in _COMPRESSED:
        dataset.compress(syntax, generate_instance_uid=False, **options)
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
    save(dataset, path)


_BY_GDCM = {
    "1.2.840.10008.1.2.4.50": "JPEGBaselineProcess1",
    "1.2.840.10008.1.2.4.51": "JPEGExtendedProcess2_4",
    "1.2.840.10008.1.2.4.57": "JPEGLosslessProcess14",
    "1.2.840.10008.1.2.4.70": "JPEGLosslessProcess14_1",
}
_COMPRESSED = (RLELossless, JPEGLSLossless, JPEGLSNearLossless, JPEG2000Lossless)
_COMPRESSED += (JPEG2000,)


def _recode_by_gdcm(path: Path, syntax: str, lossy: bool = False) -> None:
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(
        gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, _BY_GDCM[syntax]))
    )
    codec = gdcm.JPEGCodec()
    if lossy:
        codec.SetLossless(False)
        codec.SetQuality(90)
        change.SetUserCodec(codec)
    change.SetInput(reader.GetImage())
    assert change.Change(), f"GDCM writes no {_BY_GDCM[syntax]}"
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def noise(shape: tuple[int, int, int], seed: int = 0, dtype: str = "i2") -> np.ndarray:
    """Values in which every voxel differs from its neighbours."""
    rng = np.random.default_rng(seed)
    low = -1000 if np.dtype(dtype).kind == "i" else 0
    return rng.integers(low, 2000, shape).astype(dtype)


EXPLICIT = ExplicitVRLittleEndian
BIG = ExplicitVRBigEndian
