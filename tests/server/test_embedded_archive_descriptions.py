"""What the embedded archive says of its collections."""

import html
import re
import shutil
import subprocess

import pytest
import requests

from embedded import NC, ask, ct_of
from napari_tcia.core.settings import Settings
from napari_tcia.demo.holdings import CONTROLLED, HOLDINGS
from napari_tcia.demo.identity import Identity
from napari_tcia.demo.server import EmbeddedArchive

LYMPH = "10.7937/K9/TCIA.2015.AQIIDCNM"


@pytest.fixture(scope="module")
def archive():
    with EmbeddedArchive(cases=1) as running:
        yield running


def test_collection_manager_comes_in_pages(archive):
    first = ask(archive, "/v2/collections/", "collections", per_page=100).json()
    second = ask(archive, "/v2/collections/", "collections", page=2).json()
    assert (first["total_pages"], second["page"]) == (2, 2)
    rows = first["results"] + second["results"]
    assert rows[-1]["hide_from_browse_table"] == "1"
    assert rows[0]["program"] is False
    assert "<p>" in rows[0]["collection_summary"]
    downloads = [
        row
        for page in (1, 2, 3)
        for row in ask(archive, "/v2/downloads/", "collections", page=page).json()[
            "results"
        ]
    ]
    labels = {row["id"]: (row["license"] or {}).get("label") for row in downloads}
    (controlled,) = (r for r in rows if r["collection_short_title"] == CONTROLLED.name)
    assert labels[controlled["collection_downloads"][0]] == "NIH Controlled Data Access"
    assert labels[rows[0]["collection_downloads"][0]] == "CC BY 3.0"


def test_collection_manager_v1_links_its_pages(archive):
    url = f"{archive.bases['collections']}/v1/collections/"
    seen = []
    while url:
        reply = requests.get(url, timeout=30)
        seen += reply.json()
        following = reply.links.get("next", {}).get("url")
        url = following and requests.compat.urljoin(url, following)
    assert len(seen) == 8


def test_citations_by_content_type(archive):
    doi = "10.7937/k9/tcia.2015.aqiidcnm"
    csl = ask(
        archive, f"/dois/application/vnd.citationstyles.csl+json/{doi}", "datacite"
    )
    assert csl.json()["author"][0] == {"family": "Roth", "given": "Holger"}
    apa = ask(archive, f"/dois/text/x-bibliography/{doi.upper()}", "datacite").text
    assert "&amp; Summers, R. M. (2015). <i>" in apa
    bibtex = ask(archive, f"/dois/application/x-bibtex/{doi}", "datacite").text
    assert bibtex.startswith("@misc{https://doi.org/10.7937/")
    ris = ask(
        archive, f"/dois/application/x-research-info-systems/{doi}", "datacite"
    ).content
    assert ris.startswith(b"TY  - DATA\r\n")
    record = ask(archive, f"/dois/{doi}", "datacite").json()
    assert record["data"]["attributes"]["publicationYear"] == 2015
    for unknown in ("/dois/10.7937/none", f"/dois/text/turtle/{doi}"):
        assert ask(archive, unknown, "datacite").status_code == 404


def test_no_body_names_the_archives_address(archive):
    uid = ct_of(archive, NC)
    for base, path in (
        ("archive", f"/v4/getSeries?Collection={NC}"),
        ("archive", f"/v4/getImage?SeriesInstanceUID={uid}"),
        ("collections", "/v2/collections/"),
        ("collections", "/v1/collections/"),
        ("datacite", "/dois/10.7937/QVAZ-JA09"),
        ("idc", "/idc-open-data?list-type=2"),
        ("files", "/MED_ABD_LYMPH_ANNOTATIONS.zip"),
        ("files", "/crlf.tcia"),
        ("files", "/.."),
        ("datacite", "/dois"),
        ("archive", "/v4/getSeries?format=xml"),
        ("archive", "/v4/getSeries?format=html"),
        ("archive", "/v4/getSeries?x=1"),
        ("idc", "/idc-open-data/none"),
        ("files", "/../"),
    ):
        reply = requests.get(archive.bases[base] + path, timeout=30)
        sent = reply.content + str(reply.headers).encode()
        assert b"127.0.0.1" not in sent
        assert str(archive.port).encode() + b"/" not in sent


def test_a_controlled_collection_is_in_the_collection_manager_alone(archive):
    name = CONTROLLED.name
    query = {"search": name.lower(), "per_page": 100}
    found = ask(archive, "/v2/collections/", "collections", **query).json()["results"]
    assert [row["collection_short_title"] for row in found] == [name]
    (number,) = found[0]["collection_downloads"]
    query = {"id": number}
    (row,) = ask(archive, "/v2/downloads/", "collections", **query).json()["results"]
    assert row["license"]["label"] == "NIH Controlled Data Access"
    assert row["series"] is False
    for endpoint in ("getSeries", "getPatient", "getPatientStudy"):
        reply = ask(archive, f"/v4/{endpoint}", Collection=name)
        assert (reply.status_code, reply.content) == (200, b"")
    uid = Identity(name, "CTRL-001", "", "").ct_uid
    for endpoint in ("getImage", "getImageWithMD5Hash", "getDCMImage"):
        reply = ask(archive, f"/v4/{endpoint}", SeriesInstanceUID=uid)
        assert reply.status_code == 400
        assert uid in reply.text


def test_mixed_licences_are_several_downloads(archive):
    query = {"search": "synthetic-mixed", "per_page": 100}
    found = ask(archive, "/v2/collections/", "collections", **query).json()["results"]
    ids = found[0]["collection_downloads"]
    query = {"id": ",".join(map(str, ids))}
    rows = ask(archive, "/v2/downloads/", "collections", **query).json()["results"]
    labels = [(row["license"] or {}).get("label") for row in rows]
    assert labels == ["CC BY 4.0", "CC BY-NC 4.0", None]
    assert [row["series"] for row in rows] == [1, 1, 1]


def test_lists_of_dois(archive):
    listed = ask(archive, "/dois", "datacite", query=f'doi:"{LYMPH.lower()}"').json()
    (record,) = listed["data"]
    assert record["attributes"]["doi"] == LYMPH.lower()
    assert listed["meta"] == {"total": 1, "totalPages": 1, "page": 1}
    both = f"{LYMPH},10.7937/qvaz-ja09,10.7937/none"
    assert ask(archive, "/dois", "datacite", ids=both).json()["meta"]["total"] == 2
    query = {"client-id": "nihnci.tcia", "page[size]": 3, "page[number]": 2}
    second = ask(archive, "/dois", "datacite", **query).json()
    assert len(second["data"]) == 3
    assert second["meta"]["page"] == 2


def test_unknown_style_is_apa_without_a_word(archive):
    path = f"/dois/text/x-bibliography/{LYMPH}"
    plain = ask(archive, path, "datacite")
    styled = ask(archive, path, "datacite", style="no-such", locale="xx")
    assert (styled.status_code, styled.content) == (200, plain.content)
    short = ask(archive, f"/text/x-bibliography/{LYMPH}", "datacite")
    assert short.content == plain.content


def test_doi_is_sent_on_by_content_type(archive):
    root = archive.bases["datacite"].removesuffix("/datacite")

    def get(accept, follow=False):
        return requests.get(
            f"{root}/doi/{LYMPH.lower()}",
            headers={"Accept": accept}, allow_redirects=follow, timeout=30,
        )  # fmt: skip

    known = get("text/x-bibliography; style=apa; locale=en-US")
    assert known.status_code == 302
    assert known.headers["Location"].startswith("/datacite/dois/text/x-bibliography/")
    assert "Summers" in get("text/x-bibliography; style=apa", follow=True).text
    unknown = get("text/turtle")
    assert (unknown.status_code, unknown.headers["Location"]) == (
        303,
        "/collection/ct-lymph-nodes/",
    )
    page = get("text/turtle", follow=True)
    assert page.headers["Content-Type"].startswith("text/html")
    assert "SYNTHETIC" in page.text
    agency = requests.get(f"{root}/doi/ra/{LYMPH}", timeout=30).json()
    assert agency == [{"DOI": LYMPH, "RA": "DataCite"}]
    none = requests.get(f"{root}/doi/ra/10.9999/none", timeout=30).json()
    assert none[0]["status"] == "DOI does not exist"


def test_front_page_says_what_this_is_and_how_to_connect(archive):
    root = archive.bases["files"].removesuffix("files")
    text = requests.get(root, timeout=30).text
    assert "SYNTHETIC" in text
    assert "<script" not in text
    for holding in HOLDINGS:
        assert holding.name in text
    assert "NIH Controlled Data Access" in text
    assert "CC BY 4.0, CC BY-NC 4.0, no licence named" in text
    assert "export NAPARI_TCIA_ARCHIVE=$ADDRESS/nbia-api/services\n" in text
    links = re.findall(r'href="([^"]+)"', text)
    assert len(links) >= len(HOLDINGS)
    for link in links:
        assert "//" not in link
        assert requests.get(root + link, timeout=60).status_code == 200
    assert requests.get(f"{root}nothing", timeout=30).status_code == 404
    assert requests.post(root, timeout=30).status_code == 405


@pytest.mark.parametrize(
    "pattern",
    [
        r"export (NAPARI_TCIA_\w+)=\$ADDRESS(.*)",
        r'env:(NAPARI_TCIA_\w+) = "\$ADDRESS(.*)"',
    ],
)
def test_what_the_front_page_says_to_paste_connects(archive, tmp_path, pattern):
    root = archive.bases["files"].removesuffix("/files")
    text = requests.get(f"{root}/", timeout=30).text
    env = {name: root + rest for name, rest in re.findall(pattern, text)}
    env["NAPARI_TCIA_HOME"] = str(tmp_path)
    assert Settings.from_environment(env) == archive.settings(tmp_path)


def test_bash_understands_the_front_page(archive, tmp_path):
    if not (bash := shutil.which("bash")):
        pytest.skip("There is no bash here.")
    root = archive.bases["files"].removesuffix("/files")
    text = html.unescape(requests.get(f"{root}/", timeout=30).text)
    lines = re.search(r"ADDRESS=.*?(?=\nnapari<)", text, re.DOTALL)[0]
    lines = lines.replace("http://HOST:PORT", root)
    done = subprocess.run(
        [bash, "-c", f"{lines}\nenv"], capture_output=True, text=True, check=True
    )
    env = dict(x.split("=", 1) for x in done.stdout.splitlines() if "=" in x)
    env["NAPARI_TCIA_HOME"] = str(tmp_path)
    assert Settings.from_environment(env) == archive.settings(tmp_path)
