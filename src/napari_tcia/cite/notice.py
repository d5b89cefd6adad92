"""What is owed besides citations: thanks, the terms of changed copies, a word back.

TCIA's Data Usage Policy asks to acknowledge, in every presentation and
publication, the dataset and the repository it was accessed through. The
sentences here are our own words for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from napari_tcia.cite.references import PAGES
from napari_tcia.core.model import Citation, Licence

HELP_DESK = "help@cancerimagingarchive.net"
PUBLICATIONS = (
    "Published something with this data? TCIA asks to hear of it, to list it "
    f"among its related publications: {HELP_DESK}, and #TCIAresearch."
)
QUESTIONS = f"Questions on the data go to TCIA's help desk: {HELP_DESK}"


def acknowledgement(cited: Sequence[Citation]) -> str:
    """A sentence for the acknowledgements of a paper or a talk.

    Parameters
    ----------
    cited : sequence of Citation
        As `citations_for` gives them: the datasets say what was used, the
        citations of archives how it was accessed.

    Returns
    -------
    str
        Empty where no dataset of an archive is cited; the synthetic phantom
        is nobody's to be thanked for.
    """
    datasets = [one for one in cited if one.kind == "dataset"]
    if not datasets:
        return ""
    archives = sum(one.kind == "archive" for one in cited)
    through = "The Cancer Imaging Archive (TCIA)"
    if archives > 1:
        through += " and the NCI Imaging Data Commons (IDC)"
    s = "s" if len(datasets) > 1 else ""
    sentences = [
        f"This work uses the dataset{s} {_listed([_named(d) for d in datasets])}, "
        f"accessed through {through}."
    ]
    for one in datasets:
        page = PAGES.get(one.key)
        if page is not None:
            name = one.csl.get("title-short") or "this dataset"
            sentences.append(f"{name} was provided by {page.thanks}.")
    return " ".join(sentences)


def adaptation(licence: Licence) -> str:
    """What holds for a changed copy of data under `licence`, as a clause.

    A changed copy is an adaptation (CC BY 3.0 section 1a; 4.0 section 1a):
    whoever passes it on passes on the licence, the attribution and the notice
    of change (3.0 section 4b and 3b; 4.0 section 3a), and NonCommercial stays.
    What is not known to be permitted is not.
    """
    if licence.controlled:
        return "an adaptation of controlled data: it does not leave this machine"
    if licence.adapt is not True:
        return (
            "an adaptation, and the licence is not known to permit passing it on: ask"
        )
    keep = f"an adaptation: pass it on with {licence.short}, the attribution and"
    said = f'{keep} "changed by"'
    return f"{said}, and for no commercial use" if not licence.commercial else said


def _named(one: Citation) -> str:
    name = str(one.csl.get("title-short") or one.csl.get("title") or "")
    return f"{name} (doi:{one.doi})" if one.doi and one.doi != name else name


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
