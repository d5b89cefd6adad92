"""Reads many damaged series in a process that may not take much memory.

One line of JSON per finding on stdout; the last line of stderr says which case
was being read when the process died. Run as
``python fuzz_worker.py BASES KIND FIRST COUNT``.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import struct
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom

ROOM = 1536 << 20
"""Bytes of address space that reading may take beyond what is loaded before."""
EXTREMES = (0, 1, 2, 3, 255, 32767, 32768, 65534, 65535)
LENGTHS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFE, 0xFFFFFFFF)
ELEMENTS = (
    (0x0002, 0x0010),
    (0x0020, 0x0032),
    (0x0028, 0x0008),
    (0x0028, 0x0010),
    (0x0028, 0x0011),
    (0x5200, 0x9230),
    (0x7FE0, 0x0010),
    (0xFFFE, 0xE000),
    (0xFFFE, 0xE0DD),
)
LIES = {
    "Rows": EXTREMES,
    "Columns": EXTREMES,
    "NumberOfFrames": (0, -1, 2, 3, 5, 1000, 65535, 2**31 - 1, 2**40),
    "BitsAllocated": (0, 1, 8, 12, 16, 24, 32, 64, 65535),
    "BitsStored": (0, 1, 7, 8, 12, 15, 17, 33, 65535),
    "HighBit": EXTREMES,
    "PixelRepresentation": (0, 1, 2, 65535),
    "SamplesPerPixel": (0, 1, 3, 4, 65535),
    "PlanarConfiguration": (0, 1, 65535),
    "PhotometricInterpretation": ("", "RGB", "PALETTE COLOR", "MONOCHROME1", "x" * 99),
    "PixelSpacing": (["0", "0"], ["1e308", "1e308"], ["1e-308", "1"], ["-1", "1"]),
    "ImagePositionPatient": (["1e308"] * 3, ["nan"] * 3, ["0"], ["1", "2", "-1e20"]),
    "ImageOrientationPatient": (["0"] * 6, ["1e200"] * 6, ["inf"] * 6, ["1", "0"]),
    "RescaleSlope": ("0", "1e308", "-1", "nan", "1e-300", "4294967296", "1e18"),
    "RescaleIntercept": ("1e308", "inf", "-1e18", "99999999999", "0.5"),
    "SliceThickness": ("0", "-1", "1e308", "nan"),
    "WindowCenter": ("1e400", ""),
    "InstanceNumber": ("99999999999", "1e300", "-1"),
    "SOPClassUID": ("", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.128"),
    "Modality": ("PT", "MR", "SEG", "US", ""),
}
SYNTAXES = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.100",
    "1.2.3",
    "",
)

META = bytes(128) + b"DICM\2\0\x10\0UI\x16\x001.2.840.10008.1.2.1.99"


def flip(data: bytearray, rng: random.Random) -> None:
    """Change single bytes, mostly of the header."""
    for _ in range(rng.randint(1, 6)):
        end = len(data) if rng.random() < 0.3 else min(len(data), 1800)
        data[rng.randrange(end)] = rng.choice((rng.randrange(256), 0, 255, 1))


def cut(data: bytearray, rng: random.Random) -> None:
    """End anywhere."""
    del data[rng.randrange(len(data)) :]


def lengths(data: bytearray, rng: random.Random) -> None:
    """Put an extreme number where a length may stand."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(132, max(133, min(len(data) - 4, 1800)))
        size = rng.choice((2, 4))
        data[at : at + size] = struct.pack("<I", rng.choice(LENGTHS))[:size]


def tags(data: bytearray, rng: random.Random) -> None:
    """Find a known element and give it another length."""
    group, element = rng.choice(ELEMENTS)
    for order in "<>":
        at = data.find(struct.pack(order + "HH", group, element))
        if at >= 0:
            place = at + rng.choice((4, 6, 8))
            new = struct.pack(order + "I", rng.choice(LENGTHS))
            data[place : place + rng.choice((2, 4))] = new[: rng.choice((2, 4))]


def splice(data: bytearray, rng: random.Random) -> None:
    """Leave out, repeat or insert some bytes."""
    at = rng.randrange(len(data))
    piece = data[at : at + rng.choice((1, 2, 8, 60, 500))]
    what = rng.randrange(3)
    if what == 0:
        del data[at : at + len(piece)]
    elif what == 1:
        data[at:at] = piece
    else:
        data[at:at] = rng.randbytes(rng.choice((1, 2, 8, 300)))


BYTES = (flip, cut, lengths, tags, splice)


def lie(path: Path, rng: random.Random) -> None:
    """Let the header claim what is not so."""
    dataset = pydicom.dcmread(path)
    with pydicom.config.disable_value_validation():
        for name in rng.sample(sorted(LIES), rng.choice((1, 1, 2))):
            setattr(dataset, name, rng.choice(LIES[name]))
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    if rng.random() < 0.15:
        relabel(path, rng)


def relabel(path: Path, rng: random.Random) -> None:
    """Name another transfer syntax than the one it is in."""
    data = bytearray(path.read_bytes())
    at = data.find(b"\x02\x00\x10\x00UI")
    if at >= 0:
        old = struct.unpack_from("<H", data, at + 6)[0]
        new = rng.choice(SYNTAXES).encode()
        new += b"\0" * (len(new) % 2)
        data[at + 6 : at + 8 + old] = struct.pack("<H", len(new)) + new
        path.write_bytes(data)


def bomb(path: Path, rng: random.Random) -> None:
    """Put gigabytes of zeros, deflated, in the place of pixels or of the header."""
    dataset = pydicom.dcmread(path)
    count = rng.choice((1 << 26, 1 << 29, (1 << 32) - 2))
    head = path.read_bytes()[: rng.randrange(600, 1500)]
    if rng.random() < 0.7:
        dataset.PixelData = b""
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        for name in ("Rows", "Columns"):
            if rng.random() < 0.5:
                setattr(dataset, name, 65535)
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        data = path.read_bytes()[:-4] + struct.pack("<I", count)
        head = data[data.index(b"\x08\x00\x08\x00CS") :]
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    packed = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    megabyte = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    # Each piece stands for itself after a full flush.
    path.write_bytes(META + packed + megabyte * (count >> 20) + packer.flush())


def damaged(kind: str, path: Path, rng: random.Random) -> str:
    """Damage one file; what was done."""
    if kind == "bytes":
        data = bytearray(path.read_bytes())
        how = rng.choice(BYTES)
        how(data, rng)
        path.write_bytes(data)
        return how.__name__
    how_file: Callable[[Path, random.Random], None] = rng.choice(
        (lie, lie, lie, relabel) if kind == "lies" else (bomb,)
    )
    how_file(path, rng)
    return how_file.__name__


def limit_memory() -> None:
    """Let the system refuse what exceeds `ROOM`."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    used = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))


def look(folder: Path, whole: dict[str, np.ndarray]) -> str:
    """Read one series as far as it goes; what is wrong about it, if anything."""
    from napari_tcia.errors import TciaError
    from napari_tcia.volume import read_volume, survey

    for allow_fail in (False, True):
        try:
            volume = read_volume(folder, allow_fail=allow_fail)
        except TciaError as error:
            if not str(error).strip():
                return "an error without a sentence"
            continue
        if not np.isfinite(volume.affine).all():
            return "an affine that is not finite"
        if len(volume.array) != len(volume.files):
            return "as many files as slices are missing"
        for k, file in enumerate(volume.files):
            wanted = whole.get(file.name) if file is not None else None
            if wanted is not None and not np.array_equal(volume.array[k], wanted):
                return f"other pixels of the undamaged {file.name}"
        names = {file.name for file in volume.files if file is not None}
        named = " ".join(f for c in volume.passport.checks for f in c.files)
        lost = [n for n in whole if n not in names and n not in named]
        if lost:
            return f"the undamaged {lost} are neither shown nor named"
    with contextlib.suppress(TciaError):
        survey(folder)
    return ""


def main() -> None:
    bases, kind = Path(sys.argv[1]), sys.argv[2]
    first, count = int(sys.argv[3]), int(sys.argv[4])
    warnings.simplefilter("ignore")
    cases = sorted(p for p in bases.iterdir() if p.is_dir())
    from napari_tcia.errors import TciaError
    from napari_tcia.volume import read_volume

    right = {}
    for case in cases:
        volume = read_volume(case)  # loads every decoder before the limit
        right[case.name] = {
            file.name: volume.array[k]
            for k, file in enumerate(volume.files)
            if file is not None and len(set(volume.files)) == len(volume.files)
        }
    limit_memory()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "case"
        for seed in range(first, first + count):
            rng = random.Random(seed)
            case = rng.choice(cases)
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(case, folder)
            files = sorted(folder.iterdir())
            victims = files if rng.random() < 0.2 else [rng.choice(files)]
            what = {f.name: damaged(kind, f, random.Random(seed)) for f in victims}
            whole = {n: v for n, v in right[case.name].items() if n not in what}
            sys.stderr.write(f"{seed} {case.name} {what}\n")
            try:
                wrong = look(folder, whole)
            except TciaError as error:
                wrong = f"survey: {error!r}"
            except BaseException as error:
                wrong = f"{type(error).__name__}: {error}"
                if len(sys.argv) > 5:
                    raise
            if wrong:
                found = {"seed": seed, "case": case.name, "how": what, "wrong": wrong}
                sys.stdout.write(json.dumps(found) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
