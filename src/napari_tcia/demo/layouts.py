"""Where the files of a case lie: as archives and their programs lay them out."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from napari_tcia.core.model import object_uuid
from napari_tcia.demo.holdings import Holding
from napari_tcia.demo.identity import Identity
from napari_tcia.demo.policy import licence_text

Layout = Literal["plain", "retriever", "old retriever", "zip", "idc"]
"""``plain``: CT and SEG folders, files named by UID. ``retriever``: the NBIA Data
Retriever, files ``1-001.dcm`` by InstanceNumber; the ``old retriever`` counted from
``000000.dcm``, in no order. ``zip``: CT.zip and SEG.zip as NBIA sends them, flat and
with a LICENSE. ``idc``: the folders of idc-index, files named by UUID."""


def patient_folder(identity: Identity, layout: Layout) -> str:
    """Folder of a patient, below that of all downloads."""
    if "retriever" in layout:
        return f"{identity.collection}/{identity.patient_id}"
    if layout == "idc":
        collection = identity.collection.lower().replace(" ", "_")
        return f"{collection}/{identity.patient_id}"
    return identity.patient_id


def series_files(
    identity: Identity, modality: Literal["CT", "SEG"], count: int, layout: Layout
) -> list[str]:
    """Path of each instance below the folder of its patient, or in its zip.

    Parameters
    ----------
    count : int
        Instances of the series.

    Returns
    -------
    list of str
        `count` different paths, instance 1 first.
    """
    series = identity.ct_uid if modality == "CT" else identity.seg_uid
    sop_uids = [_sop_uid(identity, modality, n) for n in range(count)]
    numbers = range(1, count + 1)
    if layout == "zip":
        return [f"{number:08d}.dcm" for number in numbers]
    if layout == "plain":
        return [f"{modality}/{uid}.dcm" for uid in sop_uids]
    if layout == "idc":
        folder = f"{identity.study_uid}/{modality}_{series}"
        return [f"{folder}/{object_uuid(uid)}.dcm" for uid in sop_uids]
    year, month, day = (identity.study_date[at] for at in _DATE)
    patient, description = (
        text.replace("_", "") for text in (identity.patient_id, identity.description)
    )
    study = f"{month}-{day}-{year}-{patient}-{description}-{identity.study_uid[-5:]}"
    # A series without a SeriesNumber has none in the name of its folder.
    name = description if modality == "CT" else f"300.000000-{identity.seg_description}"
    folder = f"{study}/{name}-{series[-5:]}"
    if layout == "retriever":
        digits = len(str(count))
        return [f"{folder}/1-{number:0{digits}d}.dcm" for number in numbers]
    order = np.random.default_rng(count).permutation(count).tolist()
    return [f"{folder}/{place:06d}.dcm" for place in order]


def lay_out(
    home: Path,
    holding: Holding,
    identity: Identity,
    modality: Literal["CT", "SEG"],
    files: Sequence[Path],
    layout: Layout,
) -> None:
    """Move the instances of a series to their places below its patient's folder.

    Parameters
    ----------
    home : Path
        The patient's folder.
    files : sequence of Path
        Instance 1 first.
    """
    names = series_files(identity, modality, len(files), layout)
    if layout != "zip":
        for file, name in zip(files, names, strict=True):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            file.replace(home / name)
        return
    licence = {
        "Collection": holding.name,
        "LicenseName": holding.licence_name,
        "LicenseURI": holding.licence_url,
    }
    with zipfile.ZipFile(home / f"{modality}.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("LICENSE", licence_text(licence))
        for file, name in zip(files, names, strict=True):
            packed.write(file, name)


_DATE = slice(0, 4), slice(4, 6), slice(6, 8)


def _sop_uid(identity: Identity, modality: str, n: int) -> str:
    return identity.uid("ct", n) if modality == "CT" else identity.uid("seg", 1)
