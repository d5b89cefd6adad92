"""A figure holds its picture untouched, and its credit in four places."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import io

from annotation_factory import volume_of
from dicom_factory import noise
from napari_tcia.app import credit, picture
from napari_tcia.app.assemble import Case
from napari_tcia.core.geometry import make_affine
from napari_tcia.core.image import Check, LabelSet, NodeRow, Passport, Segment
from napari_tcia.core.model import Provenance
from napari_tcia.errors import BrokenGeometry, NotWritable, UsageError
from napari_tcia.export import figure

DOI = "10.7937/K9/TCIA.2015.AQIIDCNM"
ORIGIN = Provenance(
    origin="archive",
    collection="CT Lymph Nodes",
    patient_id="MED_LYMPH_001",
    series_uid="1.2.3",
    modality="CT",
    doi=DOI,
    licence_name="Creative Commons Attribution 3.0 Unported License",
    licence_uri="http://creativecommons.org/licenses/by/3.0/",
)
CITED = credit.citations([ORIGIN])


@pytest.fixture
def pixels():
    values = np.random.default_rng(1).integers(0, 255, (300, 700, 4))
    return values.astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
def test_every_pixel_stays_and_credit_stands_below(tmp_path, pixels, suffix):
    path = tmp_path / f"a{suffix}"
    written = figure.write(path, pixels, "T", ["Slice 3."], [ORIGIN], CITED)
    assert [p.name for p in written] == [f"a{suffix}", "a.bib", "a.txt"]
    again = io.imread(path)
    np.testing.assert_array_equal(again[:300, :700], pixels[..., :3])
    band = again[300:]
    assert (band == 255).mean() > 0.5
    assert (band < 60).any()  # words are drawn on it
    assert len(band) > 60
    assert DOI in written[1].read_text()
    caption = written[2].read_text()
    for word in ("T\n", "Slice 3.", DOI, "CC BY 3.0", "by/3.0/", "Clark"):
        assert word in caption
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in written)


def test_png_carries_caption_and_provenance(tmp_path, pixels):
    figure.write(tmp_path / "a.png", pixels, "Ärzte", ["x"], [ORIGIN], CITED)
    with Image.open(tmp_path / "a.png") as image:
        found = image.text
    assert found["Title"] == "Ärzte"
    assert "CC BY 3.0" in found["Copyright"]
    (origin,) = json.loads(found["Provenance"])
    assert Provenance.from_dict(origin) == ORIGIN


def test_tiff_carries_credit_in_its_tags(tmp_path, pixels):
    figure.write(tmp_path / "a.tif", pixels, "T", ["x"], [ORIGIN], CITED)
    with Image.open(tmp_path / "a.tif") as image:
        tags = image.getexif()
    assert DOI in tags[33432]
    assert '"series_uid": "1.2.3"' in tags[270]


def test_synthetic_is_said_and_unknown_names_nobody(tmp_path, pixels):
    stranger = Provenance(patient_id="Doe^John", series_uid="9.9.9")
    made_up = replace(ORIGIN, synthetic=True)
    words = picture.words(stranger, "k 1 (image 2), z 3.0 mm", None)
    figure.write(tmp_path / "a.png", pixels, "T", words, [stranger, made_up], ())
    text = (tmp_path / "a.txt").read_text()
    assert "SYNTHETIC" in text
    assert "unknown origin" in text
    assert "9.9.9" not in text
    assert b"Doe" not in (tmp_path / "a.png").read_bytes()
    assert (tmp_path / "a.bib").read_text().startswith("% Nothing")


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.png.txt"])
def test_other_endings_are_refused(tmp_path, pixels, name):
    with pytest.raises(UsageError, match="End it with"):
        figure.write(tmp_path / name, pixels, "T", [], [ORIGIN], CITED)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (0, 4, 3)])
def test_what_is_no_picture_is_refused(tmp_path, shape):
    with pytest.raises(UsageError, match="no picture"):
        figure.write(tmp_path / "a.png", np.zeros(shape, "u1"), "", [], [ORIGIN], ())


def test_without_its_references_no_picture_stands(tmp_path, pixels):
    (tmp_path / "a.bib").mkdir()  # cannot be written
    with pytest.raises(NotWritable):
        figure.write(tmp_path / "a.png", pixels, "T", [], [ORIGIN], CITED)
    assert [p.name for p in tmp_path.iterdir()] == ["a.bib"]


@given(st.text(max_size=400), st.integers(1, 900))
def test_no_letter_of_a_caption_is_lost_and_none_runs_out(text, columns):
    font = figure._font(15)
    rows = figure._wrap(text, font, 600)
    assert "".join(rows).replace(" ", "") == "".join(text.split())
    assert all(font.getlength(row) <= 600 for row in rows)
    caption = figure.Caption(text, (), (), False)
    framed = figure.compose(np.zeros((2, columns, 3), np.uint8), caption)
    assert framed.shape[1] == max(640, columns)


def case_of(affine):
    array = np.full((4, 6, 8), -1000, dtype=np.int16)
    array[2, 1, 2] = 400
    volume = replace(volume_of(array, affine), provenance=ORIGIN)
    mask = np.zeros(array.shape, np.uint8)
    mask[2, 3:5, 4:7] = 1
    labels = LabelSet(mask, (Segment(1, "n"),), "Nodes", "seg", ORIGIN)
    node = NodeRow(1, 1, "seg", (0, 0, 0), 2, 9.0, 8.0, index=(2.0, 3.0, 5.0))
    return Case("MED_LYMPH_001", volume, (labels,), nodes=(node,))


@pytest.mark.parametrize("row", [1, -1])
@pytest.mark.parametrize("column", [1, -1])
def test_a_slice_shows_the_right_of_the_patient_on_the_left(row, column):
    affine = make_affine((0, 0, 0), (row, 0, 0, 0, column, 0), (5, 1, 1))
    case = case_of(affine)
    seen = figure.slice_picture(case.volume, (), 2, (50, 350))
    scale = seen.shape[1] // 8
    assert seen.shape == (6 * scale, 8 * scale, 3)
    at = np.array([1 if column > 0 else 4, 2 if row > 0 else 5])
    y, x = (at * scale + scale // 2).tolist()
    assert seen[y, x].tolist() == [255] * 3


def test_voxels_are_as_tall_as_they_are_in_the_patient():
    affine = make_affine((0, 0, 0), (1, 0, 0, 0, 1, 0), (5, 2, 1))
    case = case_of(affine)
    rows, columns, _ = figure.slice_picture(case.volume, (), 2, (50, 350)).shape
    assert rows / columns == pytest.approx(6 * 2 / 8)


def test_a_case_is_drawn_at_its_largest_node(tmp_path):
    case = case_of(make_affine((0, 0, 0), (1, 0, 0, 0, 1, 0), (5, 1, 1)))
    path, _, text = picture.write_case(case, tmp_path / "new", CITED)
    assert path.name == "MED_LYMPH_001_figure.png"
    words = text.read_text()
    assert "k 2 (image 3), z 10.0 mm" in words
    assert "Outlined: reference" in words
    colours = io.imread(path).reshape(-1, 3)
    assert (colours == (0xE6, 0x9F, 0x00)).all(axis=1).sum() > 100


def test_broken_geometry_is_no_figure(tmp_path):
    case = case_of(make_affine((0, 0, 0), (1, 0, 0, 0, 1, 0), (5, 1, 1)))
    failed = Passport((Check("gap", "fail", "Slices are shifted."),))
    case = replace(case, volume=replace(case.volume, passport=failed))
    with pytest.raises(BrokenGeometry):
        picture.write_case(case, tmp_path / "a.png", CITED)
    assert list(tmp_path.iterdir()) == []


def test_noise_has_a_window_of_its_own():
    volume = replace(
        volume_of(noise((3, 8, 8)), np.eye(4)), quantity="counts", provenance=ORIGIN
    )
    seen = figure.slice_picture(volume, (), 1, (0, 1))
    assert set(np.unique(seen)) <= set(range(256))
