"""As-you-type search: exact first, a typing mistake away soon after."""

import string
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from napari_tcia.app.instant import Index, recognised
from napari_tcia.app.interpret import interpret
from napari_tcia.app.services import Services
from napari_tcia.app.spelling import Keys, plain
from napari_tcia.core.model import SearchQuery
from napari_tcia.core.settings import Settings


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    return Services.open(Settings(home=tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def index(services):
    return Index.of(services)


def slow_distance(first, second):
    """Optimal string alignment, by the book."""
    d = {(i, 0): i for i in range(len(first) + 1)}
    d |= {(0, j): j for j in range(len(second) + 1)}
    for i in range(1, len(first) + 1):
        for j in range(1, len(second) + 1):
            d[i, j] = min(
                d[i - 1, j] + 1,
                d[i, j - 1] + 1,
                d[i - 1, j - 1] + (first[i - 1] != second[j - 1]),
            )
            if i > 1 and j > 1 and first[i - 2 : i] == second[j - 2 : j][::-1]:
                d[i, j] = min(d[i, j], d[i - 2, j - 2] + 1)
    return d[len(first), len(second)]


LETTERS = st.text("abc", max_size=7)


@given(LETTERS, st.lists(LETTERS, min_size=1, max_size=6), st.integers(0, 3))
def test_distances_are_those_of_the_book(text, keys, most):
    whole, start = Keys(keys).distances(text, most)
    if not text:
        return
    expected = [min(slow_distance(text, key), most + 1) for key in keys]
    np.testing.assert_array_equal(whole, expected)
    begins = [
        min(slow_distance(text, key[:n]) for n in range(len(key) + 1)) for key in keys
    ]
    np.testing.assert_array_equal(start, np.minimum(begins, most + 1))


def edits(draw, name, letters):
    """`name` with one character more, less or other, or two swapped."""
    places = [n for n, c in enumerate(name) if c.isalpha()]
    at = draw(st.sampled_from(places))
    kind = draw(st.sampled_from(["insert", "delete", "replace", "swap"]))
    letter = draw(st.sampled_from(letters))
    if kind == "insert":
        return name[:at] + letter + name[at:]
    if kind == "delete":
        return name[:at] + name[at + 1 :]
    if kind == "replace":
        return name[:at] + letter + name[at + 1 :]
    return name[:at] + name[at : at + 2][::-1] + name[at + 2 :]


@given(st.data())
def test_one_mistake_in_a_collection_still_finds_it(index, services, data):
    names = [c for c in services.catalogue.collections if len(plain(c)) > 4]
    name = data.draw(st.sampled_from(names))
    typed = edits(data.draw, name, string.ascii_letters)
    found = [s.text for s in index.matching(typed) if s.kind == "collection"]
    assert name in found[:6], typed


@given(st.data())
def test_one_mistake_in_a_patient_still_finds_it(index, services, data):
    """In its letters; another number is another patient's name."""
    patients = sorted({s.patient_id for s in services.catalogue.series})
    patient = data.draw(st.sampled_from(patients))
    typed = edits(data.draw, patient, string.ascii_letters)
    assert patient in [s.text for s in index.matching(typed)][:3], typed


@given(st.data())
def test_an_unreadable_digit_offers_all_that_it_may_be(index, services, data):
    patients = sorted({s.patient_id for s in services.catalogue.series})
    patient = data.draw(st.sampled_from([p for p in patients if "LYMPH" in p]))
    at = data.draw(st.integers(len(patient) - 3, len(patient) - 1))
    typed = patient[:at] + "x" + patient[at + 1 :]
    assert patient in [s.text for s in index.matching(typed)], typed


@example("~0")
@example("\ud800")
@given(st.text(max_size=40))
def test_any_text_is_answered(index, text):
    found = index.matching(text, 5)
    assert len(found) <= 5
    assert len({(s.kind, s.text) for s in found}) == len(found)


@pytest.mark.parametrize(
    ("typed", "kind", "text"),
    [
        ("CT Lymph Nodes", "collection", "CT Lymph Nodes"),
        ("ct_lymph_nodes", "collection", "CT Lymph Nodes"),
        ("MED LYMPH 21", "patient", "MED_LYMPH_021"),
        ("med-lymph-021", "patient", "MED_LYMPH_021"),
        ("ABD_LYPMH_003", "patient", "ABD_LYMPH_003"),
        ("lidc", "collection", "LIDC-IDRI"),
        ("CT Lymf", "collection", "CT Lymph Nodes"),
        ("10.7937/K9/TCIA.2015.AQI", "doi", "10.7937/K9/TCIA.2015.AQIIDCNM"),
        ("doi.org/10.7937/k9/tcia.2015.aqi", "doi", "10.7937/K9/TCIA.2015.AQIIDCNM"),
    ],
)
def test_first_suggestion(index, typed, kind, text):
    first = index.matching(typed)[0]
    assert (first.kind, first.text) == (kind, text)
    assert first.detail


def test_uids(index, services):
    one = services.catalogue.series[0]
    first = index.matching(one.series_uid)[0]
    assert (first.kind, first.text) == ("series", one.series_uid)
    assert index.matching(one.study_uid)[0].kind == "study"
    begun = index.matching(one.series_uid[:12])
    assert begun
    assert all(s.text.startswith(one.series_uid[:12]) for s in begun)
    assert index.matching("9.9.9") == ()


def test_words_in_any_order(index):
    found = index.matching("nodes lymph ct")
    assert ("collection", "CT Lymph Nodes") in [(s.kind, s.text) for s in found][:3]


def test_paths(index, services, tmp_path):
    manifest = tmp_path / "cart.tcia"
    manifest.write_text("ListOfSeriesToDownload=\n1.2.3\n")
    assert [s.kind for s in index.matching(str(manifest))] == ["manifest"]
    assert [s.kind for s in index.matching(str(tmp_path))] == ["folder"]
    assert recognised(services, str(manifest)) == "manifest cart.tcia"
    assert recognised(services, str(tmp_path)) == f"folder {tmp_path.name}"
    assert index.matching(str(tmp_path / "no such place.tcia")) == ()


def test_a_folder_of_that_name_does_not_hide_a_collection(
    services, tmp_path, monkeypatch
):
    (tmp_path / "LIDC-IDRI").mkdir()
    monkeypatch.chdir(tmp_path)
    assert recognised(services, "LIDC-IDRI") == "collection LIDC-IDRI"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("MED LYMPH 21", "patient MED_LYMPH_021"),
        ("MED_LYPMH_021", "patient MED_LYMPH_021"),
        ("case 2", "patient case_0002"),
        ("CT Lymf Nodes", "collection CT Lymph Nodes"),
        ("1.2.3", "series or study 1.2.3"),
        ("lymph", ""),
        ("lung nodules", ""),
        ("MED_LYMPH_02x", ""),
        ("", ""),
    ],
)
def test_recognised(services, typed, words):
    assert recognised(services, typed) == words


def test_recognised_uid_and_doi(services):
    uid = services.catalogue.series[0].series_uid
    assert recognised(services, uid) == f"series {uid}"
    doi = "10.7937/K9/TCIA.2015.AQIIDCNM"
    assert recognised(services, doi) == f"DOI {doi}, collection CT Lymph Nodes"


@given(st.data())
def test_every_name_means_itself(services, data):
    names = sorted(services.catalogue.collections)
    name = data.draw(st.sampled_from(names))
    written = data.draw(st.sampled_from([name, name.lower(), name.replace(" ", "_")]))
    assert interpret(services, written) == SearchQuery(collection=name)


def test_threads_may_ask_at_once(index):
    typed = ["med lymph 21", "lymph", "lidc", "CT Lymf"] * 5
    alone = [index.matching(text) for text in typed]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(index.matching, typed)) == alone
