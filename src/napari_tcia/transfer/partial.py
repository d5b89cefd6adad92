"""What is verified of a series that is still on its way, kept over any end.

Beside the place of the series lies a hidden folder::

    .<SeriesInstanceUID>.partial/   <SOPInstanceUID>.held   verified instances
                                    LICENSE.held
                                    verified.jsonl          what they are
                                    whole                   all arrived and agreed
                                    *.part                  arriving

Nothing in it has the name of an image, and nothing opens it. After a crash it is
trusted no further than its checksums reach.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from napari_tcia.core.files import fsync_file, storage_error
from napari_tcia.core.task import CancelToken

JOURNAL = "verified.jsonl"
WHOLE = "whole"
_HELD = ".held"


@dataclass(frozen=True, slots=True)
class Verified:
    """One file that may be kept.

    Attributes
    ----------
    name : str
        That it will have: ``<SOPInstanceUID>.dcm`` or ``LICENSE``.
    size : int
    sha256, md5 : str
        Of its bytes, hexadecimal.
    origin : str
        What its source calls it.
    """

    name: str
    size: int
    sha256: str
    md5: str
    origin: str = field(default="", compare=False)

    @property
    def uid(self) -> str:
        """SOPInstanceUID, empty for the licence text."""
        return self.name.removesuffix(".dcm") if self.name.endswith(".dcm") else ""


class Partial:
    """The verified files of one series; safe to add to from several threads.

    Parameters
    ----------
    folder : Path
        See `folder_of`; created when it is not there. The lock of the series
        must be held.
    token : CancelToken
        Looked at while files of an earlier run are read again.
    """

    def __init__(self, folder: Path, token: CancelToken) -> None:
        self.folder = folder
        self.files: dict[str, Verified] = {}
        self._compared: set[str] = set()
        self._lock = threading.Lock()
        self._tell: Callable[[Path, Verified], None] = _nobody
        self._syncing = ThreadPoolExecutor(1, "napari-tcia syncing")
        self._synced: list[Future[None]] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, folder) from error
        for leftover in folder.parent.glob(f"{folder.stem}.part-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for one in _journal(folder / JOURNAL):
            token.raise_if_cancelled()
            if _is_whole(_held(folder, one.name), one):
                self.files[one.name] = one
        known = {_held(folder, name) for name in self.files}
        for path in folder.iterdir():
            if path not in known and not _is_ours(path):
                _remove(path)
        self._rewrite()

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, *_: object) -> None:
        self._syncing.shutdown(cancel_futures=True)

    @property
    def uids(self) -> set[str]:
        """SOPInstanceUIDs that are here."""
        return {one.uid for one in self.files.values()} - {""}

    @property
    def bytes(self) -> int:
        """Size of all instances."""
        return sum(one.size for one in self.files.values() if one.uid)

    def hold(self, part: Path, one: Verified) -> None:
        """Keep `part`, whose bytes are those of `one`, under its name."""
        with self._lock:
            try:
                part.replace(_held(self.folder, one.name))
                with (self.folder / JOURNAL).open("a", encoding="utf-8") as journal:
                    journal.write(json.dumps(asdict(one)) + "\n")
            except OSError as error:
                raise storage_error(error, self.folder) from error
            self.files[one.name] = one
            self._compared.discard(one.name)
            # Meanwhile the next one arrives: at the end most are on the disk.
            held = _held(self.folder, one.name)
            self._synced.append(self._syncing.submit(_sync, held))
            self._tell(held, one)

    def tell(self, held: Callable[[Path, Verified], None]) -> None:
        """Call `held` with the place of each file that is here, or will be.

        It must not raise, and may not keep the place: the file will get its name.
        """
        with self._lock:
            self._tell = held
            for one in self.files.values():
                held(_held(self.folder, one.name), one)

    @property
    def doubtful(self) -> list[Verified]:
        """Instances that no checksum of the archive was compared with, in this run."""
        held = self.files.values()
        return [one for one in held if one.uid and one.name not in self._compared]

    def compared(self, names: Iterable[str]) -> None:
        """Note that these files have the checksums that the archive tells."""
        self._compared.update(names)

    @property
    def is_whole(self) -> bool:
        """Whether a source has sent all of it, and every check agreed."""
        return (self.folder / WHOLE).exists()

    def mark_whole(self) -> None:
        """Note that a source has sent all of it, and every check agreed."""
        try:
            (self.folder / WHOLE).touch()
        except OSError as error:
            raise storage_error(error, self.folder) from error

    def drop(self, names: Iterable[str]) -> None:
        """Forget files that turned out to be wrong."""
        with self._lock:
            _remove(self.folder / WHOLE)
            for name in names:
                self.files.pop(name, None)
                _remove(_held(self.folder, name))
            self._rewrite()

    def name_files(self) -> None:
        """Give every file the name that it will have in the store."""
        try:
            for synced in self._synced:
                synced.result()
            self._synced.clear()
            for name in self.files:
                held = _held(self.folder, name)
                if held.name != name:
                    held.replace(self.folder / name)
            for path in self.folder.iterdir():
                if path.name not in self.files and path.name not in (JOURNAL, WHOLE):
                    _remove(path)
        except OSError as error:
            raise storage_error(error, self.folder) from error

    def _rewrite(self) -> None:
        lines = "".join(json.dumps(asdict(one)) + "\n" for one in self.files.values())
        path = self.folder / f"{JOURNAL}.new"
        try:
            path.write_text(lines, encoding="utf-8")
            path.replace(self.folder / JOURNAL)
        except OSError as error:
            raise storage_error(error, self.folder) from error


def folder_of(series: Path) -> Path:
    """Folder of what is verified of the series that will lie at `series`."""
    return series.with_name(f".{series.name}.partial")


def recover(series: Path, record: str) -> None:
    """Take back a folder that got its final name, but not its record in time."""
    if (series / JOURNAL).exists() and not (series / record).exists():
        discard(series)
        try:
            series.replace(folder_of(series))
        except OSError as error:
            raise storage_error(error, series) from error


def discard(series: Path) -> None:
    """Remove what was verified of a series."""
    shutil.rmtree(folder_of(series), ignore_errors=True)


def _is_ours(path: Path) -> bool:
    return path.name in (JOURNAL, WHOLE) or path.suffix == ".object"


def _held(folder: Path, name: str) -> Path:
    """Where a file lies: it may have its final name where a run ended late."""
    final = folder / name
    return final if final.exists() else folder / (name.removesuffix(".dcm") + _HELD)


def _journal(path: Path) -> Iterator[Verified]:
    """Lines of a journal; a torn or foreign one is passed over."""
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, TypeError):
                one = Verified(**json.loads(line))
                if _is_plain(one):
                    yield one


def _is_plain(one: Verified) -> bool:
    texts = (one.name, one.sha256, one.md5, one.origin)
    return (
        all(isinstance(text, str) for text in texts)
        and isinstance(one.size, int)
        and "/" not in one.name
        and "\\" not in one.name
        and (one.name == "LICENSE" or one.name.endswith(".dcm"))
    )


def _is_whole(path: Path, one: Verified) -> bool:
    try:
        if path.stat().st_size != one.size:
            return False
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == one.sha256
    except OSError:
        return False


def _nobody(path: Path, one: Verified) -> None:
    """Whom nothing has to be told."""


def _sync(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # dropped, or named, since
        fsync_file(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
