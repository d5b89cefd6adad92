"""TCIA's own client, unchanged but for its address, against the embedded archive."""

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from embedded import LNQ, NC
from environments import ENVIRONMENT, install, new_environment
from napari_tcia.demo.nbia import SHARED_LIST
from napari_tcia.demo.phantom import make_phantom
from napari_tcia.demo.server import EmbeddedArchive

VERSION = "3.3.5"
SCRIPT = """
import json, sys
from tcia_utils import nbia

base, folder, collection, other, shared = sys.argv[1:]
inside = nbia.setApiUrl
nbia.setApiUrl = lambda endpoint, api_url="nbia": inside(endpoint, api_url).replace(
    "https://nbia.cancerimagingarchive.net/nbia-api/services", base
)
series = nbia.getSeries(collection=collection)
ct = [row["SeriesInstanceUID"] for row in series if row["Modality"] == "CT"]
seg = [row["SeriesInstanceUID"] for row in series if row["Modality"] == "SEG"]
small = nbia.getSeries(collection=other)
metadata = nbia.downloadSeries(small, path=folder, format="df")
nbia.downloadSeries(ct[:1], input_type="list", path=folder + "/md5", hash="y")
manifest = nbia.getSimpleSearch(collections=[other], format="manifest_text")
with open(folder + "/other.tcia", "w") as file:
    file.write(manifest)
nbia.downloadSeries(folder + "/other.tcia", input_type="manifest", path=folder + "/zip",
                    as_zip=True)
sops = nbia.getSopInstanceUids(small[0]["SeriesInstanceUID"])
nbia.downloadImage(small[0]["SeriesInstanceUID"], sops[0]["SOPInstanceUID"],
                   path=folder + "/single")
answers = {
    "search": nbia.getSimpleSearch(collections=[collection], modalities=["CT", "SEG"],
                                   modalityAnded=True, species=["human"], minStudies=1),
    "search uids": nbia.getSimpleSearch(collections=[collection], format="uids"),
    "body part counts": nbia.getBodyPartCounts(collection=collection),
    "csv": nbia.getSeries(collection=collection, format="df")["PatientID"].tolist(),
    "report": nbia.makeSeriesReport(series, format="var")["subjects"],
    "tag report": nbia.reportDicomTags(ct[:1], ["(0008,0060)"]).iloc[0].tolist(),
    "doi collections": nbia.getDoiMetadata(series[0]["DataDescriptionURI"]),
    "collections": nbia.getCollections(),
    "counts": nbia.getCollectionPatientCounts(),
    "modalities": nbia.getModality(collection=collection),
    "modality counts": nbia.getModalityCounts(collection=collection),
    "body parts": nbia.getBodyPart(),
    "manufacturers": nbia.getManufacturer(),
    "manufacturer counts": nbia.getManufacturerCounts(),
    "patients": nbia.getPatient(collection=collection),
    "patients with": nbia.getPatientByCollectionAndModality(collection, "SEG"),
    "new patients": nbia.getNewPatientsInCollection(collection, "2023/03/31"),
    "studies": nbia.getStudy(collection),
    "new studies": nbia.getNewStudiesInPatient(collection, "case_0002", "2023/03/31"),
    "series": series,
    "updated": nbia.getUpdatedSeries("2023/03/31"),
    "list": nbia.getSeriesList(ct + seg)["SeriesInstanceUID"].tolist(),
    "size": nbia.getSeriesSize(ct[0]),
    "instances": nbia.getSopInstanceUids(ct[0]),
    "cart": nbia.getSharedCart(shared),
    "descriptions": nbia.getCollectionDescriptions(),
    "doi": nbia.getDoiMetadata(series[0]["DataDescriptionURI"], "series"),
    "tags": nbia.getDicomTags(ct[0])["element"].tolist(),
    "referenced": nbia.getSegRefSeries(seg[0]),
    "nothing": nbia.getSeries(collection="No Such"),
    "downloaded": metadata["SeriesInstanceUID"].tolist(),
}
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter with tcia_utils and nothing of ours."""
    found = new_environment(tmp_path_factory.mktemp("tcia_utils"))
    done = install(found, f"tcia-utils=={VERSION}")
    if "(from versions: none)" in done.stderr:
        pytest.skip("The package index cannot be reached, so tcia_utils is not here.")
    assert done.returncode == 0, done.stderr
    return found


def digests(paths):
    return sorted(hashlib.md5(Path(path).read_bytes()).hexdigest() for path in paths)


@pytest.mark.timeout(900)
def test_tcia_utils_lists_and_downloads(python, tmp_path):
    with EmbeddedArchive() as archive:
        folder = tmp_path / "got"
        base = archive.bases["archive"]
        done = subprocess.run(
            [python, "-c", SCRIPT, base, str(folder), LNQ, NC, SHARED_LIST],
            env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert ":ERROR:" not in done.stderr
        asked = {record.path.partition("?")[0] for record in archive.log}
        assert {record.status for record in archive.log} == {200}
        got = json.loads(done.stdout)
        twin = archive.twin

        assert {"Collection": LNQ} in got["collections"]
        assert {"Collection": LNQ, "Count": 2, "Authorized": 1} in got["counts"]
        assert got["modalities"] == [{"Modality": "CT"}, {"Modality": "SEG"}]
        assert got["body parts"][0] == got["manufacturers"][0] == {}
        names = ["case_0002", "case_0003"]
        for question in ("patients", "patients with", "new patients"):
            assert [row["PatientId"] for row in got[question]] == names
        assert [row["PatientID"] for row in got["studies"]] == names
        assert [row["PatientID"] for row in got["new studies"]] == names[:1]
        uids = [row["SeriesInstanceUID"] for row in got["series"]]
        held = [
            s.uid for s in twin.series.values() if s.case.identity.collection == LNQ
        ]
        assert sorted(uids) == sorted(held)
        assert got["search"]["totalPatients"] == 2
        assert [one["subjectId"] for one in got["search"]["resultSet"]] == names
        assert got["search uids"] == uids
        assert got["body part counts"] == [
            {"BodyPartExamined": "CHEST", "Count": 2, "Authorized": 1}
        ]
        assert sorted(set(got["csv"])) == names
        assert got["report"] == 2
        assert got["tag report"] == [uids[0], "CT"]
        assert [row["collection"] for row in got["doi collections"]] == [LNQ]
        for question in ("list", "updated", "doi"):
            rows = got[question]
            assert len(rows) == len(uids), question
        assert sorted(got["list"]) == sorted(uids)
        (row,) = (row for row in got["series"] if row["SeriesInstanceUID"] == uids[0])
        assert got["size"] == [
            {"TotalSizeInBytes": row["FileSize"], "ObjectCount": row["ImageCount"]}
        ]
        sops = [item["SOPInstanceUID"] for item in got["instances"]]
        assert tuple(sops) == twin.series[uids[0]].sop_uids
        assert len(got["cart"]) == 6
        assert got["nothing"] is None
        assert "(0020,000E)" in got["tags"]
        assert got["referenced"] == uids[0]
        assert any(path.endswith("/v1/getContentsByName") for path in asked)

        # What arrived is what is held, byte for byte, and shows the truth.
        (small,) = got["downloaded"]
        truth = twin.series[small]
        files = sorted((folder / small).glob("*.dcm"))
        stored = [twin.instance(small, k) for k in range(len(truth.sop_uids))]
        assert digests(files) == digests(stored)
        assert (
            (folder / small / "LICENSE").read_text().startswith("License Information.")
        )
        with zipfile.ZipFile(folder / "zip" / f"{small}.zip") as zipped:
            assert zipped.namelist()[0] == "LICENSE"
            assert len(zipped.namelist()) == len(stored) + 1
        (alone,) = (folder / "single" / small).glob("*.dcm")
        assert digests([alone])[0] in digests(stored)
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder / small))
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(sitk.ReadImage(names)),
            make_phantom(truth.case.scan).array,
        )
        summed = folder / "md5" / uids[0]
        lines = (summed / "md5hashes.csv").read_text().splitlines()[1:]
        assert digests(summed.glob("*.dcm")) == sorted(x.split(",")[1] for x in lines)
