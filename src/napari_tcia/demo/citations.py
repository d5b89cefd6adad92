"""DataCite and doi.org of the embedded archive."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from napari_tcia.demo.holdings import HOLDINGS, Holding
from napari_tcia.demo.messages import Reply, Request, Row, json_reply, not_found

DATACITE = "/datacite"
LANDING = "/collection/"
"""Path below which every collection has its page."""


def datacite(request: Request) -> Reply:
    """DOIs as JSON:API, one or a list, and as citations of a content type.

    ``/dois/<doi>``, ``/dois?query=`` or ``?ids=``, ``/dois/<mime type>/<doi>``
    and ``/<mime type>/<doi>``. A style or locale that is not known gets APA in
    English without a word, as at DataCite.
    """
    parts = request.parts
    if parts == ("dois",):
        return _list(request.query)
    if parts[:1] == ("dois",):
        parts = parts[1:]
        if (holding := _by_doi("/".join(parts))) is not None:
            return json_reply({"data": _record(holding)})
    mime, holding = "/".join(parts[:2]), _by_doi("/".join(parts[2:]))
    write = _FORMATS.get(mime)
    if holding is None or write is None:
        return _unknown_doi()
    return Reply(write(holding).encode(), f"{mime}; charset=utf-8")


def _list(query: Mapping[str, str]) -> Reply:
    found: Sequence[Holding] = HOLDINGS
    if "ids" in query:
        wanted = query["ids"].lower().split(",")
        found = [one for one in HOLDINGS if one.doi.lower() in wanted]
    if text := query.get("query", ""):
        term = re.sub(r'^doi:|"|\\\\', "", text).lower()
        found = [
            one for one in found if term in f"{one.doi} {one.title} {one.name}".lower()
        ]
    size = max(1, int(query.get("page[size]", "25")))
    number = max(1, int(query.get("page[number]", "1")))
    pages = -(-len(found) // size)
    shown = found[(number - 1) * size : number * size]
    meta = {"total": len(found), "totalPages": pages, "page": number}
    return json_reply(
        {"data": [_record(one) for one in shown], "meta": meta, "links": {}}
    )


def _record(holding: Holding) -> Row:
    return {
        "id": holding.doi.lower(),
        "type": "dois",
        "attributes": _attributes(holding),
        "relationships": {"client": {"data": {"id": "nihnci.tcia", "type": "clients"}}},
    }


def doi(request: Request) -> Reply:
    """What doi.org does: send on by content type, or name the registration agency.

    A known type goes to DataCite with 302, anything else to the landing page
    with 303; both relative, as no answer names the archive's own address.
    """
    if request.parts[:1] == ("ra",):
        name = "/".join(request.parts[1:])
        if _by_doi(name):
            return json_reply([{"DOI": name, "RA": "DataCite"}])
        return json_reply([{"DOI": name, "status": "DOI does not exist"}])
    holding = _by_doi("/".join(request.parts))
    if holding is None:
        return not_found()
    for accepted in request.headers.get("accept", "").split(","):
        mime = accepted.partition(";")[0].strip().lower()
        if mime in _FORMATS:
            where = f"{DATACITE}/dois/{mime}/{quote(holding.doi)}"
            return Reply(status=302, headers={"Location": where})
    return Reply(status=303, headers={"Location": f"{LANDING}{holding.slug}/"})


def _by_doi(doi: str) -> Holding | None:
    found = [one for one in HOLDINGS if one.doi.lower() == doi.lower()]
    return found[0] if found else None


def _unknown_doi() -> Reply:
    title = "The resource you are looking for doesn't exist."
    return json_reply({"errors": [{"status": "404", "title": title}]}, status=404)


def _attributes(holding: Holding) -> Row:
    licence = {"rights": holding.licence_name, "rightsUri": holding.licence_url}
    return {
        "doi": holding.doi.lower(),
        "identifiers": [
            {"identifier": holding.name, "identifierType": "TCIA Short Name"}
        ],
        "alternateIdentifiers": [],
        "creators": [
            {
                "nameType": "Personal",
                "affiliation": [],
                "givenName": given,
                "familyName": family,
                "name": f"{family}, {given}",
                "nameIdentifiers": [],
            }
            for family, given in holding.authors
        ],
        "titles": [{"title": holding.title}],
        "publisher": "The Cancer Imaging Archive",
        "container": {},
        "publicationYear": holding.year,
        "subjects": [],
        "contributors": [],
        "dates": [{"date": str(holding.year), "dateType": "Issued"}],
        "language": "en",
        "types": {
            "schemaOrg": "Dataset",
            "resourceTypeGeneral": "Dataset",
            "citeproc": "dataset",
            "bibtex": "misc",
            "ris": "DATA",
            "resourceType": "Dataset",
        },
        "relatedIdentifiers": [],
        "sizes": [],
        "formats": [],
        "version": holding.version,
        "rightsList": [licence] if holding.licence_name else [],
        "descriptions": [],
        "fundingReferences": [],
        "url": f"{LANDING}{holding.slug}/",
        "state": "findable",
    }


def _csl(holding: Holding) -> str:
    item = {
        "type": "dataset",
        "id": f"https://doi.org/{holding.doi.lower()}",
        "author": [
            {"family": family, "given": given} for family, given in holding.authors
        ],
        "issued": {"date-parts": [[holding.year]]},
        "DOI": holding.doi.upper(),
        "publisher": "The Cancer Imaging Archive",
        "title": holding.title,
        "URL": f"https://doi.org/{holding.doi}",
        "copyright": holding.licence_name.removesuffix(" License"),
        "version": holding.version,
    }
    return json.dumps(item, ensure_ascii=False)


def apa(holding: Holding) -> str:
    """One line in APA style, with the HTML that DataCite leaves in."""
    names = [f"{family}, {_initials(given)}" for family, given in holding.authors]
    people = (
        names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, &amp; {names[-1]}"
    )
    return (
        f"{people} ({holding.year}). <i>{html.escape(holding.title)}</i> "
        f"(Version {holding.version}) [Dataset]. The Cancer Imaging Archive. "
        f"https://doi.org/{holding.doi.upper()}"
    )


def _bibtex(holding: Holding) -> str:
    people = " and ".join(f"{family}, {given}" for family, given in holding.authors)
    fields = {
        "doi": holding.doi.upper(),
        "url": f"https://doi.org/{holding.doi}",
        "author": people,
        "title": holding.title,
        "publisher": "The Cancer Imaging Archive",
        "year": holding.year,
        "copyright": holding.licence_name,
    }
    body = ",\n".join(f"  {key} = {{{value}}}" for key, value in fields.items())
    return f"@misc{{https://doi.org/{holding.doi.lower()},\n{body}\n}}\n"


def _ris(holding: Holding) -> str:
    lines = [
        ("TY", "DATA"),
        ("T1", holding.title),
        *(("AU", f"{family}, {given}") for family, given in holding.authors),
        ("DO", holding.doi),
        ("UR", f"https://doi.org/{holding.doi}"),
        ("PY", str(holding.year)),
        ("PB", "The Cancer Imaging Archive"),
        ("ER", ""),
    ]
    return "".join(f"{tag}  - {value}\r\n" for tag, value in lines)


def _initials(given: str) -> str:
    return " ".join(f"{name[0]}." for name in given.split())


_FORMATS: Mapping[str, Callable[[Holding], str]] = {
    "application/vnd.citationstyles.csl+json": _csl,
    "text/x-bibliography": apa,
    "application/x-bibtex": _bibtex,
    "application/x-research-info-systems": _ris,
}
