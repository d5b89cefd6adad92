"""Every licence of TCIA, in plain words, and what becomes of each."""

import re

import pytest

from napari_tcia.core.model import Series
from napari_tcia.errors import ControlledAccess, TermsUnknown
from napari_tcia.terms.faces import may_show_face
from napari_tcia.terms.licence import (
    CONTROLLED_ACCESS_URL,
    LICENCES,
    as_licensed,
    identify,
    require_open,
)
from napari_tcia.terms.policy import licence_facts, licence_points

YES, NO, OPEN = True, False, None
TABLE = {
    # id: (SPDX id, share, adapt, commercial, attribution, account, what becomes of it)
    "CC-BY-3.0": ("CC-BY-3.0", YES, YES, YES, YES, NO, None),
    "CC-BY-4.0": ("CC-BY-4.0", YES, YES, YES, YES, NO, None),
    "CC-BY-NC-3.0": ("CC-BY-NC-3.0", YES, YES, NO, YES, NO, None),
    "CC-BY-NC-4.0": ("CC-BY-NC-4.0", YES, YES, NO, YES, NO, None),
    "NLM-2019": ("", YES, OPEN, OPEN, YES, NO, None),
    "TCIA-restricted": ("", OPEN, OPEN, OPEN, OPEN, YES, ControlledAccess),
    "TCIA-limited": ("", OPEN, OPEN, OPEN, OPEN, YES, ControlledAccess),
    "NCTN-collaborative": ("", OPEN, OPEN, OPEN, OPEN, YES, ControlledAccess),
    "NCTN-no-collaborative": ("", OPEN, OPEN, OPEN, OPEN, YES, ControlledAccess),
    "NIH-controlled": ("", OPEN, OPEN, OPEN, OPEN, YES, ControlledAccess),
    "unknown": ("", OPEN, OPEN, OPEN, OPEN, OPEN, TermsUnknown),
    "missing": ("", OPEN, OPEN, OPEN, OPEN, OPEN, TermsUnknown),
}


def test_the_table_is_complete():
    assert set(TABLE) == set(LICENCES)


@pytest.mark.parametrize("key", TABLE)
def test_facts(key):
    one = LICENCES[key]
    facts = (
        one.spdx,
        one.share,
        one.adapt,
        one.commercial,
        one.attribution,
        one.account,
    )
    assert facts == TABLE[key][:6]
    assert one.controlled == (TABLE[key][6] is ControlledAccess)


@pytest.mark.parametrize("key", TABLE)
def test_plain_words_say_the_same_as_the_facts(key):
    one = LICENCES[key]
    said = dict(licence_facts(one))
    assert list(said) == [
        "SPDX id",
        "share",
        "adapt",
        "commercial use",
        "attribution",
        "account",
    ]
    words = {YES: "yes", NO: "no", OPEN: "not known here"}
    asked = {YES: "required", NO: "not required", OPEN: "not known here"}
    assert said["SPDX id"] == (one.spdx or "none")
    assert said["share"] == words[one.share]
    assert said["adapt"] == words[one.adapt]
    assert said["commercial use"] == words[one.commercial]
    assert said["attribution"] == asked[one.attribution]
    assert said["account"].startswith(asked[one.account])
    may = " ".join(text for kind, text in licence_points(one) if kind == "may")
    assert ("copy" in may) == bool(one.share)
    assert ("change" in may) == bool(one.adapt)
    assert ("commercial" in may) == bool(one.commercial)


@pytest.mark.parametrize("key", TABLE)
def test_closed_and_unknown_are_refused_with_the_right_link_and_no_login(key):
    error = TABLE[key][6]
    if error is None:
        require_open(LICENCES[key], "X")
        return
    with pytest.raises(error) as caught:
        require_open(LICENCES[key], "X")
    said = str(caught.value)
    link = CONTROLLED_ACCESS_URL if error is ControlledAccess else "@cancerimaging"
    assert link in said
    assert not re.search(r"password|log ?in|user name", said, re.IGNORECASE)


LISTED = Series(
    "1.2",
    collection="CT Lymph Nodes",
    licence_name="Creative Commons Attribution 3.0 Unported License",
    licence_uri="http://creativecommons.org/licenses/by/3.0/",
)
SENT = (
    "License Information. The {0} collection is distributed under the {1} at {2} "
    "By downloading the data, you agree to abide by terms of this license.\nPolicy."
)


@pytest.mark.parametrize(
    "text",
    [
        SENT.format("CT Lymph Nodes", "CC BY 3.0", LISTED.licence_uri),
        SENT.format("ct lymph nodes", "CC BY 3.0", "https://creativecommons.org/licenses/by/3.0"),
        SENT.format("Not Specified", "CC BY 3.0", LISTED.licence_uri),
        SENT.format("CT Lymph Nodes", "Not Specified", "Not Specified"),
        SENT.format("CT Lymph Nodes", "CC BY 3.0", "Not Specified"),
        "Something else altogether.",
        "",
    ],
)  # fmt: skip
def test_a_license_that_says_the_same_or_nothing(text):
    assert as_licensed(LISTED, text) == LISTED


@pytest.mark.parametrize(
    ("text", "collection", "licence"),
    [
        (
            SENT.format(
                "CT Lymph Nodes",
                "CC BY-NC 3.0",
                "http://creativecommons.org/licenses/by-nc/3.0/",
            ),
            "CT Lymph Nodes",
            "CC BY-NC 3.0",
        ),
        (
            SENT.format("CT Lymph Nodes", "Own terms", "https://x.org/t"),
            "CT Lymph Nodes",
            "unknown",
        ),
        (
            SENT.format("Other", "CC BY 3.0", LISTED.licence_uri),
            "Other",
            "CC BY 3.0",
        ),
    ],
)
def test_a_license_that_says_otherwise(text, collection, licence):
    named = as_licensed(LISTED, text)
    found = identify(named.licence_name, named.licence_uri)
    assert (named.collection, found.short) == (collection, licence)
    assert named.series_uid == LISTED.series_uid


@pytest.mark.parametrize(
    ("collection", "part", "location", "face"),
    [
        ("CT Lymph Nodes", "CHEST", "", False),
        ("CT Lymph Nodes", "ABDOMEN", "", False),
        ("CT Lymph Nodes", "", "Abdomen, Mediastinum", False),
        ("Mediastinal-Lymph-Node-SEG", "NECKCHESTABDPELV", "", False),
        ("CT Lymph Nodes", "", "", False),
        ("LIDC-IDRI", "", "", False),
        ("SYNTHETIC-Head-Neck", "HEADNECK", "", True),
        ("Head-Neck-Radiomics-HN1", "", "", True),
        ("HNSCC", "", "", True),
        ("UPENN-GBM", "", "", True),
        ("X", "Brain", "", True),
        ("X", "WHOLEBODY", "", True),
        ("X", "", "Head-Neck", True),
        ("Head-Neck-PET-CT", "CHEST", "", False),
        ("CC-Radiomics-Phantom-3", "", "", False),
    ],
)
def test_whose_face_may_show(collection, part, location, face):
    assert may_show_face(collection, part, location) is face
