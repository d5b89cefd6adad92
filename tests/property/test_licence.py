"""`identify` answers for any words, and never guesses that data is open."""

from hypothesis import given
from hypothesis import strategies as st

from napari_tcia.terms.licence import LICENCES, identify
from napari_tcia.terms.policy import digest, licence_document, normalise

KNOWN = [one for one in LICENCES.values() if one.id not in ("unknown", "missing")]
VOCABULARY = """creative commons cc by nc sa nd attribution noncommercial 3.0 4.0 2.0
unported international license not no restricted tcia controlled access except - ( ) / ,
https://creativecommons.org/licenses/by/3.0/"""
words = st.lists(st.sampled_from(VOCABULARY.split()), max_size=9).map(" ".join)


@given(st.text() | words, st.text() | words)
def test_total_on_any_text(name, uri):
    found = identify(name, uri)
    assert found.id in LICENCES
    assert (found.id == "missing") == (not name.strip() and not uri.strip())
    assert licence_document(found).sha256


@given(words)
def test_a_word_against_openness_is_never_lost(name):
    found = identify(name)
    spoken = set(name.split())
    if spoken & {"nc", "noncommercial"}:
        assert found.commercial is not True
    if spoken & {"sa", "nd", "not", "no", "except", "restricted", "controlled", "2.0"}:
        assert found.share is not True


@given(st.sampled_from(KNOWN), st.sampled_from(KNOWN))
def test_name_and_address_that_disagree_are_unknown(first, second):
    found = identify(first.name.split(" (")[0], second.url)
    if first is second:
        assert found is first
    elif first.url != second.url:
        assert found.id == "unknown" or (found is first and first.controlled)


@given(
    st.text(st.characters(exclude_characters="<>&")),
    st.sampled_from(["b", "span", "a", "EM"]),
    st.data(),
)
def test_markup_never_changes_the_hash(text, tag, data):
    at = data.draw(st.integers(0, len(text)))
    marked = f"<div>{text[:at]}<{tag} class='x'></{tag}>{text[at:]}</div>\r\n"
    assert digest(marked) == digest(text)
    assert normalise(normalise(text)) == normalise(text)
