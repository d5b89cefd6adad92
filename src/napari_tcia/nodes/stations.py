"""Lymph-node stations and regions that a reader may name.

Thorax: the map of the International Association for the Study of Lung Cancer, 2009
(doi:10.1097/JTO.0b013e3181a0d82e). Abdomen and pelvis: regions of DICOM CID 7600. Codes
are SNOMED CT as CID 7600 has them; side is a qualifier of its own there (7771000 left,
24028007 right), so both sides of a station share a code.
"""

from __future__ import annotations

from dataclasses import dataclass

_THORAX: tuple[tuple[str, str, str, bool], ...] = (
    ("1", "low cervical, supraclavicular", "76838003", True),
    ("2", "upper paratracheal", "127927006", True),
    ("3a", "prevascular", "", False),
    ("3p", "retrotracheal", "127931000", False),
    ("4", "lower paratracheal", "127932007", True),
    ("5", "subaortic, aortopulmonary window", "127938006", False),
    ("6", "para-aortic, ascending aorta", "127939003", False),
    ("7", "subcarinal", "28330007", False),
    ("8", "paraesophageal, below carina", "127940001", True),
    ("9", "pulmonary ligament", "127941002", True),
    ("10", "hilar", "53074004", True),
    ("11", "interlobar", "127919002", True),
    ("12", "lobar", "127920008", True),
    ("13", "segmental", "127921007", True),
    ("14", "subsegmental", "127922000", True),
)
_ABDOMEN: tuple[tuple[str, str], ...] = (
    ("retroperitoneal", "91394001"),
    ("para-aortic", "35783009"),
    ("celiac", "47985009"),
    ("hepatic hilum", "61492009"),
    ("splenic hilum", "280824006"),
    ("perigastric", "245344006"),
    ("peripancreatic", "245346008"),
    ("mesenteric", "279795009"),
    ("superior mesenteric", "49394004"),
    ("inferior mesenteric", "113336002"),
    ("renal hilum", "249708006"),
    ("cardiophrenic angle", "371013005"),
    ("iliac", "84219008"),
    ("external iliac", "65349008"),
    ("inguinal", "8928004"),
)


@dataclass(frozen=True, slots=True)
class Station:
    """One station or region.

    Attributes
    ----------
    name : str
        As it is written: ``"4R"``, ``"retroperitoneal"``.
    meaning : str
    code : str
        SNOMED CT concept, empty where CID 7600 has none.
    """

    name: str
    meaning: str
    code: str

    @property
    def title(self) -> str:
        """Name and meaning, for people."""
        return f"{self.name} {self.meaning}".strip()


STATIONS: tuple[Station, ...] = (
    *(
        Station(f"{number}{side}", meaning, code)
        for number, meaning, code, sided in _THORAX
        for side in (("R", "L") if sided else ("",))
    ),
    *(Station(name, "", code) for name, code in _ABDOMEN),
)
"""From the neck to the groin."""


def station(name: str) -> Station | None:
    """The station of a name, whatever its case; None where there is none."""
    wanted = name.strip().casefold()
    return next((one for one in STATIONS if one.name.casefold() == wanted), None)
