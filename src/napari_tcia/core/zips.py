"""Zips of a user's own: names that stay in their folder, sizes that fit."""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from napari_tcia.core.files import storage_error
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.core.text import one_line
from napari_tcia.errors import CorruptData, DiskFull, UnsafeArchive

MAX_MEMBERS = 20_000
MAX_TOTAL_BYTES = 64 << 30
MAX_NAME = 255
_MAX_RATIO = 250
_SMALL = 1 << 30
"""Bytes below which a zip may be as dense as it likes."""
_LOOKED_AT = 200
_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever follows the first dot."""


def safe_name(raw: bytes | str) -> str:
    """Return the name of a zip member that stays below its folder.

    Raises
    ------
    UnsafeArchive
        Absolute, with ``..``, backslash, drive or control characters, the name
        of a device, nested zip, or longer than 255 bytes.
    """
    name = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
    parts = name.removesuffix("/").split("/")
    unsafe = (
        not 0 < len(name.encode("utf-8", "replace")) <= MAX_NAME
        or any(part in ("", ".", "..") or _DEVICE.match(part) for part in parts)
        or re.search(r"[\x00-\x1f\x7f\\:\ufffd]", name)
        or name.lower().endswith(".zip")
    )
    if unsafe:
        raise UnsafeArchive(
            f"The zip holds a member named “{one_line(name, 80)}”, which is refused.",
            "Nothing of it was kept.",
        )
    return name


def is_zip(path: Path) -> bool:
    """Whether `path` is a zip by its first bytes."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def holds_dicom(path: Path) -> bool:
    """Whether one of the first members of a zip starts as DICOM Part 10."""
    try:
        with zipfile.ZipFile(path) as archive:
            for info in _wanted(archive)[:_LOOKED_AT]:
                with archive.open(info) as stream:
                    if stream.read(132)[128:] == b"DICM":
                        return True
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError):
        return False  # opening it says why
    return False


def unpack(
    path: Path, *, report: Report = silent, token: CancelToken | None = None
) -> Path:
    """Unpack a zip to a temporary folder, trusting nothing in it.

    Returns
    -------
    Path
        A new folder, the caller's to remove; see `keep_with`.

    Raises
    ------
    UnsafeArchive
        A path that leaves the folder, a repeated name, a link, an encrypted
        member, or more bytes than the limits.
    CorruptData
        It is cut, or a checksum does not match.
    DiskFull, NotWritable
        There is no room for it.
    Cancelled
    """
    token = token or CancelToken()
    folder = Path(tempfile.mkdtemp(prefix="napari-tcia-zip-"))
    try:
        with zipfile.ZipFile(path) as archive:
            members = _checked(path, _wanted(archive), folder)
            for done, (info, name) in enumerate(members):
                token.raise_if_cancelled()
                report(Progress(f"Unpacking {path.name}", done, len(members), "files"))
                target = folder.joinpath(*PurePosixPath(name).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as stream, target.open("xb") as out:
                    shutil.copyfileobj(stream, out, 1 << 20)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, (zipfile.BadZipFile, zlib.error, EOFError)):
            raise CorruptData(
                f"{path} is no whole zip: {error}.",
                "Fetch it again.",
                files=[str(path)],
            ) from error
        if isinstance(error, (RuntimeError, NotImplementedError)):
            raise UnsafeArchive(f"{path} cannot be unpacked: {error}.") from error
        if isinstance(error, OSError):
            raise storage_error(error, folder) from error
        raise
    return folder


@contextmanager
def unpacked(
    path: Path, *, report: Report = silent, token: CancelToken | None = None
) -> Iterator[Path]:
    """As `unpack`, for the time of a block."""
    folder = unpack(path, report=report, token=token)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep_with(owners: Sequence[Any], folder: Path) -> None:
    """Remove `folder` when the last of `owners`, which need its files, is gone."""
    left = list(range(len(owners)))

    def gone() -> None:
        left.pop()
        if not left:
            shutil.rmtree(folder, ignore_errors=True)

    for owner in owners:
        weakref.finalize(owner, gone)


def _wanted(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Files of a zip, without what macOS adds and without zips within it."""
    return [
        info
        for info in archive.infolist()
        if not info.is_dir()
        and not info.filename.startswith("__MACOSX/")
        and not info.filename.lower().endswith(".zip")
    ]


def _checked(
    path: Path, infos: list[zipfile.ZipInfo], folder: Path
) -> list[tuple[zipfile.ZipInfo, str]]:
    if len(infos) > MAX_MEMBERS:
        raise UnsafeArchive(f"{path} holds more than {MAX_MEMBERS} files.")
    members: dict[str, tuple[zipfile.ZipInfo, str]] = {}
    for info in infos:
        name = safe_name(info.filename)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise UnsafeArchive(f"{path} holds a link, “{one_line(name, 80)}”.")
        if name.casefold() in members:
            raise UnsafeArchive(f"{path} holds {name} twice.")
        members[name.casefold()] = (info, name)
    total = sum(info.file_size for info in infos)
    limit = min(MAX_TOTAL_BYTES, max(_SMALL, _MAX_RATIO * path.stat().st_size))
    if total > limit:
        raise UnsafeArchive(
            f"{path} unpacks to {total / 1e9:.1f} GB, which is refused.",
            "Unpack it yourself if you trust it, and open the folder.",
            unpacked=total,
            limit=limit,
        )
    free = shutil.disk_usage(folder).free
    if total > free:
        raise DiskFull(
            f"{total / 1e6:.0f} MB are needed to unpack {path} and {free / 1e6:.0f} MB "
            f"are free at {folder.parent}.",
            "Free some space, or unpack it elsewhere and open the folder.",
            needed=total,
            free=free,
        )
    return list(members.values())
