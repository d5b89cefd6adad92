"""What is owed besides citations."""

import pytest

from napari_tcia.app import credit
from napari_tcia.cite import notice
from napari_tcia.core.model import Provenance
from napari_tcia.terms.licence import LICENCES, identify

DATA = Provenance(
    origin="archive",
    collection="CT Lymph Nodes",
    series_uid="61.7.1",
    doi="10.7937/K9/TCIA.2015.AQIIDCNM",
    licence_id="CC-BY-3.0",
    licence_name="CC BY 3.0",
    source="nbia",
    terms="accepted",
)
LEAVES = {"CC-BY-3.0", "CC-BY-4.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0"}
"""Licences under which a changed copy may be passed on."""


@pytest.mark.parametrize("key", LICENCES)
def test_changed_copies_keep_their_terms(key):
    licence = LICENCES[key]
    clause = notice.adaptation(licence)
    assert clause.startswith("an adaptation")
    assert ("pass it on with" in clause) == (key in LEAVES)
    assert ("no commercial use" in clause) == (key.startswith("CC-BY-NC"))
    assert ("does not leave" in clause) == licence.controlled
    if key in LEAVES:
        assert licence.short in clause
        assert "changed by" in clause


def test_an_unknown_licence_permits_no_passing_on():
    clause = notice.adaptation(identify("Something of our own"))
    assert "ask" in clause
    assert "pass it on with" not in clause


def test_thanks_name_dataset_and_archive():
    said = notice.acknowledgement(credit.citations([DATA]))
    assert "CT Lymph Nodes" in said
    assert DATA.doi in said
    assert "The Cancer Imaging Archive" in said
    assert "Imaging Data Commons" not in said


def test_thanks_name_both_archives_when_the_other_one_served():
    served = Provenance.from_dict({**DATA.to_dict(), "source": "idc"})
    said = notice.acknowledgement(credit.citations([served]))
    assert "Imaging Data Commons" in said


def test_nobody_is_thanked_for_a_phantom():
    made = Provenance.from_dict({**DATA.to_dict(), "synthetic": True})
    assert notice.acknowledgement(credit.citations([made])) == ""
