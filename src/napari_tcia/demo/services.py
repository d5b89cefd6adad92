"""Collection Manager and supplementary files of the embedded archive."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_tcia.demo.citations import LANDING, apa
from napari_tcia.demo.holdings import HOLDINGS, Holding, parts
from napari_tcia.demo.manifests import manifest_file
from napari_tcia.demo.messages import Reply, Request, Row, json_reply, not_found
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
        "downloads": lambda: _downloads(version, twin),
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
        "link": f"{LANDING}{holding.slug}/",
        "title": {"rendered": html.escape(holding.title)},
        "collection_title": holding.title,
        "collection_short_title": holding.name,
        "collection_doi": holding.doi,
        "collection_summary": "<p>SYNTHETIC record of the embedded archive: <i>phantoms"
        "</i>, no patients.</p>",
        "collection_page_accessibility": "Public",
        "collection_status": "Complete",
        "citations": [number + 200],
        "collection_downloads": [
            _download_id(holding, part) for part in range(len(parts(holding)))
        ],
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


def _downloads(version: str, twin: Twin) -> list[Row]:
    """One record per licence of a collection."""
    return [
        _download(part, _download_id(holding, place), version, twin)
        for holding in HOLDINGS
        for place, part in enumerate(parts(holding))
    ]


def _download_id(holding: Holding, part: int) -> int:
    return 200 + HOLDINGS.index(holding) + 30 * part


def _download(holding: Holding, number: int, version: str, twin: Twin) -> Row:
    series = [one for one in twin.series.values() if one.case.holding == holding]
    patients = {one.case.identity.patient_id for one in series}
    studies = {one.case.identity.study_uid for one in series}
    images = sum(len(one.sop_uids) for one in series)
    row: dict[str, Any] = {
        "id": number,
        "slug": f"{holding.slug}-download-{number}",
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
        "tcia_citation_text": f"<p>{apa(holding)}</p>",
        "tcia_citation_statement": False,
        "tcia_citation_doi": holding.doi,
    }


def _licences() -> list[Row]:
    found = {
        one.licence_label: one.licence_url
        for holding in HOLDINGS
        for one in parts(holding)
        if one.licence_label
    }
    return [
        {"id": number, "license_label": label, "license_url": url or False}
        for number, (label, url) in enumerate(found.items(), start=700)
    ]


def supplements(twin: Twin, request: Request) -> Reply:
    """Zips of points and masks, and manifests, with a length, as a web server does."""
    name = request.endpoint if len(request.parts) == 1 else ""
    if (text := manifest_file(twin, name)) is not None:
        kind = "text/csv" if name.endswith(".csv") else "application/octet-stream"
        return Reply(text, kind)
    path = twin.supplement(name)
    if path is None:
        return not_found()
    length = {"Content-Length": str(path.stat().st_size)}
    return Reply(_file_chunks(path), "application/zip", headers=length)


def _file_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 16):
            yield chunk


def _number(text: str | None, default: int) -> int:
    return max(1, int(text)) if text and text.isdigit() else default
