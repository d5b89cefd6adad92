"""How fast a series is read, as ratios to a bare read and to SimpleITK.

`copy` is the opening of its decoded copy, by names, sizes and times, without the
question to the gate, which is a few milliseconds more; `sum` is the checksum that
runs behind it.

Writes a synthetic series to a temporary folder, reads it in turn with each
reader, several rounds, and prints one JSON object. Ratios are taken round by
round, so that a drift of the machine's speed cancels.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import SimpleITK as sitk

from napari_tcia.core.model import Provenance
from napari_tcia.demo.twin import phantom_case
from napari_tcia.volume.decoded import (
    DecodedCopy,
    check_copy,
    open_copy,
    stamps,
    write_copy,
)
from napari_tcia.volume.read import read_volume


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def simpleitk(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def opened(copy: Path, series: Path) -> DecodedCopy:
    sources = stamps(series)
    assert sources is not None
    found = open_copy(copy, series, sources, Provenance())
    assert found is not None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = phantom_case(
            Path(temporary), "MED_LYMPH_001", matrix=512, slices=options.slices
        )
        files = sorted((folder / "CT").glob("*.dcm"))
        copy, sources = Path(temporary) / "copy", stamps(folder / "CT")
        assert sources is not None
        assert write_copy(read_volume(folder / "CT"), copy, folder / "CT", sources)
        readers: dict[str, Callable[[], object]] = {
            "ours": lambda: read_volume(folder / "CT"),
            "bare": lambda: [f.read_bytes() for f in files],
            "simpleitk": lambda: simpleitk(folder / "CT"),
            "copy": lambda: opened(copy, folder / "CT"),
            "sum": lambda: check_copy(opened(copy, folder / "CT")),
        }
        for read in readers.values():
            read()
        times = {name: [] for name in readers}
        for _ in range(options.rounds):
            for name, read in readers.items():
                times[name].append(seconds(read))
    ratios = {
        f"{one} / {other}": statistics.median(
            a / b for a, b in zip(times[one], times[other], strict=True)
        )
        for one, other in (
            ("ours", "bare"),
            ("ours", "simpleitk"),
            ("copy", "simpleitk"),
        )
    }
    print(
        json.dumps({"slices": len(files), "seconds": times, "ratios": ratios}, indent=1)
    )


if __name__ == "__main__":
    main()
