"""How fast the full-size embedded archive sends a series over HTTP.

Starts the archive in a process of its own, asks for the listing and then for one
whole series: cold (painted while it is sent), again (from its cache), and prints
one JSON object. Nothing is unpacked here; a series counts once its last byte is
read and the zip lists as many instances as the archive announced.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import time
import urllib.request
import zipfile


def fetch(url: str) -> tuple[bytes, float, float]:
    """Body, seconds to its first byte, seconds to its last."""
    start = time.perf_counter()
    with urllib.request.urlopen(url, timeout=600) as reply:
        body = reply.read(1)
        first = time.perf_counter() - start
        parts = [body, *iter(lambda: reply.read(1 << 20), b"")]
    return b"".join(parts), first, time.perf_counter() - start


def rates(base: str, uid: str, count: int) -> dict[str, float]:
    """One download of a series, in slices per second."""
    body, first, whole = fetch(f"{base}/v4/getImage?SeriesInstanceUID={uid}")
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        found = sum(name.endswith(".dcm") for name in archive.namelist())
    if found != count:
        raise SystemExit(f"{found} instances came of {count}.")
    return {
        "seconds to first byte": round(first, 2),
        "seconds": round(whole, 2),
        "slices per second": round(count / whole, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patient", default="MED_LYMPH_001")
    options = parser.parse_args()
    start = time.perf_counter()
    command = [sys.executable, "-m", "napari_tcia", "serve", "--full-size"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            base = json.loads(server.stdout.readline())["archive"]
            up = time.perf_counter() - start
            query = f"Collection=CT%20Lymph%20Nodes&PatientID={options.patient}"
            rows, _, listed = fetch(f"{base}/v4/getSeries?{query}")
            (series,) = (row for row in json.loads(rows) if row["Modality"] == "CT")
            uid, count = series["SeriesInstanceUID"], series["ImageCount"]
            result = {
                "patient": options.patient,
                "slices": count,
                "seconds to the address": round(up, 2),
                "seconds to the first listing": round(listed, 2),
                "cold": rates(base, uid, count),
                "cached": rates(base, uid, count),
            }
        finally:
            server.terminate()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
