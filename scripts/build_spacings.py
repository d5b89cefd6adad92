"""Make ``src/napari_tcia/nodes/spacings.json``: spacings of CT Lymph Nodes.

Run with the path of a table of its series (CSV with the columns PatientID,
PixelSpacing_mm and SliceStep_mm). Its pixel spacings are whole millimetres of field
of view over 512 columns, which is what is kept.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "src/napari_tcia/nodes/spacings.json"
COLUMNS = 512


def main(table: str) -> None:
    with Path(table).open(newline="", encoding="utf-8") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: row["PatientID"])
    views, steps = {}, {}
    for row in rows:
        spacing = float(row["PixelSpacing_mm"])
        view = round(spacing * COLUMNS)
        if abs(view / COLUMNS - spacing) > 1e-6:
            raise SystemExit(f"{row['PatientID']}: {spacing} mm is no whole view.")
        views[row["PatientID"]] = view
        if (step := float(row["SliceStep_mm"])) != 1.0:
            steps[row["PatientID"]] = step
    value = {
        "columns": COLUMNS,
        "view_mm": {
            kind: [v for name, v in views.items() if name.startswith(kind)]
            for kind in ("ABD", "MED")
        },
        "step_mm": {"usual": 1.0, "others": steps},
    }
    TARGET.write_text(json.dumps(value, separators=(",", ":")) + "\n")
    print(f"{len(views)} series, {len(steps)} of another step than 1 mm")


if __name__ == "__main__":
    main(sys.argv[1])
