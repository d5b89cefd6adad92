"""Small good series of every encoding, to be damaged."""

from __future__ import annotations

from pathlib import Path

from dicom_factory import Stack, noise, recode, save

SHAPE = (4, 32, 36)
EXPLICIT = "1.2.840.10008.1.2.1"
SYNTAXES = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": EXPLICIT,
    "big": "1.2.840.10008.1.2.2",
    "deflated": "1.2.840.10008.1.2.1.99",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg": "1.2.840.10008.1.2.4.57",
    "jpeg1": "1.2.840.10008.1.2.4.70",
    "jpegls": "1.2.840.10008.1.2.4.80",
    "j2k": "1.2.840.10008.1.2.4.90",
}


def write_bases(folder: Path) -> None:
    """One folder per encoding, and enhanced ones of some."""
    stack = Stack(noise(SHAPE), intercept=-24.0)
    for name, syntax in SYNTAXES.items():
        start = syntax if name in ("implicit", "explicit", "big") else EXPLICIT
        stack.syntax = start
        for file in stack.write(folder / name):
            if start != syntax:
                recode(file, syntax)
    stack.syntax = EXPLICIT
    for name in ("explicit", "deflated", "rle", "j2k"):
        path = folder / f"enhanced-{name}" / "a.dcm"
        path.parent.mkdir()
        save(stack.enhanced(), path)
        if name != "explicit":
            recode(path, SYNTAXES[name])
