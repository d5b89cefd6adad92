"""CT and SEG instances of the twin, with the headers of the real collections.

The CT header of ``CT Lymph Nodes`` is that of a converted volume: Implicit VR,
no SliceThickness, Manufacturer, window or PatientPosition, an empty
SeriesNumber, and the CTP private block of TCIA.
"""

from __future__ import annotations

import io
import threading
import warnings

import numpy as np
from numpy.typing import NDArray
from pydicom import DataElement, Dataset, config, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from napari_tcia.core.model import TWIN_MARK, TWIN_UID_ROOT
from napari_tcia.demo.identity import Identity
from napari_tcia.demo.phantom import AXIAL, Node, Scan

SYNTHETIC = f"{TWIN_MARK}, not a patient"
"""PatientComments (0010,4000) of every instance."""

_WRITING = threading.RLock()
"""Filters of warnings, and what pydicom checks, are set for all threads at once:
two that change and restore them side by side would leave them changed."""
_NODE_TYPES = {
    "62683002": "Mediastinal lymph node",
    "818991007": "Abdominal lymph node",
}


def ct_header(identity: Identity, scan: Scan, k: int) -> Dataset:
    """Dataset of slice `k` (from the feet, 0-based) without its pixels."""
    header = Dataset()
    header.ImageType = ["DERIVED", "SECONDARY"]
    header.SOPClassUID = CTImageStorage
    header.SOPInstanceUID = identity.uid("ct", k)
    header.StudyDate = identity.study_date
    header.StudyTime = ""
    header.AccessionNumber = ""
    header.Modality = "CT"
    header.ConversionType = "DV"
    header.ReferringPhysicianName = ""
    header.StudyDescription = identity.description
    header.SeriesDescription = identity.description
    header.PatientName = identity.patient_id
    header.PatientID = identity.patient_id
    header.PatientBirthDate = ""
    header.PatientSex = identity.sex
    header.add(
        DataElement(0x00101010, "AS", identity.age, validation_mode=config.IGNORE)
    )
    header.PatientComments = SYNTHETIC
    header.PatientIdentityRemoved = "YES"
    block = header.private_block(0x0013, "CTP", create=True)
    block.add_new(0x10, "LO", identity.collection)
    block.add_new(0x13, "LO", "93781504")
    if identity.body_part:
        header.BodyPartExamined = identity.body_part
    header.StudyInstanceUID = identity.study_uid
    header.SeriesInstanceUID = identity.ct_uid
    header.StudyID = identity.patient_id
    header.SeriesNumber = None
    header.InstanceNumber = k + 1
    header.add_new(0x00200032, "DS", position(scan, k))
    header.add_new(0x00200037, "DS", [f"{value:g}" for value in AXIAL])
    header.FrameOfReferenceUID = identity.frame_uid
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows = header.Columns = scan.matrix
    header.PixelSpacing = [repr(scan.spacing)] * 2
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit = 15
    header.PixelRepresentation = 1
    header.RescaleIntercept = "0.0"
    header.RescaleSlope = "1.0"
    if identity.manufacturer:
        header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        header.Manufacturer = identity.manufacturer
        header.ManufacturerModelName = identity.model
        header.SeriesNumber = 2
        header.SliceThickness = repr(scan.step)
        header.PatientPosition = "HFS"
        header.KVP = "120"
        header.WindowCenter, header.WindowWidth = "50", "350"
        header.RescaleType = "HU"
    return header


def ct_bytes(header: Dataset, pixels: NDArray[np.int16] | None) -> bytes:
    """Part 10 bytes of a slice; without pixels, those of an empty PixelData."""
    header.add_new(0x7FE00010, "OW", b"" if pixels is None else pixels.tobytes())
    return _part10(header, explicit="Manufacturer" in header)


def ct_size(identity: Identity, scan: Scan) -> int:
    """Sum of the Part 10 bytes of a CT series.

    Its slices differ in length by InstanceNumber and ImagePositionPatient only,
    each padded to an even length.
    """
    lengths = [
        sum(len(text) + len(text) % 2 for text in texts)
        for k in range(scan.slices)
        for texts in [(str(k + 1), "\\".join(position(scan, k)))]
    ]
    first = len(ct_bytes(ct_header(identity, scan, 0), None)) + 2 * scan.matrix**2
    return scan.slices * (first - lengths[0]) + sum(lengths)


def seg_bytes(
    identity: Identity, scan: Scan, labels: NDArray[np.uint8], nodes: tuple[Node, ...]
) -> bytes:
    """Part 10 bytes of the DICOM SEG that holds a label array.

    One segment per node under the node's label; frames only where a segment
    has voxels; each frame names the one CT instance below it.

    Parameters
    ----------
    labels : (K, J, I) uint8
    """
    # Late, for the archive to be up at once.
    import highdicom as hd
    from pydicom.sr.coding import Code

    sources = []
    for k in np.flatnonzero(labels.any(axis=(1, 2))):
        source = ct_header(identity, scan, int(k))
        source.SliceThickness = repr(scan.step)  # highdicom asks; the CT has none
        source.file_meta = FileMetaDataset()
        source.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        sources.append((int(k), source))
    category = Code("123037004", "SCT", "Anatomical structure")
    kind = Code(identity.node_code, "SCT", _NODE_TYPES[identity.node_code])
    segments = [
        hd.seg.SegmentDescription(
            segment_number=node.label,
            segment_label=f"Lymph node {node.label}",
            segmented_property_category=category,
            segmented_property_type=kind,
            algorithm_type="MANUAL",
            tracking_uid=identity.uid("node", node.label),
            tracking_id=f"{identity.patient_id} node {node.label}",
        )
        for node in nodes
        if node.label
    ]
    with _WRITING, warnings.catch_warnings():
        # PatientAge may be the literal "N-A", as in one real case.
        warnings.simplefilter("ignore")
        seg = hd.seg.Segmentation(
            source_images=[source for _, source in sources],
            pixel_array=labels[[k for k, _ in sources]],
            segmentation_type="BINARY",
            segment_descriptions=segments,
            series_instance_uid=identity.seg_uid,
            series_number=300,
            sop_instance_uid=identity.uid("seg", 1),
            instance_number=1,
            manufacturer="QIICR",
            manufacturer_model_name="https://github.com/QIICR/dcmqi.git",
            software_versions=SYNTHETIC[:64],
            device_serial_number="1",
            content_label="SEGMENTATION",
            content_description="SYNTHETIC lymph nodes",
            content_creator_name="Reader1",
            pixel_measures=hd.PixelMeasuresSequence(
                # dcmqi writes single precision.
                pixel_spacing=[float(np.float32(scan.spacing))] * 2,
                slice_thickness=scan.step,
                spacing_between_slices=scan.step,
            ),
            series_description=identity.seg_description,
        )
    seg.PatientComments = SYNTHETIC
    # Asked for beside the PatientIdentityRemoved of the CT (PS3.3 C.7.1.1).
    seg.DeidentificationMethod = "SYNTHETIC, nobody to identify"
    seg.BodyPartExamined = identity.body_part
    for name in ("SeriesDate", "ContentDate", "InstanceCreationDate"):
        setattr(seg, name, "20230123")
    for name in ("SeriesTime", "ContentTime", "InstanceCreationTime"):
        setattr(seg, name, "000000")
    for equipment in seg.ContributingEquipmentSequence:
        if "ContributionDateTime" in equipment:
            equipment["ContributionDateTime"].value = "20230123000000"
    # As dcmqi does; left out by highdicom where slices between hold no node.
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices = repr(scan.step)
    for item in seg.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = identity.uid("dimensions")
    for item in seg.DimensionIndexSequence:
        item.DimensionOrganizationUID = identity.uid("dimensions")
    return _part10(seg, explicit=True)


def position(scan: Scan, k: int) -> list[str]:
    """ImagePositionPatient; y in exponent form, as the real converter wrote it."""
    x, y, z = scan.origin
    # Noise of a serialised sum, where the scan has some: the same in every run.
    z += k * scan.step + scan.jitter * ((k * 7919) % 11 - 5) / 5
    return [repr(x), f"{y:.6e}", repr(round(z, 6))]


def _part10(dataset: Dataset, explicit: bool) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = (
        ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian
    )
    meta.ImplementationClassUID = UID(f"{TWIN_UID_ROOT}1")
    meta.ImplementationVersionName = "NAPARI-TCIA-DEMO"
    dataset.file_meta = meta
    stream = io.BytesIO()
    with _WRITING, warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()
