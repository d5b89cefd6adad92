"""NBIA, Collection Manager and DataCite over HTTP, as they answer and as they fail."""

from __future__ import annotations

import pytest

from embedded import series
from napari_tcia.archive import collections as manager
from napari_tcia.archive import datacite
from napari_tcia.archive.http import Transport
from napari_tcia.archive.nbia import Nbia
from napari_tcia.core.model import SearchQuery
from napari_tcia.core.settings import Settings
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import (
    ArchiveError,
    ForbiddenHost,
    NothingFound,
    ServerFault,
    TciaError,
    UnexpectedReply,
    Unreachable,
    UsageError,
)
from small_archive import Answer, SmallArchive, as_json


@pytest.fixture
def transport(settings: Settings):
    made = Transport(settings, read_timeout=1.0, backoff=0.01)
    yield made
    made.close()


@pytest.fixture
def nbia(transport, settings) -> Nbia:
    return Nbia(transport, settings)


def test_only_known_parameters_are_sent(archive: SmallArchive, nbia):
    archive.on("/nbia/v4/getSeries", as_json([{"SeriesInstanceUID": "61.7.1"}]))
    query = SearchQuery(
        collection="CT Lymph Nodes",
        patient="MED_LYMPH_001",
        modality="CT",
        body_part="MEDIASTINUM",
        study_uid="61.7.2",
        series_uid="61.7.1",
        text="anything",
        has_labels=True,
    )
    assert len(nbia.series(query).items) == 1
    assert archive.asked[0].query == {
        "Collection": ["CT Lymph Nodes"],
        "PatientID": ["MED_LYMPH_001"],
        "Modality": ["CT"],
        "BodyPartExamined": ["MEDIASTINUM"],
        "StudyInstanceUID": ["61.7.2"],
        "SeriesInstanceUID": ["61.7.1"],
        "format": ["json"],
    }


def test_nothing_found_is_an_empty_listing(archive: SmallArchive, nbia):
    archive.on("/nbia/v4/getSeries", Answer(b""))
    assert nbia.series(SearchQuery(collection="None")).items == ()


def test_a_uid_that_is_none_is_not_sent(archive: SmallArchive, nbia):
    with pytest.raises(UsageError):
        nbia.series(SearchQuery(series_uid="1.2&Collection=x"))
    with pytest.raises(UsageError):
        nbia.sop_instance_uids("x")
    assert archive.asked == []


def test_collections_with_counts(archive: SmallArchive, nbia):
    archive.on(
        "/nbia/v4/getCollectionValuesAndCounts",
        as_json(
            [
                {"Collection": "CT Lymph Nodes", "Count": 176, "Authorized": 1},
                {},
                {"criteria": "LIDC-IDRI", "count": "1010"},
                {"Collection": "Odd", "Count": "many"},
            ]
        ),
    )
    found = [(c.name, c.patients) for c in nbia.collections()]
    assert found == [("CT Lymph Nodes", 176), ("LIDC-IDRI", 1010), ("Odd", None)]


def test_the_list_of_instances(archive: SmallArchive, nbia):
    archive.on(
        "/nbia/v4/getSOPInstanceUIDs",
        as_json([{"SOPInstanceUID": "61.7.1.1"}, {}, {"SOPInstanceUID": "61.7.1.2"}]),
    )
    assert nbia.sop_instance_uids("61.7.1") == ("61.7.1.1", "61.7.1.2")


AGREEMENT = "/nbia/v1/getUserAgreementTxt"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Answer("Data “Usage” Policy\n\nText".encode()), "Data “Usage” Policy\n\nText"),
        (Answer(b"", 404), None),
        (Answer(b"", 400), None),
        (Answer(b""), None),
        (Answer(b"<html>page</html>"), None),
    ],
)
def test_the_user_agreement_as_offered(answer, text, archive: SmallArchive, nbia):
    archive.on(AGREEMENT, answer)
    assert nbia.user_agreement() == text


def test_a_fault_does_not_mean_that_there_is_no_agreement(archive: SmallArchive, nbia):
    archive.on(AGREEMENT, Answer(b"", 503))
    with pytest.raises(ServerFault):
        nbia.user_agreement()


# Collection Manager


def record(name: str, number: int, **more):
    return {
        "id": number,
        "slug": name.lower().replace(" ", "-"),
        "collection_short_title": name,
        "collection_title": f"All of <i>{name}</i> &amp; more",
        "collection_doi": f"https://doi.org/10.7937/X{number}",
        "collection_downloads": [number + 100, number + 200],
        "data_types": False,
        "subjects": "12",
        **more,
    }


def pages(*answers):
    """Page n of a list of results."""

    def plan(_, query):
        page = int(query["page"][0])
        answer = answers[page - 1]
        if isinstance(answer, Answer):
            return answer
        return as_json({"results": answer, "total_pages": len(answers), "page": page})

    return plan


CM = "/cm/v2/collections/"
DOWNLOADS = "/cm/v2/downloads/"


def test_collections_over_pages(archive: SmallArchive, transport, settings):
    hidden = record("Hidden", 9, hide_from_browse_table="1")
    archive.on(CM, pages([record("A", 1), hidden], [record("B", 2), {"id": 3}]))
    listing = manager.list_collections(transport, settings)
    assert [c.name for c in listing.items] == ["A", "B"]
    assert listing.items[0].title == "All of A & more"
    assert listing.items[0].doi == "10.7937/X1"
    assert listing.items[0].patients == 12
    assert listing.issues == ()


def test_a_page_that_fails_is_not_silent(archive: SmallArchive, transport, settings):
    archive.on(CM, pages([record("A", 1)], Answer(b"", 503), [record("C", 3)]))
    listing = manager.list_collections(transport, settings)
    assert [c.name for c in listing.items] == ["A", "C"]
    (issue,) = listing.issues
    assert issue.code == "missing_page"
    assert issue.numbers["page"] == 2
    # What may be on the missing page is not said to be unknown.
    with pytest.raises(UnexpectedReply):
        manager.describe(transport, settings, "B")


def test_an_unknown_collection_is_none(archive: SmallArchive, transport, settings):
    archive.on(CM, pages([record("A", 1)]))
    assert manager.describe(transport, settings, "B") is None


@pytest.mark.parametrize(
    ("licences", "licence", "access"),
    [
        (["CC BY 3.0", "CC BY 3.0"], "CC BY 3.0", "open"),
        (["CC BY 3.0", "CC BY-NC 4.0"], "CC BY 3.0; CC BY-NC 4.0", "open"),
        (["NIH Controlled Data Access"], "NIH Controlled Data Access", "controlled"),
        (
            ["CC BY 4.0", "TCIA Restricted"],
            "CC BY 4.0; TCIA Restricted",
            "mixed",
        ),
        (["License review needed"], "License review needed", "unknown"),
        ([None, None], "", "unknown"),
    ],
)
def test_licences_and_access_of_a_collection(
    licences, licence, access, archive: SmallArchive, transport, settings
):
    rows = [
        {"id": n, "download url": False, "license": {"label": one, "url": "x"}}
        if one
        else {"id": n, "license": False}
        for n, one in enumerate(licences)
    ]
    archive.on(CM, pages([record("CT Lymph Nodes", 1)]))
    archive.on(DOWNLOADS, pages(rows))
    found = manager.describe(transport, settings, "ct lymph-nodes")
    assert (found.licence, found.access) == (licence, access)
    assert archive.asked[-1].query["id"] == ["101,201"]
    again = manager.describe(transport, settings, "10.7937/x1")
    assert again == found


def test_version_1_where_version_2_is_not(archive: SmallArchive, transport, settings):
    def listed(rows):
        def plan(_, query):
            page = int(query["page"][0])
            return as_json(rows[page - 1]) if page <= len(rows) else Answer(b"", 400)

        return plan

    archive.on(
        "/cm/v1/collections/", listed([[record("A", 1)], [record("B", 2), "odd"]])
    )
    archive.on(
        "/cm/v1/downloads/", listed([[{"id": 102, "data_license": "CC BY 4.0"}]])
    )
    found = manager.describe(transport, settings, "B")
    assert (found.name, found.licence) == ("B", "CC BY 4.0")
    assert archive.asked[-1].query["include"] == ["102,202"]


@pytest.mark.parametrize(
    "answer",
    [Answer(b"<html>Maintenance</html>"), as_json({"results": False}), as_json([1])],
)
def test_a_page_of_something_else(answer, archive: SmallArchive, transport, settings):
    archive.on(CM, answer)
    archive.on("/cm/v1/collections/", Answer(b"<html>Maintenance</html>"))
    with pytest.raises(UnexpectedReply):
        manager.list_collections(transport, settings)


# DataCite

DOI = "10.7937/K9/TCIA.2015.AQIIDCNM"
CSL = f"/datacite/dois/application/vnd.citationstyles.csl+json/{DOI}"
ITEM = {"type": "dataset", "DOI": DOI.lower(), "title": "T", "abstract": "long"}


def test_a_citation_record_without_its_abstract(
    archive: SmallArchive, transport, settings
):
    archive.on(CSL, as_json(ITEM))
    found = datacite.csl(transport, settings, f"https://doi.org/{DOI}")
    assert found == {"type": "dataset", "DOI": DOI.lower(), "title": "T"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(b'{"errors": []}', 404), NothingFound),
        (Answer(b"<!DOCTYPE html><title>Landing page</title>"), UnexpectedReply),
        (as_json([ITEM]), UnexpectedReply),
        (as_json(ITEM | {"DOI": "10.7937/another"}), UnexpectedReply),
        (Answer(b'{"status": 400, "title": "[503]"}', 500), ServerFault),
    ],
)
def test_faults_of_datacite(answer, error, archive: SmallArchive, transport, settings):
    archive.on(CSL, answer)
    with pytest.raises(error):
        datacite.csl(transport, settings, DOI)


def test_what_is_no_doi_is_not_asked_for(archive: SmallArchive, transport, settings):
    with pytest.raises(TciaError):
        datacite.csl(transport, settings, "CT Lymph Nodes")
    assert archive.asked == []


# Faults of archives, by the names under which they are known


@pytest.fixture(scope="module")
def twin():
    with EmbeddedArchive(cases=1) as running:
        series(running)  # the first listing takes its time; the clients are hasty
        yield running


@pytest.fixture
def there(twin, tmp_path):
    """Ask the embedded archive, which has the fault that is set on it."""
    made = Transport(Settings(tmp_path, **twin.bases), read_timeout=2.0, backoff=0.01)
    yield made
    made.close()
    twin.fault = None


def lymph(there: Transport):
    query = SearchQuery(collection="CT Lymph Nodes")
    return Nbia(there, there.settings).series(query)


def test_f15_an_empty_answer_is_no_series(twin, there):
    """That the collection exists is for the search to know, which then objects."""
    assert len(lymph(there)) > 0
    twin.fault = "empty"
    assert lymph(there).items == ()


@pytest.mark.parametrize("fault", ["broken-json", "infinite-json", "escaped-json"])
def test_f16_broken_json_is_said_with_its_first_words(fault, twin, there):
    twin.fault = fault
    with pytest.raises(UnexpectedReply, match="not JSON: “"):
        lymph(there)


def test_f18_older_keys_dates_and_types_are_the_same_rows(twin, there):
    good = lymph(there)
    twin.fault = "schema-drift"
    assert lymph(there) == good


DATASET = "10.7937/K9/TCIA.2015.AQIIDCNM"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("datacite-404", NothingFound),
        ("datacite-500", ServerFault),
        ("datacite-html", UnexpectedReply),
    ],
)
def test_f21_datacite_fails_by_name(fault, error, twin, there):
    twin.fault = fault
    with pytest.raises(error):
        datacite.csl(there, there.settings, DATASET)


@pytest.mark.parametrize("fault", ["datacite-label", "datacite-case"])
def test_f21_spellings_of_datacite_are_one_record(fault, twin, there):
    good = datacite.csl(there, there.settings, DATASET)
    twin.fault = fault
    other = datacite.csl(there, there.settings, DATASET)
    assert other["DOI"].casefold() == good["DOI"].casefold() == DATASET.casefold()
    assert (other["title"], other["author"]) == (good["title"], good["author"])


def test_f22_a_missing_page_is_an_issue(twin, there):
    good = manager.list_collections(there, there.settings)
    twin.fault = "page-two"
    found = manager.list_collections(there, there.settings)
    assert [issue.code for issue in found.issues] == ["missing_page"]
    assert 0 < len(found) < len(good)


@pytest.mark.parametrize(
    ("fault", "licence"),
    [("licence-missing", ""), ("licence-unclear", "License review needed")],
)
def test_f22_a_licence_that_is_not_known_opens_nothing(fault, licence, twin, there):
    twin.fault = fault
    found = manager.describe(there, there.settings, "CT Lymph Nodes")
    assert (found.licence, found.access) == (licence, "unknown")


def test_f22_hidden_records_stay_hidden(twin, there):
    twin.fault = "hidden"
    assert manager.list_collections(there, there.settings).items == ()


@pytest.mark.parametrize("fault", ["moved", "moved-https"])
def test_f23_a_redirect_out_of_the_services_is_not_followed(fault, twin, there):
    twin.fault = fault
    before = len(twin.log)
    with pytest.raises(ArchiveError) as caught:
        lymph(there)
    assert isinstance(caught.value, (ForbiddenHost, Unreachable))
    assert {record.status for record in twin.log[before:]} == {301}
