"""The index of all series, where it is installed and where it is not."""

from __future__ import annotations

import sys
import types

import pytest

from napari_tcia.archive import full_index
from napari_tcia.archive.manifest import parse_manifest
from napari_tcia.archive.places import place_of
from napari_tcia.core.model import SearchQuery
from napari_tcia.errors import CorruptData, MissingExtra

COLUMNS = [*full_index._SHOWN, "aws_bucket", "crdc_series_uuid"]


def row(n, **changes):
    facts = dict.fromkeys(COLUMNS, "") | {
        "SeriesInstanceUID": f"1.2.{n}",
        "PatientID": f"P_{n % 7}",
        "collection_id": "ct_lymph_nodes" if n % 2 else "somewhere_else",
        "Modality": "CT" if n % 3 else "SEG",
        "SeriesDescription": f"Thorax {n}" if n % 5 else None,
        "instanceCount": n,
        "series_size_MB": n / 1e6,
        "license_short_name": "CC BY 3.0",
        "aws_bucket": "idc-open-data",
        "crdc_series_uuid": f"00000000-0000-0000-0000-{n:012d}",
    }
    return facts | changes


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table of 40,000 rows in the place of the package's."""
    pa = pytest.importorskip("pyarrow", reason="The extra idc is not installed.")
    from pyarrow import parquet

    path = tmp_path / "idc_index.parquet"
    parquet.write_table(pa.Table.from_pylist([row(n) for n in range(40_000)]), path)
    package = types.ModuleType("idc_index_data")
    package.__spec__ = types.SimpleNamespace(name="idc_index_data")
    package.IDC_INDEX_PARQUET_FILEPATH = path
    monkeypatch.setitem(sys.modules, "idc_index_data", package)
    full_index.folder_of.cache_clear()
    yield path
    full_index.folder_of.cache_clear()


def test_without_the_extra_the_way_to_it_is_named(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, "idc_index_data", raising=False)
    monkeypatch.delitem(sys.modules, "pyarrow", raising=False)
    assert not full_index.available()
    with pytest.raises(MissingExtra, match=r"napari-tcia\[idc\]"):
        full_index.search(SearchQuery(modality="CT"))
    full_index.folder_of.cache_clear()
    assert place_of("1.2.3") is None


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        (SearchQuery(modality="ct"), lambda n: n % 3),
        (SearchQuery(collection="CT Lymph Nodes"), lambda n: n % 2),
        (SearchQuery(collection="somewhere-else", patient="p_3"),
         lambda n: not n % 2 and n % 7 == 3),
        (SearchQuery(series_uid="1.2.39999"), lambda n: n == 39_999),
        (SearchQuery(text="thorax 77"), lambda n: n % 5 and "77" in str(n)),
        (SearchQuery(text="absent"), lambda n: False),
        (SearchQuery(), lambda n: True),
    ],
)  # fmt: skip
def test_a_search_finds_every_row_that_fits(table, query, fits):
    found = full_index.search(query, 80_000)
    expected = [f"1.2.{n}" for n in range(40_000) if fits(n)]
    assert [one.series_uid for one in found] == expected
    assert full_index.search(query, 3) == found[:3]


def test_a_row_in_full(table):
    (one,) = full_index.search(SearchQuery(series_uid="1.2.33"))
    assert (one.collection, one.images, one.bytes) == ("CT Lymph Nodes", 33, 33)
    assert (one.licence_name, one.sources) == ("CC BY 3.0", ("idc",))
    assert one.licence_uri.startswith("https://creativecommons.org/licenses/by/3.0")
    (bare,) = full_index.search(SearchQuery(series_uid="1.2.10"))
    assert bare.description == ""
    assert bare.licence_uri == ""


def test_places_both_ways(table):
    folder = row(35_000)["crdc_series_uuid"]
    assert full_index.folder_of("1.2.35000") == ("idc-open-data", folder)
    assert place_of("1.2.35000") == ("idc-open-data", folder)
    assert full_index.folder_of("9.9") is None
    assert full_index.find_folder(folder).series_uid == "1.2.35000"
    assert full_index.find_folder("absent") is None
    text = f"cp s3://idc-open-data/{folder}/* .\n"
    assert parse_manifest(text).series_uids == ("1.2.35000",)


def test_a_damaged_table_is_named(table):
    table.write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(CorruptData, match=r"idc_index\.parquet"):
        full_index.search(SearchQuery())
