"""Small CT series written with pydicom alone, good ones and broken ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

ROOT = "1.2.826.0.1.3680043.8.498.77."


@dataclass
class Stack:
    """A CT series to write; `stored` is (K, J, I), `affine` of the volume."""

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
        row, column = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        return np.array(self.origin) + k * self.spacing[0] * np.cross(row, column)

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
        ds.BitsAllocated = ds.BitsStored = bits
        ds.HighBit = bits - 1
        ds.PixelRepresentation = int(self.stored.dtype.kind == "i")
        if self.intercept is not None:
            ds.RescaleIntercept = str(self.intercept)
        if self.slope is not None:
            ds.RescaleSlope = str(self.slope)
        order = ">" if self.syntax == ExplicitVRBigEndian else "<"
        pixels = self.stored[k].astype(self.stored.dtype.newbyteorder(order))
        ds.PixelData = pixels.tobytes()
        ds["PixelData"].VR = "OW" if bits > 8 else "OB"
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


def save(dataset: pydicom.Dataset, path: Path) -> None:
    """Write Part 10 without judging the values."""
    with pydicom.config.disable_value_validation():
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def noise(shape: tuple[int, int, int], seed: int = 0, dtype: str = "i2") -> np.ndarray:
    """Values in which every voxel differs from its neighbours."""
    rng = np.random.default_rng(seed)
    low = -1000 if np.dtype(dtype).kind == "i" else 0
    return rng.integers(low, 2000, shape).astype(dtype)


EXPLICIT = ExplicitVRLittleEndian
BIG = ExplicitVRBigEndian
