"""Sample data: a synthetic case, made on the spot; no network."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any


def synthetic_case() -> list[Any]:
    """Layers of a SYNTHETIC lymph-node CT, through the same reading as any folder.

    The matrix is small so that the window waits for about a second only.
    """
    from napari_tcia._napari.layers import layer_data
    from napari_tcia._napari.session import services_of
    from napari_tcia.app.case import open_case
    from napari_tcia.demo.twin import phantom_case

    with tempfile.TemporaryDirectory(prefix="napari-tcia-") as folder:
        case = phantom_case(Path(folder), matrix=192, step=5.0)
        cases = open_case(services_of(), case)
        return [data for one in cases for data in layer_data(one)]
