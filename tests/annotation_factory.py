"""Annotations of a small case: SEG by highdicom, masks by nibabel, text files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian

from dicom_factory import ROOT
from napari_tcia.core.image import Check, Passport, Volume
from napari_tcia.core.model import Provenance


def volume_of(
    array: np.ndarray,
    affine: np.ndarray | None = None,
    patient: str = "MED_LYMPH_001",
    verdict: str = "pass",
    quantity: str = "HU",
) -> Volume:
    """A volume without files, LPS grid of 0.8 x 0.8 x 1 mm by default."""
    if affine is None:
        affine = np.array(
            [[0, 0, 0.8, -100], [0, 0.8, 0, -80], [1, 0, 0, -50], [0, 0, 0, 1.0]]
        )
    return Volume(
        array=array,
        affine=affine,
        present=np.ones(len(array), dtype=bool),
        passport=Passport((Check("x", verdict, "x"),)),  # type: ignore[arg-type]
        provenance=Provenance(patient_id=patient),
        quantity=quantity,
    )


def ellipsoid(
    shape: tuple[int, int, int], center: Sequence[float], radii: Sequence[float]
) -> np.ndarray:
    """Voxels inside an ellipsoid given in index units."""
    grid = np.indices(shape).reshape(3, -1).T
    inside = (((grid - center) / np.asarray(radii)) ** 2).sum(axis=1) <= 1
    return inside.reshape(shape)


def write_seg(
    path: Path,
    sources: Sequence[pydicom.Dataset],
    masks: np.ndarray,
    *,
    kind: str = "BINARY",
    omit_empty: bool = True,
    syntax: str = ExplicitVRLittleEndian,
    **extra: object,
) -> pydicom.Dataset:
    """Write a SEG with highdicom; `masks` is (K, J, I) labels or (K, J, I, S)."""
    count = masks.shape[3] if masks.ndim == 4 else int(masks.max())
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"Node {number}",
            segmented_property_category=hd.sr.CodedConcept(
                "123037004", "SCT", "Anatomical structure"
            ),
            segmented_property_type=hd.sr.CodedConcept(
                "62683002", "SCT", "Mediastinal lymph node"
            ),
            algorithm_type="MANUAL",
            tracking_uid=f"{ROOT}7.{number}",
            tracking_id=f"Node {number}",
        )
        for number in range(1, count + 1)
    ]
    copies = []
    for source in sources:
        copy = pydicom.Dataset(source)
        copy.file_meta = source.file_meta
        copy.SliceThickness = "1"
        copy.PatientName = f"{source.PatientName}^"
        copy.Manufacturer = copy.ManufacturerModelName = "test"
        copies.append(copy)
    seg = hd.seg.Segmentation(
        source_images=copies,
        pixel_array=masks,
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=f"{ROOT}3.300",
        series_number=300,
        sop_instance_uid=f"{ROOT}5.300",
        instance_number=1,
        manufacturer="test",
        manufacturer_model_name="test",
        software_versions="0",
        device_serial_number="0",
        omit_empty_frames=omit_empty,
        transfer_syntax_uid=syntax,
        **extra,
    )
    seg.SeriesDescription = "Lymph node segmentations"
    seg.save_as(path)
    return seg


def write_mask(
    path: Path, labels: np.ndarray, affine: np.ndarray, dtype: str = "u1"
) -> Path:
    """Write (k, j, i) labels of an LPS grid the way the collection stores masks."""
    swap = np.eye(4)[[2, 1, 0, 3]]
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine @ swap
    image = nib.Nifti1Image(labels.transpose(2, 1, 0).astype(dtype), ras)
    image.set_qform(ras, 1)
    image.set_sform(ras, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def write_points(
    folder: Path,
    affine: np.ndarray,
    indices: np.ndarray,
    sizes: Sequence[Sequence[float]],
    patient: str = "MED_LYMPH_001",
) -> Path:
    """Write the four files of a patient; `indices` are (n, 3) in (i, j, k)."""
    folder.mkdir(parents=True, exist_ok=True)
    points = indices[:, ::-1] @ affine[:3, :3].T + affine[:3, 3]

    def rows(values: object) -> str:
        return "".join(" ".join(row) + "\n" for row in values)  # type: ignore[attr-defined]

    texts = [[f"{v:.6g}" for v in row] for row in points]
    stem = folder / f"{patient}_lymphnodes"
    Path(f"{stem}_indices.txt").write_text(
        rows([[str(int(v)) for v in r] for r in indices])
    )
    Path(f"{stem}_physicalPoints.txt").write_text(rows(texts))
    Path(f"{stem}_sizes.txt").write_text(rows([[f"{v:g}" for v in r] for r in sizes]))
    body = "".join(
        f"      <point>\n        <id>{n}</id>\n"
        "        <specification>0</specification>\n"
        f"        <x>{x}</x>\n        <y>{y}</y>\n        <z>{z}</z>\n      </point>\n"
        for n, (x, y, z) in enumerate(texts)
    )
    Path(f"{stem}_physicalPoints.mps").write_text(
        '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<point_set_file>\n'
        "  <file_version>0.1</file_version>\n  <point_set>\n    <time_series>\n"
        f"      <time_series_id>0</time_series_id>\n{body}"
        "    </time_series>\n  </point_set>\n</point_set_file>\n"
    )
    return folder
