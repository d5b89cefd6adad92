"""A user's own copies of the published zips: kept once, used by every case."""

import hashlib
import json
import zipfile

import numpy as np
import pytest

import stored_series
from napari_tcia.app import supplements
from napari_tcia.app.case import open_case
from napari_tcia.app.services import Services
from napari_tcia.cli.commands import perform
from napari_tcia.core.settings import Settings
from napari_tcia.demo.twin import phantom_case
from napari_tcia.errors import (
    CorruptData,
    NothingFound,
    TermsNotAccepted,
    UnsafeArchive,
    UsageError,
)

SMALL = {"matrix": 64, "slices": 30, "step": 8.0}
PATIENT = "MED_LYMPH_001"
COLLECTION = "CT Lymph Nodes"


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    return phantom_case(tmp_path_factory.mktemp("phantom"), PATIENT, **SMALL)


@pytest.fixture
def services(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_TCIA_HOME", str(tmp_path / "home"))
    return Services.open(Settings.from_environment())


def zipped(path, files, top=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.write(file, f"{top}{PATIENT}/{file.name}")
    return path


def published(phantom, folder, top=""):
    """The three zips, as they are published, of one patient."""
    files = [f for f in phantom.rglob("*") if f.is_file()]
    points = next(f for f in files if f.name.endswith("physicalPoints.txt"))
    found = folder / f"{PATIENT}_negCADe_physicalPoints.txt"
    found.write_bytes(points.read_bytes())
    return [
        zipped(folder / f"MED_ABD_LYMPH_{kind}.zip", chosen, top)
        for kind, chosen in (
            ("ANNOTATIONS", [f for f in files if "_lymphnodes_" in f.name]),
            ("MASKS", [f for f in files if "_mask" in f.name]),
            ("CANDIDATES", [found]),
        )
    ]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_kept_once_and_used_by_the_cases(services, phantom, tmp_path, depth):
    kept = stored_series.store(services, phantom / "CT", COLLECTION)
    (own,) = open_case(services, phantom)
    (bare,) = open_case(services, kept.path)
    assert (bare.labels, bare.points) == ((), None)
    folder = "MED_ABD_LYMPH/"
    for path in published(phantom, tmp_path, folder * depth):
        record, _ = supplements.add(services, path)
        assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        path.unlink()
    (case,) = open_case(services, kept.path)
    (mask,) = case.labels
    (truth,) = (one for one in own.labels if one.source == "mask")
    np.testing.assert_array_equal(mask.array, truth.array)
    np.testing.assert_array_equal(case.points.points, own.points.points)
    (candidates,) = case.candidates
    np.testing.assert_array_equal(candidates.points, own.points.points)
    assert case.issues == own.issues


def test_a_mask_zip_of_other_bytes_is_kept_and_told(services, phantom, tmp_path):
    stored_series.store(services, phantom / "CT", COLLECTION)
    path = published(phantom, tmp_path)[1]
    path = path.rename(tmp_path / "MED_ABD_LYMPH_MASKS (1).zip")
    record, (issue,) = supplements.add(services, path)
    assert record["name"] == "MED_ABD_LYMPH_MASKS.zip"
    assert issue.code == "other_checksum"
    assert issue.numbers["published"].startswith("ace3475c21f0")
    assert path.exists()


def test_without_accepted_terms_nothing_is_kept(services, phantom, tmp_path):
    for path in published(phantom, tmp_path):
        with pytest.raises(TermsNotAccepted):
            supplements.add(services, path)
    home = services.settings.home
    assert not [f for f in home.rglob("*") if f.name.endswith((".zip", ".zip.json"))]


def test_what_is_kept_stays_until_a_whole_one_comes(services, phantom, tmp_path):
    stored_series.store(services, phantom / "CT", COLLECTION)
    path = published(phantom, tmp_path)[1]
    supplements.add(services, path)
    place = services.store.find_file(
        services.settings.archive_host, "MED_ABD_LYMPH_MASKS.zip"
    )
    whole = place.read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.raises(CorruptData):
        supplements.add(services, path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../out.nii.gz", b"out")
    with pytest.raises(UnsafeArchive):
        supplements.add(services, path)
    path.unlink()
    with pytest.raises(NothingFound):
        supplements.add(services, path)
    assert place.read_bytes() == whole
    assert not [f for f in place.parent.iterdir() if ".part-" in f.name]


def test_another_name_is_refused_with_the_known_ones(services, tmp_path):
    with pytest.raises(UsageError, match=r"MED_ABD_LYMPH_MASKS\.zip"):
        supplements.add(services, tmp_path / "masks.zip")


def test_on_the_command_line(services, phantom, tmp_path, capsys):
    path = published(phantom, tmp_path)[0]
    assert perform(["files", "add", str(path), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "terms_not_accepted"
    stored_series.store(services, phantom / "CT", COLLECTION)
    assert perform(["files", "add", str(path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in answer["records"]] == [path.name]
    assert answer["issues"] == []
