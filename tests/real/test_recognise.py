"""A real series of TCIA in a user's folder is recognised by its headers."""

from pathlib import Path

import pydicom
import pytest

from napari_tcia.cite.citation import citations_for
from napari_tcia.cite.provenance import FolderFacts, recognise
from napari_tcia.core.model import CollectionFacts

FOLDER = (
    Path(__file__).resolve().parents[3] / "shared/data/lidc-idri-0314-mediastinum/image"
)

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="no real series beside this checkout (../shared)"
)


class Lidc(CollectionFacts):
    licences = ("CC BY 3.0",)


@pytest.mark.parametrize("keep", ["ctp_collection", "patient_id"])
def test_lidc_is_credited_from_one_sign_alone(keep):
    header = pydicom.dcmread(next(FOLDER.glob("*.dcm")), stop_before_pixels=True)
    signs = {
        "ctp_collection": header[0x0013, 0x1010].value,
        "patient_id": str(header.PatientID),
    }
    assert isinstance(signs["ctp_collection"], bytes)
    known = Lidc("LIDC-IDRI", doi="10.7937/K9/TCIA.2015.LO9QL9SX")
    facts = FolderFacts(series_uid=str(header.SeriesInstanceUID), **{keep: signs[keep]})
    found = recognise(facts, {"LIDC-IDRI": known}.get)
    assert (found.origin, found.collection) == ("folder", "LIDC-IDRI")
    assert found.terms == "not recorded"
    assert citations_for([found], lambda _: None)[0].text.startswith(
        "Armato, S. G., III"
    )
