"""What the embedded archive holds: series and their files.

Counts and sizes are known from headers and labels alone; pixels are painted
when somebody asks for them.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import threading
import zipfile
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from napari_tcia.demo.cases import Case, lymph_case
from napari_tcia.demo.holdings import LYMPH_NODES
from napari_tcia.demo.layouts import Layout, lay_out, patient_folder
from napari_tcia.demo.phantom import SLAB, make_ct, make_labels

_PAINTERS = min(os.cpu_count() or 1, 4)
"""Slabs painted at the same time; numpy works beside itself in threads."""


@dataclass(frozen=True, slots=True)
class TwinSeries:
    """One series of a case."""

    case: Case
    modality: Literal["CT", "SEG"]

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        identity = self.case.identity
        return identity.ct_uid if self.modality == "CT" else identity.seg_uid

    @property
    def sop_uids(self) -> tuple[str, ...]:
        """SOPInstanceUIDs by slice."""
        count = 1 if self.modality == "SEG" else self.case.scan.slices
        return tuple(map(self.sop_uid, range(count)))

    def sop_uid(self, k: int) -> str:
        """SOPInstanceUID of one slice; a SEG has but number 0."""
        identity = self.case.identity
        return (
            identity.uid("seg", 1) if self.modality == "SEG" else identity.uid("ct", k)
        )


@dataclass(slots=True)
class Twin:
    """The holdings, with a folder in which painted instances are kept.

    Parameters
    ----------
    folder : Path
        Cache, which exists; files appear when they are first asked for.
    cases : tuple of Case
    """

    folder: Path
    cases: tuple[Case, ...]
    series: Mapping[str, TwinSeries] = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _locks: dict[Hashable, threading.Lock] = field(init=False, default_factory=dict)
    _painters: threading.Semaphore = field(
        init=False, default_factory=lambda: threading.Semaphore(_PAINTERS)
    )
    _closed: threading.Event = field(init=False, default_factory=threading.Event)
    _sizes: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        series = [
            TwinSeries(case, modality)
            for case in self.cases
            for modality in (("CT", "SEG") if case.has_seg else ("CT",))
        ]
        self.series = {one.uid: one for one in series}

    def file_size(self, uid: str) -> int:
        """Sum of the Part 10 bytes of a series, without painting any pixel."""
        with self._alone("size", uid):
            if uid not in self._sizes:
                one = self.series[uid]
                size = _seg_size if one.modality == "SEG" else _ct_size
                self._sizes[uid] = size(one.case)
            return self._sizes[uid]

    def instance(self, uid: str, k: int) -> Path:
        """File of instance `k` of a series, painted now if it was not yet."""
        one = self.series[uid]
        folder = self.folder / uid
        path = folder / f"{one.sop_uid(k)}.dcm"
        if path.exists():
            return path
        first = k - k % SLAB
        # Whoever wants the same slab waits for it; nothing is painted twice.
        with self._alone(uid, first), self._painters:
            if self._closed.is_set():
                raise FileNotFoundError(f"{path} is not painted: the twin is closed.")
            if not path.exists():
                folder.mkdir(exist_ok=True)
                if one.modality == "SEG":
                    _put(path, _seg_bytes(one.case))
                else:
                    _paint_slab(one, first, folder)
        return path

    def close(self) -> None:
        """Let what is being painted end, and paint no more: the folder may go."""
        self._closed.set()
        for _ in range(_PAINTERS):
            self._painters.acquire()
        self._painters.release(_PAINTERS)

    @contextlib.contextmanager
    def painting(self, uid: str, order: Iterable[int]) -> Iterator[None]:
        """Paint a series ahead in the background, for as long as the context lasts.

        Instances are sent in no order of slices, so that the first few of them
        need most of the slabs; these are painted side by side, in the order of
        `order`. What is begun when the context ends is finished, no more.
        """
        slabs = iter(list(dict.fromkeys(k - k % SLAB for k in order)))
        ended = threading.Event()

        def paint() -> None:
            for first in slabs:
                if ended.is_set():
                    return
                # Whoever asks for an instance of this slab meets the error.
                with contextlib.suppress(OSError):
                    self.instance(uid, first)

        for _ in range(_PAINTERS):
            threading.Thread(target=paint, name=f"painting {uid}", daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def supplement(self, name: str) -> Path | None:
        """A supplementary zip by its published name; None when there is no such."""
        makers = {
            "MED_ABD_LYMPH_ANNOTATIONS.zip": Case.point_files,
            "MED_ABD_LYMPH_MASKS.zip": Case.mask_files,
            "MED_ABD_LYMPH_CANDIDATES.zip": Case.candidate_files,
        }
        if name not in makers:
            return None
        path = self.folder / name
        with self._alone(name):
            if not path.exists():
                cases = [case for case in self.cases if case.holding is LYMPH_NODES]
                _put(path, _supplement(name.removesuffix(".zip"), cases, makers[name]))
        return path

    def _alone(self, *key: Hashable) -> threading.Lock:
        """The lock of one thing that is made once."""
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())


def phantom_case(
    folder: Path,
    patient_id: str = "MED_LYMPH_001",
    *,
    layout: Layout = "plain",
    **changes: Any,
) -> Path:
    """Write one SYNTHETIC case: CT, SEG, annotation files.

    The plain layout is ``folder/<PatientID>/CT/*.dcm`` and ``.../SEG/*.dcm``. In
    every layout ``annotations/*.txt`` with the ``.mps``, and ``mask/*.nii.gz``, lie
    in the patient's folder.

    Parameters
    ----------
    folder : Path
        Created when missing.
    patient_id : str
        As in `lymph_case`.
    layout : {"plain", "retriever", "old retriever", "zip", "idc"}
        Folders and names of the DICOM files; see `napari_tcia.demo.layouts`.
    **changes
        Fields of `Scan` to replace; ``matrix=96, step=5.0`` makes a
        case in a fraction of a second.

    Returns
    -------
    Path
        The patient's folder: ``folder/<PatientID>``, in the layouts of the
        retrievers and of idc below one more folder for the collection.
    """
    case = lymph_case(patient_id, **changes)
    home = folder / patient_folder(case.identity, layout)
    for name in ("annotations", "mask"):
        (home / name).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as cache:
        twin = Twin(Path(cache), (case,))
        for one in twin.series.values():
            files = [twin.instance(one.uid, k) for k in range(len(one.sop_uids))]
            lay_out(home, case.holding, case.identity, one.modality, files, layout)
    for name, data in case.point_files().items():
        (home / "annotations" / name).write_bytes(data)
    for name, data in case.mask_files().items():
        (home / "mask" / name).write_bytes(data)
    return home


def _supplement(
    top: str, cases: Sequence[Case], make: Callable[[Case], dict[str, bytes]]
) -> bytes:
    """A zip with one folder per patient below a folder of the zip's own name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for case in cases:
            for member, data in make(case).items():
                name = f"{top}/{case.identity.patient_id}/{member}"
                info = zipfile.ZipInfo(name, (2015, 12, 14, 0, 0, 0))
                archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


# The DICOM libraries are loaded late, for the archive to be up at once.


def _seg_bytes(case: Case) -> bytes:
    from napari_tcia.demo.dicom import seg_bytes

    labels = make_labels(case.scan, case.nodes)
    return seg_bytes(case.identity, case.scan, labels, case.nodes)


def _paint_slab(one: TwinSeries, first: int, folder: Path) -> None:
    from napari_tcia.demo.dicom import ct_bytes, ct_header

    case = one.case
    stop = min(first + SLAB, case.scan.slices)
    pixels = make_ct(case.scan, case.nodes, first, stop)
    for k, plane in zip(range(first, stop), pixels, strict=True):
        header = ct_header(case.identity, case.scan, k)
        _put(folder / f"{header.SOPInstanceUID}.dcm", ct_bytes(header, plane))


def _ct_size(case: Case) -> int:
    from napari_tcia.demo.dicom import ct_size

    return ct_size(case.identity, case.scan)


def _seg_size(case: Case) -> int:
    from napari_tcia.demo.sizes import seg_size

    return seg_size(case.identity, case.scan, case.nodes)


def _put(path: Path, data: bytes) -> None:
    """Whole or not there; a cache needs no fsync."""
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)
