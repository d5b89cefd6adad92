"""The collections of the twin as the descriptive services know them."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Holding:
    """A collection: its name, licence and citation.

    `licence_name` and `licence_url` are NBIA's words, `licence_label` those of
    the Collection Manager; empty when there is no licence.
    """

    name: str
    slug: str
    doi: str
    title: str
    authors: tuple[tuple[str, str], ...]
    year: int
    licence_name: str = ""
    licence_short: str = ""
    licence_url: str = ""
    licence_label: str = ""
    version: str = "1"
    cancer_type: str = ""
    location: str = ""
    date: str = "2020-01-02"


LYMPH_NODES = Holding(
    name="CT Lymph Nodes",
    slug="ct-lymph-nodes",
    doi="10.7937/K9/TCIA.2015.AQIIDCNM",
    title="A new 2.5 D representation for lymph node detection in CT (CT Lymph Nodes)",
    authors=(
        ("Roth", "Holger"),
        ("Lu", "Le"),
        ("Seff", "Ari"),
        ("Cherry", "Kevin M."),
        ("Hoffman", "Joanne"),
        ("Wang", "Shijun"),
        ("Liu", "Jiamin"),
        ("Turkbey", "Evrim"),
        ("Summers", "Ronald M."),
    ),
    year=2015,
    licence_name="Creative Commons Attribution 3.0 Unported License",
    licence_short="CC BY 3.0",
    licence_url="http://creativecommons.org/licenses/by/3.0/",
    licence_label="CC BY 3.0",
    version="5",
    cancer_type="Lymphadenopathy (non-cancer)",
    location="Abdomen, Mediastinum",
    date="2023-03-31",
)
LNQ = Holding(
    name="Mediastinal-Lymph-Node-SEG",
    slug="mediastinal-lymph-node-seg",
    doi="10.7937/QVAZ-JA09",
    title="Mediastinal Lymph Node Quantification (LNQ): Segmentation of Heterogeneous"
    " CT Data",
    authors=(
        ("Idris", "T."),
        ("Somarouthu", "S."),
        ("Jacene", "H."),
        ("LaCasce", "A."),
        ("Ziegler", "E."),
        ("Pieper", "S."),
        ("Khajavi", "R."),
        ("Dorent", "R."),
        ("Pujol", "S."),
        ("Kikinis", "R."),
        ("Harris", "G."),
    ),
    year=2024,
    licence_name="Creative Commons Attribution 4.0 International License",
    licence_short="CC BY 4.0",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    licence_label="CC BY 4.0",
    location="Chest",
    date="2024-01-22",
)
_NOBODY = (("Phantom", "Synthetic"),)
NON_COMMERCIAL = Holding(
    name="SYNTHETIC-NonCommercial",
    slug="synthetic-noncommercial",
    doi="10.5072/synthetic.noncommercial",
    title="SYNTHETIC chest phantom under a non-commercial licence",
    authors=_NOBODY,
    year=2020,
    licence_name="Creative Commons Attribution-NonCommercial 4.0 International License",
    licence_short="CC BY-NC 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc/4.0/",
    licence_label="CC BY-NC 4.0",
)
UNLICENSED = Holding(
    name="SYNTHETIC-Unlicensed",
    slug="synthetic-unlicensed",
    doi="10.5072/synthetic.unlicensed",
    title="SYNTHETIC chest phantom that names no licence",
    authors=_NOBODY,
    year=2020,
)
CONTROLLED = Holding(
    name="SYNTHETIC-Controlled",
    slug="synthetic-controlled",
    doi="10.5072/synthetic.controlled",
    title="SYNTHETIC collection under controlled access, of which nothing is served",
    authors=_NOBODY,
    year=2020,
    licence_label="NIH Controlled Data Access",
)
MIXED = Holding(
    name="SYNTHETIC-Mixed",
    slug="synthetic-mixed",
    doi="10.5072/synthetic.mixed",
    title="SYNTHETIC chest phantoms whose series have different licences",
    authors=_NOBODY,
    year=2021,
    licence_name="Creative Commons Attribution 4.0 International License",
    licence_short="CC BY 4.0",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    licence_label="CC BY 4.0",
    location="Chest",
    date="2021-06-01",
)
MIXED_PARTS = (
    MIXED,
    replace(
        MIXED,
        licence_name=NON_COMMERCIAL.licence_name,
        licence_short=NON_COMMERCIAL.licence_short,
        licence_url=NON_COMMERCIAL.licence_url,
        licence_label=NON_COMMERCIAL.licence_label,
    ),
    replace(MIXED, licence_name="", licence_short="", licence_url="", licence_label=""),
)
"""The one collection under each of its licences; the last series has none."""
HEAD_AND_NECK = Holding(
    name="SYNTHETIC-Head-Neck",
    slug="synthetic-head-neck",
    doi="10.5072/synthetic.headneck",
    title="SYNTHETIC head and neck phantom",
    authors=_NOBODY,
    year=2022,
    licence_name="Creative Commons Attribution 4.0 International License",
    licence_short="CC BY 4.0",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    licence_label="CC BY 4.0",
    location="Head-Neck",
    date="2022-09-15",
)
OTHER_LICENCE = replace(
    LYMPH_NODES,
    licence_name="Creative Commons Attribution-NonCommercial 3.0 Unported License",
    licence_short="CC BY-NC 3.0",
    licence_url="http://creativecommons.org/licenses/by-nc/3.0/",
    licence_label="CC BY-NC 3.0",
)
"""A licence that no collection has: that of the faults which change one."""
HOLDINGS = (
    LYMPH_NODES,
    LNQ,
    NON_COMMERCIAL,
    UNLICENSED,
    CONTROLLED,
    MIXED,
    HEAD_AND_NECK,
)


def parts(holding: Holding) -> tuple[Holding, ...]:
    """The collection once under each of its licences."""
    return MIXED_PARTS if holding is MIXED else (holding,)
