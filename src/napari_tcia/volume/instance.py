"""One instance of a series: what placing and reading it needs, as plain facts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pydicom

NOT_IMAGES = frozenset(
    (
        "ANN",
        "AU",
        "DOC",
        "FID",
        "HD",
        "KER",
        "KO",
        "M3D",
        "PLAN",
        "PR",
        "REG",
        "RTDOSE",
        "RTINTENT",
        "RTPLAN",
        "RTRAD",
        "RTRECORD",
        "RTSEGANN",
        "RTSTRUCT",
        "RWV",
        "SEG",
        "SMR",
        "SR",
        "TEXTUREMAP",
    )
)
"""Modalities that accompany images (DICOM PS3.3 C.7.3.1.1.1)."""


class Header(NamedTuple):
    """One image: an instance, or one frame of it; empty or None when absent.

    A named tuple, since thousands are made in a moment.

    Attributes
    ----------
    path : Path
        Its file.
    bytes : int
        Size of the file; of what it inflates to where the syntax deflates it.
    position : (3,) tuple or None
        ImagePositionPatient, LPS mm.
    orientation : (6,) tuple or None
        ImageOrientationPatient: row direction, then column direction.
    pixel_spacing : (2,) tuple or None
        mm between rows, then between columns.
    step : float or None
        SpacingBetweenSlices, else SliceThickness, mm.
    window : (level, width) or None
        First WindowCenter and WindowWidth.
    high_bit : int
        Highest of the stored bits, -1 where it is not said.
    padding : (low, high) or None
        Stored values that pad the image (DICOM PS3.3 C.7.5.1.1.2).
    lossy : str or None
        Compression ratio that a lossy image states, empty where it states
        none; None where the image is not lossy.
    byte_order : {"<", ">", ""}
        Empty when the pixels are compressed.
    pixel_offset, pixel_bytes : int
        Where the stored values lie in the file; 0 when there are none. Of a
        frame its own share of them, unless they are compressed.
    frame : int or None
        Number of the frame from 0 in a multi-frame instance, else None.
    acquisition, temporal, echo, b_value, stack_id, trigger : str
        What tells apart the stacks of one series, as written.
    """

    path: Path
    sop_instance_uid: str
    instance_number: int | None
    position: tuple[float, ...] | None
    bytes: int
    sop_class_uid: str
    series_uid: str
    study_uid: str
    patient_id: str
    modality: str
    description: str
    manufacturer: str
    body_part: str
    frame_of_reference_uid: str
    referenced_series_uid: str
    ctp_collection: str
    comments: str
    image_type: tuple[str, ...]
    orientation: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    step: float | None
    rows: int
    columns: int
    samples: int
    frames: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    slope: float | None
    intercept: float | None
    rescale_type: str
    units: str
    window: tuple[float, float] | None
    padding: tuple[int, int] | None
    lossy: str | None
    acquisition: str
    temporal: str
    echo: str
    b_value: str
    trigger: str
    transfer_syntax: str
    byte_order: str
    pixel_offset: int
    pixel_bytes: int
    stack_id: str = ""
    frame: int | None = None

    @property
    def is_image(self) -> bool:
        """Whether this is an image, not something that refers to images."""
        return self.modality not in NOT_IMAGES

    @property
    def is_localizer(self) -> bool:
        """Whether this is a scout view (ImageType value 3)."""
        return "LOCALIZER" in self.image_type

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed frame."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8

    @property
    def is_truncated(self) -> bool:
        """Whether the file ends before its pixels do."""
        if not self.pixel_bytes:
            return True
        ends = self.pixel_offset + self.pixel_bytes > self.bytes
        frames = 1 if self.frame is not None else self.frames
        return ends or (
            bool(self.byte_order) and self.pixel_bytes < self.frame_bytes * frames
        )

    @property
    def name(self) -> str:
        """Path of its file, with the frame (from 1) where there are several."""
        return str(self.path) + (
            "" if self.frame is None else f" frame {self.frame + 1}"
        )


def names(headers: Sequence[Header]) -> tuple[str, ...]:
    """Names of images for a check, each once."""
    return tuple(dict.fromkeys(header.name for header in headers))


def listed(files: Sequence[str], limit: int = 3) -> str:
    """Name the first files of a list, and how many more there are."""
    short = [name.replace("\\", "/").rsplit("/", 1)[-1] for name in files[:limit]]
    more = len(files) - len(short)
    return ", ".join(short) + (f" and {more} more" if more > 0 else "")


_pydicom_mode = threading.RLock()


@contextmanager
def tolerant() -> Iterator[None]:
    """Let pydicom decode without judging values, for the time of a block.

    pydicom keeps this mode in a global; the lock keeps two threads from
    restoring each other's.
    """
    with _pydicom_mode, pydicom.config.disable_value_validation():
        yield
