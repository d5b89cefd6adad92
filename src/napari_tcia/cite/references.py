"""Bibliographic facts of the works that our collections ask to be cited.

CSL-JSON items (Citation Style Language 1.0). Checked against the publishers'
pages and against the citations printed by TCIA. Given names are written out
where the work does so, and are initials where only TCIA's citation was at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Csl = Mapping[str, Any]

CT_LYMPH_NODES_DOI = "10.7937/K9/TCIA.2015.AQIIDCNM"
TCIA_PUBLISHER = "The Cancer Imaging Archive"


def authors(text: str) -> list[dict[str, str]]:
    """CSL names of "Family, Given; Family, Given, Suffix; ..."."""
    names = []
    for one in text.split("; "):
        family, given, *suffix = one.split(", ")
        name = {"family": family, "given": given}
        names.append(name | {"suffix": suffix[0]} if suffix else name)
    return names


def _work(type_: str, doi: str, year: int, title: str, names: str, **more: str) -> Csl:
    return {
        "id": doi.lower(),
        "type": type_,
        "title": title,
        "author": authors(names),
        "issued": {"date-parts": [[year]]},
        "DOI": doi,
        "URL": f"https://doi.org/{doi}",
        **{key.replace("_", "-"): value for key, value in more.items()},
    }


def _dataset(doi: str, name: str, year: int, title: str, names: str) -> Csl:
    return _work(
        "dataset", doi, year, title, names, publisher=TCIA_PUBLISHER, title_short=name
    )


_LIDC = (
    "Armato, S. G., III; McLennan, G.; Bidaut, L.; McNitt-Gray, M. F.; Meyer, C. R.; "
    "Reeves, A. P.; Zhao, B.; Aberle, D. R.; Henschke, C. I.; Hoffman, E. A.; "
    "Kazerooni, E. A.; MacMahon, H.; Van Beek, E. J. R.; Yankelevitz, D.; "
    "Biancardi, A. M.; Bland, P. H.; Brown, M. S.; Engelmann, R. M.; "
    "Laderach, G. E.; Max, D.; Pais, R. C.; Qing, D. P. Y.; Roberts, R. Y.; "
    "Smith, A. R.; Starkey, A.; Batra, P.; Caligiuri, P.; Farooqi, A.; "
    "Gladish, G. W.; Jude, C. M.; Munden, R. F.; Petkovska, I.; Quint, L. E.; "
    "Schwartz, L. H.; Sundaram, B.; Dodd, L. E.; Fenimore, C.; Gur, D.; Petrick, N.; "
    "Freymann, J.; Kirby, J.; Hughes, B.; Casteele, A. V.; Gupte, S.; Sallam, M.; "
    "Heath, M. D.; Kuhn, M. H.; Dharaiya, E.; Burns, R.; Fryd, D. S.; "
    "Salganicoff, M.; Anand, V.; Shreter, U.; Vastagh, S.; Croft, B. Y.; "
    "Clarke, L. P."
)

TCIA_PAPER = _work(
    "article-journal",
    "10.1007/s10278-013-9622-7",
    2013,
    "The Cancer Imaging Archive (TCIA): Maintaining and Operating a Public "
    "Information Repository",
    "Clark, Kenneth; Vendt, Bruce; Smith, Kirk; Freymann, John; Kirby, Justin; "
    "Koppel, Paul; Moore, Stephen; Phillips, Stanley; Maffitt, David; "
    "Pringle, Michael; Tarbox, Lawrence; Prior, Fred",
    container_title="Journal of Digital Imaging",
    volume="26",
    issue="6",
    page="1045-1057",
)
"""What TCIA asks to be cited with everything of it."""

IDC_PAPER = _work(
    "article-journal",
    "10.1148/rg.230180",
    2023,
    "National Cancer Institute Imaging Data Commons: Toward Transparency, "
    "Reproducibility, and Scalability in Imaging Artificial Intelligence",
    "Fedorov, Andrey; Longabaugh, William J. R.; Pot, David; Clunie, David A.; "
    "Pieper, Steven D.; Gibbs, David L.; Bridge, Christopher; Herrmann, Markus D.; "
    "Homeyer, André; Lewis, Rob; Aerts, Hugo J. W. L.; Krishnaswamy, Deepa; "
    "Thiriveedhi, Vamsi Krishna; Ciausu, Cosmin; Schacherer, Daniela P.; "
    "Bontempi, Dennis; Pihl, Todd; Wagner, Ulrike; Farahani, Keyvan; Kim, Erika; "
    "Kikinis, Ron",
    container_title="RadioGraphics",
    volume="43",
    issue="12",
    page="e230180",
)
"""What the Imaging Data Commons asks to be cited for what its buckets sent."""

_ROTH_2014 = _work(
    "paper-conference",
    "10.1007/978-3-319-10404-1_65",
    2014,
    "A New 2.5D Representation for Lymph Node Detection Using Random Sets of Deep "
    "Convolutional Neural Network Observations",
    "Roth, Holger R.; Lu, Le; Seff, Ari; Cherry, Kevin M.; Hoffman, Joanne; "
    "Wang, Shijun; Liu, Jiamin; Turkbey, Evrim; Summers, Ronald M.",
    container_title="Medical Image Computing and Computer-Assisted Intervention – "
    "MICCAI 2014",
    collection_title="Lecture Notes in Computer Science",
    collection_number="8673",
    publisher="Springer International Publishing",
    page="520-527",
    event_title="MICCAI 2014",
)
_SEFF_2014 = _work(
    "paper-conference",
    "10.1007/978-3-319-10404-1_68",
    2014,
    "2D View Aggregation for Lymph Node Detection Using a Shallow Hierarchy of Linear "
    "Classifiers",
    "Seff, Ari; Lu, Le; Cherry, Kevin M.; Roth, Holger R.; Liu, Jiamin; Wang, Shijun; "
    "Hoffman, Joanne; Turkbey, Evrim B.; Summers, Ronald M.",
    container_title="Medical Image Computing and Computer-Assisted Intervention – "
    "MICCAI 2014",
    collection_title="Lecture Notes in Computer Science",
    collection_number="8673",
    publisher="Springer International Publishing",
    page="544-552",
    event_title="MICCAI 2014",
)
_SEFF_2015 = _work(
    "paper-conference",
    "10.1007/978-3-319-24571-3_7",
    2015,
    "Leveraging Mid-Level Semantic Boundary Cues for Automated Lymph Node Detection",
    "Seff, Ari; Lu, Le; Barbu, Adrian; Roth, Holger; Shin, Hoo-Chang; "
    "Summers, Ronald M.",
    container_title="Medical Image Computing and Computer-Assisted Intervention – "
    "MICCAI 2015",
    collection_title="Lecture Notes in Computer Science",
    collection_number="9350",
    publisher="Springer International Publishing",
    page="53-61",
    event_title="MICCAI 2015",
)
_ARMATO_2011 = _work(
    "article-journal",
    "10.1118/1.3528204",
    2011,
    "The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative "
    "(IDRI): A completed reference database of lung nodules on CT scans",
    _LIDC,
    container_title="Medical Physics",
    volume="38",
    issue="2",
    page="915-931",
)

_CT_LYMPH_NODES = _dataset(
    CT_LYMPH_NODES_DOI,
    "CT Lymph Nodes",
    2015,
    "A new 2.5 D representation for lymph node detection in CT (CT Lymph Nodes)",
    "Roth, Holger; Lu, Le; Seff, Ari; Cherry, Kevin M.; Hoffman, Joanne; "
    "Wang, Shijun; Liu, Jiamin; Turkbey, Evrim; Summers, Ronald M.",
)
_MEDIASTINAL = _dataset(
    "10.7937/QVAZ-JA09",
    "Mediastinal-Lymph-Node-SEG",
    2024,
    "Mediastinal Lymph Node Quantification (LNQ): Segmentation of Heterogeneous CT "
    "Data",
    "Idris, T.; Somarouthu, S.; Jacene, H.; LaCasce, A.; Ziegler, E.; Pieper, S.; "
    "Khajavi, R.; Dorent, R.; Pujol, S.; Kikinis, R.; Harris, G.",
)
_LIDC_IDRI = _dataset(
    "10.7937/K9/TCIA.2015.LO9QL9SX",
    "LIDC-IDRI",
    2015,
    "Data From LIDC-IDRI",
    _LIDC,
)

DATASETS: Mapping[str, Csl] = {
    item["id"]: item for item in (_CT_LYMPH_NODES, _MEDIASTINAL, _LIDC_IDRI)
}
"""Datasets known in full, by lower-case DOI."""

PAPERS: Mapping[str, tuple[Csl, ...]] = {
    str(_CT_LYMPH_NODES["id"]): (_ROTH_2014, _SEFF_2014, _SEFF_2015),
    str(_LIDC_IDRI["id"]): (_ARMATO_2011,),
}
"""Papers that a dataset asks for besides itself, by its lower-case DOI."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a collection's own page says, where DataCite says otherwise or nothing.

    Attributes
    ----------
    wording : str
        The data citation as the page prints it.
    version, since : str
        Version of the data on the page, and its date (ISO 8601).
    thanks : str
        Whom the page's acknowledgement names.
    """

    wording: str
    version: str
    since: str
    thanks: str


PAGES: Mapping[str, Page] = {
    str(_CT_LYMPH_NODES["id"]): Page(
        wording="The Cancer Imaging Archive Team. Data From CT Lymph Nodes. "
        f"doi:{CT_LYMPH_NODES_DOI}",
        version="5",
        since="2023-03-31",
        thanks="the National Institutes of Health Clinical Center (Bethesda, MD), "
        "Dr. Holger R. Roth and Dr. Ronald Summers",
    ),
}
"""Pages that word the citation differently, by the dataset's lower-case DOI."""
