"""The spacings that ship against the table that was fitted to the annotations."""

import csv
from pathlib import Path

import numpy as np
import pytest

from napari_tcia.nodes.published import published_spacing

TABLE = (
    Path(__file__).parents[3] / "shared/data/series-geometry/ctln_series_geometry.csv"
)
pytestmark = pytest.mark.skipif(
    not TABLE.exists(), reason="the table of the series is not beside the repository"
)


def test_every_spacing_is_that_of_the_table():
    with TABLE.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 176
    for row in rows:
        step, pixel = float(row["SliceStep_mm"]), float(row["PixelSpacing_mm"])
        np.testing.assert_allclose(
            published_spacing(row["PatientID"]), (step, pixel, pixel), atol=1e-6
        )
