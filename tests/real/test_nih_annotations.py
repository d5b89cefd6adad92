"""The published node positions of all 176 patients."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest

from annotation_factory import volume_of
from napari_tcia.core.geometry import make_affine
from napari_tcia.nodes import known_issues, read_candidates, read_points
from napari_tcia.nodes.known_issues import companion
from napari_tcia.nodes.point_files import parse_points_folder
from napari_tcia.nodes.points import compare

SHARED = Path(__file__).parents[3] / "shared/data"
ZIP = SHARED / "nih-annotations/MED_ABD_LYMPH_ANNOTATIONS.zip"
CANDIDATES = SHARED / "nih-annotations/MED_ABD_LYMPH_CANDIDATES.zip"
TABLE = SHARED / "series-geometry/ctln_series_geometry.csv"
pytestmark = pytest.mark.skipif(
    not (ZIP.exists() and TABLE.exists()),
    reason="the published annotation files are not beside the repository",
)


def cases():
    with TABLE.open() as stream:
        for row in csv.DictReader(stream):
            spacing = float(row["PixelSpacing_mm"])
            affine = make_affine(
                [float(row[f"Origin_{axis}_mm"]) for axis in "xyz"],
                (1, 0, 0, 0, 1, 0),
                (float(row["SliceStep_mm"]), spacing, spacing),
            )
            grid = np.broadcast_to(np.int16(0), (int(row["NumSlices"]), 512, 512))
            yield row, volume_of(grid, affine, row["PatientID"])


def verdicts(points):
    return {check.code: check.verdict for check in points.checks}


def test_every_patient_parses_and_agrees_with_the_grid():
    rows = {"MED": 0, "ABD": 0}
    odd_sizes, missing = [], []
    for row, volume in cases():
        points = read_points(ZIP, volume)
        found = {check.code: check for check in points.checks}
        assert found["row_counts"].verdict == "pass"
        assert found["mps_equals_points"].verdict == "pass"
        assert found["points_inside"].verdict == "pass"
        assert found["indices_equal_points"].verdict == "pass"
        assert found["indices_equal_points"].numbers["residual_mm"] <= 0.01
        off_lattice = np.abs(points.indices - np.rint(points.indices)).max()
        assert off_lattice < 0.01
        rows[row["PatientID"][:3]] += len(points.ids)
        second = found.get("sizes_second_column")
        if second and second.verdict == "warn":
            odd_sizes.append((row["PatientID"], second.numbers["rows"]))
        if found["sizes_present"].verdict == "warn":
            missing.append(row["PatientID"])
    assert rows == {"MED": 388, "ABD": 595}
    assert odd_sizes == [("ABD_LYMPH_003", [5]), ("ABD_LYMPH_071", [6])]
    assert missing == ["MED_LYMPH_010"]


def test_companions_are_those_with_equal_geometry():
    with TABLE.open() as stream:
        for row in csv.DictReader(stream):
            assert (companion(row["PatientID"]) or "") == row["SameScanAs"]
            assert known_issues(row["PatientID"])


def test_unpacked_folders_equal_the_zip():
    folder = ZIP.with_suffix("")
    for case in sorted(folder.iterdir()):
        one = parse_points_folder(case)
        same = parse_points_folder(ZIP, case.name)
        np.testing.assert_array_equal(one.points, same.points)
        np.testing.assert_array_equal(one.points, one.mps)
        np.testing.assert_array_equal(
            parse_points_folder(folder, case.name).points, one.points
        )


def test_another_convention_is_diagnosed():
    """Rows of a real case, written 1-based, or mirrored, fail and say so."""
    for row, volume in cases():
        if row["PatientID"] != "MED_LYMPH_001":
            continue
        files = parse_points_folder(ZIP, "MED_LYMPH_001")
        good = compare(volume.affine, volume.shape, files.indices, files.points)
        assert good.verdict == "pass"
        based = compare(volume.affine, volume.shape, files.indices + 1, files.points)
        assert based.verdict == "fail"
        assert based.numbers["alternatives"][0] == "indices counted from 1"
        ras = compare(
            volume.affine, volume.shape, files.indices, files.points * [-1, -1, 1]
        )
        assert "RAS" in ras.message


def conventions():
    """Signs of x, y, z; base of the indices; k from foot or head; i and j swapped."""
    return itertools.product(
        itertools.product((1, -1), repeat=3), (0, 1), (False, True), (False, True)
    )


def test_one_of_64_conventions_fits_each_patient():
    """How well 0.01 mm tells conventions apart: a matter of power, not of truth.

    The table of geometry was fitted from these same files, so that the published
    convention fits is no independent proof of the origin; that 63 others do not is
    what says that a wrong one would be noticed. Computed here by itself, and beside
    it what `compare` finds when a file is written in each of the others.
    """
    several = {}
    told = 0
    for row, volume in cases():
        patient = row["PatientID"]
        files = parse_points_folder(ZIP, patient)
        origin = np.array([float(row[f"Origin_{axis}_mm"]) for axis in "xyz"])
        pixel, step = float(row["PixelSpacing_mm"]), float(row["SliceStep_mm"])
        slices = int(row["NumSlices"])
        fits = []
        for signs, base, head, swapped in conventions():
            i, j, k = (files.indices - base).T
            if swapped:
                i, j = j, i
            if head:
                k = slices - 1 - k
            lattice = origin + np.stack([i * pixel, j * pixel, k * step], axis=1)
            if np.abs(lattice - files.points * signs).max() <= 0.01:
                fits.append((signs, base, head, swapped))
        assert ((1, 1, 1), 0, False, False) in fits
        if len(fits) > 1:
            several[patient] = fits[1:]
        other = compare(volume.affine, volume.shape, files.indices + 1, files.points)
        assert other.verdict == "fail"
        told += other.numbers["alternatives"][0] == "indices counted from 1"
    swap = [((1, 1, 1), 0, False, True)]
    assert several == {"ABD_LYMPH_021": swap, "MED_LYMPH_062": swap}
    assert told == 176


def test_candidates_of_every_patient():
    counts = {"positive": 0, "negative": 0}
    empty = []
    for row, volume in cases():
        sets = read_candidates(CANDIDATES, volume)
        assert len(sets) == 2
        for one, word in zip(sets, ("positive", "negative"), strict=True):
            counts[word] += len(one.ids)
            (check,) = one.checks
            assert check.verdict != "fail"
        if not any(len(one.ids) for one in sets):
            empty.append(row["PatientID"])
    assert counts == {"positive": 1005 + 573, "negative": 3484 + 3208}
    assert empty == [f"MED_LYMPH_{n:03d}" for n in (4, 21, 37, 43, 73, 84, 90)]
