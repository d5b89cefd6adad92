"""What an archive's words stand for, in doubt nothing."""

import pytest

from napari_tcia.errors import ControlledAccess, TermsUnknown
from napari_tcia.terms.licence import LICENCES, identify, require_open

BY3 = "http://creativecommons.org/licenses/by/3.0/"
BY4 = "https://creativecommons.org/licenses/by/4.0/"


@pytest.mark.parametrize(
    ("name", "uri", "expected"),
    [
        ("Creative Commons Attribution 3.0 Unported License", BY3, "CC-BY-3.0"),
        ("Creative Commons Attribution 3.0 Unported License", "", "CC-BY-3.0"),
        ("Creative Commons Attribution 4.0 International License", BY4, "CC-BY-4.0"),
        ("Creative Commons Attribution 4.0 International", BY4, "CC-BY-4.0"),
        (
            "Creative Commons Attribution-NonCommercial 3.0 Unported License",
            "",
            "CC-BY-NC-3.0",
        ),
        (
            "Creative Commons Attribution-Noncommercial 4.0 International License",
            "",
            "CC-BY-NC-4.0",
        ),
        ("Creative Commons Attribution Non-Commercial 4.0", "", "CC-BY-NC-4.0"),
        ("CC BY 3.0", "", "CC-BY-3.0"),
        ("cc by 3.0", "HTTPS://CreativeCommons.org/licenses/by/3.0", "CC-BY-3.0"),
        ("CC-BY-4.0", "", "CC-BY-4.0"),
        (
            "CC BY-NC 4.0",
            "https://creativecommons.org/licenses/by-nc/4.0/",
            "CC-BY-NC-4.0",
        ),
        ("CC BY 4", "", "CC-BY-4.0"),
        ("  CC  BY\n3.0 ", "", "CC-BY-3.0"),
        (
            "Creative Commons Attribution 3.0 Unported License (CC BY 3.0)",
            "",
            "CC-BY-3.0",
        ),
        ("", BY3, "CC-BY-3.0"),
        ("", "https://creativecommons.org/licenses/by/4.0/legalcode", "CC-BY-4.0"),
        ("", "https://www.creativecommons.org/licenses/by/4.0/deed.en#x", "CC-BY-4.0"),
        (BY4, "", "CC-BY-4.0"),
        ("CC BY", BY4, "CC-BY-4.0"),
        ("TCIA Restricted License", "", "TCIA-restricted"),
        (
            "TCIA Restricted",
            "https://wiki.cancerimagingarchive.net/x/abc",
            "TCIA-restricted",
        ),
        ("TCIA Limited Access License", "", "TCIA-limited"),
        ("NIH Controlled Data Access Policy", "", "NIH-controlled"),
        ("NIH Controlled Data Access", "", "NIH-controlled"),
        (
            "NCTN Data Archive License (with collaborative agreement)",
            "",
            "NCTN-collaborative",
        ),
        (
            "NCTN Data Archive License with no collaborative agreement",
            "",
            "NCTN-no-collaborative",
        ),
        (
            "National Library of Medicine Terms and Conditions; May 21, 2019",
            "",
            "NLM-2019",
        ),
        ("", "", "missing"),
        (" ", "\n", "missing"),
    ],
)
def test_known_words_are_understood(name, uri, expected):
    found = identify(name, uri)
    assert found is LICENCES[expected]


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        # Occurs in IDC's index: a non-commercial short name beside the other's address.
        ("CC BY-NC 3.0", "https://creativecommons.org/licenses/by/3.0/"),
        ("CC BY 3.0", "https://creativecommons.org/licenses/by-nc/3.0/"),
        ("CC BY 3.0", BY4),
        ("CC BY", ""),
        ("CC BY 2.5", ""),
        ("CC BY 30", ""),
        ("CC BY 3.0", "https://example.org/licenses/by/3.0/"),
        ("CC BY 3.0", "https://creativecommons.org.evil.net/licenses/by/3.0/"),
        ("CC BY-SA 4.0", ""),
        ("CC BY-ND 4.0", ""),
        ("CC BY-NC-SA 4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/"),
        ("Creative Commons Attribution 3.0 United States License", ""),
        ("Creative Commons", ""),
        ("not CC BY 3.0", ""),
        ("CC BY 3.0 with restrictions", ""),
        ("CC BY 4.0, controlled access", ""),
        ("License review needed", ""),
        ("License review needed", BY3),
        ("TCIA Restricted License", BY3),
        ("open", ""),
        ("", "https://creativecommons.org/licenses/by/3.0/us/"),
        ("", "javascript:alert(1)"),
    ],
)
def test_doubt_is_unknown_and_keeps_the_words(name, uri):
    found = identify(name, uri)
    assert found.id == "unknown"
    assert found.share is None
    assert found.commercial is None
    assert (name or uri).split()[0] in found.name


def test_table_says_what_each_licence_permits():
    for licence in LICENCES.values():
        if licence.controlled or licence.id in ("unknown", "missing"):
            assert not licence.share
            assert not licence.commercial
    assert LICENCES["CC-BY-3.0"].commercial is True
    assert LICENCES["CC-BY-NC-3.0"].commercial is False
    assert LICENCES["CC-BY-NC-4.0"].adapt is True


@pytest.mark.parametrize("key", [k for k, v in LICENCES.items() if v.controlled])
def test_controlled_access_is_refused_with_the_link(key):
    with pytest.raises(ControlledAccess) as caught:
        require_open(LICENCES[key], "ACRIN-X")
    assert "ACRIN-X" in caught.value.message
    assert "nih-controlled-data-access-policy" in caught.value.hint
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("words", ["", "License review needed"])
def test_unknown_licence_is_refused_with_what_to_do(words):
    with pytest.raises(TermsUnknown) as caught:
        require_open(identify(words), "New-Collection")
    assert words in caught.value.message
    assert "cancerimagingarchive.net" in caught.value.hint


@pytest.mark.parametrize("key", ["CC-BY-3.0", "CC-BY-NC-4.0", "NLM-2019"])
def test_open_licences_pass(key):
    assert require_open(LICENCES[key], "x") is None
