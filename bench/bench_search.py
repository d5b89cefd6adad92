"""How fast the search box answers, on this machine, without a network.

Over the whole bundled catalogue and a listing of 20,000 made-up series: from a
keystroke to suggestions, from a keystroke to narrowed rows, from a chosen facet to
rows and counts; the memory that this adds; and the time from starting Python to the
first rows. Where ``NAPARI_TCIA_IDC_PYTHON`` names a Python that has idc-index, or at
least idc-index-data with pandas, the same start is measured there beside it.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from napari_tcia.app import facets, known
from napari_tcia.app.instant import Index
from napari_tcia.app.rows import CaseRow, Results, case_rows
from napari_tcia.app.search import collections
from napari_tcia.app.services import Services
from napari_tcia.core.model import Series
from napari_tcia.core.settings import Settings

TYPED = (
    "MED_LYMPH_021", "med lymph 21", "MED_LYPMH_021", "CT Lymph Nodes",
    "CT Lymf Nodes", "synthetic 19999", "nsclc radiomics", "lymph ct",
    "61.7.0.999.7.123", "10.7937/K9/TCIA.2015.AQIIDCNM", "chest thin",
)  # fmt: skip
OURS = """
import time; start = time.perf_counter()
from napari_tcia.app.search import search
from napari_tcia.app.services import Services
from napari_tcia.core.model import SearchQuery
query = SearchQuery(collection="CT Lymph Nodes")
rows = len(search(Services.open(), query, offline=True))
"""
WHOLE = """
import time; start = time.perf_counter()
import napari_tcia
rows = len(napari_tcia.search("CT Lymph Nodes", offline=True))
"""
CLIENT = """
import time; start = time.perf_counter()
from idc_index import IDCClient
client = IDCClient()
found = client.index[client.index["collection_id"] == "ct_lymph_nodes"]
rows = len(found)
"""
INDEX = """
import time; start = time.perf_counter()
import idc_index_data, pandas
index = pandas.read_parquet(idc_index_data.IDC_INDEX_PARQUET_FILEPATH)
rows = len(index[index["collection_id"] == "ct_lymph_nodes"])
"""
TAIL = """
took = time.perf_counter() - start
import json, resource, sys
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
print(json.dumps({"rows": rows, "seconds": took, "peak MB": peak}))
"""


def made_up(count: int) -> tuple[Series, ...]:
    """Series that look like those of a large collection."""
    return tuple(
        Series(
            series_uid=f"61.7.0.999.7.{n * 7919:012d}.{n}",
            study_uid=f"61.7.0.999.8.{n // 2 * 104729:012d}",
            patient_id=f"SYNTHETIC-{n // 4:05d}",
            collection=f"Synthetic {n % 7}",
            modality=("CT", "MR", "PT", "CR")[n % 4],
            description=("Chest thin", "Abdomen thick", "Head thin")[n % 3],
            body_part=("CHEST", "ABDOMEN", "HEAD")[n % 3],
            images=n % 700 + 1,
            bytes=(n % 700 + 1) * 525_000,
            licence_name=("CC BY 3.0", "CC BY 4.0", "CC BY-NC 3.0")[n % 3],
            manufacturer=("GE", "Siemens")[n % 2],
            has_labels=n % 5 == 0,
            sources=("nbia",),
            slice_thickness=(0.7, 1.5, 3.0, 7.0)[n % 4],
        )
        for n in range(count)
    )


def timed(calls: Iterable[Callable[[], object]]) -> dict[str, float]:
    """Milliseconds of each call: median, 95th percentile, worst."""
    took = []
    for call in calls:
        start = time.perf_counter()
        call()
        took.append(1e3 * (time.perf_counter() - start))
    return {
        "calls": len(took),
        "median ms": round(statistics.median(took), 2),
        "p95 ms": round(statistics.quantiles(took, n=20)[-1], 2),
        "worst ms": round(max(took), 2),
    }


def keystrokes() -> list[str]:
    """Every beginning of every text, as it is typed."""
    return [text[:n] for text in TYPED for n in range(1, len(text) + 1)]


def facet_choices(results: Results) -> list[dict[str, frozenset[str]]]:
    """Each value alone, and each with the first value of another facet."""
    offered = [f for f in facets.facets(results, {}) if f.values]
    alone = [{f.code: frozenset({v.key})} for f in offered for v in f.values]
    first = {f.code: frozenset({f.values[0].key}) for f in offered}
    code = offered[0].code
    return alone + [one | {code: first[code]} for one in alone if code not in one]


def rss() -> float:
    """Resident memory in MB; Linux tells today's, others only the peak."""
    status = Path("/proc/self/statm")
    if status.exists():
        pages = int(status.read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def added(make: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What `make` makes, and the MB that stay with it."""
    gc.collect()
    resident = rss()
    tracemalloc.start()
    made = make()
    gc.collect()
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return made, {
        "traced MB": round(now / 1e6, 1),
        "traced peak MB": round(peak / 1e6, 1),
        "resident MB": round(rss() - resident, 1),
    }


def start_of(python: str, code: str, home: str) -> dict[str, Any] | None:
    """The start of a program in a process of its own, best of three."""
    environment = {**os.environ, "NAPARI_TCIA_HOME": home}
    runs = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [python, "-c", code + TAIL], capture_output=True, text=True, env=environment
        )
        if done.returncode:
            return None
        told = json.loads(done.stdout.splitlines()[-1])
        told["seconds with the interpreter"] = time.perf_counter() - start
        runs.append(told)
    best = min(runs, key=lambda run: run["seconds"])
    return {key: round(value, 3) for key, value in best.items()}


def beside(home: str) -> dict[str, Any]:
    """Our start, and that of idc-index where there is one."""
    found: dict[str, Any] = {
        "napari-tcia, as its command line searches": start_of(
            sys.executable, OURS, home
        ),
        "napari-tcia, with its whole Python interface": start_of(
            sys.executable, WHOLE, home
        ),
    }
    python = os.environ.get("NAPARI_TCIA_IDC_PYTHON")
    if not python:
        words = "skipped: NAPARI_TCIA_IDC_PYTHON names no Python that has idc-index"
        return {**found, "idc-index": words}
    for name, code in (("idc-index", CLIENT), ("idc-index-data with pandas", INDEX)):
        found[name] = start_of(python, code, home) or f"skipped: not in {python}"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        services = Services.open(Settings(home=Path(home)))
        listed = collections(services, offline=True).items
        series = (*known.all_series(services), *made_up(options.series))
        index, index_memory = added(lambda: Index(listed, series))
        rows: tuple[CaseRow, ...] = case_rows(series)
        results = Results(rows=rows)
        _, facet_memory = added(lambda: facets.prepare(rows))
        choices = facet_choices(results)
        typed = keystrokes()
        narrowed = len(facets.narrow(results, {}, "synthetic 199"))
        answer = {
            "collections": len(listed),
            "series": len(series),
            "rows": len(rows),
            "keystroke to suggestions": timed(
                lambda text=text: index.matching(text) for text in typed
            ),
            "keystroke to rows": timed(
                lambda text=text: facets.narrow(results, {}, text) for text in typed
            ),
            "facet to rows and counts": timed(
                lambda chosen=chosen: (
                    facets.narrow(results, chosen),
                    facets.facets(results, chosen),
                )
                for chosen in choices
            ),
            "added by suggestions": index_memory,
            "added by facets": facet_memory,
            "start": beside(home),
        }
    if not narrowed:
        raise SystemExit("The made-up series were not found.")
    print(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
