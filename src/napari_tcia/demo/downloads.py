"""NBIA endpoints that send images, or are computed from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari_tcia.demo.images import image_zip, md5_of, single_image, tag_rows
from napari_tcia.demo.messages import Reply, Row, no_access, rows_reply
from napari_tcia.demo.policy import licence_text
from napari_tcia.demo.rows import fits

if TYPE_CHECKING:
    from napari_tcia.demo.nbia import Ask, Nbia


def image(nbia: Nbia, ask: Ask) -> Reply:
    """``getImage``: a zip that begins with the licence."""
    return _zip(nbia, ask, ask.says("IncludeMD5", "yes"), True)


def image_with_md5(nbia: Nbia, ask: Ask) -> Reply:
    """``getImageWithMD5Hash``: a zip without a licence, with checksums."""
    return _zip(nbia, ask, True, False)


def dcm_image(nbia: Nbia, ask: Ask) -> Reply:
    """``getDCMImage``: a zip of the images alone; nothing has annotation files."""
    return _zip(nbia, ask, ask.says("MD5Verification", "true"), False)


def single(nbia: Nbia, ask: Ask) -> Reply:
    """``getSingleImage``: one instance, not zipped."""
    uid = ask.query["SeriesInstanceUID"]
    one = nbia.twin.series.get(uid)
    if one is None:
        return no_access(ask.version, uid)
    return single_image(nbia.twin, one, ask.query["SOPInstanceUID"])


def thumbnail(nbia: Nbia, ask: Ask) -> Reply:
    """``getThumbnail``: an instance as a small JPEG."""
    import io

    import numpy as np
    import pydicom
    from PIL import Image

    one = nbia.twin.series.get(ask.query.get("seriesUID", ""))
    sop = ask.query.get("objectUID", "")
    if one is None or sop not in one.sop_uids:
        text = b"Thumbnail not found or user does not have access to it"
        return Reply(text, "text/plain", 400)
    dataset = pydicom.dcmread(nbia.twin.instance(one.uid, one.sop_uids.index(sop)))
    pixels = dataset.pixel_array.astype(np.float32)
    plane = pixels if pixels.ndim == 2 else pixels[0]
    # The soft tissue window of CT; a mask has its own.
    low, high = (-160.0, 240.0) if one.modality == "CT" else (0.0, 1.0)
    grey = np.clip((plane - low) / (high - low), 0, 1) * 255
    picture = Image.fromarray(grey.astype(np.uint8))
    picture.thumbnail((128, 128))
    stream = io.BytesIO()
    picture.save(stream, "JPEG")
    return Reply(stream.getvalue(), "image/jpeg")


def md5(nbia: Nbia, ask: Ask) -> Reply:
    """``getMD5HashForImage``: of one instance, as text."""
    return md5_of(nbia.twin, ask.query["SOPInstanceUID"])


def md5_hierarchy(nbia: Nbia, ask: Ask) -> Reply:
    """``getMD5Hierarchy``: of a series, study, patient or collection, as text.

    That of a series is the MD5 of its instances' MD5s in order; that of what
    lies above, of the MD5s below. Empty when nothing is found.
    """
    wanted = {key: value for key, value in ask.query.items() if value}
    held = nbia.twin.series
    rows = [
        row
        for row in nbia.listed
        if wanted and row["SeriesInstanceUID"] in held and fits(row, wanted)
    ]
    levels = ["Collection", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"]
    named = [place for place, key in enumerate(levels) if key in wanted]
    text = _below(nbia, rows, levels[max(named, default=0) + 1 :])
    return Reply(text.encode(), "text/plain")


def _below(nbia: Nbia, rows: list[Row], levels: list[str]) -> str:
    if not rows:
        return ""
    if not levels:
        one = nbia.twin.series[rows[0]["SeriesInstanceUID"]]
        paths = [nbia.twin.instance(one.uid, k) for k in range(len(one.sop_uids))]
        return _joined(_digest(path.read_bytes()) for path in paths)
    parts = dict.fromkeys(row[levels[0]] for row in rows)
    return _joined(
        _below(nbia, [row for row in rows if row[levels[0]] == part], levels[1:])
        for part in parts
    )


def _joined(digests: Iterable[str]) -> str:
    return _digest("".join(sorted(digests)).encode())


def _digest(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def tags(nbia: Nbia, ask: Ask) -> Reply:
    """``getDicomTags``: the header of the first image."""
    uid = ask.query["SeriesUID"]
    one = nbia.twin.series.get(uid)
    if one is None:
        return no_access(ask.version, uid)
    return rows_reply(tag_rows(nbia.twin, one), ask.query)


def _zip(nbia: Nbia, ask: Ask, md5: bool, licensed: bool) -> Reply:
    uid = ask.query["SeriesInstanceUID"]
    one = nbia.twin.series.get(uid)
    if one is None:
        return no_access(ask.version, uid)
    licence = b""
    if licensed:
        (row,) = nbia.rows(ask, {"SeriesInstanceUID": uid})
        licence = licence_text(row)
    renamed = ask.says("NewFileNames", "yes")
    return image_zip(nbia.twin, one, licence, renamed, md5, ask.fault)
