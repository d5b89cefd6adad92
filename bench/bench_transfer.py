"""How fast a series is fetched, verified and kept, beside other downloaders.

A full-size zip is built once and sent by the embedded archive, on loopback and in a
process of its own, to each downloader in turn, without and with a pause before each
answer. Prints one JSON object. Ratios are taken within a round, so that a drift of the
machine's speed cancels. Time, CPU and the peak of memory are those of a fresh process
for each fetch, above what it held after its imports; the pipe is timed with the start
of its two small programs.

ours        every instance judged, MD5 compared, SHA-256 taken, synced to the disk
pipe        ``curl | bsdtar``: CRC-32 of the zip alone, nothing synced
tcia_utils  the archive's own client, in an environment of its own
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CLIENTS = ("ours", "pipe", "tcia_utils")
LATENCIES = (0.0, 0.05)
"""Seconds before each answer."""
TCIA_UTILS = "3.3.5"
UID_TAG = 0x0020000E
THROUGHPUT = {"pipe": 0.9, "tcia_utils": 1.0}
"""Least throughput of ours as share of another's."""
MEMORY_SHARE = 0.2
"""Most that ours may hold as share of tcia_utils."""
MEMORY_MB = 100.0
"""Most that ours may hold above its imports."""


# The archive


def build(folder: Path, slices: int, matrix: int) -> dict[str, Any]:
    """Write the zip as the archive sends it, and what a listing says of it."""
    import pydicom

    from napari_tcia.demo.messages import stream_zip
    from napari_tcia.demo.policy import POLICY
    from napari_tcia.demo.twin import phantom_case

    home = phantom_case(folder / "case", "MED_LYMPH_001", matrix=matrix, slices=slices)
    files = sorted((home / "CT").iterdir())
    random.Random(0).shuffle(files)
    names = {f"1-{n:03d}.dcm": file for n, file in enumerate(files, 1)}
    lines = [f"{name},{_md5(file)}\n" for name, file in names.items()]
    table = "".join(["Filename,MD5Hash\n", *lines]).encode()
    members: list[Any] = [("LICENSE", POLICY.encode)]
    members += [(name, file.read_bytes) for name, file in names.items()]
    members += [("md5hashes.csv", lambda: table)]
    with (folder / "series.zip").open("wb") as out:
        out.writelines(stream_zip(members))
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    facts = {
        "uid": str(header[UID_TAG].value),
        "images": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "zip_bytes": (folder / "series.zip").stat().st_size,
    }
    (folder / "facts.json").write_text(json.dumps(facts))
    shutil.rmtree(folder / "case")
    return facts


def series(
    stack: contextlib.ExitStack, options: argparse.Namespace
) -> tuple[Path, dict[str, Any]]:
    """Folder of the zip, made where it is not kept, and the facts of it."""
    folder = options.folder
    if folder is None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "facts.json"
    if kept.exists():
        return folder, json.loads(kept.read_text())
    return folder, build(folder, options.slices, options.matrix)


def _md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def serve(folder: Path, latency: float, rate: float | None = None) -> None:
    """Be the archive: whatever images are asked for, send the zip.

    Parameters
    ----------
    latency : float
        Seconds before each answer.
    rate : float, optional
        Most bytes per second.
    """
    from napari_tcia.demo.messages import Reply, Request
    from napari_tcia.demo.server import EmbeddedArchive

    def chunks() -> Iterator[bytes]:
        with (folder / "series.zip").open("rb") as stream:
            while piece := stream.read(1 << 18):
                yield piece

    class Prebuilt(EmbeddedArchive):
        def answer(self, request: Request) -> Reply:
            if not request.wants_pixels:
                return super().answer(request)
            time.sleep(self.latency)
            return Reply(chunks(), "application/octet-stream")

    with Prebuilt(cases=1, latency=latency, rate=rate) as archive:
        print(json.dumps(archive.bases), flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def archive_of(
    folder: Path, latency: float, rate: float | None = None
) -> Iterator[dict[str, str]]:
    """Bases of the archive, which runs meanwhile."""
    command = [sys.executable, __file__, "--serve", str(latency)]
    command += ["--rate", str(rate)] if rate else []
    with subprocess.Popen(
        [*command, "--folder", str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()


# The downloaders, each in a process of its own


MEASURE = """
import json, os, resource, time
from pathlib import Path

def rss_mb(field):
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux: the peak alone, in bytes on macOS
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024

def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

def measured(work):
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    except OSError:
        pass
    idle, before, start = rss_mb("VmRSS"), cpu(), time.perf_counter()
    work()
    taken = time.perf_counter() - start
    print(json.dumps({"seconds": taken, "cpu": cpu() - before,
                      "peak_mb": rss_mb("VmHWM") - idle, "idle_mb": idle}))
"""
OURS = """
import sys
from napari_tcia.archive.http import Transport
from napari_tcia.archive.nbia import Nbia
from napari_tcia.core.model import AccessGrant, Series
from napari_tcia.core.settings import Settings
from napari_tcia.transfer.download import fetch_series
from napari_tcia.transfer.store import Store
import pydicom

out, bases, facts = json.loads(sys.argv[1])
bases.pop("doi", None)
settings = Settings(Path(out), **bases)
one = Series(facts["uid"], images=facts["images"], bytes=facts["bytes"])
grant = AccessGrant(settings.archive_host, frozenset([facts["uid"]]), frozenset(), ())
nbia = Nbia(Transport(settings), settings)
measured(lambda: fetch_series(one, nbia, grant, Store(Path(out))))
"""
THEIRS = """
import logging, sys
from tcia_utils import nbia

out, bases, facts = json.loads(sys.argv[1])
inside = nbia.setApiUrl
nbia.setApiUrl = lambda endpoint, api_url="nbia": inside(endpoint, api_url).replace(
    "https://nbia.cancerimagingarchive.net/nbia-api/services", bases["archive"]
)
logging.disable(logging.INFO)
measured(lambda: nbia.downloadSeries([facts["uid"]], input_type="list", path=out))
"""


def by_python(python: Path | str, script: str, given: list[Any]) -> dict[str, float]:
    """Run one fetch by a script, and read what it measured."""
    done = subprocess.run(
        [python, "-c", MEASURE + script, json.dumps(given)],
        check=True, stdout=subprocess.PIPE, text=True, cwd=given[0],
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def by_pipe(out: str, bases: dict[str, str], facts: dict[str, Any]) -> dict[str, float]:
    """Run the pipe; CPU is that of both programs."""
    url = f"{bases['archive']}/v4/getImage?SeriesInstanceUID={facts['uid']}"
    start = time.perf_counter()
    curl = subprocess.Popen(["curl", "-sSf", url], stdout=subprocess.PIPE)
    tar = subprocess.Popen(["bsdtar", "-xf", "-", "-C", out], stdin=curl.stdout)
    assert curl.stdout is not None
    curl.stdout.close()
    used, failed = [], 0
    for process in (curl, tar):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        failed |= process.returncode
        used.append(usage)
    taken = time.perf_counter() - start
    if failed:
        raise SystemExit("The pipe failed.")
    return {
        "seconds": taken,
        "cpu": sum(one.ru_utime + one.ru_stime for one in used),
    }


def environment_of(folder: Path) -> Path | str:
    """An interpreter that has tcia_utils and nothing of ours, or why there is none."""
    home = folder / "tcia_utils"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    options = ["--quiet", "--retries=1", "--timeout=20", "--disable-pip-version-check"]
    done = subprocess.run(
        [python, "-m", "pip", "install", *options, f"tcia-utils=={TCIA_UTILS}"],
        capture_output=True, text=True,
    )  # fmt: skip
    return python if done.returncode == 0 else "cannot be installed"


def fetch(
    client: str,
    python: Path | str,
    place: Path,
    bases: dict[str, str],
    facts: dict[str, Any],
) -> dict[str, float]:
    """One fetch into a new folder, which is counted and removed."""
    out = Path(tempfile.mkdtemp(dir=place))
    os.sync()  # what others wrote is no matter of this one
    given = [str(out), bases, facts]
    if client == "ours":
        found = by_python(sys.executable, OURS, given)
    elif client == "pipe":
        found = by_pipe(str(out), bases, facts)
    else:
        found = by_python(python, THEIRS, given)
    files = list(out.rglob("*.dcm"))
    total = sum(file.stat().st_size for file in files)
    if (len(files), total) != (facts["images"], facts["bytes"]):
        raise SystemExit(f"{client} brought {len(files)} files of {total} bytes.")
    shutil.rmtree(out)
    return found


# The report


def measure(folder: Path, facts: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Every downloader in every round, and what is to be shown of it."""
    missing: dict[str, str] = {}
    if not (shutil.which("curl") and shutil.which("bsdtar")):
        missing["pipe"] = "not installed"
    python = environment_of(folder)
    if isinstance(python, str):
        missing["tcia_utils"] = python
    here = [client for client in CLIENTS if client not in missing]
    gigabytes = facts["bytes"] / 1e9
    report: dict[str, Any] = {**facts, "rounds": rounds, "missing": missing}
    targets: dict[str, Any] = {}
    for latency in LATENCIES:
        runs: dict[str, list[dict[str, float]]] = {client: [] for client in here}
        with archive_of(folder, latency) as bases:
            for client in here:  # unclocked: imports compiled, the zip in memory
                fetch(client, python, folder, bases, facts)
            for turn in range(rounds):
                for client in here if turn % 2 else reversed(here):
                    runs[client].append(fetch(client, python, folder, bases, facts))
        name = f"{latency * 1000:.0f} ms"
        report[name] = {
            client: {
                "mb_per_s": round(facts["bytes"] / 1e6 / middle(found, "seconds")),
                "cpu_s_per_gb": round(middle(found, "cpu") / gigabytes, 2),
                **(
                    {"peak_mb": round(middle(found, "peak_mb"), 1)}
                    if client != "pipe"
                    else {}
                ),
            }
            for client, found in runs.items()
        }
        for other in here[1:]:
            speed = within_rounds(runs[other], runs["ours"], "seconds")
            least = THROUGHPUT[other]
            targets[f"{name}: throughput ours / {other}"] = {
                "at_least": least, "measured": round(speed, 3), "met": speed >= least,
            }  # fmt: skip
        if "tcia_utils" in here:
            share = within_rounds(runs["ours"], runs["tcia_utils"], "peak_mb")
            targets[f"{name}: memory ours / tcia_utils"] = {
                "at_most": MEMORY_SHARE, "measured": round(share, 3),
                "met": share <= MEMORY_SHARE,
            }  # fmt: skip
        peak = max(found["peak_mb"] for found in runs["ours"])
        targets[f"{name}: ours, MB above idle"] = {
            "at_most": MEMORY_MB, "measured": round(peak, 1), "met": peak <= MEMORY_MB,
        }  # fmt: skip
    return {**report, "targets": targets, "cpus": os.cpu_count()}


def middle(found: list[dict[str, float]], key: str) -> float:
    return statistics.median(one[key] for one in found)


def within_rounds(
    one: list[dict[str, float]], other: list[dict[str, float]], key: str
) -> float:
    """Median over the rounds of one / other."""
    pairs = zip(one, other, strict=True)
    return statistics.median(a[key] / b[key] for a, b in pairs)


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=776)
    parser.add_argument("--matrix", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a small series, once")
    parser.add_argument("--folder", type=Path, help="where the zip is kept, or made")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.folder, options.serve, options.rate)
        return
    if options.quick:
        options.slices, options.matrix, options.rounds = 40, 128, 1
    with contextlib.ExitStack() as stack:
        folder, facts = series(stack, options)
        print(json.dumps(measure(folder, facts, options.rounds), indent=1))


if __name__ == "__main__":
    main()
