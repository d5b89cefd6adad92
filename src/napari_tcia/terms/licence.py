"""The licences that TCIA uses, as facts, and how an archive's words name them.

The table holds what was seen on collections of the archive and no more. What
is not in it is "unknown", and unknown never opens a door.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from napari_tcia.core.model import Licence, Series
from napari_tcia.core.settings import POLICY_URL
from napari_tcia.errors import ControlledAccess, TermsUnknown

CONTROLLED_ACCESS_URL = (
    "https://www.cancerimagingarchive.net/nih-controlled-data-access-policy/"
)


def _creative_commons(family: str, version: str, port: str) -> Licence:
    free = family == "BY"
    words = "Attribution" if free else "Attribution-NonCommercial"
    return Licence(
        id=f"CC-{family}-{version}",
        short=f"CC {family} {version}",
        name=f"Creative Commons {words} {version} {port} License",
        url=f"https://creativecommons.org/licenses/{family.lower()}/{version}/",
        share=True,
        adapt=True,
        commercial=free,
        attribution=True,
        account=False,
    )


def _controlled(id_: str, short: str, name: str, url: str = POLICY_URL) -> Licence:
    return Licence(
        id=id_, short=short, name=name, url=url, controlled=True, account=True
    )


LICENCES: Mapping[str, Licence] = MappingProxyType(
    {
        licence.id: licence
        for licence in (
            _creative_commons("BY", "3.0", "Unported"),
            _creative_commons("BY", "4.0", "International"),
            _creative_commons("BY-NC", "3.0", "Unported"),
            _creative_commons("BY-NC", "4.0", "International"),
            Licence(
                id="NLM-2019",
                short="NLM terms",
                name="National Library of Medicine Terms and Conditions; May 21, 2019",
                url="https://www.nlm.nih.gov/databases/download/"
                "terms_and_conditions.html",
                share=True,
                attribution=True,
                account=False,
            ),
            _controlled(
                "TCIA-restricted", "TCIA Restricted", "TCIA Restricted License"
            ),
            _controlled(
                "TCIA-limited",
                "TCIA Limited Access",
                "TCIA Limited Access License (retired 2022-05-19)",
            ),
            _controlled(
                "NCTN-collaborative",
                "NCTN, with agreement",
                "NCTN Data Archive License with collaborative agreement",
            ),
            _controlled(
                "NCTN-no-collaborative",
                "NCTN, no agreement",
                "NCTN Data Archive License with no collaborative agreement",
            ),
            _controlled(
                "NIH-controlled",
                "NIH controlled",
                "NIH Controlled Data Access Policy",
                CONTROLLED_ACCESS_URL,
            ),
            Licence(id="unknown", short="unknown", name="Unknown licence"),
            Licence(id="missing", short="no licence", name="No licence named"),
        )
    }
)
"""Every licence by its id."""

_CC_URI = re.compile(
    r"(?:https?://)?(?:www\.)?creativecommons\.org/licen[sc]es/(by|by-nc)/([34]\.0)"
    r"(?:/(?:legalcode|deed)(?:\.[a-z-]+)?)?/?"
)
_CC_NAME = re.compile(r"cc by( nc)?(?: v?([0-9](?:\.[0-9])?))?")
_LICENSE_TEXT = re.compile(
    r"The\s+(?P<collection>\S.{0,98}?)\s+collection\s+is\s+distributed\s+under\s+the\s+"
    r"(?P<name>\S.{0,198}?)(?:\s+at)?\s+(?P<uri>https?://\S+|Not Specified)",
    re.DOTALL,
)
_FILLER = re.compile(
    r"\b(?:the|licen[cs]e|licensed|unported|international|public|policy|under)\b"
)
_NAMED = {
    "tcia restricted": "TCIA-restricted",
    "tcia limited access": "TCIA-limited",
    "nih controlled data access": "NIH-controlled",
    "nih controlled access": "NIH-controlled",
    "controlled access": "NIH-controlled",
    "controlled data access": "NIH-controlled",
    "nctn data archive with collaborative agreement": "NCTN-collaborative",
    "nctn data archive with no collaborative agreement": "NCTN-no-collaborative",
    "nctn data archive without collaborative agreement": "NCTN-no-collaborative",
    "national library of medicine terms and conditions may 21 2019": "NLM-2019",
}
_URIS = {
    re.sub(r"^https?://(?:www\.)?|/+$", "", LICENCES[key].url.casefold()): key
    for key in ("NIH-controlled", "NLM-2019")
}


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def _from_uri(uri: str) -> str:
    """Id that an address stands for, or "unknown"."""
    bare = re.split(r"[?#]", _fold(uri), maxsplit=1)[0]
    if match := _CC_URI.fullmatch(bare):
        return f"CC-{match[1].upper()}-{match[2]}"
    return _URIS.get(re.sub(r"^https?://(?:www\.)?|/+$", "", bare), "unknown")


def _from_name(name: str) -> set[str]:
    """Ids that a name may stand for; empty when it is not understood.

    A Creative Commons name without its version leaves two, and only an
    address can decide between them.
    """
    if "://" in name:
        found = _from_uri(name)
        return set() if found == "unknown" else {found}
    words = re.sub(r"[^\w.]+|_", " ", _fold(name))
    words = re.sub(r"\bnon ?commercial\b", "nc", words)
    words = re.sub(
        r"\bcreative commons attribution\b|\bcc attribution\b", "cc by", words
    )
    words = " ".join(_FILLER.sub(" ", words).split()).rstrip(".")
    # "Creative Commons Attribution 3.0 Unported (CC BY 3.0)" says it twice.
    half = len(words) // 2
    if words[:half] == words[half + 1 :]:
        words = words[:half]
    if words in _NAMED:
        return {_NAMED[words]}
    match = _CC_NAME.fullmatch(words)
    if match is None:
        return set()
    family = "BY-NC" if match[1] else "BY"
    versions = [match[2] if "." in match[2] else f"{match[2]}.0"] if match[2] else []
    ids = {f"CC-{family}-{version}" for version in versions or ["3.0", "4.0"]}
    return ids & LICENCES.keys()


def identify(name: str, uri: str = "") -> Licence:
    """Licence that an archive's words stand for.

    Total: any two strings give a licence, and it is "unknown" unless the
    words are understood completely. A name and an address that disagree are
    unknown too; the archive's own index has had such rows, and taking the
    milder of the two would be a guess.

    Parameters
    ----------
    name : str
        "Creative Commons Attribution 3.0 Unported License", "CC BY 3.0" ...
    uri : str
        Address of the licence text, http or https.

    Returns
    -------
    Licence
        Of `LICENCES`; an unknown one carries the archive's words as its name.
    """
    if not name.strip() and not uri.strip():
        return LICENCES["missing"]
    found: set[str] = _from_name(name) if name.strip() else set()
    if uri.strip():
        by_uri = _from_uri(uri)
        if not name.strip():
            found = {by_uri}
        elif by_uri != "unknown":
            found &= {by_uri}
        elif not all(LICENCES[key].controlled for key in found):
            # A closed licence may point at any page; an open one must not.
            found = set()
    if len(found) == 1 and (key := found.pop()) != "unknown":
        return LICENCES[key]
    words = " ".join(f"{name} {uri}".split())[:200]
    return replace(LICENCES["unknown"], name=words)


def as_licensed(series: Series, text: str) -> Series:
    """`series` under the terms that the LICENSE text of its zip names.

    Parameters
    ----------
    series : Series
        As listed.
    text : str
        The LICENSE member of NBIA's zip.

    Returns
    -------
    Series
        `series` itself where the text names the same collection and licence,
        or names none; else one of the collection and licence of the text.
    """
    match = _LICENSE_TEXT.search(text)
    if match is None:
        return series
    said = {key: " ".join(words.split()) for key, words in match.groupdict().items()}
    unsaid = {"", "Not Specified"}
    collection = said["collection"] if said["collection"] not in unsaid else ""
    name = said["name"] if said["name"] not in unsaid else ""
    uri = said["uri"].rstrip(".,;)") if said["uri"] not in unsaid else ""
    if collection.casefold() in ("", series.collection.casefold()):
        collection = series.collection
    listed = identify(series.licence_name, series.licence_uri)
    named = identify(name, uri)
    same = named.id in ("missing", listed.id) and (
        named.id != "unknown" or named.name == listed.name
    )
    if same and collection == series.collection:
        return series
    words = (series.licence_name, series.licence_uri) if same else (name, uri)
    return replace(
        series, collection=collection, licence_name=words[0], licence_uri=words[1]
    )


def require_open(licence: Licence, collection: str) -> None:
    """Refuse what nobody can accept here.

    Raises
    ------
    ControlledAccess
        The licence asks for an approved request elsewhere.
    TermsUnknown
        The archive names no collection, no licence, or one that is not
        understood.
    """
    if not collection.strip():
        raise TermsUnknown(
            "The archive does not say which collection a series belongs to, "
            "so nothing can be accepted for it.",
            "Ask help@cancerimagingarchive.net which terms it has.",
        )
    if licence.controlled:
        raise ControlledAccess(
            f"{collection!r} is under controlled access ({licence.name}) "
            "and is not served here.",
            f"Request access from the NIH: {CONTROLLED_ACCESS_URL}",
        )
    if licence.id in ("unknown", "missing"):
        said = (
            "The archive names no licence"
            if licence.id == "missing"
            else f"The licence given ({licence.name}) is not one we can read"
        )
        raise TermsUnknown(
            f"{said} for {collection!r}, so nothing can be accepted.",
            "Look at the collection's page on cancerimagingarchive.net, "
            "or ask help@cancerimagingarchive.net for its terms.",
        )
