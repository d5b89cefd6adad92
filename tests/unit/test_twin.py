"""Cases of the twin, read by libraries that did not write them."""

import gzip
import re
import shutil
import subprocess
import sysconfig
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from defusedxml import ElementTree

from napari_tcia.core.geometry import (
    index_to_patient,
    make_affine,
    patient_to_index,
    same_grid,
)
from napari_tcia.core.model import TWIN_UID_ROOT
from napari_tcia.demo.annotations import listed_rows
from napari_tcia.demo.cases import all_cases, lymph_case
from napari_tcia.demo.phantom import make_labels, make_phantom
from napari_tcia.demo.twin import Twin, phantom_case

SIZE = {"matrix": 96, "step": 5.0}


@pytest.fixture(
    scope="module", params=["MED_LYMPH_001", "ABD_LYMPH_001", "MED_LYMPH_021"]
)
def written(request, tmp_path_factory):
    home = phantom_case(tmp_path_factory.mktemp("case"), request.param, **SIZE)
    return home, lymph_case(request.param, **SIZE)


@pytest.fixture(scope="module")
def truth(written):
    return make_phantom(written[1].scan)


def _headers(folder: Path):
    files = [pydicom.dcmread(path) for path in folder.glob("*.dcm")]
    return sorted(files, key=lambda header: header.InstanceNumber)


def test_ct_is_the_truth_for_simpleitk(written, truth):
    home, case = written
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(home / "CT"))
    reader.SetFileNames(names)
    image = reader.Execute()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), truth.array)
    found = make_affine(
        image.GetOrigin(), np.reshape(image.GetDirection(), (3, 3)).T.ravel()[:6],
        image.GetSpacing()[::-1],
    )  # fmt: skip
    assert same_grid(found, case.scan.affine, truth.array.shape) < 1e-4


def test_header_is_that_of_the_real_collection(written):
    home, case = written
    headers = _headers(home / "CT")
    assert [h.InstanceNumber for h in headers] == list(range(1, case.scan.slices + 1))
    header = headers[0]
    assert header.file_meta.TransferSyntaxUID == pydicom.uid.ImplicitVRLittleEndian
    for absent in (
        "SpecificCharacterSet", "Manufacturer", "SliceThickness", "SliceLocation",
        "SpacingBetweenSlices", "PatientPosition", "KVP", "GantryDetectorTilt",
        "AcquisitionNumber", "WindowCenter", "RescaleType", "PixelPaddingValue",
        "SeriesDate",
    ):  # fmt: skip
        assert absent not in header
    assert header["SeriesNumber"].is_empty
    assert header.StudyID == header.PatientID == case.identity.patient_id
    block = header.private_block(0x0013, "CTP")
    assert block[0x10].value.strip() == b"CT Lymph Nodes"  # Implicit VR
    assert header.PatientComments.startswith("SYNTHETIC")
    assert "e" in str(header["ImagePositionPatient"].value[1].original_string)
    assert all(len(str(v.original_string)) <= 16 for v in header.ImagePositionPatient)
    assert header.PixelRepresentation == 1


def test_uids_are_the_twins_own(written):
    home, _ = written
    uids = []
    for path in sorted(home.rglob("*.dcm")):
        for element in pydicom.dcmread(path, stop_before_pixels=True).iterall():
            if element.VR == "UI" and not str(element.value).startswith(
                "1.2.840.10008"
            ):
                uids.append(str(element.value))
    assert uids
    assert all(re.fullmatch(r"[0-9.]{1,64}", uid) for uid in uids)
    assert {uid[: len(TWIN_UID_ROOT)] for uid in uids} == {TWIN_UID_ROOT}


def test_seg_is_the_label_array_for_highdicom(written, truth):
    home, case = written
    (path,) = (home / "SEG").glob("*.dcm")
    seg = hd.seg.segread(path)
    volume = seg.get_volume(combine_segments=True, relabel=False)
    k0, j0, i0 = np.rint(
        patient_to_index(case.scan.affine, volume.affine[:3, 3])[0]
    ).astype(int)
    expected = np.zeros_like(truth.labels)
    k, j, i = volume.spatial_shape
    # The volume of highdicom may run from head to feet.
    array = volume.array
    if volume.affine[2, 0] < 0:
        array, k0 = array[::-1], k0 - k + 1
    assert (j0, i0) == (0, 0)
    expected[k0 : k0 + k, :j, :i] = array
    np.testing.assert_array_equal(expected, truth.labels)


def test_seg_says_what_the_published_ones_say(written):
    home, case = written
    (path,) = (home / "SEG").glob("*.dcm")
    seg = pydicom.dcmread(path)
    assert seg.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert (seg.SegmentationType, seg.SeriesNumber) == ("BINARY", 300)
    assert seg.SeriesDescription == "Lymph node segmentations"
    assert seg.PatientComments.startswith("SYNTHETIC")
    ct = _headers(home / "CT")
    assert seg.StudyInstanceUID == ct[0].StudyInstanceUID
    assert seg.FrameOfReferenceUID == ct[0].FrameOfReferenceUID
    code = "818991007" if case.identity.patient_id.startswith("ABD") else "62683002"
    for number, segment in enumerate(seg.SegmentSequence, start=1):
        assert segment.SegmentNumber == number
        assert segment.SegmentAlgorithmType == "MANUAL"
        (kind,) = segment.SegmentedPropertyTypeCodeSequence
        assert (kind.CodeValue, kind.CodingSchemeDesignator) == (code, "SCT")
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    assert frames.any(axis=(1, 2)).all()
    known = {header.SOPInstanceUID for header in ct}
    for frame in seg.PerFrameFunctionalGroupsSequence:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert source.ReferencedSOPInstanceUID in known


def test_seg_is_the_label_array_for_dcmqi(written, truth, tmp_path):
    home, case = written
    (path,) = (home / "SEG").glob("*.dcm")
    tool = shutil.which("segimage2itkimage", path=sysconfig.get_path("scripts"))
    assert tool, "dcmqi is not installed; it is in the extra 'test'"
    subprocess.run(
        [tool, "--inputDICOM", path, "--outputDirectory", tmp_path, "-t", "nrrd",
         "--prefix", "n"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    found = np.zeros_like(truth.labels)
    for node in truth.nodes:
        image = sitk.ReadImage(str(tmp_path / f"n-{node.label}.nrrd"))
        voxels = np.argwhere(sitk.GetArrayFromImage(image))[:, ::-1]
        places = [
            image.TransformIndexToPhysicalPoint(tuple(map(int, v))) for v in voxels
        ]
        kji = np.rint(patient_to_index(case.scan.affine, places)).astype(int)
        found[tuple(kji.T)] = node.label
    np.testing.assert_array_equal(found, truth.labels)


def test_mask_is_the_label_array_on_the_same_grid(written, truth):
    home, case = written
    (path,) = (home / "mask").glob("*_mask.nii.gz")
    image = nibabel.load(path)
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    np.testing.assert_array_equal(
        np.asarray(image.dataobj).transpose(2, 1, 0), truth.labels
    )
    grid = np.diag([-1, -1, 1, 1]) @ image.affine[:, [2, 1, 0, 3]]
    assert same_grid(grid, case.scan.affine, truth.labels.shape) < 1e-3
    assert image.header["qform_code"] == image.header["sform_code"] == 1


def test_points_lie_on_the_lattice_and_in_their_nodes(written, truth):
    home, case = written
    folder, stem = home / "annotations", f"{home.name}_lymphnodes"
    raw = (folder / f"{stem}_indices.txt").read_bytes()
    assert raw.endswith(b"\n")
    assert b"\r" not in raw
    ijk = np.loadtxt(folder / f"{stem}_indices.txt", dtype=int, ndmin=2)
    points = np.loadtxt(folder / f"{stem}_physicalPoints.txt", ndmin=2)
    sizes = np.loadtxt(folder / f"{stem}_sizes.txt", ndmin=2)
    lattice = index_to_patient(case.scan.affine, ijk[:, ::-1])
    assert np.abs(lattice - points).max() <= 0.001
    rows = listed_rows(case.scan, truth.nodes)
    assert len(ijk) == len(points) == len(sizes) == len(rows)
    labels = truth.labels[tuple(ijk[:, ::-1].T)].tolist()
    assert labels == [node.label for node in rows]
    assert labels != sorted(labels)
    short = [node.axial_axes[1] for node in rows]
    assert sizes[:, 0] == pytest.approx(short, abs=0.06)
    if case.identity.patient_id.startswith("ABD"):
        assert sizes[:, 1] * case.scan.spacing == pytest.approx(sizes[:, 0], abs=0.006)
    else:
        assert sizes.shape[1] == 1


def test_mps_repeats_the_text(written):
    home, _ = written
    (path,) = (home / "annotations").glob("*_physicalPoints.mps")
    texts = path.with_suffix(".txt").read_text().split()
    tree = ElementTree.fromstring(path.read_bytes())
    found = [p.findtext(axis) for p in tree.iter("point") for axis in ("x", "y", "z")]
    assert found == texts
    assert [p.findtext("id") for p in tree.iter("point")] == [
        str(n) for n in range(len(texts) // 3)
    ]


def test_one_node_is_known_to_the_mask_alone():
    case = lymph_case("MED_LYMPH_001")
    assert len(listed_rows(case.scan, case.nodes)) == len(case.nodes) - 1


def test_missing_size_is_written_as_zero():
    files = lymph_case("MED_LYMPH_010").point_files()
    assert files["MED_LYMPH_010_lymphnodes_sizes.txt"].startswith(b"0\n")


def test_companions_are_one_scan_under_two_names():
    abdomen, chest = lymph_case("ABD_LYMPH_001"), lymph_case("MED_LYMPH_002")
    assert abdomen.scan == chest.scan
    assert abdomen.identity.frame_uid != chest.identity.frame_uid


def test_odd_age_is_kept_as_it_is(tmp_path):
    home = phantom_case(tmp_path, "MED_LYMPH_087", matrix=32, step=5.0)
    path = next((home / "CT").glob("*.dcm"))
    assert b"N-A" in path.read_bytes()[:1500]


def test_full_size_is_that_of_the_real_series():
    thin = lymph_case("MED_LYMPH_001", full_size=True).scan
    assert (thin.matrix, thin.step, thin.slices) == (512, 1.0, 666)
    assert thin.spacing == 437 / 512
    thick = lymph_case("MED_LYMPH_021", full_size=True).scan
    assert (thick.shape, thick.step) == ((56, 512, 512), 5.0)
    assert thick.spacing == 323 / 512
    assert len(lymph_case("ABD_LYMPH_002", full_size=True).nodes) == 34
    for name in ("MED_LYMPH_001", "ABD_LYMPH_013", "MED_LYMPH_073"):
        small, full = lymph_case(name), lymph_case(name, full_size=True)
        assert len(full.nodes) == len(small.nodes)


def test_special_cases_are_as_published():
    assert lymph_case("ABD_LYMPH_009").scan.origin[2] > 0
    assert lymph_case("ABD_LYMPH_013").scan.step == 1.25
    assert lymph_case("MED_LYMPH_021").scan.step == 5.0
    assert len(lymph_case("ABD_LYMPH_002").nodes) == 34
    permuted = lymph_case("ABD_LYMPH_060")
    rows = listed_rows(permuted.scan, permuted.nodes)
    assert [node.label for node in rows] == [2, 1, 3]


def test_one_node_is_known_to_the_text_alone(tmp_path):
    home = phantom_case(tmp_path, "ABD_LYMPH_009", matrix=64, step=5.0)
    case = lymph_case("ABD_LYMPH_009", matrix=64, step=5.0)
    (mask,) = (home / "mask").glob("*.nii.gz")
    labels = np.unique(np.asarray(nibabel.load(mask).dataobj)).tolist()
    assert labels == list(range(len(case.nodes)))  # 0 and one less than nodes
    (sizes,) = (home / "annotations").glob("*_sizes.txt")
    assert len(sizes.read_text().splitlines()) == len(case.nodes)


def test_one_row_of_sizes_is_no_repetition():
    case = lymph_case("ABD_LYMPH_003")
    text = case.point_files()["ABD_LYMPH_003_lymphnodes_sizes.txt"].decode()
    sizes = np.array([line.split() for line in text.splitlines()], dtype=float)
    off = np.abs(sizes[:, 1] * case.scan.spacing / sizes[:, 0] - 1) > 0.01
    assert np.flatnonzero(off).tolist() == [4]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("MED_LYMPH_001", "uint8"), ("MED_LYMPH_002", "int16"),
        ("ABD_LYMPH_060", "float32"),
    ],
)  # fmt: skip
def test_masks_come_in_several_types(name, dtype):
    case = lymph_case(name, matrix=64, step=5.0)
    (data,) = case.mask_files().values()
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(data))
    assert image.get_data_dtype() == np.dtype(dtype)
    np.testing.assert_array_equal(
        np.asarray(image.dataobj).transpose(2, 1, 0),
        make_labels(case.scan, case.nodes),
    )


def test_noise_of_positions_is_below_the_tolerance(tmp_path):
    home = phantom_case(tmp_path, "ABD_LYMPH_013", matrix=16)
    heights = [float(h.ImagePositionPatient[2]) for h in _headers(home / "CT")]
    off = np.abs(np.diff(heights) - 1.25)
    assert 0 < off.max() <= 1e-5


def _candidates(name, **changes):
    case = lymph_case(name, **changes)
    files = case.candidate_files()
    assert sorted(files) == sorted(
        f"{name}_{sign}CADe_{kind}"
        for sign in ("pos", "neg")
        for kind in ("physicalPoints.txt", "physicalPoints.mps", "grtIDs.txt")
    )
    return case, {key.removeprefix(f"{name}_"): data for key, data in files.items()}


def _rows(data):
    return np.array([line.split() for line in data.decode().splitlines()], dtype=float)


def test_candidates_of_the_abdomen_are_the_nodes_moved_a_little():
    case, files = _candidates("ABD_LYMPH_001")
    assert b"\r" not in files["posCADe_physicalPoints.txt"]
    assert b"\r" not in files["negCADe_grtIDs.txt"]
    lines = files["negCADe_physicalPoints.txt"].split(b"\n")
    assert all(line.endswith(b"\r") for line in lines[:-1])
    assert lines[-1] == b""
    points = _rows(case.point_files()["ABD_LYMPH_001_lymphnodes_physicalPoints.txt"])
    found = _rows(files["posCADe_physicalPoints.txt"])
    hits = _rows(files["posCADe_grtIDs.txt"])[:, 0]
    rows = (hits - 10100).astype(int)
    assert sorted(rows) == list(range(1, len(points) + 1))
    gap = np.abs(found - points[rows - 1])
    assert 0 < gap.max() < 0.1
    assert set(files["negCADe_grtIDs.txt"].split()) == {b"-1"}


def test_candidates_of_the_chest_lie_on_the_lattice_near_their_node():
    case, files = _candidates("MED_LYMPH_001")
    points = _rows(case.point_files()["MED_LYMPH_001_lymphnodes_physicalPoints.txt"])
    found = _rows(files["posCADe_physicalPoints.txt"])
    assert files["posCADe_physicalPoints.txt"].count(b"\r\n") == len(found)
    rows = (_rows(files["posCADe_grtIDs.txt"])[:, 0] - 100).astype(int)
    reach = np.linalg.norm(found[:, None] - points, axis=2)
    assert (reach.argmin(axis=1) + 1 == rows).all()
    assert reach.min(axis=1).max() <= 15
    for sign in ("pos", "neg"):
        points = _rows(files[f"{sign}CADe_physicalPoints.txt"])
        kji = patient_to_index(case.scan.affine, points)
        back = index_to_patient(case.scan.affine, np.rint(kji))
        assert np.abs(back - points).max() < 0.001
        tree = ElementTree.fromstring(files[f"{sign}CADe_physicalPoints.mps"])
        texts = [p.findtext(a) for p in tree.iter("point") for a in ("x", "y", "z")]
        assert texts == files[f"{sign}CADe_physicalPoints.txt"].decode().split()


@pytest.mark.parametrize(
    ("name", "empty"),
    [("MED_LYMPH_021", {"pos", "neg"}), ("MED_LYMPH_010", {"pos"})],
)
def test_some_patients_have_empty_candidate_files(name, empty):
    _, files = _candidates(name)
    found = {key[:3] for key, data in files.items() if data == b""}
    assert found == empty
    assert all((data == b"") == (key[:3] in empty) for key, data in files.items())


def test_one_exponent_has_three_digits():
    _, files = _candidates("MED_LYMPH_087", matrix=96)
    text = files["negCADe_physicalPoints.txt"]
    (number,) = re.findall(rb"\S+e-\d+", text)
    assert number.endswith(b"e-005")
    assert float(number) == pytest.approx(9.2e-5, rel=1e-3)


def test_the_twin_offers_three_zips(tmp_path):
    twin = Twin(tmp_path, all_cases(2))
    for kind, count in (("ANNOTATIONS", 4), ("MASKS", 1), ("CANDIDATES", 6)):
        path = twin.supplement(f"MED_ABD_LYMPH_{kind}.zip")
        names = zipfile.ZipFile(path).namelist()
        assert len(names) == 2 * count
        assert all(name.startswith(f"MED_ABD_LYMPH_{kind}/MED_") for name in names)
    assert twin.supplement("MED_ABD_LYMPH_OTHER.zip") is None


def test_sizes_are_known_without_painting(tmp_path):
    twin = Twin(tmp_path, (lymph_case("MED_LYMPH_001", **SIZE), all_cases(1)[1]))
    declared = {uid: twin.file_size(uid) for uid in twin.series}
    assert list(tmp_path.iterdir()) == []
    for uid, one in twin.series.items():
        paths = [twin.instance(uid, k) for k in range(len(one.sop_uids))]
        assert sum(path.stat().st_size for path in paths) == declared[uid]


def test_a_series_asked_for_twice_at_once_is_painted_once(tmp_path):
    case = lymph_case("MED_LYMPH_001", matrix=16)
    twin, uid = Twin(tmp_path, (case,)), case.identity.ct_uid
    order = list(range(case.scan.slices))

    def inodes(ks):
        with twin.painting(uid, ks):
            return {k: twin.instance(uid, k).stat().st_ino for k in ks}

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(inodes, (order, order[::-1]))
    assert first == second
    plain = Twin(tmp_path / "plain", (case,))
    plain.folder.mkdir()
    for k in order[::7]:
        assert plain.instance(uid, k).read_bytes() == twin.instance(uid, k).read_bytes()


def test_painting_ahead_ends_with_its_context(tmp_path):
    case = lymph_case("MED_LYMPH_001", matrix=16, slices=640, step=0.5)
    twin, uid = Twin(tmp_path, (case,)), case.identity.ct_uid
    with twin.painting(uid, range(case.scan.slices)):
        mine = [t for t in threading.enumerate() if t.name == f"painting {uid}"]
    for thread in mine:
        thread.join(timeout=30)
        assert not thread.is_alive()
        assert thread.daemon
    assert 0 < len(list(tmp_path.rglob("*.dcm"))) < case.scan.slices


def test_nothing_is_painted_once_the_twin_is_closed(tmp_path):
    case = lymph_case("MED_LYMPH_001", matrix=16, slices=640, step=0.5)
    twin, uid = Twin(tmp_path, (case,)), case.identity.ct_uid
    with twin.painting(uid, range(case.scan.slices // 2)):
        twin.instance(uid, 0)
        twin.close()
        held = sorted(tmp_path.rglob("*"))
        with pytest.raises(FileNotFoundError, match="closed"):
            twin.instance(uid, 639)
    assert sorted(tmp_path.rglob("*")) == held
    assert twin.instance(uid, 0) in held


def test_every_case_has_its_own_uids():
    cases = all_cases(90)
    assert len({case.identity.patient_id for case in cases}) == len(cases) == 94
    uids = [uid for c in cases for uid in (c.identity.ct_uid, c.identity.seg_uid)]
    assert len(set(uids)) == len(uids)
    assert all(case.nodes or not case.has_seg for case in cases)


def test_labels_fit_any_matrix():
    case = lymph_case("MED_LYMPH_021")
    coarse = replace(case.scan, matrix=80)
    labels = make_labels(coarse, case.nodes)
    assert set(np.unique(labels)) == {0, *(node.label for node in case.nodes)}
