"""Make ``src/napari_tcia/archive/catalogue.json.gz``.

Run with a Python that has idc-index-data, pandas and pyarrow; none of them is
needed by the package itself. The same index gives the same bytes.
"""

from __future__ import annotations

import gzip
import html
import json
import re
from pathlib import Path

import idc_index_data
import pandas as pd

INDEX = Path(idc_index_data.IDC_INDEX_PARQUET_FILEPATH)
TARGET = Path(__file__).parents[1] / "src/napari_tcia/archive/catalogue.json.gz"
LISTED = ("ct_lymph_nodes", "mediastinal_lymph_node_seg")
"""Collections of which every series is listed."""
COLUMNS = {
    "series_uid": "SeriesInstanceUID",
    "study_uid": "StudyInstanceUID",
    "patient_id": "PatientID",
    "modality": "Modality",
    "description": "SeriesDescription",
    "body_part": "BodyPartExamined",
    "manufacturer": "Manufacturer",
    "images": "instanceCount",
    "bytes": "series_size_MB",
    "folder": "crdc_series_uuid",
}


def main() -> None:
    index = pd.read_parquet(
        INDEX,
        columns=[
            "collection_id",
            "analysis_result_id",
            "license_short_name",
            "aws_bucket",
            *COLUMNS.values(),
        ],
    )
    described = pd.read_parquet(INDEX.with_name("collections_index.parquet"))
    versions = pd.read_parquet(INDEX.with_name("version_metadata_index.parquet"))
    release = versions.sort_values("idc_version").iloc[-1]
    value = {
        "date": str(release["version_timestamp"])[:10],
        "release": f"IDC v{release['idc_version']}",
        "collections": collections(index, described),
        "series": [series_table(index, name) for name in LISTED],
    }
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    TARGET.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(
        f"{value['release']} of {value['date']}: {len(value['collections'])} "
        f"collections, {sum(len(t['rows']) for t in value['series'])} series, "
        f"{TARGET.stat().st_size} bytes"
    )


def collections(index: pd.DataFrame, described: pd.DataFrame) -> list[dict]:
    original = index[index["analysis_result_id"].isna()]
    groups = dict(list(original.groupby("collection_id")))
    return [
        collection(row, groups[row["collection_id"]])
        for _, row in described.sort_values("collection_name").iterrows()
    ]


def collection(row: pd.Series, series: pd.DataFrame) -> dict:
    source = original_source(row["sources"])
    citation = plain(source["citation"] or "")
    return {
        "name": row["collection_name"],
        "id": row["collection_id"],
        "title": plain(source["source_title"] or ""),
        "licences": sorted(series["license_short_name"].unique()),
        "licence_url": source["license"]["license_url"],
        # The index holds public data only.
        "access": "open",
        "patients": int(series["PatientID"].nunique()),
        "series_count": len(series),
        "modalities": sorted(series["Modality"].dropna().unique()),
        "doi": doi_in(citation) or source["source_doi"],
        "citation_text": citation,
    }


def original_source(sources: list[dict]) -> dict:
    """The original data as TCIA published it, before what was derived from it."""
    return min(
        sources,
        key=lambda s: (
            s["source_type"] != "original_data",
            (s["provenance"] or {}).get("data_contributor") != "TCIA",
        ),
    )


def doi_in(citation: str) -> str:
    """The DOI as the citation spells it; the index has it in lower case."""
    found = re.search(r"https://doi\.org/(\S+?)\.?$", citation)
    return found[1] if found else ""


def series_table(index: pd.DataFrame, name: str) -> dict:
    rows = index[index["collection_id"] == name]
    rows = rows.sort_values(["PatientID", "Modality", "SeriesInstanceUID"])
    bucket = set(rows["aws_bucket"])
    assert len(bucket) == 1, bucket
    assert rows["license_short_name"].nunique() == 1
    labelled = set(rows.loc[rows["Modality"] == "SEG", "StudyInstanceUID"])
    table = rows[list(COLUMNS.values())].set_axis(list(COLUMNS), axis=1)
    table["bytes"] = (table["bytes"] * 1e6).round().astype(int)
    table["has_labels"] = [
        study in labelled if modality == "CT" else None
        for study, modality in zip(table["study_uid"], table["modality"], strict=True)
    ]
    table = table.astype(object).where(table.notna(), "")
    table.loc[table["has_labels"] == "", "has_labels"] = None
    return {
        "collection": name,
        "bucket": bucket.pop(),
        "columns": list(table.columns),
        "rows": table.to_numpy().tolist(),
    }


def plain(text: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", text)).split())


if __name__ == "__main__":
    main()
