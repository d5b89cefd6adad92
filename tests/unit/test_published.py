"""The grid of a case of CT Lymph Nodes against what the collection published."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from annotation_factory import volume_of
from napari_tcia.core.image import Check, Passport
from napari_tcia.core.model import Provenance
from napari_tcia.nodes.published import as_published, published_spacing

PATIENT = "MED_LYMPH_021"


def _volume(spacing=(5.0, 323 / 512, 323 / 512), declared=56, slices=56, **more):
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[::-1] * spacing
    array = np.zeros((slices, 8, 8), np.int16)
    volume = volume_of(array, affine)
    verdict = "pass" if declared in (None, slices) else "fail"
    count = Check("declared_count", verdict, "x", {"declared": declared})
    origin = Provenance(collection="CT Lymph Nodes", patient_id=PATIENT)
    return replace(
        volume, passport=Passport((count,)), provenance=replace(origin, **more)
    )


def _verdicts(volume):
    return {check.numbers["rule"]: check.verdict for check in as_published(volume)}


def test_as_it_was_published_passes():
    rules = ("G2", "G3", "G4", "G5")
    assert _verdicts(_volume()) == dict.fromkeys(rules, "pass")


@pytest.mark.parametrize(
    ("turn", "verdict"),
    [
        (np.diag([1.0, 1.0, 1.0]), "pass"),
        (np.diag([1.0, -1.0, 1.0]), "warn"),  # rows run to the front
        (np.eye(3)[[0, 2, 1]], "warn"),  # coronal
        (np.array([[1, 0, 0], [0, 1, 2e-4], [0, -2e-4, 1.0]]), "warn"),
        (np.array([[1, 0, 0], [0, 1, 5e-5], [0, -5e-5, 1.0]]), "pass"),
    ],
)
def test_other_orientations_warn(turn, verdict):
    volume = _volume()
    affine = volume.affine.copy()
    affine[:3, :3] = turn @ affine[:3, :3]
    assert _verdicts(replace(volume, affine=affine))["G2"] == verdict


@pytest.mark.parametrize(
    ("off", "verdict"), [(0.0, "pass"), (0.01, "pass"), (0.011, "warn")]
)
def test_the_steps(off, verdict):
    volume = _volume()
    even = Check("uniform_step", "pass", "x", {"max_deviation_mm": off})
    checks = (*volume.passport.checks, even)
    assert _verdicts(replace(volume, passport=Passport(checks)))["G3"] == verdict


@pytest.mark.parametrize(
    ("declared", "slices", "verdict"),
    [(56, 56, "pass"), (None, 56, "warn"), (56, 55, "fail")],
)
def test_the_number_of_slices(declared, slices, verdict):
    assert _verdicts(_volume(declared=declared, slices=slices))["G4"] == verdict


@pytest.mark.parametrize(
    ("spacing", "verdict"),
    [
        ((5.0005, 323 / 512, 323 / 512), "pass"),
        ((5.02, 323 / 512, 323 / 512), "warn"),  # 1.1 mm at the end
        ((5.1, 323 / 512, 323 / 512), "fail"),  # 5.5 mm at the end
        ((1.0, 323 / 512, 323 / 512), "fail"),
    ],
)
def test_the_spacing(spacing, verdict):
    assert _verdicts(_volume(spacing))["G5"] == verdict
    if verdict == "fail":
        (check,) = [c for c in as_published(_volume(spacing)) if c.verdict == "fail"]
        assert "resampled" in check.message


def test_what_is_not_of_the_collection_is_not_compared():
    assert as_published(_volume(collection="LIDC-IDRI")) == ()
    assert as_published(_volume(synthetic=True)) == ()
    assert _verdicts(_volume(patient_id="MED_LYMPH_091"))["G5"] == "warn"


def test_spacings_are_known_for_all_patients_and_no_others():
    ids = [f"ABD_LYMPH_{n:03d}" for n in range(1, 87)]
    ids += [f"MED_LYMPH_{n:03d}" for n in range(1, 91)]
    found = [published_spacing(one) for one in ids]
    assert None not in found
    steps = [one[0] for one in found]
    assert [steps.count(s) for s in (0.75, 1.0, 1.25, 5.0)] == [1, 140, 33, 2]
    for other in ("ABD_LYMPH_000", "ABD_LYMPH_087", "MED_LYMPH_091", "MED_LYMPH_1", ""):
        assert published_spacing(other) is None
