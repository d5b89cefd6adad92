"""The twin's text files have the shape of the published ones, byte rule by byte rule.

Every pattern must hold for all 176 published patients and for the twin: one that is
too narrow fails on the former, and a twin that strays fails on the latter.
"""

import re
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from napari_tcia.demo.cases import all_cases

SHARED = Path(__file__).parents[3] / "shared/data/nih-annotations"
PARTS = ("ANNOTATIONS", "CANDIDATES")
pytestmark = pytest.mark.skipif(
    not all((SHARED / f"MED_ABD_LYMPH_{part}.zip").exists() for part in PARTS),
    reason="The published annotation files (../shared) are not beside the repository.",
)

PLAIN = r"-?(?:0|[1-9]\d*)(?:\.\d*[1-9])?"
"""A number as ``%g`` prints it: no zero too many, no plus, no bare point."""
SHORT = rf"(?:{PLAIN}|-?[1-9](?:\.\d+)?e-\d\d)"
LONG = rf"(?:{PLAIN}|-?[1-9](?:\.\d+)?e-0\d\d)"
SIZE = r"(?:0|[1-9]\d?(?:\.\d?[1-9])?)"
CROWN = re.escape(
    '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
    "<point_set_file>\n  <file_version>0.1</file_version>\n  <point_set>\n"
    "    <time_series>\n      <time_series_id>0</time_series_id>\n"
)
POINT = (
    r"      <point>\n        <id>\d+</id>\n        <specification>0</specification>\n"
    rf"        <x>{SHORT}</x>\n        <y>{SHORT}</y>\n        <z>{SHORT}</z>\n"
    r"      </point>\n"
)
FOOT = r"    </time_series>\n  </point_set>\n</point_set_file>\n"
MPS = rf"{CROWN}(?:{POINT})+{FOOT}"
RULES = {
    "lymphnodes_indices.txt": dict.fromkeys(
        ("MED", "ABD"), r"(?:(?:0|[1-9]\d*)(?: (?:0|[1-9]\d*)){2}\n)+"
    ),
    "lymphnodes_physicalPoints.txt": dict.fromkeys(
        ("MED", "ABD"), rf"(?:{SHORT}(?: {SHORT}){{2}}\n)+"
    ),
    "lymphnodes_physicalPoints.mps": dict.fromkeys(("MED", "ABD"), MPS),
    "lymphnodes_sizes.txt": {
        "MED": rf"(?:{SIZE}\n)+",
        "ABD": rf"(?:{SIZE} {SIZE}\n)+",
    },
    "negCADe_grtIDs.txt": dict.fromkeys(("MED", "ABD"), r"(?:-1\n)*"),
    "posCADe_grtIDs.txt": {"MED": r"(?:[1-9]\d{2,3}\n)*", "ABD": r"(?:1\d{4}\n)*"},
    "negCADe_physicalPoints.txt": dict.fromkeys(
        ("MED", "ABD"), rf"(?:{LONG}(?: {LONG}){{2}}\r\n)*"
    ),
    "posCADe_physicalPoints.txt": {
        "MED": rf"(?:{LONG}(?: {LONG}){{2}}\r\n)*",
        "ABD": rf"(?:{SHORT}(?: {SHORT}){{2}}\n)*",
    },
    "negCADe_physicalPoints.mps": dict.fromkeys(("MED", "ABD"), rf"(?:{MPS})?"),
    "posCADe_physicalPoints.mps": dict.fromkeys(("MED", "ABD"), rf"(?:{MPS})?"),
}
"""What each kind of file is made of, for patients of the chest and of the abdomen."""


def _published():
    for part in PARTS:
        with zipfile.ZipFile(SHARED / f"MED_ABD_LYMPH_{part}.zip") as archive:
            for name in archive.namelist():
                top, patient, file = name.split("/")
                assert top == f"MED_ABD_LYMPH_{part}"
                yield patient, file, archive.read(name)


def _twins():
    for case in all_cases(20):
        patient = case.identity.patient_id
        if "_LYMPH_" in patient:
            files = case.point_files() | case.candidate_files()
            yield from ((patient, file, data) for file, data in files.items())


@pytest.fixture(scope="module", params=["published", "twin"])
def patients(request):
    """Contents by kind, by patient."""
    found = {}
    for patient, file, data in (
        _published() if request.param == "published" else _twins()
    ):
        assert file.startswith(f"{patient}_")
        kind = file.removeprefix(f"{patient}_")
        found.setdefault(patient, {})[kind] = data.decode("ascii")
    return found


def _rows(text):
    return np.array([line.split() for line in text.splitlines()], dtype=float)


def test_every_byte_follows_the_rules(patients):
    assert {"MED", "ABD"} == {patient[:3] for patient in patients}
    for patient, files in patients.items():
        assert set(files) == set(RULES)
        for kind, rule in RULES.items():
            assert re.fullmatch(rule[patient[:3]], files[kind]), (patient, kind)


def test_numbers_have_at_most_six_digits(patients):
    for files in patients.values():
        for kind, text in files.items():
            if kind.endswith("Points.txt"):
                for number in text.split():
                    digits = number.partition("e")[0].replace(".", "").strip("-0")
                    assert len(digits) <= 6


def test_point_sets_repeat_the_texts(patients):
    for files in patients.values():
        for kind in [kind for kind in files if kind.endswith(".mps")]:
            mps, text = files[kind], files[kind[:-3] + "txt"]
            found = re.findall(r"<[xyz]>(.*?)</", mps)
            assert found == re.sub(r"e-0(\d\d)", r"e-\1", text).split()
            ids = [int(number) for number in re.findall(r"<id>(\d+)", mps)]
            assert ids == list(range(len(found) // 3))


def test_sizes_repeat_themselves_in_pixels(patients):
    odd = []
    for patient, files in patients.items():
        sizes = _rows(files["lymphnodes_sizes.txt"])
        if patient.startswith("MED"):
            assert sizes.shape[1] == 1
            continue
        ratio = sizes[:, 1] / sizes[:, 0]
        off = np.abs(ratio / np.median(ratio) - 1) > 0.01
        odd += [(patient, int(row) + 1) for row in np.flatnonzero(off)]
        pixel = 1 / np.median(ratio)
        same = np.round(sizes[:, 1] * pixel, 2) - sizes[:, 0]
        assert np.abs(same[~off]).max() < 0.1
    assert odd == [("ABD_LYMPH_003", 5), ("ABD_LYMPH_071", 6)]


def test_one_size_is_missing(patients):
    zero = [
        patient
        for patient, files in patients.items()
        if 0 in _rows(files["lymphnodes_sizes.txt"])
    ]
    assert zero == ["MED_LYMPH_010"]


def test_rows_agree_and_are_in_no_order(patients):
    orders = set()
    for files in patients.values():
        tables = [_rows(files[kind]) for kind in files if kind.startswith("lymph")
                  and kind.endswith(".txt")]  # fmt: skip
        assert len({len(table) for table in tables}) == 1
        k = _rows(files["lymphnodes_indices.txt"])[:, 2]
        steps = {int(np.sign(b - a)) for a, b in pairwise(k)} - {0}
        orders.add(frozenset(steps))
    assert frozenset({-1, 1}) in orders


def test_candidates_name_their_nodes(patients):
    for patient, files in patients.items():
        nodes = _rows(files["lymphnodes_physicalPoints.txt"])
        text = files["posCADe_physicalPoints.txt"]
        for sign in ("pos", "neg"):
            counts = {
                len(files[f"{sign}CADe_{end}"].splitlines())
                for end in ("grtIDs.txt", "physicalPoints.txt")
            }
            assert len(counts) == 1
        if not text:
            continue
        base = 100 * int(patient[-3:]) + (10000 if patient.startswith("ABD") else 0)
        rows = np.array(files["posCADe_grtIDs.txt"].split(), dtype=int) - base
        assert rows.min() >= 1
        assert rows.max() <= len(nodes)
        gaps = np.linalg.norm(_rows(text)[:, None] - nodes, axis=2)
        assert (gaps[np.arange(len(rows)), rows - 1] == gaps.min(axis=1)).all()
        if patient.startswith("ABD"):
            assert set(rows.tolist()) == set(range(1, len(nodes) + 1))
            near = np.abs(_rows(text)[:, None] - nodes).max(axis=2).min(axis=0)
            assert near.max() < 0.1001
        else:
            assert gaps.min(axis=1).max() <= 15


def test_empty_files_are_those_of_the_published_patients(patients):
    empty = {sign: [] for sign in ("neg", "pos")}
    for patient, files in patients.items():
        for sign, found in empty.items():
            kinds = [kind for kind in files if kind.startswith(sign)]
            blank = {files[kind] == "" for kind in kinds}
            assert len(blank) == 1
            found += [patient] * blank.pop()
    neither = {f"MED_LYMPH_{n:03d}" for n in (4, 21, 37, 43, 73, 84, 90)}
    assert set(empty["neg"]) == neither & set(patients)
    only = {f"MED_LYMPH_{n:03d}" for n in (10, 30, 45, 62)}
    assert set(empty["pos"]) == (neither | only) & set(patients)
    assert empty["neg"]


def test_candidates_mostly_run_from_head_to_feet(patients):
    down = {"negCADe": [], "posCADe": []}
    for patient, files in patients.items():
        for sign, found in down.items():
            text = files[f"{sign}_physicalPoints.txt"]
            # The positives of the abdomen are in no order.
            if text and not (sign == "posCADe" and patient.startswith("ABD")):
                z = _rows(text)[:, 2]
                found.append(bool((np.diff(z) <= 0).all()))
    assert all(np.mean(found) > 0.75 for found in down.values())


def test_one_exponent_has_three_digits(patients):
    found = [
        number
        for files in patients.values()
        for number in re.findall(r"e-\d+", files["negCADe_physicalPoints.txt"])
    ]
    assert found
    assert set(found) == {"e-005"}
