"""Contact sheets of the phantom, as shown in docs/data.md.

    python scripts/contact_sheet.py [FOLDER]

Writes ``phantom-axial.png``, ``phantom-coronal.png`` and
``phantom-sagittal.png`` (mediastinal window, W/L 350/50) and ``phantom-lung.png``
(W/L 1500/-600) to FOLDER, by default docs/images. All pixels are analytic.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_tcia.demo.cases import lymph_case
from napari_tcia.demo.phantom import make_phantom

MEDIASTINUM, LUNG = (350.0, 50.0), (1500.0, -600.0)
"""Width and level, HU."""
LIMIT = 200_000
"""Bytes of a picture."""
GREYS = 32


def main(folder: Path) -> None:
    """Paint one scan of the whole trunk, and write its sheets."""
    scan = lymph_case("MED_LYMPH_001", full_size=True).scan
    scan = replace(scan, matrix=224, step=2.0, slices=scan.slices // 2)
    array = make_phantom(scan).array
    # Air beside the body is cut off; head up, patient's right on the left.
    array = array[::-1, 18:206, 2:222]
    tall = scan.step / scan.spacing
    size = (array.shape[2], round(array.shape[0] * tall))
    deep = (array.shape[1], size[1])
    axial = np.linspace(18, len(array) - 24, 15).astype(int)
    chest = np.linspace(40, 130, 10).astype(int)
    sheets = {
        "axial": _sheet([_shade(array[k], MEDIASTINUM) for k in axial], 5),
        "lung": _sheet([_shade(array[k], LUNG) for k in chest], 5),
        "coronal": _sheet(
            [
                _stretched(_shade(array[:, j], MEDIASTINUM), size)
                for j in np.linspace(40, 140, 5).astype(int)
            ],
            5,
        ),
        "sagittal": _sheet(
            [
                _stretched(_shade(array[:, :, i], MEDIASTINUM), deep)
                for i in np.linspace(62, 160, 6).astype(int)
            ],
            6,
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, sheet in sheets.items():
        path = folder / f"phantom-{name}.png"
        greys = np.rint(sheet / 255 * (GREYS - 1)).astype(np.uint8)
        picture = Image.fromarray(greys).convert("P")
        picture.putpalette(
            [round(n * 255 / (GREYS - 1)) for n in range(GREYS) for _ in "rgb"]
        )
        picture.save(path, optimize=True, bits=5)
        print(f"{path} {picture.size} {path.stat().st_size} bytes")
        if path.stat().st_size >= LIMIT:
            raise SystemExit(f"{path} is larger than {LIMIT} bytes.")


def _shade(plane: NDArray[np.int16], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Hounsfield units to 0..255."""
    width, level = window
    share = (plane - (level - width / 2)) / width
    return np.asarray(np.clip(share, 0, 1) * 255, dtype=np.uint8)


def _stretched(plane: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Square pixels: a slice is thicker than a pixel is wide."""
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))


def _sheet(planes: list[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    rows = [
        np.hstack(planes[first : first + columns])
        for first in range(0, len(planes), columns)
    ]
    return np.vstack(rows)


if __name__ == "__main__":
    default = Path(__file__).parents[1] / "docs" / "images"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
