"""Instances that a zip left out, each asked for on its own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial as partial_of

from napari_tcia.core.model import AccessGrant, Series
from napari_tcia.core.sources import InstanceSource
from napari_tcia.core.threads import side_by_side
from napari_tcia.errors import ArchiveError, CorruptData, NothingFound, WrongSeries
from napari_tcia.transfer.attempts import Watch, again
from napari_tcia.transfer.instance import instance_uid
from napari_tcia.transfer.partial import Partial, Verified
from napari_tcia.transfer.receive import Meter, write

MOST = 64
"""Instances that are fetched one by one at most: a request for each costs more than
its bytes."""
_SHARE = 0.2
THREADS = 4
"""Checksums that are asked for side by side."""


def is_few(missing: Collection[str], of: int) -> bool:
    """Whether `missing` instances are better fetched singly than with all others."""
    return len(missing) <= min(MOST, max(4, _SHARE * of))


def drop_what_differs(source: InstanceSource, partial: Partial, watch: Watch) -> None:
    """Compare what is held with the MD5 that the archive tells, one by one.

    For what came in a zip that ended before its list of checksums. An archive that
    tells no MD5 leaves it to count and bytes.

    Raises
    ------
    ArchiveError
        It tells them, but not now.
    """
    wrong: list[str] = []
    with watch.token.child() as token:

        def told(one: Verified) -> str | None:
            return source.md5_of(one.uid, token)

        for one, md5 in side_by_side(told, partial.doubtful, THREADS, token):
            if md5 is None:
                break
            watch.alive()
            if md5 == one.md5:
                partial.compared([one.name])
            else:
                wrong.append(one.name)
    if wrong:
        partial.drop(wrong)


def fetch_singly(
    missing: Collection[str],
    series: Series,
    source: InstanceSource,
    grant: AccessGrant,
    partial: Partial,
    watch: Watch,
    progress: Meter,
    attempts: int,
    pause: float,
) -> None:
    """Fetch and hold some instances of a series.

    Each is compared with the MD5 that the archive tells for it, if it does.

    Raises
    ------
    ArchiveError
        One could not be had in `attempts` tries.
    CorruptData, WrongSeries
        One is not what was asked for.
    """
    for uid in sorted(missing):
        once = partial_of(_fetch, uid, series, source, grant, partial, watch, progress)
        again(once, watch.token, attempts, pause)
        watch.alive()


def _fetch(
    uid: str,
    series: Series,
    source: InstanceSource,
    grant: AccessGrant,
    partial: Partial,
    watch: Watch,
    progress: Meter,
) -> None:
    part = partial.folder / "single.part"
    name = f"{uid}.dcm"
    with source.open_instance(series.series_uid, uid, grant, watch.token) as chunks:
        one = write(chunks, part, watch, progress, None)
    found = instance_uid(part, name, series.series_uid)
    if found != uid:
        raise WrongSeries(
            f"The archive sent instance {found} where {uid} was asked for.",
            "Nothing of it was kept; report it to the archive.",
            expected=uid,
            found=found,
        )
    try:
        told = source.md5_of(uid, watch.token)
    except (ArchiveError, NothingFound):
        told = None  # then count and bytes of the series decide alone
    if told is not None and told != one.md5:
        raise CorruptData(
            f"Instance {uid} of series {series.series_uid} is not what the archive "
            "holds: its checksum differs.",
            "Nothing of it was kept; try again.",
        )
    partial.hold(part, replace(one, name=name))
    if told is not None:
        partial.compared([name])
