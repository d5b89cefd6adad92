"""Instances of a series as NBIA sends them: zips, single files, lists of tags."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from napari_tcia.demo.faults import Fault
from napari_tcia.demo.messages import Member, Reply, Row, crash, stream_zip
from napari_tcia.demo.twin import Twin, TwinSeries

if TYPE_CHECKING:
    from pydicom import Dataset


def image_zip(
    twin: Twin, one: TwinSeries, licence: bytes, renamed: bool, md5: bool, fault: Fault
) -> Reply:
    """Zip of a series in an order that is not that of its slices.

    Chunked and without a length, as it is written while it is sent.

    Parameters
    ----------
    twin : Twin
    one : TwinSeries
        The series asked for; a fault may send another.
    licence : bytes
        First member; none when empty.
    renamed : bool
        ``1-001.dcm`` instead of ``00000001.dcm``.
    md5 : bool
        With a last member ``md5hashes.csv``.
    fault : Fault
    """
    sent = fault.series(twin, one)
    order = stored_order(sent)
    digits = max(3, len(str(len(order))))
    members: list[Member] = []
    sums: dict[str, str] = {}
    for number, k in enumerate(order, start=1):
        name = f"1-{number:0{digits}d}.dcm" if renamed else f"{number:08d}.dcm"
        load = _loader(twin, sent.uid, k)
        members.append((name, _summed(name, load, sums) if md5 else load))
    if md5:
        members.append(("md5hashes.csv", lambda: _md5_table(sums)))
    if licence:
        members.insert(0, ("LICENSE", lambda: licence))
    return Reply(
        _sent(twin, sent.uid, order, fault.members(members)),
        "application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{one.uid}.zip"'},
    )


def _sent(
    twin: Twin, uid: str, order: Sequence[int], members: Sequence[Member]
) -> Iterator[bytes]:
    """The zip; painting ends with it, or with the client."""
    with twin.painting(uid, order):
        yield from stream_zip(members)


def stored_order(one: TwinSeries) -> list[int]:
    """Slices in the order of the database."""
    order = list(range(len(one.sop_uids)))
    random.Random(one.uid).shuffle(order)
    if len(order) > 1 and order == sorted(order):
        order.reverse()
    return order


def single_image(twin: Twin, one: TwinSeries, sop: str) -> Reply:
    """One instance; one that the series has not makes the server fail."""
    if sop not in one.sop_uids:
        return crash()
    path = twin.instance(one.uid, one.sop_uids.index(sop))
    return Reply(
        path.read_bytes(),
        "application/dicom",
        headers={"Content-Disposition": f"attachment; filename={sop}.dcm"},
    )


def md5_of(twin: Twin, sop: str) -> Reply:
    """MD5 of an instance as text; empty when there is none."""
    for one in twin.series.values():
        if sop in one.sop_uids:
            path = twin.instance(one.uid, one.sop_uids.index(sop))
            return Reply(_md5(path.read_bytes()).encode(), "text/plain")
    return Reply(content_type="text/plain")


def tag_rows(twin: Twin, one: TwinSeries) -> list[Row]:
    """Element, name and value of everything in the first image but its pixels."""
    import pydicom

    path = twin.instance(one.uid, stored_order(one)[0])
    return list(_tags(pydicom.dcmread(path, stop_before_pixels=True), 0))


def _tags(dataset: Dataset, depth: int) -> Iterator[Row]:
    """One row per element; a sequence ends with a row of its own."""
    for element in dataset:
        tag = f"{'>' * depth}({element.tag.group:04X},{element.tag.elem:04X})"
        if element.VR == "SQ":
            yield {"element": tag, "name": element.name, "data": ""}
            for item in element.value:
                yield from _tags(item, depth + 1)
            yield {"element": tag, "name": f"End {element.name}", "data": ""}
        else:
            value = element.value
            many = value if isinstance(value, Iterable) and element.VM > 1 else [value]
            text = "" if value is None else "\\".join(map(str, many))
            yield {"element": tag, "name": element.name, "data": text}


def _loader(twin: Twin, uid: str, k: int) -> Callable[[], bytes]:
    return lambda: twin.instance(uid, k).read_bytes()


def _summed(
    name: str, load: Callable[[], bytes], sums: dict[str, str]
) -> Callable[[], bytes]:
    def loaded() -> bytes:
        data = load()
        sums[name] = _md5(data)
        return data

    return loaded


def _md5_table(sums: Mapping[str, str]) -> bytes:
    lines = [f"{name},{digest}\n" for name, digest in sums.items()]
    random.Random(len(lines)).shuffle(lines)
    return "".join(["Filename,MD5Hash\n", *lines]).encode()


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
