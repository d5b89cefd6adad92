"""What the terms ask, in our own plain words, and how words are compared.

The summaries are no substitute: each names the address of the official text.
When the wording of a summary changes, `SUMMARY_VERSION` goes up, and those
who accepted the former wording are asked again.
"""

from __future__ import annotations

import difflib
import hashlib
import html
import re
import unicodedata
from typing import Literal

from napari_tcia.core.model import Licence, TermsDocument, TextChange
from napari_tcia.core.settings import POLICY_URL

SUMMARY_VERSION = 2

POLICY_TITLE = "TCIA Data Usage Policy"

POLICY_POINTS: tuple[tuple[str, str], ...] = (
    ("must not", "try to find out who a participant is, or get in touch with one."),
    (
        "must not",
        "rebuild a face from the images, or make anything else that shows who "
        "somebody is.",
    ),
    (
        "must",
        "name the dataset and the archive it came from in every talk, paper or "
        "other place where you use it.",
    ),
    (
        "must",
        "keep to the conditions on the page of the collection and to the rules on "
        "human research that bind you.",
    ),
    (
        "must",
        "credit each dataset, link back to this policy and ask others to do the "
        "same when you pass the data on through a tool or a copy.",
    ),
)
"""("may" | "must" | "must not", rest of a sentence that starts with "You")."""

_BLOCK = (
    "address article aside blockquote body br center dd div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 head header hr html li main nav ol p pre "
    "section table tbody td tfoot th thead title tr ul"
)
_INLINE = (
    "a abbr acronym b big cite code dfn em font i img kbd label link mark meta small "
    "span strong sub sup time tt u var wbr"
)
# Elements that change what a sentence says, such as <del>, are left in: taking
# them out silently must count as a change.
_HIDDEN = re.compile(
    r"<!--.*?-->|<!doctype[^<>]*>|<(script|style)\b.*?</\1\s*>",
    re.DOTALL | re.IGNORECASE,
)
_TAG = "</?(?:{})(?:\\s[^<>]*)?/?>"
_BLOCK_TAG = re.compile(_TAG.format(_BLOCK.replace(" ", "|")), re.IGNORECASE)
_INLINE_TAG = re.compile(_TAG.format(_INLINE.replace(" ", "|")), re.IGNORECASE)
_INVISIBLE = str.maketrans("", "", "\u200b\u00ad\ufeff")


def normalise(text: str) -> str:
    """Words of a text without its layout.

    HTML tags go (a block ends a word, an inline tag does not), entities are
    decoded, Unicode is composed (NFC), and runs of white space become one
    space. Case and punctuation stay, since they can carry meaning.
    """
    text = _HIDDEN.sub(" ", text)
    text = _INLINE_TAG.sub("", _BLOCK_TAG.sub(" ", text))
    text = html.unescape(text).translate(_INVISIBLE)
    return " ".join(unicodedata.normalize("NFC", text).split())


def digest(text: str, *salt: str) -> str:
    """SHA-256, in hex, of the normalised text and of what `salt` it belongs to."""
    joined = "\x1f".join((*salt, normalise(text)))
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()


def licence_points(licence: Licence) -> tuple[tuple[str, str], ...]:
    """What a licence permits, asks and forbids, as ("may", "must", "must not").

    Returns
    -------
    tuple of (str, str)
        Each completes a sentence that starts with "You". Only what is known
        of the licence is said; an unknown one permits nothing.
    """
    if licence.controlled:
        return (
            (
                "must",
                "have an approved request at the NIH before you use these images; "
                "this program does not serve them.",
            ),
        )
    points = []
    if licence.share:
        points.append(("may", "copy the images and give them to others."))
    if licence.adapt:
        points.append(("may", "change them and build on them, annotations included."))
    if licence.commercial:
        points.append(("may", "do so for commercial work too."))
    if licence.attribution and licence.adapt:
        points.append(
            (
                "must",
                "give credit, name the licence with a link, and say what you changed.",
            )
        )
    if licence.commercial is False:
        points.append(("must not", "use them, or what you make of them, for profit."))
    if licence.share and licence.adapt:
        points.append(
            (
                "must not",
                "add terms or locks that take these freedoms from others, or suggest "
                "that the authors stand behind your work.",
            )
        )
    if licence.id == "NLM-2019":
        points.append(
            (
                "must",
                "credit the National Library of Medicine as the source, suggest no "
                "endorsement, and say so when your copy is not the newest. Read the "
                "official text for the rest.",
            )
        )
    return tuple(points)


def _sentences(points: tuple[tuple[str, str], ...]) -> str:
    lines = (f"You {kind} {rest}" for kind, rest in points)
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=1))


def licence_document(
    licence: Licence, official_text: str | None = None, retrieved: str = ""
) -> TermsDocument:
    """The text of a licence, or our summary without it.

    The hash covers the licence id and the words.

    Parameters
    ----------
    official_text : str, optional
        As Creative Commons publishes it; blank counts as not served.
    retrieved : str
        When it was fetched, ISO 8601.
    """
    if official_text and normalise(official_text):
        return TermsDocument(
            kind="licence",
            title=licence.name,
            text=official_text.strip(),
            url=licence.url,
            origin="official",
            retrieved=retrieved,
            sha256=digest(official_text, "licence", licence.id),
        )
    text = _sentences(licence_points(licence))
    return TermsDocument(
        kind="licence",
        title=licence.name,
        text=f"{text}\nThe official text is at {licence.url}" if licence.url else text,
        url=licence.url,
        origin="summary",
        retrieved=f"summary {SUMMARY_VERSION}",
        sha256=digest(text, "licence", licence.id, str(SUMMARY_VERSION)),
    )


def policy_document(
    official_text: str | None = None, retrieved: str = ""
) -> TermsDocument:
    """The data usage policy: the official text, or our summary without it.

    Parameters
    ----------
    official_text : str, optional
        As the archive serves it; blank counts as not served.
    retrieved : str
        When it was fetched, ISO 8601.
    """
    if official_text and normalise(official_text):
        return TermsDocument(
            kind="policy",
            title=POLICY_TITLE,
            text=official_text.strip(),
            url=POLICY_URL,
            origin="official",
            retrieved=retrieved,
            sha256=digest(official_text, "policy"),
        )
    text = _sentences(POLICY_POINTS)
    return TermsDocument(
        kind="policy",
        title=POLICY_TITLE,
        text=f"{text}\nThe official text is at {POLICY_URL}",
        url=POLICY_URL,
        origin="summary",
        retrieved=f"summary {SUMMARY_VERSION}",
        sha256=digest(text, "policy", str(SUMMARY_VERSION)),
    )


def licence_facts(licence: Licence) -> tuple[tuple[str, str], ...]:
    """What a licence is, in plain words: share, adapt, commercial use, and so on.

    Returns
    -------
    tuple of (str, str)
        Question and answer; "not known here" where the table does not say.
    """

    def answer(value: bool | None, yes: str, no: str) -> str:
        return "not known here" if value is None else yes if value else no

    return (
        ("SPDX id", licence.spdx or "none"),
        ("share", answer(licence.share, "yes", "no")),
        ("adapt", answer(licence.adapt, "yes", "no")),
        ("commercial use", answer(licence.commercial, "yes", "no")),
        ("attribution", answer(licence.attribution, "required", "not required")),
        ("account", answer(licence.account, "required, elsewhere", "not required")),
    )


def sentences(text: str) -> list[str]:
    """The sentences, and the lines of lists, of a text without its layout."""
    text = _HIDDEN.sub(" ", text)
    text = html.unescape(_INLINE_TAG.sub("", _BLOCK_TAG.sub("\n\n", text)))
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[-*\u2022]|\(?\w{1,3}[.)])\s)", text)
    found = []
    for block in blocks:
        found += re.split(r"(?<=[.;:!?])\s+(?=\S)", normalise(block))
    return [one for one in found if one]


def difference(
    former: str, present: str, kind: Literal["licence", "policy"]
) -> tuple[TextChange, ...]:
    """Sentences that went and came between two wordings, in their order."""
    before, after = sentences(former), sentences(present)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    changes: list[TextChange] = []
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        if tag != "equal":
            changes += [TextChange(kind, "removed", s) for s in before[i:i_end]]
            changes += [TextChange(kind, "added", s) for s in after[j:j_end]]
    return tuple(changes)
