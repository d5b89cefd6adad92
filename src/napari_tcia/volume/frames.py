"""The frames of a multi-frame instance, each as an image of its own.

Where a frame lies and how its values are scaled is written in functional
groups, shared by all frames or each frame's own (DICOM PS3.3 C.7.6.16).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from napari_tcia.errors import CorruptData
from napari_tcia.volume.decode import whole_header
from napari_tcia.volume.instance import Header, tolerant

ENHANCED = {
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
}
"""Enhanced and legacy converted CT and MR, by SOP class (DICOM PS3.4 table B.5-1)."""


def expand(header: Header) -> tuple[Header, ...]:
    """Headers of the frames of an enhanced CT or MR instance.

    Parameters
    ----------
    header : Header
        Of the file as it is now.

    Returns
    -------
    tuple of Header
        One per frame, in the order of the file; ``frame`` says which.

    Raises
    ------
    CorruptData
        The functional groups do not parse, or are fewer than the frames.
    """
    try:
        with tolerant():
            dataset = whole_header(header.path)
            shared = _first(dataset, "SharedFunctionalGroupsSequence")
            own = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())
            if len(own) != header.frames:
                raise ValueError(
                    f"it has groups for {len(own)} of its {header.frames} frames"
                )
            size = header.frame_bytes if header.byte_order else 0
            return tuple(
                _frame(header, number, shared, groups, size)
                for number, groups in enumerate(own)
            )
    except Exception as error:  # pydicom raises whatever it stumbles over
        raise CorruptData(
            f"The frames of {header.path.name} cannot be told apart: {error}.",
            "Fetch it again.",
            files=[str(header.path)],
        ) from error


def _frame(
    header: Header, number: int, shared: Any, own: Any, frame_bytes: int
) -> Header:
    def group(name: str) -> Any:
        return _first(own, name) or _first(shared, name) or {}

    measures = group("PixelMeasuresSequence")
    content = _first(own, "FrameContentSequence") or {}
    scaling = group("PixelValueTransformationSequence")
    window = group("FrameVOILUTSequence")
    diffusion = group("MRDiffusionSequence")
    kind = group("CTImageFrameTypeSequence") or group("MRImageFrameTypeSequence")
    level, width = _number(window, "WindowCenter"), _number(window, "WindowWidth")
    b_value = _number(diffusion, "DiffusionBValue")
    echo = _number(group("MREchoSequence"), "EffectiveEchoTime")
    left = header.pixel_bytes - number * frame_bytes
    # An explicit value of the frame wins over one of the whole instance.
    return header._replace(
        frame=number,
        image_type=tuple(map(str, kind.get("FrameType", header.image_type) or ())),
        position=_numbers(group("PlanePositionSequence"), "ImagePositionPatient", 3),
        orientation=_numbers(
            group("PlaneOrientationSequence"), "ImageOrientationPatient", 6
        ),
        pixel_spacing=_numbers(measures, "PixelSpacing", 2),
        step=_number(measures, "SpacingBetweenSlices")
        or _number(measures, "SliceThickness"),
        slope=_or(_number(scaling, "RescaleSlope"), header.slope),
        intercept=_or(_number(scaling, "RescaleIntercept"), header.intercept),
        rescale_type=str(scaling.get("RescaleType", "") or header.rescale_type).upper(),
        window=header.window if level is None or width is None else (level, width),
        instance_number=number + 1,
        acquisition=_text(content, "FrameAcquisitionNumber"),
        temporal=_text(content, "TemporalPositionIndex"),
        echo="" if echo is None else f"{echo:g}",
        b_value="" if b_value is None else f"{b_value:g}",
        stack_id=_text(content, "StackID"),
        pixel_offset=header.pixel_offset + number * frame_bytes,
        pixel_bytes=max(0, min(frame_bytes, left)) if frame_bytes else left,
    )


def _first(dataset: Any, name: str) -> Any:
    """First item of a sequence, None where there is none."""
    items = dataset.get(name) if dataset is not None else None
    return items[0] if items else None


def _numbers(dataset: Mapping[str, Any], name: str, count: int) -> Any:
    value = dataset.get(name)
    parts = [value] if isinstance(value, (str, int, float)) else list(value or ())
    try:
        numbers = tuple(float(part) for part in parts[:count])
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(map(isfinite, numbers)) else None


def _number(dataset: Mapping[str, Any], name: str) -> float | None:
    values = _numbers(dataset, name, 1)
    return values[0] if values else None


def _text(dataset: Mapping[str, Any], name: str) -> str:
    value = dataset.get(name)
    return "" if value is None else str(value)


def _or(value: float | None, fallback: float | None) -> float | None:
    return fallback if value is None else value
