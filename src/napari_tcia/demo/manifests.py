"""Manifests of the embedded archive, in the odd forms that are in circulation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from napari_tcia.core.model import TWIN_BUCKET, object_uuid
from napari_tcia.demo.twin import Twin

SERVER = "https://nbia.elsewhere.invalid/nbia-download/servlet/DownloadServlet"
"""Server that the header names: one that never resolves, and that no client asks."""
_PUBLIC = SERVER.replace("nbia.", "public.")


def manifest(uids: Iterable[str], server: str = SERVER, annotated: str = "true") -> str:
    """A ``.tcia`` file; ``noOfrRetry`` is its own spelling."""
    lines = [
        f"downloadServerUrl={server}",
        f"includeAnnotation={annotated}",
        "noOfrRetry=4",
        "databasketId=manifest-1680277513580.tcia",
        "manifestVersion=3.0",
        "ListOfSeriesToDownload=",
        *uids,
    ]
    return "".join(f"{line}\n" for line in lines)


def manifest_file(twin: Twin, name: str) -> bytes | None:
    """A manifest of CT Lymph Nodes by its file name; None when there is none.

    ``TCIA_CT_Lymph_Nodes_06-22-2015.tcia`` has the CT alone and is plain; the
    others, in `MANIFESTS`, have CT and SEG.
    """
    if name not in MANIFESTS:
        return None
    series = [
        one
        for one in twin.series.values()
        if one.case.identity.collection == "CT Lymph Nodes"
    ]
    ct = [one.uid for one in series if one.modality == "CT"]
    uids = [one.uid for one in series]
    plain = manifest(uids)
    forms = {
        "TCIA_CT_Lymph_Nodes_06-22-2015.tcia": lambda: manifest(ct),
        "TCIA_CT_Lymph_Nodes_03-31-2023.tcia": lambda: plain,
        "series-id-line.tcia": lambda: manifest(["Series ID", *uids]),
        "crlf.tcia": lambda: plain.replace("\n", "\r\n"),
        "no-last-newline.tcia": lambda: plain.rstrip("\n"),
        "duplicates.tcia": lambda: manifest([*uids, *uids[:2]]),
        "public-server.tcia": lambda: manifest(uids, _PUBLIC),
        "data-type-line.tcia": lambda: plain.replace(
            "manifestVersion", "dataType=dicom\nmanifestVersion"
        ),
        "series.csv": lambda: "".join(f"{x}\n" for x in ("SeriesInstanceUID", *uids)),
        "series.s5cmd": lambda: _objects(uids),
    }
    return forms[name]().encode()


def _objects(uids: Sequence[str]) -> str:
    lines = [f"cp s3://{TWIN_BUCKET}/{object_uuid(uid)}/* .\n" for uid in uids]
    return "# SYNTHETIC objects of the embedded archive\n" + "".join(lines)


MANIFESTS = (
    "TCIA_CT_Lymph_Nodes_06-22-2015.tcia",
    "TCIA_CT_Lymph_Nodes_03-31-2023.tcia",
    "series-id-line.tcia",
    "crlf.tcia",
    "no-last-newline.tcia",
    "duplicates.tcia",
    "public-server.tcia",
    "data-type-line.tcia",
    "series.csv",
    "series.s5cmd",
)
"""Names below the files' address."""
