"""A few instances of a series, for looking at one place of it.

They are no series: they lie in a folder of their own, without a record, and nothing
that opens stored series takes them for one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from napari_tcia.core.files import check_uid, write_json
from napari_tcia.core.model import AccessGrant, Series
from napari_tcia.core.sources import BucketObject, InstanceSource, ObjectSource
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.core.threads import side_by_side
from napari_tcia.errors import CorruptData, NothingFound
from napari_tcia.transfer.attempts import PATIENCE, Watch, again, try_repeatedly
from napari_tcia.transfer.objects import fetch_objects
from napari_tcia.transfer.partial import Partial
from napari_tcia.transfer.receive import Meter
from napari_tcia.transfer.singles import fetch_singly
from napari_tcia.volume.elements import More, Unusual, walk

_SOP_INSTANCE_UID = 0x00080018
_HEADS = (2 << 10, 32 << 10)
"""Bytes of a file's beginning that are asked for, and where that is too little."""
_THREADS = 8
_SCHEMA = 1


def fetch_slices(
    uids: Collection[str],
    series: Series,
    source: InstanceSource | ObjectSource,
    grant: AccessGrant,
    folder: Path,
    *,
    index: Path,
    report: Report = silent,
    token: CancelToken | None = None,
    attempts: int = 3,
    patience: float = PATIENCE,
    pause: float = 1.0,
) -> tuple[Path, ...]:
    """Bring some instances of a series into `folder`, each verified.

    Parameters
    ----------
    uids : collection of str
        Their SOPInstanceUIDs.
    source : InstanceSource or ObjectSource
        An archive that sends single instances, or a bucket.
    grant : AccessGrant
        Must cover the series at ``source.host``.
    folder : Path
        Empty, or not there yet; below HOME.
    index : Path
        File that keeps which object of a bucket is which instance.

    Returns
    -------
    tuple of Path
        A file for each of `uids`, in their order.

    Raises
    ------
    GrantMismatch
        Before anything is sent.
    NothingFound
        The bucket has no such instance.
    ArchiveError, CorruptData, WrongSeries
        One could not be had, or is not what was asked for; none is kept.
    Cancelled
        `token` was cancelled.
    """
    uid = check_uid(series.series_uid)
    grant.check(source.host, series_uid=uid)
    token = token or CancelToken()
    wanted = [check_uid(one) for one in uids]
    listed: Sequence[BucketObject] = ()
    if isinstance(source, ObjectSource):
        found = instances_of(series, source, grant, index, report=report, token=token)
        if absent := [one for one in wanted if one not in found]:
            raise NothingFound(
                f"The bucket has no instance {absent[0]} of series {uid}.",
                "It may hold another version; fetch the whole series.",
            )
        listed = [found[one] for one in wanted]
    with Partial(folder, token) as partial:

        def once(watch: Watch) -> None:
            total = (series.bytes or 0) * len(wanted) // (series.images or len(wanted))
            progress = Meter(report, "Downloading slices", total, uid, partial.bytes)
            if isinstance(source, ObjectSource):
                fetch_objects(
                    listed, series, source, grant, partial, watch, progress,
                    attempts, pause,
                )  # fmt: skip
            else:
                fetch_singly(
                    set(wanted) - partial.uids, series, source, grant, partial, watch,
                    progress, attempts, pause,
                )  # fmt: skip
            partial.name_files()

        try_repeatedly(once, f"series {uid}", token, attempts, patience, pause)
    return tuple(folder / f"{one}.dcm" for one in wanted)


def instances_of(
    series: Series,
    source: ObjectSource,
    grant: AccessGrant,
    index: Path,
    *,
    report: Report = silent,
    token: CancelToken,
) -> Mapping[str, BucketObject]:
    """Which file of a bucket is which instance of a series.

    Their names do not tell; the beginning of each file does, which is read once and
    kept in `index`.
    """
    listed = source.objects(series.series_uid, token)
    known = _known(index)
    unknown = [one for one in listed if _identity(one) not in known]

    def ask(one: BucketObject) -> str:
        return again(lambda: _sop_uid(one, series, source, grant, inner), inner, 3, 1.0)

    with token.child() as inner:
        found = side_by_side(ask, unknown, _THREADS, inner)
        for done, (one, sop_uid) in enumerate(found, start=1):
            known[_identity(one)] = sop_uid
            report(Progress("Finding slices", done, len(unknown), "slices"))
    token.raise_if_cancelled()
    if unknown:
        index.parent.mkdir(parents=True, exist_ok=True)
        write_json(index, {"schema": _SCHEMA, "instances": known})
    return {known[_identity(one)]: one for one in listed}


def _identity(one: BucketObject) -> str:
    return f"{one.key} {one.size} {one.etag}"


def _known(index: Path) -> dict[str, str]:
    try:
        content = json.loads(index.read_bytes())
        if content["schema"] != _SCHEMA:
            return {}
        return {str(name): str(uid) for name, uid in content["instances"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # it is found out again


def _sop_uid(
    one: BucketObject,
    series: Series,
    source: ObjectSource,
    grant: AccessGrant,
    token: CancelToken,
) -> str:
    for size in _HEADS:
        stop = min(size, one.size)
        with source.open_object(
            one, series.series_uid, grant, token, start=0, stop=stop
        ) as chunks:
            start = b"".join(chunks)
        try:
            value = walk(start, one.size, (_SOP_INSTANCE_UID,)).values
            return check_uid(value[_SOP_INSTANCE_UID].rstrip(b"\0 ").decode("ascii"))
        except (More, Unusual, KeyError, ValueError):
            continue
    raise CorruptData(
        f"{one.key} of series {series.series_uid} does not begin as a DICOM file.",
        "Fetch the whole series instead.",
    )
