"""What the values of a series mean: units, rescale, padding, and doubts about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from napari_tcia.core.image import Check
from napari_tcia.volume.instance import Header, listed, names

_LOSSY = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81))
"""JPEG and near-lossless JPEG-LS, whatever LossyImageCompression says."""
_MOST = float(np.finfo(np.float32).max)


def rescale_check(headers: Sequence[Header]) -> Check:
    """Whether all slices have one rescale, and one that leaves an image."""
    pairs = {(header.slope, header.intercept) for header in headers}
    numbers = {"pairs": [list(p) for p in sorted(pairs, key=str)][:5]}
    flat = names([header for header in headers if header.slope == 0])
    if flat:
        message = f"{len(flat)} slices have a rescale slope of 0: {listed(flat)}."
        return Check("equal_rescale", "fail", message, numbers, flat)
    huge = names([header for header in headers if not _scales(header)])
    if huge:
        message = f"{len(huge)} slices are rescaled to no numbers: {listed(huge)}."
        return Check("equal_rescale", "fail", message, numbers, huge)
    if len(pairs) == 1:
        return Check("equal_rescale", "pass", "One rescale for all slices.", numbers)
    # PET is scaled slice by slice; anywhere else it deserves a word.
    return Check(
        "equal_rescale",
        "pass" if headers[0].modality == "PT" else "warn",
        f"{len(pairs)} different rescales, applied slice by slice.",
        numbers,
    )


def _scales(header: Header) -> bool:
    """Whether every stored value is rescaled to a number of float32."""
    slope = 1.0 if header.slope is None else header.slope
    largest = 2.0**header.bits_stored if header.bits_stored < 64 else 0.0
    return abs(slope) * largest + abs(header.intercept or 0.0) < _MOST


def value_checks(headers: Sequence[Header]) -> list[Check]:
    """Checks on what the values mean, where there is a doubt."""
    checks = []
    kinds = Counter(h.photometric for h in headers)
    if len(kinds) > 1:
        usual = kinds.most_common(1)[0][0]
        odd = names([h for h in headers if h.photometric != usual])
        message = (
            f"{len(odd)} slices are {min(set(kinds) - {usual})}, the others {usual}: "
            f"{listed(odd)}."
        )
        checks.append(Check("equal_photometric", "warn", message, {}, odd))
    placed = [h for h in headers if h.high_bit not in (-1, h.bits_stored - 1)]
    if placed:
        # PS3.5 section 8.1.1 allows nothing else; every reader ignores it.
        message = (
            f"{len(placed)} images say that their {placed[0].bits_stored} stored bits "
            f"end at bit {placed[0].high_bit}: their values may be shifted: "
            f"{listed(names(placed))}."
        )
        checks.append(Check("high_bit", "warn", message, {}, names(placed)))
    lossy = [h for h in headers if h.lossy is not None or h.transfer_syntax in _LOSSY]
    if lossy:
        ratio = f" ({lossy[0].lossy} : 1)" if lossy[0].lossy else ""
        message = (
            f"{len(lossy)} of {len(headers)} images were compressed with loss{ratio}: "
            "their values are approximate."
        )
        checks.append(
            Check("lossy_compression", "warn", message, {"images": len(lossy)})
        )
    return checks


def padding_of(headers: Sequence[Header]) -> tuple[float, float] | None:
    """Rescaled padding values, where all slices agree on them."""
    found = {(h.padding, h.slope, h.intercept) for h in headers}
    if len(found) != 1:
        return None
    ((padding, slope, intercept),) = found
    if padding is None:
        return None
    scale = 1.0 if slope is None else slope
    ends = sorted(value * scale + (intercept or 0.0) for value in padding)
    return ends[0], ends[1]


def quantity_of(headers: Sequence[Header]) -> str:
    """What the rescaled values are: ``"HU"`` only where the headers say so."""
    first = headers[0]
    if first.modality == "PT":
        return f"PET {first.units}".strip()
    # Without RescaleIntercept nothing says that stored values are HU; without
    # RescaleType a CT is in HU (DICOM PS3.3 C.8.2.1.1.2).
    hounsfield = first.modality == "CT" and all(
        header.rescale_type in ("", "HU")
        and header.slope is not None
        and header.intercept is not None
        and not header.is_localizer
        for header in headers
    )
    return "HU" if hounsfield else "stored values"
