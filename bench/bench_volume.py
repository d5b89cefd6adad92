"""How fast a series is read, and with how much memory, beside other readers.

Writes a synthetic series to a temporary folder and prints one JSON object. All
readers are loaded in one process and read in turn, the page cache warm, round by
round: ratios are taken within a round, so that a drift of the machine's speed
cancels. Before each reading the bytes are read once without a clock, and as much
memory is filled by each core, so that all find the same: pages that lay idle cost
more than the reading itself, and each core keeps its own list of pages that were
let go. The peak of the memory is taken in a process of each reader's own, above
what it held after its imports.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

READERS = (
    "ours",
    "copy",
    "bare",
    "dicomsdl",
    "simpleitk_sorted",
    "simpleitk",
    "pydicom",
    "highdicom",
    "dcm2niix",
)
SLOW = ("pydicom", "highdicom", "dcm2niix")
"""Readers that take seconds, and so part in fewer rounds."""
TARGETS = {"simpleitk": 0.15, "dicomsdl": 1.0, "bare": 2.0}
"""Greatest time of ours as share of another reader's."""
COPY_TARGET = 0.05
"""Greatest time of a second opening as share of SimpleITK's."""
MEMORY_TARGET_MB = 60.0
"""Most that ours may hold above the array itself."""


def ours(folder: Path) -> Callable[[], Any]:
    """Read, check and rescale, as everything in this project does."""
    from napari_tcia.volume import read_volume

    return lambda: read_volume(folder)


def copy(folder: Path) -> Callable[[], Any]:
    """Open the decoded copy, as a second opening does after it has asked the gate.

    By names, sizes and times; the checksum of the pixels runs behind it.
    """
    from napari_tcia.core.model import Provenance
    from napari_tcia.volume import read_volume
    from napari_tcia.volume.decoded import open_copy, stamps, write_copy

    place = folder.with_name("copy")
    found = stamps(folder)
    if found is None or not write_copy(read_volume(folder), place, folder, found):
        raise SystemExit(f"No decoded copy could be written at {place}.")

    def read() -> Any:
        now = stamps(folder)
        return now and open_copy(place, folder, now, Provenance())

    return read


def bare(folder: Path) -> Callable[[], Any]:
    """Read the same bytes of every file into one array, and nothing else."""
    import numpy as np

    files = sorted(map(str, folder.iterdir()))
    total = sum(os.path.getsize(file) for file in files)  # noqa: PTH202

    def read() -> Any:
        out, at = np.empty(total, np.uint8), 0
        for file in files:
            with open(file, "rb", buffering=0) as stream:  # noqa: PTH123
                at += stream.readinto(out[at:].data)
        return out

    return read


def dicomsdl(folder: Path) -> Callable[[], Any]:
    """Stored values in the order of names: no sorting, no check, no rescale."""
    import dicomsdl
    import numpy as np

    files = sorted(map(str, folder.iterdir()))

    def read() -> Any:
        out = None
        for k, file in enumerate(files):
            dataset = dicomsdl.open(file)
            info = dataset.getPixelDataInfo()
            if out is None:
                shape = (len(files), info["Rows"], info["Cols"])
                out = np.empty(shape, info["dtype"])
            dataset.copyFrameData(0, out[k])
        return out

    return read


def simpleitk_sorted(folder: Path) -> Callable[[], Any]:
    """SimpleITK's ImageSeriesReader, given the names in order."""
    import SimpleITK

    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return lambda: SimpleITK.ReadImage(names)


def simpleitk(folder: Path) -> Callable[[], Any]:
    """SimpleITK's ImageSeriesReader, with its own sorting as it is used mostly."""
    import SimpleITK

    def read() -> Any:
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        return reader.Execute()

    return read


def pydicom(folder: Path) -> Callable[[], Any]:
    """The loop that most scripts have."""
    import numpy as np
    import pydicom

    def read() -> Any:
        slices = [pydicom.dcmread(file) for file in folder.iterdir()]
        slices.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
        return np.stack(
            [
                ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
                for ds in slices
            ]
        )

    return read


def highdicom(folder: Path) -> Callable[[], Any]:
    """The volume of a series as highdicom makes it."""
    import highdicom
    import pydicom

    return lambda: highdicom.get_volume_from_series(
        [pydicom.dcmread(file) for file in folder.iterdir()]
    )


def dcm2niix(folder: Path) -> Callable[[], Any]:
    """dcm2niix, and what it wrote through nibabel."""
    import dcm2niix
    import nibabel
    import numpy as np

    def read() -> Any:
        with tempfile.TemporaryDirectory() as out:
            subprocess.run(
                [dcm2niix.bin, "-b", "n", "-z", "n", "-o", out, folder],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            (written,) = Path(out).glob("*.nii")
            return np.asarray(nibabel.load(written, mmap=False).dataobj)

    return read


def rss_mb(field: str) -> float:
    """Memory of this process: ``VmRSS`` now, ``VmHWM`` at its peak."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux: the peak alone, in bytes on macOS
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def peak_of(name: str, folder: Path) -> float:
    """MB that one reading takes; to be called in a process of its own."""
    read = globals()[name](folder)
    before = rss_mb("VmRSS")
    kept = read()
    peak = rss_mb("VmHWM") - before
    if name == "dcm2niix":
        import resource

        child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        peak = max(peak, child)
    del kept
    return peak


def seconds(work: Callable[[], object]) -> float:
    """Time of one reading; what it returned is let go after the clock stops."""
    start = time.perf_counter()
    kept = work()
    taken = time.perf_counter() - start
    del kept
    return taken


def touch(count: int) -> None:
    """Fill `count` bytes of fresh memory from each core, and let them go."""
    import numpy as np

    memory = np.empty(count, np.uint8)
    cores = os.cpu_count() or 1
    parts = np.array_split(memory, cores)
    with ThreadPoolExecutor(cores) as pool:
        for done in [pool.submit(part.fill, 1) for part in parts]:
            done.result()


def ratio(times: dict[str, list[float]], name: str, one: str = "ours") -> float:
    """Median over the rounds of one / another."""
    return statistics.median(
        a / b for a, b in zip(times[one], times[name], strict=False)
    )


def peaks_of(folder: Path) -> dict[str, float]:
    """Peak of each reader, MB above its imports."""
    command = [sys.executable, __file__, "--folder", str(folder), "--peak"]
    return {
        name: round(float(subprocess.check_output([*command, name])), 1)
        for name in READERS
    }


def measure(folder: Path, rounds: int, slow_rounds: int) -> dict[str, Any]:
    """Times, ratios and peaks of every reader."""
    readers = {name: globals()[name](folder) for name in READERS}
    for read in readers.values():
        read()
    held = sum(file.stat().st_size for file in folder.iterdir())
    times: dict[str, list[float]] = {name: [] for name in READERS}
    for turn in range(rounds):
        for name, read in readers.items():
            if name not in SLOW or turn < slow_rounds:
                readers["bare"]()
                touch(held)
                times[name].append(seconds(read))
    ratios = {name: ratio(times, name) for name in READERS if name != "ours"}
    peaks = peaks_of(folder)
    volume = readers["ours"]()
    array_mb = volume.array.nbytes / (1 << 20)
    above = peaks["ours"] - array_mb
    targets = {
        f"ours / {name}": {
            "at_most": limit,
            "measured": round(ratios[name], 3),
            "met": ratios[name] <= limit,
        }
        for name, limit in TARGETS.items()
    }
    opened = ratio(times, "simpleitk", "copy")
    targets["copy / simpleitk"] = {
        "at_most": COPY_TARGET,
        "measured": round(opened, 4),
        "met": opened <= COPY_TARGET,
    }
    targets["ours, MB above the array"] = {
        "at_most": MEMORY_TARGET_MB,
        "measured": round(above, 1),
        "met": above <= MEMORY_TARGET_MB,
    }
    return {
        "slices": len(list(folder.iterdir())),
        "shape": volume.shape,
        "dtype": str(volume.array.dtype),
        "array_mb": round(array_mb, 1),
        "seconds": {
            name: round(statistics.median(taken), 4) for name, taken in times.items()
        },
        "rounds": {name: len(taken) for name, taken in times.items()},
        "ratios": {f"ours / {name}": round(r, 3) for name, r in ratios.items()},
        "peak_mb": peaks,
        "targets": targets,
        "cpus": os.cpu_count(),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=648)
    parser.add_argument("--matrix", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--slow-rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a small series, once")
    parser.add_argument("--folder", type=Path, help="a series that is there already")
    parser.add_argument("--peak", choices=READERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak_of(options.peak, options.folder))
        return
    if options.quick:
        options.slices, options.matrix = 40, 128
        options.rounds = options.slow_rounds = 1
    rounds = options.rounds, options.slow_rounds
    if options.folder:
        print(json.dumps(measure(options.folder, *rounds), indent=1))
        return
    from napari_tcia.demo.twin import phantom_case

    with tempfile.TemporaryDirectory() as temporary:
        home = phantom_case(
            Path(temporary),
            "MED_LYMPH_001",
            matrix=options.matrix,
            slices=options.slices,
        )
        print(json.dumps(measure(home / "CT", *rounds), indent=1))


if __name__ == "__main__":
    main()
