"""What is credited, and in which order."""

from dataclasses import replace

import pytest

from napari_tcia.cite.citation import (
    citations_for,
    for_collection,
    for_doi,
    from_csl,
    parse_apa,
    session_terms,
    short_line,
)
from napari_tcia.cite.references import DATASETS, PAPERS, TCIA_PAPER
from napari_tcia.core.model import TWIN_UID_ROOT, CollectionFacts, Provenance
from napari_tcia.terms.licence import LICENCES

NODES = Provenance(
    origin="archive",
    collection="CT Lymph Nodes",
    doi="10.7937/K9/TCIA.2015.AQIIDCNM",
    licence_id="CC-BY-3.0",
    terms="accepted",
)
LIDC = replace(NODES, collection="LIDC-IDRI", doi="10.7937/k9/tcia.2015.lo9ql9sx")
OTHER = Provenance(
    origin="folder", collection="Höfener-Set", licence_id="CC-BY-NC-4.0", doi=""
)
FACTS = {
    "Höfener-Set": CollectionFacts(
        name="Höfener-Set",
        title="A set",
        doi="10.5281/zenodo.14933087",
        licence="CC BY 4.0",
        citation_text="Höfener, H., Van Oss, J., &amp; McNItt-Gray, M. F. (2025).\n"
        "<i>A set: of things (HS)</i> (Version 2) [Data set]. Zenodo. "
        "https://doi.org/10.5281/ZENODO.14933087",
    )
}
TCIA_DOI = "10.1007/s10278-013-9622-7"


def cite(*provenances):
    return citations_for(provenances, FACTS.get)


def test_ct_lymph_nodes_asks_for_five_works():
    found = cite(NODES)
    assert [(c.kind, c.doi) for c in found] == [
        ("dataset", "10.7937/K9/TCIA.2015.AQIIDCNM"),
        ("paper", "10.1007/978-3-319-10404-1_65"),
        ("paper", "10.1007/978-3-319-10404-1_68"),
        ("paper", "10.1007/978-3-319-24571-3_7"),
        ("archive", TCIA_DOI),
    ]
    assert found[0].licence == "CC BY 3.0"
    assert found[0].text == (
        "Roth, H., Lu, L., Seff, A., Cherry, K. M., Hoffman, J., Wang, S., Liu, J., "
        "Turkbey, E., & Summers, R. M. (2015). A new 2.5 D representation for lymph "
        "node detection in CT (CT Lymph Nodes) [Data set]. The Cancer Imaging Archive. "
        "https://doi.org/10.7937/K9/TCIA.2015.AQIIDCNM"
    )
    assert "26(6), 1045–1057" in found[-1].text
    assert "Shin, H.-C., & Summers" in found[3].text


def test_each_work_once_whatever_the_case_of_its_doi():
    lower = replace(NODES, doi="https://doi.org/10.7937/k9/tcia.2015.aqiidcnm")
    assert cite(NODES, lower, NODES) == cite(NODES)
    both = cite(NODES, LIDC)
    kinds = [c.kind for c in both]
    assert kinds == ["dataset"] * 2 + ["paper"] * 4 + ["archive"]
    assert len({c.key for c in both}) == len(both)
    assert all(c.key == c.key.lower() for c in both)


def test_long_author_lists_are_cut_in_text_and_whole_in_csl():
    dataset = cite(LIDC)[0]
    assert "Laderach, G. E., … Clarke, L. P. (2015)" in dataset.text
    assert dataset.text.startswith("Armato, S. G., III, McLennan, G.")
    assert len(dataset.csl["author"]) == 56


@pytest.mark.parametrize(
    "one",
    [
        replace(NODES, synthetic=True),
        replace(NODES, series_uid=TWIN_UID_ROOT + "1"),
        replace(NODES, origin="unknown", synthetic=True),
        replace(NODES, study_uid=TWIN_UID_ROOT + "1", origin="folder"),
    ],
)
def test_the_phantom_never_cites_the_real_dataset(one):
    (only,) = cite(one, one)
    assert only.kind == "synthetic"
    assert only.doi == only.url == ""
    assert "DOI" not in only.csl
    assert only.text.startswith(
        "napari-tcia developers. Synthetic phantom modelled on CT Lymph Nodes "
        "(doi:10.7937/K9/TCIA.2015.AQIIDCNM); not patient data"
    )


def test_phantom_beside_real_data_adds_one_and_takes_none():
    found = cite(replace(LIDC, synthetic=True), LIDC)
    assert [c.kind for c in found] == ["dataset", "synthetic", "paper", "archive"]


def test_unknown_origin_is_never_credited_to_tcia():
    assert cite(Provenance()) == ()
    assert cite(replace(NODES, origin="unknown")) == ()


def test_other_collections_use_the_archives_own_sentence():
    dataset, tcia = cite(OTHER)
    assert tcia.doi == TCIA_DOI
    assert dataset.text == (
        "Höfener, H., Van Oss, J., & McNItt-Gray, M. F. (2025). A set: of things (HS) "
        "(Version 2) [Data set]. Zenodo. https://doi.org/10.5281/ZENODO.14933087"
    )
    assert dataset.licence == "CC BY-NC 4.0"
    assert dataset.key == "10.5281/zenodo.14933087"
    assert dataset.csl["author"] == [
        {"family": "Höfener", "given": "H."},
        {"family": "Van Oss", "given": "J."},
        {"family": "McNItt-Gray", "given": "M. F."},
    ]
    assert dataset.csl["title"] == "A set: of things (HS)"
    assert dataset.csl["version"] == "2"
    assert dataset.csl["publisher"] == "Zenodo"


def test_annotations_with_a_doi_of_their_own_are_a_dataset_of_their_own():
    marks = replace(NODES, doi="10.7937/TCIA.2019.OWN")
    found = [c for c in cite(NODES, marks) if c.kind == "dataset"]
    assert [c.doi for c in found] == [NODES.doi, "10.7937/TCIA.2019.OWN"]


def test_mixed_licences_of_one_dataset_are_all_named():
    first = cite(NODES, replace(NODES, licence_id="CC-BY-NC-4.0"))[0]
    assert first.licence == "CC BY 3.0 / CC BY-NC 4.0"


def test_data_of_an_archive_without_a_name_still_credits_the_archive():
    (only,) = cite(Provenance(origin="archive"))
    assert only.kind == "archive"


def test_by_collection_and_by_doi():
    assert for_collection(FACTS["Höfener-Set"])[0].licence == "CC BY 4.0"
    found = for_doi("https://doi.org/10.7937/QVAZ-JA09", FACTS.get)
    assert [c.kind for c in found] == ["dataset", "archive"]
    assert for_doi("10.1000/nobody", FACTS.get) == ()
    assert for_doi("no doi", FACTS.get) == ()


def test_short_lines_for_the_canvas():
    assert short_line(()) == ""
    assert short_line(cite(NODES)) == (
        "CT Lymph Nodes, CC BY 3.0\ndoi:10.7937/K9/TCIA.2015.AQIIDCNM"
    )
    assert short_line(cite(replace(NODES, synthetic=True))) == (
        "SYNTHETIC phantom modelled on CT Lymph Nodes - not patient data"
    )
    many = [replace(OTHER, collection=f"Set {n}") for n in range(5)]
    lines = short_line(cite(NODES, *many)).splitlines()
    assert len(lines) == 3
    assert lines[0] == "CT Lymph Nodes, CC BY 3.0, doi:10.7937/K9/TCIA.2015.AQIIDCNM"
    assert lines[2] == "and 4 more datasets, see Citations"
    both = short_line(cite(NODES, replace(NODES, synthetic=True)))
    assert "SYNTHETIC" in both.splitlines()[1]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([], ""),
        (["CC-BY-3.0"], "You may share, adapt and use commercially, with credit."),
        (
            ["CC-BY-3.0", "CC-BY-4.0"],
            "You may share, adapt and use commercially, with credit.",
        ),
        (["CC-BY-3.0", "CC-BY-NC-4.0"], "Non-commercial use only, with credit."),
        (
            ["CC-BY-NC-3.0", "missing"],
            "Licence unknown for some of the data: ask before you share or publish.",
        ),
        (
            ["unknown"],
            "Licence unknown for some of the data: ask before you share or publish.",
        ),
        (
            ["unknown", "NIH-controlled"],
            "Controlled access: only what your approved request allows.",
        ),
        (
            ["NLM-2019", "CC-BY-4.0"],
            "You may share, with credit; read the licence before anything else.",
        ),
    ],
)
def test_the_strictest_licence_speaks_for_the_session(ids, expected):
    assert session_terms(LICENCES[i] for i in ids) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("Cancer Moonshot Biobank.", [{"literal": "Cancer Moonshot Biobank"}]),
        (
            "Armato III, Samuel G., & Croft, B. Y.",
            [("Armato", "Samuel G.", "III"), ("Croft", "B. Y.")],
        ),
        (
            "Bloch, B. N., & jaffe, conrade carl.",
            [("Bloch", "B. N."), ("jaffe", "conrade carl")],
        ),
        (
            "Zhao, B., … Clarke, L. P.",
            [("Zhao", "B."), {"literal": "others"}, ("Clarke", "L. P.")],
        ),
        (
            "Aerts, H. J. W. L., & Rieger-Christ, K.",
            [("Aerts", "H. J. W. L."), ("Rieger-Christ", "K.")],
        ),
        (
            "Roy, A., & The CPTAC Consortium.",
            [("Roy", "A."), {"literal": "The CPTAC Consortium"}],
        ),
        ("Li, Feng; Kirby, Justin S.", [("Li", "Feng"), ("Kirby", "Justin S.")]),
        (
            "Tatum, J., Ileva, lilia, L, R.",
            [{"literal": "Tatum, J., Ileva, lilia, L, R."}],
        ),
    ],
)
def test_authors_are_read_from_apa(names, expected):
    keys = ("family", "given", "suffix")
    wanted = [
        dict(zip(keys, e, strict=False)) if isinstance(e, tuple) else e
        for e in expected
    ]
    item = parse_apa(
        f"{names} (2015). Data From X. [Data set]. TCIA. https://doi.org/10.7937/x"
    )
    assert item["author"] == wanted
    assert item["issued"] == {"date-parts": [[2015]]}


@pytest.mark.parametrize("text", ["", "no pattern", "A. (20x5). T", "(((", "…, & ,"])
def test_a_sentence_without_pattern_gives_no_invented_facts(text):
    item = parse_apa(text)
    assert item == {"type": "dataset"}
    assert parse_apa(f"{text} doi:10.7937/abc.")["DOI"] == "10.7937/abc"


def test_csl_from_datacite_becomes_a_citation():
    one = from_csl(
        {
            "type": "dataset",
            "id": "https://doi.org/10.7937/k9/x",
            "DOI": "10.7937/K9/X",
            "title": "T",
            "categories": [],
            "copyright": "CC",
            "author": [{"family": "Žák", "given": "Jan-Petr"}],
            "issued": {"date-parts": [[2020]]},
            "publisher": "TCIA",
            "version": "4",
        }
    )
    assert one.text == (
        "Žák, J.-P. (2020). T (Version 4) [Data set]. TCIA. https://doi.org/10.7937/K9/X"
    )
    assert (one.kind, one.key) == ("dataset", "10.7937/k9/x")
    assert from_csl({}).text


def test_the_reference_table_is_complete():
    works = [*DATASETS.values(), *(p for ps in PAPERS.values() for p in ps), TCIA_PAPER]
    assert PAPERS.keys() <= DATASETS.keys()
    for work in works:
        assert work["id"] == work["DOI"].lower()
        assert work["issued"]["date-parts"][0][0] in range(2010, 2026)
        assert all(name["family"] and name["given"] for name in work["author"])
        if work["type"] != "dataset":
            first, last = work["page"].split("-")
            assert int(first) < int(last)
            assert work["container-title"]
