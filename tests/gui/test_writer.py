"""What is saved from a layer holds the nodes and their credit."""

from __future__ import annotations

import pandas as pd
import pytest
from napari.components import ViewerModel

from napari_tcia._napari import writer
from napari_tcia._napari.layers import add_case, node_rows
from napari_tcia.errors import NothingFound


def test_nodes_go_through_layer_metadata_unchanged(case):
    viewer = ViewerModel()
    (image, *_), _ = add_case(viewer, case)
    assert node_rows(image.metadata["napari_tcia"]) == case.nodes


def test_a_case_is_saved_as_csv_with_its_credit(case, tmp_path):
    viewer = ViewerModel()
    (image, *_), _ = add_case(viewer, case)
    path = tmp_path / "nodes.csv"
    assert image.save(str(path), plugin="napari-tcia") == [str(path)]
    assert "not patient data" in path.read_text(encoding="utf-8")
    rows = pd.read_csv(path, comment="#")
    assert list(rows["id"]) == [row.id for row in case.nodes]


def test_an_image_without_nodes_says_so(tmp_path):
    with pytest.raises(NothingFound, match="no lymph nodes"):
        writer.write_nodes(str(tmp_path / "x.csv"), None, {"name": "camera"})
