"""Annotations of lymph nodes: read, checked, measured, listed."""

from napari_tcia.nodes.candidates import read_candidates
from napari_tcia.nodes.known_issues import (
    annotation_issues,
    companion,
    known_issues,
    separated_companions,
)
from napari_tcia.nodes.labels import read_labels
from napari_tcia.nodes.match import COLUMNS, node_rows, node_table
from napari_tcia.nodes.measure import measure, size_class
from napari_tcia.nodes.point_files import parse_points_folder
from napari_tcia.nodes.points import read_points
from napari_tcia.nodes.verify import verify

__all__ = [
    "COLUMNS",
    "annotation_issues",
    "companion",
    "known_issues",
    "measure",
    "node_rows",
    "node_table",
    "parse_points_folder",
    "read_candidates",
    "read_labels",
    "read_points",
    "separated_companions",
    "size_class",
    "verify",
]
