"""Files of the twin's cases: layouts, special cases, and what other programs read."""

import json
import re
import shutil
import subprocess
import sysconfig
import zipfile

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

import napari_tcia as nt
from napari_tcia.cli import run
from napari_tcia.demo.annotations import listed_rows
from napari_tcia.demo.cases import lymph_case
from napari_tcia.demo.truth import make_labels
from napari_tcia.demo.twin import phantom_case
from napari_tcia.errors import UnsupportedData
from napari_tcia.nodes import known_issues

SIZE = {"matrix": 64, "step": 10.0}
LAYOUTS = ("plain", "retriever", "old retriever", "zip", "idc")
BENT = "MED_LYMPH_073"
"""Its nodes are oblique, one is bent, and its labels are not those of its rows."""


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_TCIA_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    """One case in every layout, by layout; zips beside what is in them."""
    folders = {}
    for layout in LAYOUTS:
        folder = tmp_path_factory.mktemp("case")
        folders[layout] = phantom_case(folder, "ABD_LYMPH_001", layout=layout, **SIZE)
    return folders


@pytest.fixture(scope="module")
def bent(tmp_path_factory):
    home = phantom_case(tmp_path_factory.mktemp("bent"), BENT, matrix=128)
    return home, lymph_case(BENT, matrix=128)


def _unpacked(home, folder):
    shutil.copytree(home, folder, dirs_exist_ok=True)
    for zipped in folder.glob("*.zip"):
        with zipfile.ZipFile(zipped) as archive:
            archive.extractall(folder / zipped.stem)
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_the_same_case(laid_out, layout, tmp_path):
    home = _unpacked(laid_out[layout], tmp_path / "case")
    plain = nt.read_volume(laid_out["plain"] / "CT")
    (case,) = nt.open_case(home)
    for volume in (nt.read_volume(home), case.volume):
        np.testing.assert_array_equal(volume.array, plain.array)
        np.testing.assert_array_equal(volume.affine, plain.affine)
        assert volume.passport.verdict == "pass"
    labels = make_labels(lymph_case("ABD_LYMPH_001", **SIZE).scan, _nodes())
    assert [one.source for one in case.labels] == ["seg", "mask"]
    for one in case.labels:
        np.testing.assert_array_equal(one.array, labels)
    assert len(case.points.ids) == len(_nodes())


def _nodes():
    return lymph_case("ABD_LYMPH_001", **SIZE).nodes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_can_be_inspected(laid_out, layout, tmp_path, capsys):
    home = _unpacked(laid_out[layout], tmp_path / "case")
    assert run(["inspect", str(home), "--json"]) == 0
    (passport,) = json.loads(capsys.readouterr().out)["passports"]
    assert passport["verdict"] == "pass"
    scan = lymph_case("ABD_LYMPH_001", **SIZE).scan
    assert tuple(passport["shape"]) == scan.shape
    assert passport["spacing"] == pytest.approx((scan.step, scan.spacing, scan.spacing))


def test_layouts_have_the_published_names(laid_out):
    names = {
        layout: {
            path.relative_to(home).as_posix()
            for path in home.rglob("*")
            if path.suffix in (".dcm", ".zip")
        }
        for layout, home in laid_out.items()
    }
    count = lymph_case("ABD_LYMPH_001", **SIZE).scan.slices
    study = r"09-14-2014-ABDLYMPH001-abdominallymphnodes-\d{5}"
    ct, seg = (
        rf"{study}/{name}-\d{{5}}/"
        for name in ("abdominallymphnodes", r"300\.000000-Lymph node segmentations")
    )
    uid, uuid = r"61\.7\.0\.999\.\d+", "[0-9a-f-]{36}"
    expected = {
        "plain": (r"CT/[0-9.]+\.dcm", r"SEG/[0-9.]+\.dcm"),
        "retriever": (ct + r"1-\d\d\.dcm", seg + r"1-1\.dcm"),
        "old retriever": (ct + r"\d{6}\.dcm", seg + r"000000\.dcm"),
        "zip": (r"CT\.zip", r"SEG\.zip"),
        "idc": tuple(rf"{uid}/{kind}_{uid}/{uuid}\.dcm" for kind in ("CT", "SEG")),
    }
    for layout, patterns in expected.items():
        counts = [
            sum(bool(re.fullmatch(p, n)) for n in names[layout]) for p in patterns
        ]
        assert counts == [1 if layout == "zip" else count, 1], layout
        assert sum(counts) == len(names[layout]), layout
    assert laid_out["retriever"].parent.name == "CT Lymph Nodes"
    assert laid_out["idc"].parent.name == "ct_lymph_nodes"
    (folder,) = {name[:-10] for name in names["old retriever"] if "300." not in name}
    assert f"{folder}000000.dcm" in names["old retriever"]


def test_names_follow_the_instance_number_or_no_order(laid_out):
    def numbers(layout, pattern):
        files = sorted(laid_out[layout].rglob(pattern))
        return [int(pydicom.dcmread(f).InstanceNumber) for f in files if "300" not in
                f.parent.name]  # fmt: skip

    straight = numbers("retriever", "1-*.dcm")
    assert straight == sorted(straight)
    shuffled = numbers("old retriever", "0*.dcm")
    assert sorted(shuffled) == straight != shuffled


def test_zip_is_flat_with_a_licence_and_is_read_as_it_is(laid_out):
    for kind, count in (("CT", lymph_case("ABD_LYMPH_001", **SIZE).scan.slices),
                        ("SEG", 1)):  # fmt: skip
        path = laid_out["zip"] / f"{kind}.zip"
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            assert b"CC BY 3.0" in archive.read("LICENSE")
        assert names == ["LICENSE", *(f"{n:08d}.dcm" for n in range(1, count + 1))]
    unpacked = nt.read_volume(laid_out["plain"] / "CT")
    volume = nt.read_volume(laid_out["zip"] / "CT.zip")
    np.testing.assert_array_equal(volume.array, unpacked.array)
    np.testing.assert_array_equal(volume.affine, unpacked.affine)
    with pytest.raises(UnsupportedData, match="SEG"):
        nt.read_volume(laid_out["zip"] / "SEG.zip")


# Special cases, from the files ---------------------------------------------------


def _table(home, ending):
    (path,) = (home / "annotations").glob(f"*_{ending}.txt")
    return np.loadtxt(path, ndmin=2)


def _mask(home):
    (path,) = (home / "mask").glob("*.nii.gz")
    return nibabel.load(path)


def _headers(home):
    found = [pydicom.dcmread(path) for path in (home / "CT").glob("*.dcm")]
    return sorted(found, key=lambda header: header.InstanceNumber)


def _case(folder, name, **changes):
    return phantom_case(folder, name, **{"matrix": 32, "step": 20.0} | changes)


def test_one_scan_has_two_identities(tmp_path):
    one, two = (_case(tmp_path, name) for name in ("ABD_LYMPH_001", "MED_LYMPH_002"))
    for first, second in zip(_headers(one), _headers(two), strict=True):
        assert first.PixelData == second.PixelData
        differing = {
            element.keyword or str(element.tag)
            for element in first
            if element != second[element.tag]
        }
        assert differing == {
            *("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
            *("FrameOfReferenceUID", "PatientID", "PatientName", "StudyID"),
            *("StudyDescription", "SeriesDescription", "BodyPartExamined"),
        }
    np.testing.assert_array_equal(_mask(one).dataobj, _mask(two).dataobj)
    assert (_mask(one).affine == _mask(two).affine).all()
    np.testing.assert_array_equal(
        _table(one, "physicalPoints"), _table(two, "physicalPoints")
    )


def test_labels_rows_and_sizes_of_the_special_cases(tmp_path):
    def counts(name):
        home = _case(tmp_path, name, matrix=128, step=5.0)
        return int(np.asarray(_mask(home).dataobj).max()), len(_table(home, "sizes"))

    labels, rows = counts("MED_LYMPH_001")
    assert labels == rows + 1
    labels, rows = counts("ABD_LYMPH_009")
    assert labels == rows - 1
    labels, rows = counts("ABD_LYMPH_060")
    assert labels == rows == 3
    home = tmp_path / "ABD_LYMPH_060"
    i, j, k = _table(home, "indices").astype(int).T
    assert np.asarray(_mask(home).dataobj)[i, j, k].tolist() == [2, 1, 3]
    sizes = _table(_case(tmp_path, "MED_LYMPH_010"), "sizes")[:, 0]
    assert sizes[0] == 0
    assert (sizes[1:] > 5).all()


@pytest.mark.parametrize(("name", "row"), [("ABD_LYMPH_003", 5), ("ABD_LYMPH_071", 6)])
def test_one_size_is_no_repetition_where_it_is_published_so(name, row):
    case = lymph_case(name)
    lines = case.point_files()[f"{name}_lymphnodes_sizes.txt"].decode().splitlines()
    sizes = np.array([line.split() for line in lines], dtype=float)
    off = np.abs(sizes[:, 1] * case.scan.spacing / sizes[:, 0] - 1) > 0.01
    assert (np.flatnonzero(off) + 1).tolist() == [row]
    assert any(f"row {row}" in issue.message for issue in known_issues(name))


@pytest.mark.parametrize(
    ("name", "step"),
    [("MED_LYMPH_021", 5.0), ("MED_LYMPH_073", 5.0), ("ABD_LYMPH_013", 1.25)],
)
def test_slices_are_as_far_apart_as_published(name, step, tmp_path):
    headers = _headers(phantom_case(tmp_path, name, matrix=16))
    heights = [float(header.ImagePositionPatient[2]) for header in headers]
    assert np.diff(heights) == pytest.approx(step, abs=2e-5)
    if name == "MED_LYMPH_021":
        assert len(headers) == 56


def test_some_headers_are_odd(tmp_path):
    header = _headers(_case(tmp_path, "MED_LYMPH_087"))[0]
    assert header.PatientAge == "N-A"
    texts = [str(value.original_string) for value in header.ImagePositionPatient]
    assert re.fullmatch(r"-?\d\.\d{6}e[+-]\d\d", texts[1])
    assert not any("e" in text for text in (texts[0], texts[2]))
    above = _headers(_case(tmp_path, "ABD_LYMPH_009"))[0]
    assert float(above.ImagePositionPatient[2]) > 0
    assert all(files == b"" for files in lymph_case("MED_LYMPH_021")
               .candidate_files().values())  # fmt: skip


def test_candidates_run_from_head_to_feet_and_mps_has_short_exponents():
    files = lymph_case("MED_LYMPH_087", matrix=96).candidate_files()
    for sign in ("neg", "pos"):
        text = files[f"MED_LYMPH_087_{sign}CADe_physicalPoints.txt"].decode()
        heights = [float(line.split()[2]) for line in text.splitlines()]
        assert heights == sorted(heights, reverse=True)
    assert re.findall(rb"e-\d+", files["MED_LYMPH_087_negCADe_physicalPoints.txt"]) == [
        b"e-005"
    ]
    assert re.findall(rb"e-\d+", files["MED_LYMPH_087_negCADe_physicalPoints.mps"]) == [
        b"e-05"
    ]


# The truth, read by others -------------------------------------------------------


def _inside(node, point):
    """Whether a point (3,) LPS mm lies in a node, by its description, in words."""
    along = [
        sum(
            (p - c) * axis
            for p, c, axis in zip(point, node.centre, column, strict=True)
        )
        for column in zip(*node.rotation, strict=True)
    ]
    a, b, c = node.semi_axes
    u, v, w = along[0] / a, along[1] / b, along[2] / c
    # The middle is drawn one way and the ends the other; the mean of w^2 is 1/5.
    u -= node.bend / a * (w * w - 1 / 5)
    return u * u + v * v + w * w <= 1


def test_mask_holds_oblique_and_bent_nodes_exactly(bent):
    home, case = bent
    assert any(node.bend for node in case.nodes)
    assert all(np.abs(node.rotation).max() < 0.9999 for node in case.nodes)
    image = _mask(home)
    array = np.asarray(image.dataobj)
    assert set(np.unique(array)) == {0, *(node.label for node in case.nodes)}
    for node in case.nodes:
        own = np.argwhere(array == node.label)
        box = np.stack(
            np.meshgrid(
                *[np.arange(a - 2, b + 3) for a, b in zip(own.min(0), own.max(0),
                  strict=True)],
                indexing="ij",
            ),
            axis=-1,
        ).reshape(-1, 3)  # fmt: skip
        for i, j, k in box.tolist():
            x, y, z = image.affine[:3, :3] @ (i, j, k) + image.affine[:3, 3]
            assert (array[i, j, k] == node.label) == _inside(node, (-x, -y, z))


def test_mask_header(bent):
    home, case = bent
    image = _mask(home)
    header = image.header
    scan = case.scan
    assert header["magic"].item() == b"n+1"
    assert header.get_xyzt_units()[0] == "mm"
    assert header["qform_code"] == header["sform_code"] == 1
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-4)
    x, y, z = scan.origin
    expected = np.diag([-scan.spacing, -scan.spacing, scan.step, 1])
    expected[:3, 3] = -x, -y, z
    np.testing.assert_allclose(header.get_sform(), expected, atol=1e-4)
    assert image.shape == (scan.matrix, scan.matrix, scan.slices)
    assert image.get_data_dtype() == np.uint8
    heights = [
        np.argwhere(np.asarray(image.dataobj) == label)[:, 2].mean()
        for label in range(1, len(case.nodes) + 1)
    ]
    assert heights == sorted(heights, reverse=True)


def test_ct_and_mask_are_one_grid_for_simpleitk(bent):
    home, case = bent
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(home / "CT")))
    image = reader.Execute()
    (path,) = (home / "mask").glob("*.nii.gz")
    labels = sitk.ReadImage(str(path))
    assert labels.GetSize() == image.GetSize()
    for name in ("GetOrigin", "GetSpacing", "GetDirection"):
        one, two = getattr(image, name)(), getattr(labels, name)()
        assert one == pytest.approx(two, abs=1e-3)
    points = _table(home, "physicalPoints")
    rows = listed_rows(case.scan, case.nodes)
    found = [labels[labels.TransformPhysicalPointToIndex(p)] for p in points.tolist()]
    assert found == [node.label for node in rows]
    indices = [image.TransformPhysicalPointToIndex(p) for p in points.tolist()]
    np.testing.assert_array_equal(indices, _table(home, "indices"))


def test_seg_of_bent_nodes_is_the_mask_for_dcmqi(bent, tmp_path):
    home, case = bent
    (seg,) = (home / "SEG").glob("*.dcm")
    tool = shutil.which("segimage2itkimage", path=sysconfig.get_path("scripts"))
    assert tool, "dcmqi is not installed; it is in the extra 'test'"
    subprocess.run(
        [tool, "--inputDICOM", seg, "--outputDirectory", tmp_path, "-t", "nii",
         "--prefix", "n"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    truth = sitk.GetArrayFromImage(
        sitk.ReadImage(str(next((home / "mask").glob("*.nii.gz"))))
    )
    scan = case.scan
    for node in case.nodes:
        image = nibabel.load(tmp_path / f"n-{node.label}.nii.gz")
        at = np.argwhere(np.asarray(image.dataobj)) @ image.affine[:3, :3].T
        x, y, z = (at + image.affine[:3, 3]).T
        ox, oy, oz = scan.origin
        places = np.rint(
            [(z - oz) / scan.step, (-y - oy) / scan.spacing, (-x - ox) / scan.spacing]
        ).astype(int)
        found = np.zeros_like(truth)
        found[tuple(places)] = 1
        np.testing.assert_array_equal(found, truth == node.label)
    metadata = json.loads((tmp_path / "n-meta.json").read_text())
    assert metadata["SeriesDescription"] == "Lymph node segmentations"


def test_seg_has_what_dcmqi_writes(bent):
    home, case = bent
    (path,) = (home / "SEG").glob("*.dcm")
    seg = pydicom.dcmread(path)
    shared = seg.SharedFunctionalGroupsSequence[0]
    measures = shared.PixelMeasuresSequence[0]
    assert [float(mm) for mm in measures.PixelSpacing] == [
        float(np.float32(case.scan.spacing))
    ] * 2
    assert float(measures.SpacingBetweenSlices) == case.scan.step
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [
        *(1, 0, 0, 0, 1, 0)
    ]
    assert (seg.Manufacturer, seg.ManufacturerModelName) == (
        "QIICR",
        "https://github.com/QIICR/dcmqi.git",
    )
    assert seg.SeriesDate == "20230123"
    for segment in seg.SegmentSequence:
        (category,) = segment.SegmentedPropertyCategoryCodeSequence
        assert category.CodeValue == "123037004"
    heights = {h.SOPInstanceUID: h.ImagePositionPatient for h in _headers(home)}
    frames = seg.PerFrameFunctionalGroupsSequence
    sources = []
    for frame in frames:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        sources.append(source.ReferencedSOPInstanceUID)
        assert frame.PlanePositionSequence[0].ImagePositionPatient == pytest.approx(
            heights[sources[-1]], abs=1e-5
        )
    (series,) = seg.ReferencedSeriesSequence
    named = [
        item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence
    ]
    assert sorted(named) == sorted(set(sources))


def test_a_case_is_the_same_bytes_every_time(tmp_path):
    first, second = (_case(tmp_path / part, "MED_LYMPH_021") for part in "ab")
    for path in first.rglob("*.*"):
        same = second / path.relative_to(first)
        assert path.is_dir() or path.read_bytes() == same.read_bytes(), path.name


def test_seg_validates_but_for_the_root_of_its_uids(bent):
    """By dciodvfy, where it is: the archive's root is no registered one on purpose."""
    tool = shutil.which("dciodvfy")
    if tool is None:
        pytest.skip("dciodvfy (of dicom3tools) is not installed.")
    (path,) = (bent[0] / "SEG").glob("*.dcm")
    told = subprocess.run([tool, path], capture_output=True, text=True, check=False)
    lines = (told.stderr + told.stdout).splitlines()
    assert "Segmentation" in lines
    errors = [line for line in lines if line.startswith("Error")]
    assert [e for e in errors if "Illegal root for UID" not in e] == []
