"""Published points: every spelling seen in the wild, every doubt told."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from annotation_factory import volume_of, write_points
from napari_tcia.errors import BrokenGeometry, NothingFound, UnreadableAnnotation
from napari_tcia.nodes import (
    annotation_issues,
    known_issues,
    node_rows,
    read_candidates,
    read_points,
    separated_companions,
)
from napari_tcia.nodes.candidates import node_row

SHAPE = (40, 60, 50)
NODES = np.array([[12, 30, 7], [44, 8, 31], [20, 21, 22]])  # i, j, k
SIZES = [[17.5], [12.25], [9]]


@pytest.fixture
def volume():
    return volume_of(np.zeros(SHAPE, dtype=np.int16))


@pytest.fixture
def folder(tmp_path, volume):
    return write_points(tmp_path / "A" / "MED_LYMPH_001", volume.affine, NODES, SIZES)


def edit(folder: Path, suffix: str, change):
    path = folder / f"MED_LYMPH_001_lymphnodes_{suffix}"
    path.write_bytes(change(path.read_bytes()))
    return path


def verdicts(points):
    return {check.code: check.verdict for check in points.checks}


def expect_nodes(points):
    np.testing.assert_allclose(points.indices, NODES[:, ::-1], atol=1e-3)
    assert points.ids == (1, 2, 3)


def test_the_four_files(volume, folder):
    points = read_points(folder, volume)
    expect_nodes(points)
    np.testing.assert_array_equal(points.sizes_mm, [17.5, 12.25, 9])
    np.testing.assert_allclose(points.points[0], [-100 + 12 * 0.8, -80 + 30 * 0.8, -43])
    assert set(verdicts(points).values()) == {"pass"}


@pytest.mark.parametrize(
    "which", ["indices.txt", "physicalPoints.txt", "physicalPoints.mps"]
)
def test_any_of_the_files_finds_its_siblings(volume, folder, which):
    points = read_points(folder / f"MED_LYMPH_001_lymphnodes_{which}", volume)
    expect_nodes(points)
    assert points.sizes_mm[0] == 17.5


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b" ", b"\t"),
        lambda data: data.replace(b"\n", b" \n\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.rstrip(b"\n"),
        lambda data: data.replace(b"-90.4", b"-9.04e+001"),
    ],
)
def test_spellings(volume, folder, change):
    edit(folder, "physicalPoints.txt", change)
    points = read_points(folder, volume)
    expect_nodes(points)
    assert set(verdicts(points).values()) == {"pass"}


def test_lower_case_names(volume, folder):
    for file in list(folder.iterdir()):
        file.rename(file.with_name(file.name.replace("physicalP", "physicalp")))
    expect_nodes(read_points(folder, volume))


def test_a_zip_member_that_would_leave_its_folder_is_no_annotation(tmp_path, volume):
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        for place in ("..", "a/../.."):
            name = f"{place}/MED_LYMPH_001_lymphnodes_indices.txt"
            archive.writestr(name, "1 1 1\n")
    with pytest.raises(NothingFound):
        read_points(tmp_path / "odd.zip", volume)


@pytest.mark.parametrize(
    "top", ["", "MED_ABD_LYMPH_ANNOTATIONS/", "x/MED_ABD_LYMPH_A/"]
)
def test_zip_and_parent_folder(tmp_path, volume, folder, top):
    other = volume_of(np.zeros(SHAPE), patient="MED_LYMPH_002")
    write_points(
        folder.parent / "MED_LYMPH_002",
        other.affine,
        NODES[:1],
        SIZES[:1],
        "MED_LYMPH_002",
    )
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in sorted(folder.parent.rglob("*.*")):
            archive.write(file, f"{top}{file.parent.name}/{file.name}")
            archive.writestr(f"__MACOSX/{top}{file.parent.name}/._{file.name}", b"junk")
    for path in (tmp_path / "all.zip", folder.parent, tmp_path):
        expect_nodes(read_points(path, volume))
        assert len(read_points(path, other).ids) == 1
    with pytest.raises(NothingFound, match="MED_LYMPH_090"):
        read_points(
            tmp_path / "all.zip", volume_of(np.zeros(SHAPE), patient="MED_LYMPH_090")
        )


def test_mps_alone(tmp_path, volume, folder):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(folder / "MED_LYMPH_001_lymphnodes_physicalPoints.mps", alone / "a.mps")
    points = read_points(alone / "a.mps", volume)
    expect_nodes(points)
    assert np.isnan(points.sizes_mm).all()
    assert verdicts(points)["indices_equal_points"] == "warn"
    edit(folder, "physicalPoints.mps", lambda data: data[:-60])
    points = read_points(folder, volume)
    assert verdicts(points)["mps_readable"] == "warn"
    (alone / "a.mps").write_bytes(b"<point_set_file><point>")
    with pytest.raises(UnreadableAnnotation):
        read_points(alone / "a.mps", volume)


def test_text_and_mps_disagree(volume, folder):
    edit(folder, "physicalPoints.mps", lambda data: data.replace(b"-90.4", b"90.4"))
    assert verdicts(read_points(folder, volume))["mps_equals_points"] == "fail"


def test_indices_alone(volume, folder):
    for kind in ("physicalPoints.txt", "physicalPoints.mps"):
        (folder / f"MED_LYMPH_001_lymphnodes_{kind}").unlink()
    points = read_points(folder, volume)
    expect_nodes(points)
    assert verdicts(points)["indices_equal_points"] == "warn"


def rewrite(change):
    def apply(data):
        rows = np.array(
            [[float(w) for w in line.split()] for line in data.splitlines()]
        )
        return "".join(
            " ".join(f"{v:g}" for v in row) + "\n" for row in change(rows)
        ).encode()

    return apply


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (
            "physicalPoints.txt",
            lambda r: r * [-1, -1, 1],
            "the points had x, y negated (RAS)",
        ),
        ("physicalPoints.txt", lambda r: r * [1, -1, 1], "the points had y negated"),
        ("indices.txt", lambda r: r + 1, "indices counted from 1"),
        (
            "indices.txt",
            lambda r: r * [1, 1, -1] + [0, 0, 39],
            "k counted from the head",
        ),
        ("indices.txt", lambda r: r[:, [1, 0, 2]], "i and j were exchanged"),
        (
            "indices.txt",
            lambda r: r[:, [1, 0, 2]] + 1,
            "indices counted from 1 and i and j were exchanged",
        ),
    ],
)
def test_other_conventions_are_told_and_not_applied(
    volume, folder, file, change, words
):
    before = read_points(folder, volume).points
    edit(folder, file, rewrite(change))
    if file.startswith("physical"):
        (folder / "MED_LYMPH_001_lymphnodes_physicalPoints.mps").unlink()
    points = read_points(folder, volume)
    check = next(c for c in points.checks if c.code == "indices_equal_points")
    assert check.verdict == "fail"
    assert check.numbers["alternatives"][0] == words
    assert words in check.message
    if file == "indices.txt":
        np.testing.assert_array_equal(points.points, before)
    else:
        assert (points.points != before).any()


def test_points_of_another_scan(volume, folder):
    edit(
        folder,
        "indices.txt",
        rewrite(lambda r: np.add(r, ((1, 5, 2), (0, 3, 1), (4, 4, 4)))),
    )
    points = read_points(folder, volume)
    check = next(c for c in points.checks if c.code == "indices_equal_points")
    assert (check.verdict, check.numbers["alternatives"]) == ("fail", [])


def test_points_outside(volume, folder):
    small = volume_of(np.zeros((20, 60, 50)), volume.affine)
    check = next(
        c for c in read_points(folder, small).checks if c.code == "points_inside"
    )
    assert (check.verdict, check.numbers["rows"]) == ("fail", [2, 3])


def test_a_point_outside_is_not_moved_to_a_slice(volume, folder):
    small = volume_of(np.zeros((20, 60, 50)), volume.affine)
    points = read_points(folder, small)
    rows = node_rows(small, (), points)
    assert [row.k for row in rows] == np.rint(points.indices[:, 0]).tolist()
    assert max(row.k for row in rows) >= 20


def test_decimal_commas_are_refused(volume, folder):
    edit(folder, "sizes.txt", lambda _: b"8,73\n10,2\n9,5\n")
    with pytest.raises(UnreadableAnnotation, match="8,73"):
        read_points(folder, volume)


def test_sizes(volume, folder):
    edit(folder, "sizes.txt", lambda _: b"17.5\n0\n9\n")
    points = read_points(folder, volume)
    assert np.isnan(points.sizes_mm[1])
    assert verdicts(points)["sizes_present"] == "warn"
    edit(folder, "sizes.txt", lambda _: b"8.00 10.00\n4.00 5.00\n11.06 9.6\n")
    points = read_points(folder, volume)
    check = next(c for c in points.checks if c.code == "sizes_second_column")
    assert (check.verdict, check.numbers["rows"]) == ("warn", [3])
    np.testing.assert_array_equal(points.sizes_mm, [8, 4, 11.06])
    edit(folder, "sizes.txt", lambda _: b"8\n")
    points = read_points(folder, volume)
    assert verdicts(points)["row_counts"] == "fail"
    assert np.isnan(points.sizes_mm).all()


def test_damaged_text(volume, folder):
    path = edit(folder, "physicalPoints.txt", lambda data: data + b"1 2\n")
    with pytest.raises(UnreadableAnnotation, match="line 4"):
        read_points(folder, volume)
    path.write_bytes(b"1 2 x\n")
    with pytest.raises(UnreadableAnnotation, match="line 1"):
        read_points(folder, volume)


def test_of_another_patient_or_absent(tmp_path, volume, folder):
    other = volume_of(np.zeros(SHAPE), patient="ABD_LYMPH_001")
    assert verdicts(read_points(folder, other))["same_patient"] == "warn"
    with pytest.raises(NothingFound):
        read_points(tmp_path / "absent", volume)
    with pytest.raises(BrokenGeometry):
        read_points(folder, volume_of(np.zeros(SHAPE), verdict="fail"))


def test_candidates(tmp_path, volume):
    folder = tmp_path / "MED_LYMPH_001"
    folder.mkdir()
    stem = folder / "MED_LYMPH_001"
    Path(f"{stem}_posCADe_physicalPoints.txt").write_bytes(b"-90.4 -56 -43\r\n")
    Path(f"{stem}_posCADe_grtIDs.txt").write_bytes(b"102\n")
    Path(f"{stem}_negCADe_physicalPoints.txt").write_bytes(b"")
    Path(f"{stem}_negCADe_grtIDs.txt").write_bytes(b"")
    Path(f"{stem}_negCADe_physicalPoints.mps").write_bytes(b"")
    positive, negative = read_candidates(tmp_path, volume)
    np.testing.assert_allclose(positive.indices, [[7, 30, 12]])
    assert positive.checks[0].numbers["rows"] == [2]
    assert len(negative.ids) == 0
    assert negative.checks[0].verdict == "warn"
    Path(f"{stem}_posCADe_grtIDs.txt").write_bytes(b"202\n")
    positive, _ = read_candidates(tmp_path, volume)
    assert positive.checks[0].verdict == "fail"
    assert node_row(10102, "ABD_LYMPH_001") == 2
    assert node_row(102, "ABD_LYMPH_001") is None


def test_known_issues():
    codes = {issue.code: issue for issue in known_issues("ABD_LYMPH_001")}
    assert codes["companion_scan"].numbers["companion"] == "MED_LYMPH_002"
    assert "reference_not_exhaustive" in codes
    assert {i.code for i in known_issues("MED_LYMPH_021")} >= {
        "thick_spacing",
        "no_candidates",
    }
    assert {"one_diameter", "candidates_hold_the_truth"} <= codes.keys()
    assert "one_diameter" not in {i.code for i in known_issues("MED_LYMPH_021")}
    assert known_issues("MED_LYMPH_091") == known_issues("LIDC-IDRI-0314") == ()


def test_a_split_that_separates_a_scan_from_itself_is_told():
    train = ["ABD_LYMPH_001", "MED_LYMPH_003", "MED_LYMPH_090", "ABD_LYMPH_001"]
    assert separated_companions(train, ["MED_LYMPH_002", "ABD_LYMPH_086"]) == (
        ("ABD_LYMPH_001", "MED_LYMPH_002"),
        ("MED_LYMPH_090", "ABD_LYMPH_086"),
    )
    assert separated_companions([*train, "MED_LYMPH_002"], ["MED_LYMPH_001"]) == ()


@pytest.mark.parametrize(
    ("description", "codes"),
    [
        ("Partially Annotated", ["partially_annotated"]),
        ("Fully Annotated", []),
        ("Lymph node segmentations", []),
    ],
)
def test_how_complete_a_segmentation_says_it_is(description, codes):
    found = annotation_issues([description])
    assert [issue.code for issue in found] == codes
