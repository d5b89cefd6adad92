"""Collection Manager, DataCite and supplementary files of the embedded archive."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_tcia.demo.holdings import HOLDINGS, Holding
from napari_tcia.demo.messages import Reply, Request, Row, json_reply
from napari_tcia.demo.twin import Twin

PAGE_SIZE = 4
"""Most records on a page, so that even a small archive has a second one."""
_HIDDEN = {
    "id": 900,
    "slug": "synthetic-hidden",
    "collection_title": "SYNTHETIC record that is not to be shown",
    "collection_short_title": "SYNTHETIC-Hidden",
    "hide_from_browse_table": "1",
}


def collection_manager(twin: Twin, request: Request) -> Reply:
    """``/v2/<endpoint>/`` in pages, and ``/v1/<endpoint>/`` as linked lists."""
    version, name = (*request.parts, "", "")[:2]
    tables = {
        "collections": lambda: [*map(_collection, HOLDINGS), _HIDDEN],
        "downloads": lambda: [_download(one, version, twin) for one in HOLDINGS],
        "citations": lambda: list(map(_citation_record, HOLDINGS)),
        "licenses": _licences,
    }
    if version not in ("v1", "v2") or name not in tables or len(request.parts) != 2:
        return json_reply({"code": "rest_no_route", "message": "No route."}, status=404)
    query = request.query
    rows = tables[name]()
    wanted = query.get("include" if version == "v1" else "id")
    if wanted:
        rows = [row for row in rows if str(row["id"]) in wanted.split(",")]
    if text := query.get("search", "").lower():
        rows = [row for row in rows if text in str(row).lower()]
    size = min(_number(query.get("per_page"), PAGE_SIZE), PAGE_SIZE)
    page = _number(query.get("page"), 1)
    pages = max(1, -(-len(rows) // size))
    shown = rows[(page - 1) * size : page * size]
    fields = query.get("_fields" if version == "v1" else "fields")
    if fields:
        shown = [{k: row[k] for k in fields.split(",") if k in row} for row in shown]
    if version == "v2":
        return json_reply({"results": shown, "total_pages": pages, "page": page})
    headers = {"X-WP-Total": str(len(rows)), "X-WP-TotalPages": str(pages)}
    if page < pages:
        # Relative, as no body or header may name the archive's own address.
        headers["Link"] = f'<?per_page={size}&page={page + 1}>; rel="next"'
    return json_reply(shown, headers)


def _collection(holding: Holding) -> Row:
    number = 100 + HOLDINGS.index(holding)
    return {
        "id": number,
        "slug": holding.slug,
        "link": f"/collection/{holding.slug}/",
        "title": {"rendered": html.escape(holding.title)},
        "collection_title": holding.title,
        "collection_short_title": holding.name,
        "collection_doi": holding.doi,
        "collection_summary": "<p>SYNTHETIC record of the embedded archive: <i>phantoms"
        "</i>, no patients.</p>",
        "collection_page_accessibility": "Public",
        "collection_status": "Complete",
        "citations": [number + 200],
        "collection_downloads": [number + 100],
        "cancer_types": [holding.cancer_type] if holding.cancer_type else False,
        "cancer_locations": holding.location.split(", ") if holding.location else False,
        "data_types": ["CT", "SEG"],
        "supporting_data": False,
        "species": ["Human"],
        "program": False,
        "version_number": holding.version,
        "date_updated": holding.date,
        "hide_from_browse_table": "0",
    }


def _download(holding: Holding, version: str, twin: Twin) -> Row:
    number = 200 + HOLDINGS.index(holding)
    series = [one for one in twin.series.values() if one.case.holding is holding]
    patients = {one.case.identity.patient_id for one in series}
    studies = {one.case.identity.study_uid for one in series}
    images = sum(len(one.sop_uids) for one in series)
    row: dict[str, Any] = {
        "id": number,
        "slug": f"{holding.slug}-download",
        "download_title": "Images and segmentations",
        "subjects": len(patients) or False,
    }
    if version == "v1":
        return row | {
            "download_type": ["Radiology Images"],
            "data_type": ["CT", "SEG"],
            "file_type": ["DICOM"],
            "data_license": holding.licence_label or False,
            "download_url": False,
            "study_count": len(studies) or False,
            "series_count": len(series) or False,
            "image_count": images or False,
            "date_updated": holding.date,
        }
    label = holding.licence_label
    return row | {
        "download type": ["Radiology Images"],
        "data type": ["CT", "SEG"],
        "file type": ["DICOM"],
        "license": {"label": label, "url": holding.licence_url} if label else False,
        "download requirements": False,
        "download url": False,
        "search url": False,
        "date updated": holding.date,
        "download size": False,
        "download size unit": False,
        "studies": len(studies) or False,
        "series": len(series) or False,
        "images": images or False,
    }


def _citation_record(holding: Holding) -> Row:
    return {
        "id": 300 + HOLDINGS.index(holding),
        "tcia_citation_type": "Data Citation",
        "tcia_citation_text": f"<p>{_apa(holding)}</p>",
        "tcia_citation_statement": False,
        "tcia_citation_doi": holding.doi,
    }


def _licences() -> list[Row]:
    found = {
        one.licence_label: one.licence_url for one in HOLDINGS if one.licence_label
    }
    return [
        {"id": number, "license_label": label, "license_url": url or False}
        for number, (label, url) in enumerate(found.items(), start=700)
    ]


def datacite(request: Request) -> Reply:
    """``/dois/<doi>`` as JSON:API, ``/dois/<mime type>/<doi>`` as a citation."""
    parts = request.parts
    if parts[:1] != ("dois",) or len(parts) < 3:
        return _unknown_doi()
    holding = _by_doi("/".join(parts[1:]))
    if holding is not None:
        attributes = _attributes(holding)
        name = holding.doi.lower()
        return json_reply(
            {"data": {"id": name, "type": "dois", "attributes": attributes}}
        )
    mime, holding = "/".join(parts[1:3]), _by_doi("/".join(parts[3:]))
    write = _FORMATS.get(mime)
    if holding is None or write is None:
        return _unknown_doi()
    return Reply(write(holding).encode(), f"{mime}; charset=utf-8")


def _by_doi(doi: str) -> Holding | None:
    found = [one for one in HOLDINGS if one.doi.lower() == doi.lower()]
    return found[0] if found else None


def _unknown_doi() -> Reply:
    title = "The resource you are looking for doesn't exist."
    return json_reply({"errors": [{"status": "404", "title": title}]}, status=404)


def _attributes(holding: Holding) -> Row:
    return {
        "doi": holding.doi.lower(),
        "identifiers": [
            {"identifier": holding.name, "identifierType": "TCIA Short Name"}
        ],
        "creators": [
            {"name": f"{family}, {given}", "givenName": given, "familyName": family}
            for family, given in holding.authors
        ],
        "titles": [{"title": holding.title}],
        "publisher": "The Cancer Imaging Archive",
        "publicationYear": holding.year,
        "types": {"resourceTypeGeneral": "Dataset", "citeproc": "dataset"},
        "version": holding.version,
        "rightsList": [
            {"rights": holding.licence_name, "rightsUri": holding.licence_url}
        ]
        if holding.licence_name
        else [],
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


def _apa(holding: Holding) -> str:
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
    "text/x-bibliography": _apa,
    "application/x-bibtex": _bibtex,
    "application/x-research-info-systems": _ris,
}


def supplements(twin: Twin, request: Request) -> Reply:
    """The zips of points and masks, with a length, as a web server sends files."""
    path = twin.supplement(request.endpoint) if len(request.parts) == 1 else None
    if path is None:
        return Reply(b"<h1>Not Found</h1>", "text/html", status=404)
    return Reply(
        _file_chunks(path),
        "application/zip",
        headers={"Content-Length": str(path.stat().st_size)},
    )


def _file_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 16):
            yield chunk


def no_bucket() -> Reply:
    """The answer of a bucket store that holds no such bucket."""
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchBucket</Code>'
        b"<Message>The specified bucket does not exist</Message></Error>"
    )
    return Reply(body, "application/xml", status=404)


def _number(text: str | None, default: int) -> int:
    return max(1, int(text)) if text and text.isdigit() else default
